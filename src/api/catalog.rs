//! The repositories, as Docker's V2 API lists them.

use axum::response::{IntoResponse, Response};
use http::{Uri, header};
use serde::Serialize;

use super::{
    ApiState,
    error::ApiError,
    pagination::{PageRequest, next_link},
};
use crate::{
    auth::{Access, Decision, Identity},
    oci::RepositoryName,
};

/// The body of an answer.
#[derive(Serialize)]
struct Catalog<'a> {
    repositories: &'a [&'a str],
}

/// `GET /v2/_catalog`: a page of the repositories that the caller may read.
pub(super) async fn list(state: &ApiState, identity: &Identity, uri: &Uri) -> Result<Response, ApiError> {
    let request = PageRequest::from_query(uri, state.limits.catalog_page)?;
    let (readable, more) = readable(state, identity, &request).await?;
    let names: Vec<&str> = readable.iter().map(|name| name.as_str()).collect();
    let mut response = axum::Json(Catalog { repositories: &names }).into_response();
    if let (true, Some(last)) = (more, names.last()) {
        let link = next_link(uri.path(), &[("n", &request.limit.to_string())], last);
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// The first repositories that the caller may read, and whether there are more.
async fn readable(
    state: &ApiState,
    identity: &Identity,
    request: &PageRequest,
) -> Result<(Vec<RepositoryName>, bool), ApiError> {
    let may = |name: Option<&RepositoryName>| {
        state.policy.authorize(identity, Access::Pull, name) == Decision::Allow
    };
    if may(None) {
        let page = state.registry.repositories(request.last.as_deref(), request.limit).await?;
        return Ok((page.items, page.more));
    }
    let (mut found, mut last) = (Vec::new(), request.last.clone());
    loop {
        let page = state.registry.repositories(last.as_deref(), state.limits.catalog_page.max(1)).await?;
        last = page.items.last().map(ToString::to_string);
        let room = request.limit + 1 - found.len();
        found.extend(page.items.into_iter().filter(|name| may(Some(name))).take(room));
        if found.len() > request.limit || !page.more || last.is_none() {
            let more = found.len() > request.limit;
            found.truncate(request.limit);
            return Ok((found, more));
        }
    }
}
