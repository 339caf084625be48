//! The repositories, as Docker's V2 API lists them.

use axum::response::{IntoResponse, Response};
use http::{Uri, header};
use serde_json::json;

use super::{
    error::ApiError,
    pagination::{PageRequest, next_link},
};
use crate::registry::Registry;

/// `GET /v2/_catalog`: at most `most` repositories.
pub(super) async fn list(registry: &Registry, uri: &Uri, most: usize) -> Result<Response, ApiError> {
    let request = PageRequest::from_query(uri, most)?;
    let page = registry.repositories(request.last.as_deref(), request.limit).await?;
    let names: Vec<&str> = page.items.iter().map(|name| name.as_str()).collect();
    let mut response = axum::Json(json!({ "repositories": names })).into_response();
    if let (true, Some(last)) = (page.more, names.last()) {
        let link = next_link(uri.path(), &[("n", &request.limit.to_string())], last);
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}
