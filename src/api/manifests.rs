//! Manifests: `/v2/<name>/manifests/<reference>`.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts};

use super::{ApiState, error::ApiError, headers, late::Late, pagination::query_values, request_body};
use crate::{
    auth::{Identity, RemoteAddress},
    oci::{Digest, ErrorCode, Reference, RepositoryName, Tag},
    registry::{Action, Deletion, JournalEntry, PutManifestOutcome, Registry, RegistryError},
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
    let by = entry(Action::Push, identity, parts, repository);
    let (told, late_by, late_tags) = (Late::of(registry, parts), by.clone(), tags.clone());
    let late = move |stored: PutManifestOutcome| {
        pushes(&stored, &late_by).for_each(|entry| told.note(entry));
        if stored.failure.is_some() {
            return;
        }
        if stored.moved.is_empty() {
            told.audit(
                "push",
                &JournalEntry { now: Some(stored.digest.clone()), ..late_by.done(Action::Push) },
            );
        }
        if let Some(name) = &late_by.repository {
            told.answer(created(name, &stored, &late_tags));
        }
    };
    let put = registry.put_manifest(repository, reference, &tags, content_type, bytes, late);
    let stored = put.await?;
    pushes(&stored, &by).for_each(|entry| registry.note(entry));
    if let Some(error) = stored.failure {
        return Err(RegistryError::from(error).into());
    }
    Ok(created(repository, &stored, &tags))
}

/// What the journal says of a push.
fn pushes(stored: &PutManifestOutcome, by: &JournalEntry) -> impl Iterator<Item = JournalEntry> {
    stored.moved.iter().map(|moved| JournalEntry {
        tag: Some(moved.tag.clone()),
        was: moved.was.clone(),
        now: Some(stored.digest.clone()),
        ..by.done(Action::Push)
    })
}

/// The answer to a push; `tags` are those that were asked for by `?tag=`.
fn created(repository: &RepositoryName, stored: &PutManifestOutcome, tags: &[Tag]) -> Response {
    let mut response = headers::empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, headers::manifest_location(repository, &stored.digest));
    headers.insert(headers::DOCKER_CONTENT_DIGEST, headers::value(stored.digest.as_str()));
    if let Some(subject) = &stored.subject {
        headers.insert(headers::OCI_SUBJECT, headers::value(subject.as_str()));
    }
    for tag in tags {
        headers.append(headers::OCI_TAG, headers::value(tag.as_str()));
    }
    response
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
    let by = entry(Action::Delete, identity, parts, repository);
    let (told, late_by) = (Late::of(registry, parts), by.clone());
    match reference {
        Reference::Tag(tag) => {
            let late_tag = tag.clone();
            let late = move |was| {
                told.note(untag(&late_by, &late_tag, was));
                told.answer(headers::empty(StatusCode::ACCEPTED));
            };
            let was = registry.delete_tag(repository, tag, late).await?;
            registry.note(untag(&by, tag, was));
        }
        Reference::Digest(digest) => {
            let late = move |done: Deletion| {
                done.entries(&late_by).for_each(|entry| told.note(entry));
                if done.failure.is_none() && !done.deleted.is_empty() {
                    told.answer(headers::empty(StatusCode::ACCEPTED));
                }
            };
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

/// What the journal says of a request.
pub(super) fn entry(
    action: Action,
    identity: &Identity,
    parts: &Parts,
    repository: &RepositoryName,
) -> JournalEntry {
    let user = if let Identity::User(user) = identity { Some(user.as_str()) } else { None };
    let address = parts.extensions.get::<RemoteAddress>().map(|remote| remote.0.to_string());
    JournalEntry { repository: Some(repository.clone()), ..JournalEntry::new(action, user, address) }
}
