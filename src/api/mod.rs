//! HTTP for `/v2`: the only place that knows status codes and the JSON of the specification.
//!
//! One wildcard route and a parser of our own, since a repository name contains slashes and its components may
//! be called `blobs`, `tags` or `manifests`. A request is parsed to a [`Route`], its caller is asked for, the
//! policy is asked, and only then one function of this module runs.

mod base;
mod blobs;
mod byte_ranges;
mod catalog;
mod error;
mod handler;
mod headers;
mod late;
mod manifests;
mod pagination;
mod referrers;
mod request_body;
mod route;
mod tags;
mod uploads;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::{Router, routing::any};

pub use route::{Route, RouteError};

use crate::{
    auth::{Authenticator, Policy},
    registry::Registry,
};

/// Bounds of single answers, and what the operator wants users to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most tags in one page; the page when a client names no number.
    pub tags_page: usize,
    /// Most repositories in one page of the catalogue; the page when a client names no number.
    pub catalog_page: usize,
    /// Most `?tag=` in one push of a manifest; the specification asks for at least 10.
    pub tag_parameters: usize,
    /// A notice that clients show their users, as the `Warning` header of every answer but the ping
    /// (distribution specification, Warnings). At most 4096 bytes with its quotes; printable ASCII.
    pub warning: Warning,
}

/// A notice that can be changed while the server runs; clones are the same notice.
#[derive(Clone, Debug, Default)]
pub struct Warning(Arc<ArcSwapOption<String>>);

impl Warning {
    /// The notice now.
    pub fn get(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }

    /// Replaces the notice.
    pub fn set(&self, text: Option<String>) {
        self.0.store(text.map(Arc::new));
    }
}

impl From<Option<String>> for Warning {
    fn from(text: Option<String>) -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee(text)))
    }
}

impl PartialEq for Warning {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Warning {}

impl Default for Limits {
    fn default() -> Self {
        Self { tags_page: 10_000, catalog_page: 1000, tag_parameters: 10, warning: Warning::default() }
    }
}

/// What the API works with. Cloning is cheap.
#[derive(Clone)]
pub struct ApiState {
    /// The registry.
    pub registry: Registry,
    /// Says who the caller is.
    pub authenticator: Authenticator,
    /// Says what the caller may do.
    pub policy: Policy,
    /// Bounds of single answers.
    pub limits: Arc<Limits>,
}

/// The routes of the API: `/v2` and everything below it.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/v2", any(handler::handle))
        .route("/v2/", any(handler::handle))
        .route("/v2/{*rest}", any(handler::handle))
        .with_state(state)
}
