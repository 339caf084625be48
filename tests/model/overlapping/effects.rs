//! What a request did to which objects, read off its answer.

use std::collections::BTreeSet;

use serde_json::Value;

use super::history::{Effect, Object, Upload};
use crate::{
    alphabet::{BLOBS, MANIFESTS, sha256},
    call::{Call, Start},
    servers::Reply,
};

/// The repository of most requests, and one to mount from.
pub(super) const REPOSITORY: &str = "a";
pub(super) const SOURCE: &str = "a/b";
pub(super) const TAGS: [&str; 2] = ["v1", "v2"];
/// An image, another, and two that name the first as their subject.
pub(super) const USED_MANIFESTS: [usize; 4] = [0, 1, 5, 6];
/// The numbers of those two.
const REFERRERS: [usize; 2] = [2, 3];
/// What they need.
pub(super) const USED_BLOBS: [usize; 3] = [0, 1, 2];

pub(super) fn blob(number: usize) -> String {
    sha256(&BLOBS[USED_BLOBS[number]])
}

pub(super) fn manifest(number: usize) -> String {
    sha256(&MANIFESTS[USED_MANIFESTS[number]].bytes)
}

/// The effects a request had by its answer. None where the answer says nothing: the upload is in use, or a mount
/// is left to the client.
///
/// # Errors
/// When no registry may answer like this.
pub(super) fn effects(call: &Call, reply: &Reply) -> Result<Vec<(Object, Effect)>, String> {
    let strange = || Err(format!("{call} was answered with {} {}", reply.status, reply.text()));
    let effects = match (call, reply.status) {
        (Call::StartUpload { repository, start: Start::Monolithic { digest, .. } }, 201) => {
            vec![(Object::Blob(repository.clone(), digest.clone()), Effect::Put)]
        }
        (Call::StartUpload { repository, start: Start::Mount { digest, from: Some(from) } }, 201) => vec![
            (Object::Blob(from.clone(), digest.clone()), Effect::Read(true)),
            (Object::Blob(repository.clone(), digest.clone()), Effect::Put),
        ],
        (Call::StartUpload { start: Start::Mount { .. }, .. }, 202) => Vec::new(),
        (Call::ReadBlob { repository, digest, .. }, status @ (200 | 404)) => {
            vec![(Object::Blob(repository.clone(), digest.clone()), Effect::Read(status == 200))]
        }
        (Call::DeleteBlob { repository, digest }, status @ (202 | 404)) => {
            vec![(Object::Blob(repository.clone(), digest.clone()), Effect::Delete(status == 202))]
        }
        (Call::PutManifest { repository, reference, tags, body, .. }, 201) => {
            put_manifest(repository, reference, tags, body)
        }
        (Call::PutManifest { repository, .. }, 400) => missing(repository, reply),
        (Call::ReadManifest { repository, reference, .. }, status @ (200 | 404)) => {
            let digest = reply.find("docker-content-digest").map(str::to_owned).filter(|_| status == 200);
            read_manifest(repository, reference, digest)
        }
        (Call::DeleteManifest { repository, reference }, status @ (202 | 404)) => {
            delete_manifest(repository, reference, status == 202)
        }
        (Call::ListTags { repository, .. }, 200) => {
            let listed = strings(&reply.json().unwrap_or_default()["tags"]);
            let read = |tag: &str| {
                let object = Object::ListedTag(repository.clone(), tag.to_owned());
                (object, Effect::Read(listed.contains(tag)))
            };
            TAGS.into_iter().map(read).collect()
        }
        (Call::Referrers { repository, .. }, 200) => {
            let json = reply.json().unwrap_or_default();
            let entries = json["manifests"].as_array().cloned().unwrap_or_default();
            let listed: BTreeSet<String> =
                entries.iter().filter_map(|entry| entry["digest"].as_str()).map(str::to_owned).collect();
            let read = |number| {
                let digest = manifest(number);
                let there = listed.contains(&digest);
                (Object::Referrer(repository.clone(), digest), Effect::Read(there))
            };
            REFERRERS.into_iter().map(read).collect()
        }
        (
            Call::UploadStatus { upload, .. }
            | Call::Patch { upload, .. }
            | Call::PutUpload { upload, .. }
            | Call::CancelUpload { upload, .. },
            _,
        ) => {
            let Some(effects) = to_upload(call, upload, reply) else { return strange() };
            effects
        }
        _ => return strange(),
    };
    Ok(effects)
}

