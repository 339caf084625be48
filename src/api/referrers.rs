//! The manifests that refer to another.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri, header};
use serde::Serialize;

use super::{
    error::ApiError,
    headers,
    pagination::{next_link, query_value},
};
use crate::{
    oci::{Digest, ErrorCode, RepositoryName, media_type},
    registry::{Referrer, Registry},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'static str,
    digest: &'a str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a Referrer> for Entry<'a> {
    fn from(referrer: &'a Referrer) -> Self {
        Self {
            media_type: referrer.media_type,
            digest: referrer.digest.as_str(),
            size: referrer.size,
            artifact_type: referrer.artifact_type.as_deref(),
            annotations: &referrer.annotations,
        }
    }
}

/// `GET /v2/<name>/referrers/<digest>`: an index, empty when there are none, never 404.
pub(super) async fn list(
    registry: &Registry,
    repository: &RepositoryName,
    subject: &Digest,
    uri: &Uri,
) -> Result<Response, ApiError> {
    let artifact_type = query_value(uri, "artifactType").filter(|value| !value.is_empty());
    let last = query_value(uri, "last").map(|last| last.parse()).transpose();
    let last = last.map_err(ApiError::grammar(ErrorCode::DigestInvalid))?;
    let page = registry.referrers(repository, subject, artifact_type.as_deref(), last.as_ref()).await?;
    let manifests = page.items.iter().map(Entry::from).collect();
    let index = Index { schema_version: 2, media_type: media_type::OCI_INDEX, manifests };
    let mut response = axum::Json(index).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::OCI_INDEX));
    if artifact_type.is_some() {
        headers.insert(headers::OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let (true, Some(last)) = (page.more, page.items.last()) {
        let filter: Vec<_> = artifact_type.iter().map(|value| ("artifactType", value.as_str())).collect();
        headers.insert(header::LINK, next_link(uri.path(), &filter, last.digest.as_str()));
    }
    Ok(response)
}
