//! What a request did after it was answered that the volume does not answer: nobody can stop a call on the volume. The
//! journal, the audit log and whoever is told of answers hear of it when it is done, as if it had been in time.

use axum::response::Response;
use http::request::Parts;
use tracing::Span;

use crate::{
    observability::{Asked, AuthenticatedUser, LateAnswer, audit},
    registry::{JournalEntry, Registry},
};

/// What is needed of a request that is over by then.
pub(super) struct Late {
    registry: Registry,
    /// Has the id of the request.
    span: Span,
    asked: Option<Asked>,
    user: Option<AuthenticatedUser>,
    answers: Option<LateAnswer>,
}

impl Late {
    /// Of a request that was let in.
    pub(super) fn of(registry: &Registry, parts: &Parts) -> Self {
        let extensions = &parts.extensions;
        Self {
            registry: registry.clone(),
            span: Span::current(),
            asked: extensions.get().cloned(),
            user: extensions.get().cloned(),
            answers: extensions.get().cloned(),
        }
    }

    /// Writes to the journal and to the audit log.
    pub(super) fn note(&self, entry: JournalEntry) {
        self.audit(entry.action.as_str(), &entry);
        self.registry.note(entry);
    }

    /// Writes to the audit log what the journal says nothing of.
    pub(super) fn audit(&self, action: &'static str, entry: &JournalEntry) {
        self.span.in_scope(|| {
            tracing::info!(
                target: audit::TARGET,
                action,
                outcome = "done",
                late = true,
                user = entry.user,
                remote = entry.address,
                repository = entry.repository.as_ref().map(|name| name.as_str()),
                reference = entry.tag.as_ref().map(|tag| tag.as_str()),
                digest = entry.was.as_ref().or(entry.now.as_ref()).map(|digest| digest.as_str()),
            );
        });
    }

    /// Tells whoever is told of answers.
    pub(super) fn answer(self, mut answer: Response) {
        let Some(LateAnswer(tell)) = self.answers else { return };
        if let Some(asked) = self.asked {
            answer.extensions_mut().insert(asked);
        }
        if let Some(user) = self.user {
            answer.extensions_mut().insert(user);
        }
        tell(answer);
    }
}
