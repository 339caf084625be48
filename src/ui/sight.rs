//! What a viewer may see, to be asked for many repositories away from the request.

use super::{Ui, visitor::Viewer};
use crate::{
    auth::{Access, Decision, Identity, Policy},
    oci::RepositoryName,
};

/// See the module. By the rules as they were when it was made, where these let the viewer see everything.
#[derive(Clone)]
pub(super) struct Sight {
    policy: Policy,
    identity: Identity,
    sees_all: bool,
}

impl Sight {
    pub(super) fn of(ui: &Ui, viewer: &Viewer) -> Self {
        let (policy, identity) = (ui.policy.clone(), viewer.identity().clone());
        let sees_all = policy.authorize(&identity, Access::Pull, None) == Decision::Allow;
        Self { policy, identity, sees_all }
    }

    /// Whether the viewer may see what any repository holds.
    pub(super) fn sees_all(&self) -> bool {
        self.sees_all
    }

    /// Whether the viewer may see what a repository holds.
    pub(super) fn sees(&self, repository: &RepositoryName) -> bool {
        self.sees_all
            || self.policy.authorize(&self.identity, Access::Pull, Some(repository)) == Decision::Allow
    }
}
