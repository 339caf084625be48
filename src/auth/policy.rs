//! Who may do what: the one place that says yes or no.

use super::{Config, Identity};
use crate::oci::RepositoryName;

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Ask whether the registry is there and the login is right (`GET /v2/`).
    Ping,
    /// Read a repository.
    Pull,
    /// Write to a repository.
    Push,
    /// Delete from a repository.
    Delete,
    /// List the repositories.
    Catalog,
}

/// The answer of a [`Policy`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// The rules of a registry: any signed-in user may do all; anonymous nothing, unless the registry runs without
/// authentication.
#[derive(Clone, Debug)]
pub struct Policy {
    anonymous: Decision,
}

impl Policy {
    /// The rules that follow from the configuration.
    pub fn new(config: &Config) -> Self {
        let anonymous = if config.htpasswd.is_none() { Decision::Allow } else { Decision::Deny };
        Self { anonymous }
    }

    /// Whether `identity` may have this access: to the repository, or to the registry as a whole where there is
    /// none ([`Access::Ping`], [`Access::Catalog`]).
    ///
    /// A mount is asked twice: `Push` for the repository that receives, `Pull` for the one that gives.
    pub fn authorize(
        &self,
        identity: &Identity,
        access: Access,
        _repository: Option<&RepositoryName>,
    ) -> Decision {
        match (identity, access) {
            (
                Identity::User(_),
                Access::Ping | Access::Pull | Access::Push | Access::Delete | Access::Catalog,
            ) => Decision::Allow,
            (
                Identity::Anonymous,
                Access::Ping | Access::Pull | Access::Push | Access::Delete | Access::Catalog,
            ) => self.anonymous,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_table() {
        let closed = Policy::new(&Config { htpasswd: Some("users".into()), ..Config::default() });
        let open = Policy::new(&Config { htpasswd: None, ..Config::default() });
        let ana = Identity::User("ana".parse().unwrap());
        let repository: RepositoryName = "team/app".parse().unwrap();
        for access in [Access::Ping, Access::Pull, Access::Push, Access::Delete, Access::Catalog] {
            for repository in [None, Some(&repository)] {
                assert_eq!(closed.authorize(&ana, access, repository), Decision::Allow);
                assert_eq!(closed.authorize(&Identity::Anonymous, access, repository), Decision::Deny);
                assert_eq!(open.authorize(&Identity::Anonymous, access, repository), Decision::Allow);
            }
        }
    }
}