fn put_manifest(repository: &str, reference: &str, tags: &[String], body: &[u8]) -> Vec<(Object, Effect)> {
    let digest = sha256(body);
    let mut effects = vec![(Object::Manifest(repository.to_owned(), digest.clone()), Effect::Put)];
    let json: Value = serde_json::from_slice(body).unwrap();
    if json["subject"].is_object() {
        effects.push((Object::Referrer(repository.to_owned(), digest.clone()), Effect::Put));
    }
    for descriptor in json["layers"].as_array().into_iter().flatten().chain([&json["config"]]) {
        let needed = descriptor["digest"].as_str().unwrap().to_owned();
        effects.push((Object::Blob(repository.to_owned(), needed), Effect::Read(true)));
    }
    let own = (!reference.contains(':')).then_some(reference);
    for tag in own.into_iter().chain(tags.iter().map(String::as_str)) {
        for object in both(repository, tag) {
            effects.push((object, Effect::Point(digest.clone())));
        }
    }
    effects
}

/// A tag, and its place in the list of tags.
fn both(repository: &str, tag: &str) -> [Object; 2] {
    let (repository, tag) = (repository.to_owned(), tag.to_owned());
    [Object::Tag(repository.clone(), tag.clone()), Object::ListedTag(repository, tag)]
}

/// Each digest that an answer says is missing, was.
fn missing(repository: &str, reply: &Reply) -> Vec<(Object, Effect)> {
    let json = reply.json().unwrap_or_default();
    let errors = json["errors"].as_array().cloned().unwrap_or_default();
    let absent = |error: &Value| {
        let digest = error["detail"]["digest"].as_str()?.to_owned();
        Some((Object::Blob(repository.to_owned(), digest), Effect::Read(false)))
    };
    errors.iter().filter_map(absent).collect()
}

fn read_manifest(repository: &str, reference: &str, digest: Option<String>) -> Vec<(Object, Effect)> {
    let manifest = |digest: &str| Object::Manifest(repository.to_owned(), digest.to_owned());
    if reference.contains(':') {
        return vec![(manifest(reference), Effect::Read(digest.is_some()))];
    }
    let mut effects = Vec::new();
    if let Some(digest) = &digest {
        effects.push((manifest(digest), Effect::Read(true)));
    }
    effects.push((Object::Tag(repository.to_owned(), reference.to_owned()), Effect::ReadTag(digest)));
    effects
}

fn delete_manifest(repository: &str, reference: &str, found: bool) -> Vec<(Object, Effect)> {
    if !reference.contains(':') {
        let [tag, listed] = both(repository, reference);
        let mut effects = vec![(tag, Effect::Delete(found))];
        effects.extend(found.then_some((listed, Effect::Remove)));
        return effects;
    }
    let (name, digest) = (repository.to_owned(), reference.to_owned());
    let mut effects = vec![(Object::Manifest(name.clone(), digest.clone()), Effect::Delete(found))];
    if found {
        if REFERRERS.into_iter().any(|number| manifest(number) == digest) {
            effects.push((Object::Referrer(name, digest.clone()), Effect::Remove));
        }
        for object in TAGS.into_iter().flat_map(|tag| both(repository, tag)) {
            effects.push((object, Effect::DeleteIf(digest.clone())));
        }
    }
    effects
}

fn to_upload(call: &Call, upload: &str, reply: &Reply) -> Option<Vec<(Object, Effect)>> {
    let length = || match reply.find("range")? {
        "0--1" => Some(0),
        range => range.strip_prefix("0-")?.parse::<usize>().ok().map(|last| last + 1),
    };
    let start = |range: &Option<String>| range.as_ref()?.split('-').next()?.parse().ok();
    let effect = match (call, reply.status) {
        // Another request writes to it.
        (_, 409) => return Some(Vec::new()),
        (Call::CancelUpload { .. }, status @ (204 | 404)) => Effect::Cancel(status == 204),
        (Call::UploadStatus { .. }, 204) => Effect::Length(Upload::Stored(length()?)),
        (Call::UploadStatus { .. }, 404) => Effect::Length(Upload::Unknown),
        (Call::Patch { range, body, .. }, status) => {
            let answer = match status {
                202 => Upload::Stored(length()?),
                416 => Upload::OutOfOrder(length().unwrap_or(0)),
                404 => Upload::Unknown,
                _ => return None,
            };
            Effect::Append { at: start(range), bytes: body.clone(), answer }
        }
        (Call::PutUpload { digest, body, .. }, status) => {
            let answer = match status {
                201 => Upload::Committed,
                400 => Upload::WrongDigest,
                404 => Upload::Unknown,
                _ => return None,
            };
            Effect::Commit { digest: digest.clone()?, bytes: body.clone(), answer }
        }
        _ => return None,
    };
    let mut effects = vec![(Object::Upload(upload.to_owned()), effect)];
    if let (Call::PutUpload { repository, digest: Some(digest), .. }, 201) = (call, reply.status) {
        effects.push((Object::Blob(repository.clone(), digest.clone()), Effect::Put));
    }
    Some(effects)
}

fn strings(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
