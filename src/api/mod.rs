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
mod manifests;
mod pagination;
mod referrers;
mod request_body;
mod route;
mod tags;
mod uploads;

use axum::{Router, routing::any};

pub use route::{Route, RouteError};

use crate::{
    auth::{Authenticator, Policy},
    registry::Registry,
};

/// What the API works with. Cloning is cheap.
#[derive(Clone)]
pub struct ApiState {
    /// The registry.
    pub registry: Registry,
    /// Says who the caller is.
    pub authenticator: Authenticator,
    /// Says what the caller may do.
    pub policy: Policy,
}

/// The routes of the API: `/v2` and everything below it.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/v2", any(handler::handle))
        .route("/v2/", any(handler::handle))
        .route("/v2/{*rest}", any(handler::handle))
        .with_state(state)
}
