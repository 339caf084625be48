//! The tags of a repository.

use axum::response::{IntoResponse, Response};
use http::{Uri, header};
use serde::Serialize;

use super::{
    error::ApiError,
    pagination::{PageRequest, next_link},
};
use crate::{oci::RepositoryName, registry::Registry};

/// The body of an answer.
#[derive(Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: &'a [&'a str],
}

/// `GET /v2/<name>/tags/list`: without `n`, `most` tags; a client expects all, and follows the link to the rest.
pub(super) async fn list(
    registry: &Registry,
    repository: &RepositoryName,
    uri: &Uri,
    most: usize,
) -> Result<Response, ApiError> {
    let request = PageRequest::from_query(uri, most)?;
    let page = registry.tags(repository, request.last.as_deref(), request.limit).await?;
    let tags: Vec<&str> = page.items.iter().map(|tag| tag.as_str()).collect();
    let mut response = axum::Json(TagList { name: repository.as_str(), tags: &tags }).into_response();
    if let (true, Some(last)) = (page.more, tags.last()) {
        let link = next_link(uri.path(), &[("n", &request.limit.to_string())], last);
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}
