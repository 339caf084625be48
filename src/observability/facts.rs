//! What a handler tells of a request, for its log line, the metrics, the audit log and events: extensions of the
//! response, since a request is long gone when its answer ends.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::response::Response;

/// The user a handler found to be asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedUser(pub Arc<str>);

/// What was asked for, in words of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// One of a few words: a label of the metrics.
    pub route: &'static str,
    /// The path with words in place of what varies; a span is named by it. Empty where there is no such path.
    pub template: &'static str,
    /// The repository, if the request is about one.
    pub repository: Option<Arc<str>>,
    /// Tag or digest, as in the path.
    pub reference: Option<Arc<str>>,
    /// Where a blob was to be mounted from.
    pub mounted_from: Option<Arc<str>>,
}

/// Takes the answer that a request would have had if what it did had been done in time; a request extension.
#[derive(Clone)]
pub struct LateAnswer(pub Arc<dyn Fn(Response) + Send + Sync>);

/// Why a request was not done, as the client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// One of a few words: a label of the metrics.
    pub code: &'static str,
    /// Never an I/O error or a secret.
    pub text: Arc<str>,
}

/// How many bytes of the request's body have come; a request extension.
#[derive(Clone, Debug, Default)]
pub struct ReceivedBytes(Arc<AtomicU64>);

impl ReceivedBytes {
    /// Counts what came.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Kept until the last byte of the answer is sent or the client is gone, then dropped.
#[derive(Clone, Default)]
pub struct Held(Vec<Arc<dyn Any + Send + Sync>>);

impl Held {
    /// Keeps `guard` with whatever `extensions` hold already.
    pub fn add(extensions: &mut axum::http::Extensions, guard: impl Any + Send + Sync) {
        extensions.get_or_insert_default::<Self>().0.push(Arc::new(guard));
    }
}
