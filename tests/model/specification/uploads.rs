//! Uploads (distribution specification, Pushing Blobs).

use std::mem;

use super::{Specification, grammar};
use crate::{
    alphabet::{BAD_DIGESTS, BAD_REPOSITORIES, sha256, sha512},
    expected::{Answer, Expected},
};

impl Specification {
    pub(super) fn start_upload(&mut self, repository: &str, algorithm: Option<&str>) -> Expected {
        let mut problems = grammar(repository, None);
        if !matches!(algorithm, None | Some("sha256" | "sha512")) {
            problems.push(Answer::error(400, "DIGEST_INVALID"));
        }
        if !problems.is_empty() {
            return Expected::any(problems);
        }
        self.starting = Some(repository.to_owned());
        let answer = Answer::status(202).header("range", "0-0").header("content-length", "0");
        answer.new_upload(repository).into()
    }

    /// A mount that cannot be done, for whatever reason, starts an upload instead.
    pub(super) fn mount(&mut self, repository: &str, digest: &str, from: Option<&str>) -> Expected {
        let there = match from {
            Some(from) => !BAD_REPOSITORIES.contains(&from) && self.has_blob(from, digest),
            None => self.stored.contains_key(digest),
        };
        if !grammar(repository, None).is_empty() || !there {
            return self.start_upload(repository, None);
        }
        self.repository(repository).blobs.insert(digest.to_owned());
        created(repository, digest).into()
    }

    pub(super) fn upload_whole(&mut self, repository: &str, digest: &str, body: &[u8]) -> Expected {
        let problems = grammar(repository, Some(digest));
        if !problems.is_empty() {
            return Expected::any(problems);
        }
        self.commit(repository, digest, body.to_vec())
    }

    pub(super) fn upload_status(&mut self, repository: &str, upload: &str) -> Expected {
        match self.find_upload(repository, upload) {
            Err(problems) => Expected::any(problems),
            Ok(content) => {
                // An empty upload has no last byte, and `0-0` would be one.
                let range = if content.is_empty() { "0--1".to_owned() } else { stored_range(content) };
                going_on(204, repository, upload).header("range", range).into()
            }
        }
    }

    pub(super) fn patch(
        &mut self,
        repository: &str,
        upload: &str,
        range: Option<&str>,
        body: &[u8],
    ) -> Expected {
        match self.append(repository, upload, range, body) {
            Err(problems) => Expected::any(problems),
            Ok(content) => {
                let range = stored_range(content);
                let answer = going_on(202, repository, upload).header("range", range);
                answer.header("content-length", "0").into()
            }
        }
    }

    /// A wrong digest ends the upload: what was sent is not what the client meant.
    pub(super) fn put_upload(
        &mut self,
        repository: &str,
        upload: &str,
        digest: Option<&str>,
        range: Option<&str>,
        body: &[u8],
    ) -> Expected {
        let digest = digest.filter(|digest| !BAD_DIGESTS.contains(digest));
        let Some(digest) = digest else {
            let mut problems = vec![Answer::error(400, "DIGEST_INVALID")];
            problems.extend(self.clone().append(repository, upload, range, body).err().unwrap_or_default());
            return Expected::any(problems);
        };
        match self.append(repository, upload, range, body) {
            Err(problems) => Expected::any(problems),
            Ok(content) => {
                let content = mem::take(content);
                self.uploads.remove(&(repository.to_owned(), upload.to_owned()));
                self.commit(repository, digest, content)
            }
        }
    }

    pub(super) fn cancel_upload(&mut self, repository: &str, upload: &str) -> Expected {
        match self.find_upload(repository, upload) {
            Err(problems) => Expected::any(problems),
            Ok(_) => {
                self.uploads.remove(&(repository.to_owned(), upload.to_owned()));
                Answer::status(204).into()
            }
        }
    }

    fn find_upload(&mut self, repository: &str, upload: &str) -> Result<&mut Vec<u8>, Vec<Answer>> {
        let mut problems = grammar(repository, None);
        let found = self.uploads.get_mut(&(repository.to_owned(), upload.to_owned()));
        if found.is_none() {
            problems.push(Answer::error(404, "BLOB_UPLOAD_UNKNOWN"));
        }
        found.ok_or(problems)
    }

    /// Appends a chunk. With a `Content-Range` it must begin where the upload ends and be as long as it says.
    fn append(
        &mut self,
        repository: &str,
        upload: &str,
        range: Option<&str>,
        body: &[u8],
    ) -> Result<&mut Vec<u8>, Vec<Answer>> {
        let mut problems = Vec::new();
        let range = range.map(content_range);
        match range {
            Some(None) => problems.push(Answer::error(400, "RANGE_INVALID")),
            Some(Some((first, last))) if last - first + 1 != body.len() => {
                problems.push(Answer::error(400, "SIZE_INVALID"));
            }
            _ => {}
        }
        let content = match self.find_upload(repository, upload) {
            Ok(content) => content,
            Err(unknown) => {
                problems.extend(unknown);
                return Err(problems);
            }
        };
        if let Some(Some((first, _))) = range
            && first != content.len()
        {
            let stored = (!content.is_empty()).then(|| stored_range(content));
            let answer = Answer::error(416, "RANGE_INVALID").optional_header("range", stored);
            problems.push(answer.header("location", location(repository, upload)));
        }
        if problems.is_empty() {
            content.extend(body);
            Ok(content)
        } else {
            Err(problems)
        }
    }

    fn commit(&mut self, repository: &str, digest: &str, content: Vec<u8>) -> Expected {
        let computed = if digest.starts_with("sha512:") { sha512(&content) } else { sha256(&content) };
        if computed != digest {
            return Answer::error(400, "DIGEST_INVALID").into();
        }
        self.stored.insert(computed, content);
        self.repository(repository).blobs.insert(digest.to_owned());
        created(repository, digest).into()
    }
}

fn created(repository: &str, digest: &str) -> Answer {
    Answer::status(201)
        .header("location", format!("/v2/{repository}/blobs/{digest}"))
        .header("docker-content-digest", digest)
        .header("content-length", "0")
}

fn going_on(status: u16, repository: &str, upload: &str) -> Answer {
    Answer::status(status)
        .header("location", location(repository, upload))
        .header("docker-upload-uuid", upload)
}

fn location(repository: &str, upload: &str) -> String {
    format!("/v2/{repository}/blobs/uploads/{upload}")
}

/// `0-<last byte>`; docker takes the number for the size of the layer, and cannot read `0--1`.
fn stored_range(content: &[u8]) -> String {
    format!("0-{}", content.len().saturating_sub(1))
}

/// `<first>-<last>`, as the specification has it, or RFC 9110's `bytes <first>-<last>/*`.
fn content_range(text: &str) -> Option<(usize, usize)> {
    let range = text.strip_prefix("bytes ").unwrap_or(text).split('/').next()?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}
