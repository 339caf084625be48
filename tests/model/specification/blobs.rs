//! Blobs and their ranges (distribution specification, Pulling Blobs; RFC 9110, 14).

use super::{Specification, grammar};
use crate::expected::{Answer, Expected};

impl Specification {
    pub(super) fn read_blob(
        &self,
        repository: &str,
        digest: &str,
        head: bool,
        range: Option<&str>,
        etag: Option<&str>,
    ) -> Expected {
        let expected = self.blob(repository, digest, range.filter(|_| !head), etag);
        if head { expected.without_body() } else { expected }
    }

    fn blob(&self, repository: &str, digest: &str, range: Option<&str>, etag: Option<&str>) -> Expected {
        let problems = grammar(repository, Some(digest));
        if !problems.is_empty() {
            return Expected::any(problems);
        }
        if !self.has_blob(repository, digest) {
            return Answer::error(404, "BLOB_UNKNOWN").into();
        }
        let content = self.stored[digest].as_slice();
        let describe = |answer: Answer| {
            answer
                .header("docker-content-digest", digest)
                .header("accept-ranges", "bytes")
                .header("etag", format!("\"{digest}\""))
        };
        if etag == Some(format!("\"{digest}\"").as_str()) {
            return describe(Answer::status(304)).into();
        }
        let octets =
            |status| describe(Answer::status(status)).header("content-type", "application/octet-stream");
        let whole = || octets(200).bytes(content.to_vec());
        let size = content.len();
        let unsatisfiable =
            || Answer::error(416, "RANGE_INVALID").header("content-range", format!("bytes */{size}"));
        match range.map(|range| Asked::parse(range, size)) {
            None | Some(Asked::OtherUnit) => whole().into(),
            // RFC 9110, 14.2: such a header may be ignored or rejected.
            Some(Asked::Malformed) => Expected::any(vec![unsatisfiable(), whole()]),
            Some(Asked::Backwards) => unsatisfiable().into(),
            Some(Asked::Ranges(ranges)) => match ranges.as_slice() {
                [] => unsatisfiable().into(),
                [(first, last)] => octets(206)
                    .header("content-range", format!("bytes {first}-{last}/{size}"))
                    .bytes(content[*first..=*last].to_vec())
                    .into(),
                ranges => {
                    let part = |(first, last): &(usize, usize)| {
                        (format!("bytes {first}-{last}/{size}"), content[*first..=*last].to_vec())
                    };
                    let parts = describe(Answer::status(206)).parts(ranges.iter().map(part).collect());
                    // RFC 9110, 14.2: more than a few that overlap may be ignored.
                    let asked: usize = ranges.iter().map(|(first, last)| last - first + 1).sum();
                    Expected::any(if asked > size { vec![parts, whole()] } else { vec![parts] })
                }
            },
        }
    }

    pub(super) fn delete_blob(&mut self, repository: &str, digest: &str) -> Expected {
        let problems = grammar(repository, Some(digest));
        if !problems.is_empty() {
            return Expected::any(problems);
        }
        if !self.has_blob(repository, digest) {
            return Answer::error(404, "BLOB_UNKNOWN").into();
        }
        self.repository(repository).blobs.remove(digest);
        Answer::status(202).header("content-length", "0").into()
    }
}

/// What a `Range` header asks for.
enum Asked {
    /// First and last position of each part that has any bytes, in order.
    Ranges(Vec<(usize, usize)>),
    OtherUnit,
    Malformed,
    /// An end before its start: the conformance program asks for 416.
    Backwards,
}

impl Asked {
    fn parse(header: &str, size: usize) -> Self {
        let Some(list) = header.strip_prefix("bytes=") else {
            return if header.contains('=') { Self::OtherUnit } else { Self::Malformed };
        };
        let mut ranges = Vec::new();
        for part in list.split(',') {
            let Some((first, last)) = part.trim().split_once('-') else { return Self::Malformed };
            let (first, last): (Option<usize>, Option<usize>) = (first.parse().ok(), last.parse().ok());
            match (first, last, part.trim().ends_with('-'), part.trim().starts_with('-')) {
                (Some(first), Some(last), _, _) if last < first => return Self::Backwards,
                (Some(first), Some(last), _, _) if first < size => ranges.push((first, last.min(size - 1))),
                (Some(first), None, true, _) if first < size => ranges.push((first, size - 1)),
                (None, Some(count), _, true) if count > 0 && size > 0 => {
                    ranges.push((size.saturating_sub(count), size - 1));
                }
                (None, None, _, _) => return Self::Malformed,
                _ => {}
            }
        }
        Self::Ranges(ranges)
    }
}
