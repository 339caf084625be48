//! Blobs: `/v2/<name>/blobs/<digest>`.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};

use super::{byte_ranges, error::ApiError, headers, late::Late, manifests::entry};
use crate::{
    auth::Identity,
    oci::{Digest, RepositoryName, media_type},
    registry::{Action, JournalEntry, Registry},
};

/// `HEAD`: is it there. No file is opened.
pub(super) async fn head(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &Digest,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let size = registry.blob_size(repository, digest).await?;
    let mut response = describe(digest);
    if headers::is_unchanged(request, digest) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    }
    Ok(response)
}

/// `GET`: its bytes, or some ranges of them. Never compressed: what is stored is what has the digest.
pub(super) async fn get(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &Digest,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let reader = registry.open_blob(repository, digest).await?;
    let mut response = describe(digest);
    if headers::is_unchanged(request, digest) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let size = reader.size();
    if let Some(ranges) = byte_ranges::requested(request, digest, size)? {
        return Ok(byte_ranges::partial(response, &reader, &ranges));
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    if size > 0 {
        *response.body_mut() = Body::from_stream(reader.read(0..=size - 1));
    }
    Ok(response)
}

/// `DELETE`: takes it out of this repository.
pub(super) async fn delete(
    registry: &Registry,
    identity: &Identity,
    repository: &RepositoryName,
    digest: &Digest,
    parts: &Parts,
) -> Result<Response, ApiError> {
    let by = JournalEntry { was: Some(digest.clone()), ..entry(Action::Delete, identity, parts, repository) };
    let told = Late::of(registry, parts);
    let late = move || {
        told.audit("delete-blob", &by);
        told.answer(headers::empty(StatusCode::ACCEPTED));
    };
    registry.delete_blob(repository, digest, late).await?;
    Ok(headers::empty(StatusCode::ACCEPTED))
}

/// What every answer about a blob says of it; it can never change.
fn describe(digest: &Digest) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::OCTET_STREAM));
    headers.insert(headers::DOCKER_CONTENT_DIGEST, headers::value(digest.as_str()));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, headers::etag(digest));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    response
}
