//! Manifests: `/v2/<name>/manifests/<reference>`.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts};

use super::{ApiState, error::ApiError, headers, pagination::query_values, request_body};
use crate::{
    auth::{Identity, RemoteAddress},
    oci::{Digest, ErrorCode, Reference, RepositoryName, Tag},
    registry::{Action, JournalEntry, Registry},
};

/// `GET` and `HEAD`: the manifest as it was pushed, with the type it was pushed with. `Accept` is not looked at:
/// clients leave types out that they understand.
pub(super) async fn get(
    registry: &Registry,
    repository: &RepositoryName,
    reference: &Reference,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let manifest = registry.manifest(repository, reference).await?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(headers::DOCKER_CONTENT_DIGEST, headers::value(manifest.digest.as_str()));
    headers.insert(header::ETAG, headers::etag(&manifest.digest));
    // A tag may move at any time; what a digest names cannot.
    let cache = match reference {
        Reference::Tag(_) => "private, no-cache",
        Reference::Digest(_) => "private, max-age=31536000, immutable",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(manifest.media_type));
    if headers::is_unchanged(request, &manifest.digest) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(header::CONTENT_LENGTH, manifest.bytes.len().into());
        *response.body_mut() = Body::from(manifest.bytes);
    }
    Ok(response)
}

/// `PUT`: stores a manifest under a tag, or under its digest with any number of `?tag=`.
pub(super) async fn put(
    state: &ApiState,
    identity: &Identity,
    repository: &RepositoryName,
    reference: &Reference,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let registry = &state.registry;
    let tags = requested_tags(&parts.uri, state.limits.tag_parameters)?;
    let bytes = request_body::whole(&parts.headers, body, registry.config().manifest_size_limit).await?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let stored = registry.put_manifest(repository, reference, &tags, content_type, bytes).await?;
    for moved in &stored.moved {
        registry.note(JournalEntry {
            was: moved.was.clone(),
            now: Some(stored.digest.clone()),
            ..entry(Action::Push, identity, parts, repository, Some(&moved.tag))
        });
    }
    let mut response = headers::empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, headers::manifest_location(repository, &stored.digest));
    headers.insert(headers::DOCKER_CONTENT_DIGEST, headers::value(stored.digest.as_str()));
    if let Some(subject) = &stored.subject {
        headers.insert(headers::OCI_SUBJECT, headers::value(subject.as_str()));
    }
    for tag in &tags {
        headers.append(headers::OCI_TAG, headers::value(tag.as_str()));
    }
    Ok(response)
}

/// The tags named in the query, each once, in order. Too many answer 414 (specification, Pushing Manifests).
fn requested_tags(uri: &Uri, most: usize) -> Result<Vec<Tag>, ApiError> {
    let mut tags: Vec<Tag> = Vec::new();
    for value in query_values(uri, "tag") {
        let tag = value.parse().map_err(ApiError::grammar(ErrorCode::TagInvalid))?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > most {
            return Err(ApiError::TooManyTags { most });
        }
    }
    Ok(tags)
}

/// `DELETE`: by tag, the tag alone; by digest, the manifest with all its tags.
pub(super) async fn delete(
    registry: &Registry,
    identity: &Identity,
    repository: &RepositoryName,
    reference: &Reference,
    parts: &Parts,
) -> Result<Response, ApiError> {
    let note = |action, tag: Option<&Tag>, was: Option<Digest>| {
        registry.note(JournalEntry { was, ..entry(action, identity, parts, repository, tag) });
    };
    match reference {
        Reference::Tag(tag) => {
            let was = registry.delete_tag(repository, tag).await?;
            note(Action::Untag, Some(tag), was);
        }
        Reference::Digest(digest) => {
            let untagged = registry.delete_manifest(repository, digest).await?;
            note(Action::Delete, None, Some(digest.clone()));
            for tag in &untagged {
                note(Action::Untag, Some(tag), Some(digest.clone()));
            }
        }
    }
    Ok(headers::empty(StatusCode::ACCEPTED))
}

/// What the journal says of a request.
fn entry(
    action: Action,
    identity: &Identity,
    parts: &Parts,
    repository: &RepositoryName,
    tag: Option<&Tag>,
) -> JournalEntry {
    let user = if let Identity::User(user) = identity { Some(user.as_str()) } else { None };
    let address = parts.extensions.get::<RemoteAddress>().map(|remote| remote.0.to_string());
    JournalEntry {
        repository: Some(repository.clone()),
        tag: tag.cloned(),
        ..JournalEntry::new(action, user, address)
    }
}
