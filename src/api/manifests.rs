//! Manifests: `/v2/<name>/manifests/<reference>`.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts};

use super::{ApiState, error::ApiError, headers, pagination::query_values, request_body};
use crate::{
    auth::{Identity, RemoteAddress},
    observability::audit,
    oci::{Digest, ErrorCode, Reference, RepositoryName, Tag},
    registry::{Action, Deletion, JournalEntry, Registry, RegistryError},
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
    let by = entry(Action::Delete, identity, parts, repository, None);
    let (told, late_by) = (registry.clone(), by.clone());
    match reference {
        Reference::Tag(tag) => {
            let late_tag = tag.clone();
            let late = move |was| note_late(&told, untag(&late_by, &late_tag, was));
            let was = registry.delete_tag(repository, tag, late).await?;
            registry.note(untag(&by, tag, was));
        }
        Reference::Digest(digest) => {
            let late = move |done: Deletion| done.entries(&late_by).for_each(|entry| note_late(&told, entry));
            let done = registry.delete_manifest(repository, digest, late).await?;
            done.entries(&by).for_each(|entry| registry.note(entry));
            if let Some(error) = done.failure {
                return Err(RegistryError::from(error).into());
            }
        }
    }
    Ok(headers::empty(StatusCode::ACCEPTED))
}

fn untag(by: &JournalEntry, tag: &Tag, was: Option<Digest>) -> JournalEntry {
    JournalEntry { tag: Some(tag.clone()), was, ..by.done(Action::Untag) }
}

/// Notes what was done after its request had been told that the volume does not answer.
fn note_late(registry: &Registry, entry: JournalEntry) {
    tracing::info!(
        target: audit::TARGET,
        action = entry.action.as_str(),
        outcome = "done",
        late = true,
        user = entry.user,
        remote = entry.address,
        repository = entry.repository.as_ref().map(|name| name.as_str()),
        reference = entry.tag.as_ref().map(|tag| tag.as_str()),
        digest = entry.was.as_ref().map(|digest| digest.as_str()),
    );
    registry.note(entry);
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
