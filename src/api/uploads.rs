//! Uploads: `/v2/<name>/blobs/uploads/`.

use std::ops::RangeInclusive;

use axum::{body::Body, response::Response};
use http::{HeaderMap, StatusCode, header, request::Parts};

use super::{ApiState, error::ApiError, headers, late::Late, pagination::query_value, request_body};
use crate::{
    auth::{Access, Decision, Identity},
    oci::{Algorithm, ByteRange, Digest, ErrorCode, RepositoryName, UploadId},
    registry::{Registry, RegistryError},
};

/// `POST`: starts an upload; with `mount`, tries to have the blob without one; with `digest`, takes it whole.
pub(super) async fn start(
    state: &ApiState,
    identity: &Identity,
    repository: &RepositoryName,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let registry = &state.registry;
    let uri = &parts.uri;
    // A mount that cannot be done, for whatever reason, is no error: the client sends the bytes instead.
    if let Some(Ok(digest)) = query_value(uri, "mount").map(|digest| digest.parse::<Digest>()) {
        let from = query_value(uri, "from").filter(|from| !from.is_empty());
        if mount(state, identity, repository, &digest, from.as_deref(), Late::of(registry, parts)).await? {
            return Ok(created(repository, &digest));
        }
    }
    let digest = query_digest(uri, "digest")?;
    let algorithm = match (&digest, query_value(uri, "digest-algorithm")) {
        (Some(digest), _) => digest.algorithm(),
        (None, Some(name)) => name.parse().map_err(ApiError::grammar(ErrorCode::DigestInvalid))?,
        (None, None) => Algorithm::Sha256,
    };
    let upload = registry.start_upload(repository, algorithm).await?;
    match digest {
        Some(digest) => {
            let expected = announced_range(&parts.headers, 0)?;
            let told = Late::of(registry, parts);
            let committed = commit(registry, repository, &upload, expected, body, &digest, told).await;
            if committed.is_err() {
                // The client never learnt the address of this upload: nobody would go on with it.
                registry.discard_upload(repository, &upload).await;
            }
            committed
        }
        None => Ok(accepted(repository, &upload, 0)),
    }
}

/// Tries to have a blob from another repository that the caller may read.
async fn mount(
    state: &ApiState,
    identity: &Identity,
    repository: &RepositoryName,
    digest: &Digest,
    from: Option<&str>,
    told: Late,
) -> Result<bool, ApiError> {
    let from: Option<RepositoryName> = match from.map(str::parse) {
        None => None,
        Some(Ok(from)) => Some(from),
        Some(Err(_)) => return Ok(false),
    };
    if state.policy.authorize(identity, Access::Pull, from.as_ref()) == Decision::Deny {
        return Ok(false);
    }
    let (name, wanted) = (repository.clone(), digest.clone());
    let late = move || told.answer(created(&name, &wanted));
    Ok(state.registry.mount_blob(repository, digest, from.as_ref(), late).await?)
}

/// `GET`: how far an upload is.
pub(super) async fn status(
    registry: &Registry,
    repository: &RepositoryName,
    upload: &UploadId,
) -> Result<Response, ApiError> {
    let offset = registry.upload_offset(repository, upload).await?;
    let mut response = accepted(repository, upload, offset);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().remove(header::CONTENT_LENGTH);
    if offset == 0 {
        // Not `0-0`, which is one byte; here, and only here, clients understand this.
        response.headers_mut().insert(header::RANGE, headers::value("0--1"));
    }
    Ok(response)
}

/// `PATCH`: appends a chunk, or all of a stream.
pub(super) async fn patch(
    registry: &Registry,
    repository: &RepositoryName,
    upload: &UploadId,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let expected = content_range(&parts.headers)?;
    let appended = registry.append_to_upload(repository, upload, expected, request_body::stream(body)).await;
    let offset = appended.map_err(|error| failed(repository, upload, error))?;
    Ok(accepted(repository, upload, offset))
}

/// `PUT`: appends what is left and makes it a blob.
pub(super) async fn put(
    registry: &Registry,
    repository: &RepositoryName,
    upload: &UploadId,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let Some(digest) = query_digest(&parts.uri, "digest")? else {
        let message = "the last request of an upload names the digest of the content: ?digest=".to_owned();
        return Err(ApiError::Invalid(ErrorCode::DigestInvalid, message));
    };
    let expected = content_range(&parts.headers)?;
    commit(registry, repository, upload, expected, body, &digest, Late::of(registry, parts)).await
}

/// `DELETE`: forgets an upload.
pub(super) async fn cancel(
    registry: &Registry,
    repository: &RepositoryName,
    upload: &UploadId,
) -> Result<Response, ApiError> {
    registry.cancel_upload(repository, upload).await?;
    Ok(headers::empty(StatusCode::NO_CONTENT))
}

async fn commit(
    registry: &Registry,
    repository: &RepositoryName,
    upload: &UploadId,
    expected: Option<RangeInclusive<u64>>,
    body: Body,
    digest: &Digest,
    told: Late,
) -> Result<Response, ApiError> {
    let (name, wanted, body) = (repository.clone(), digest.clone(), request_body::stream(body));
    let late = move |()| told.answer(created(&name, &wanted));
    let committed = registry.commit_upload(repository, upload, expected, body, digest, late).await;
    committed.map_err(|error| failed(repository, upload, error))?;
    Ok(created(repository, digest))
}

fn failed(repository: &RepositoryName, upload: &UploadId, error: RegistryError) -> ApiError {
    ApiError::Upload { repository: repository.clone(), upload: *upload, error }
}

fn query_digest(uri: &http::Uri, name: &str) -> Result<Option<Digest>, ApiError> {
    let digest = query_value(uri, name).map(|digest| digest.parse()).transpose();
    digest.map_err(ApiError::grammar(ErrorCode::DigestInvalid))
}

/// The range a chunk says it has, which must be as long as its body.
fn content_range(headers: &HeaderMap) -> Result<Option<RangeInclusive<u64>>, ApiError> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let range = ByteRange::parse_content_range(text).map_err(ApiError::grammar(ErrorCode::RangeInvalid))?;
    let length = range.end() - range.start() + 1;
    match request_body::content_length(headers) {
        Some(announced) if announced != length => {
            let message = format!("the Content-Range has {length} bytes, the Content-Length {announced}");
            Err(ApiError::Invalid(ErrorCode::SizeInvalid, message))
        }
        _ => Ok(Some(range)),
    }
}

/// The range of a body of announced length that begins at `start`.
fn announced_range(headers: &HeaderMap, start: u64) -> Result<Option<RangeInclusive<u64>>, ApiError> {
    match (content_range(headers)?, request_body::content_length(headers)) {
        (Some(range), _) => Ok(Some(range)),
        (None, Some(length)) if length > 0 => Ok(Some(start..=start + length - 1)),
        (None, _) => Ok(None),
    }
}

fn created(repository: &RepositoryName, digest: &Digest) -> Response {
    let mut response = headers::empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, headers::blob_location(repository, digest));
    headers.insert(headers::DOCKER_CONTENT_DIGEST, headers::value(digest.as_str()));
    response
}

/// The answer while an upload goes on. Docker takes the last number of `Range` for the size of the layer.
fn accepted(repository: &RepositoryName, upload: &UploadId, offset: u64) -> Response {
    let mut response = headers::empty(StatusCode::ACCEPTED);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, headers::upload_location(repository, upload));
    headers.insert(header::RANGE, headers::value(format!("0-{}", offset.saturating_sub(1))));
    headers.insert(headers::DOCKER_UPLOAD_UUID, headers::value(upload.to_string()));
    response
}
