//! What the specification expects as an answer, and the comparison with the one that came.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::servers::Reply;

/// The answers that are right: one, or several where the specification leaves the choice, for example when two
/// parts of a request are wrong. Alternatives are errors and change nothing.
#[derive(Clone, Debug)]
pub(crate) struct Expected(Vec<Answer>);

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(&'static str, Header)>,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Header {
    Is(String),
    All(Vec<String>),
    Absent,
    /// The address of an upload that this answer begins: made of the identifier in the same answer.
    UploadOf(String),
}

#[derive(Clone, Debug)]
enum Body {
    Empty,
    Bytes(Vec<u8>),
    Json(Value),
    /// An index of descriptors in any order.
    Referrers(Vec<Value>),
    /// Ranges of a content, each with its `Content-Range`, in order.
    Parts(Vec<(String, Vec<u8>)>),
    /// Errors of one code that name these digests in their details.
    Errors(&'static str, BTreeSet<String>),
}

impl From<Answer> for Expected {
    fn from(answer: Answer) -> Self {
        Self(vec![answer])
    }
}

impl Expected {
    /// Any of several errors; the first is the one this would be alone.
    pub(crate) fn any(answers: Vec<Answer>) -> Self {
        assert!(!answers.is_empty());
        Self(answers)
    }

    /// The same without a body, for `HEAD`.
    pub(crate) fn without_body(mut self) -> Self {
        for answer in &mut self.0 {
            answer.body = Body::Empty;
        }
        self
    }

    /// What is wrong with an answer; `Err` says it of the first alternative.
    pub(crate) fn compare(&self, reply: &Reply) -> Result<(), String> {
        let mut first = None;
        for answer in &self.0 {
            match answer.compare(reply) {
                Ok(()) => return Ok(()),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_default())
    }
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Empty }
    }

    /// An error that clients can parse.
    pub(crate) fn error(status: u16, code: &'static str) -> Self {
        Self::error_about(status, code, BTreeSet::new())
    }

    pub(crate) fn error_about(status: u16, code: &'static str, digests: BTreeSet<String>) -> Self {
        let mut answer = Self::status(status).header("content-type", "application/json");
        answer.body = Body::Errors(code, digests);
        answer
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, Header::Is(value.into())));
        self
    }

    pub(crate) fn header_all(mut self, name: &'static str, values: Vec<String>) -> Self {
        self.headers.push((name, Header::All(values)));
        self
    }

    pub(crate) fn no_header(mut self, name: &'static str) -> Self {
        self.headers.push((name, Header::Absent));
        self
    }

    pub(crate) fn optional_header(self, name: &'static str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self.no_header(name),
        }
    }

    pub(crate) fn new_upload(mut self, repository: &str) -> Self {
        self.headers.push(("location", Header::UploadOf(repository.to_owned())));
        self
    }

    pub(crate) fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.headers.push(("content-length", Header::Is(bytes.len().to_string())));
        self.body = Body::Bytes(bytes);
        self
    }

    pub(crate) fn json(mut self, value: Value) -> Self {
        self.body = Body::Json(value);
        self.header("content-type", "application/json")
    }

    pub(crate) fn referrers(mut self, descriptors: Vec<Value>) -> Self {
        self.body = Body::Referrers(descriptors);
        self
    }

    pub(crate) fn parts(mut self, parts: Vec<(String, Vec<u8>)>) -> Self {
        self.body = Body::Parts(parts);
        self
    }

    fn compare(&self, reply: &Reply) -> Result<(), String> {
        if reply.status != self.status {
            return Err(format!("expected status {}, got {} {}", self.status, reply.status, reply.text()));
        }
        for (name, header) in &self.headers {
            let found = reply.all(name);
            let right = match header {
                Header::Is(value) => found == [value.as_str()],
                Header::All(values) => found == *values,
                Header::Absent => found.is_empty(),
                Header::UploadOf(repository) => {
                    let id = reply.find("docker-upload-uuid").unwrap_or("none");
                    found == [format!("/v2/{repository}/blobs/uploads/{id}")]
                }
            };
            if !right {
                return Err(format!("expected {name} {header:?}, got {found:?}"));
            }
        }
        self.compare_body(reply)
    }

    fn compare_body(&self, reply: &Reply) -> Result<(), String> {
        let wrong = |expected: String| Err(format!("expected {expected}, got {}", reply.text()));
        match &self.body {
            Body::Empty if reply.body.is_empty() => Ok(()),
            Body::Empty => wrong("no body".to_owned()),
            Body::Bytes(bytes) if reply.body == *bytes => Ok(()),
            Body::Bytes(bytes) => wrong(format!("{} bytes of content", bytes.len())),
            Body::Json(value) if reply.json().as_ref() == Some(value) => Ok(()),
            Body::Json(value) => wrong(value.to_string()),
            Body::Referrers(descriptors) => compare_referrers(descriptors, reply).or_else(wrong),
            Body::Parts(parts) => compare_parts(parts, reply).or_else(wrong),
            Body::Errors(code, digests) => compare_errors(code, digests, reply).or_else(wrong),
        }
    }
}

fn compare_errors(code: &str, digests: &BTreeSet<String>, reply: &Reply) -> Result<(), String> {
    let json = reply.json().unwrap_or_default();
    let errors = json["errors"].as_array().cloned().unwrap_or_default();
    let right = !errors.is_empty()
        && errors.iter().all(|error| {
            error["code"] == code && error["message"].as_str().is_some_and(|text| !text.is_empty())
        });
    let named: BTreeSet<String> =
        errors.iter().filter_map(|error| error["detail"]["digest"].as_str()).map(str::to_owned).collect();
    if right && named == *digests { Ok(()) } else { Err(format!("{code} about {digests:?}")) }
}

fn compare_referrers(descriptors: &[Value], reply: &Reply) -> Result<(), String> {
    let mut json = reply.json().unwrap_or_default();
    let mut found = json["manifests"].take().as_array().cloned().unwrap_or_default();
    let by_digest = |value: &Value| value["digest"].to_string();
    found.sort_by_key(by_digest);
    let mut wanted = descriptors.to_vec();
    wanted.sort_by_key(by_digest);
    let is_index = json["schemaVersion"] == 2 && json["mediaType"] == crate::alphabet::OCI_INDEX;
    if is_index && found == wanted { Ok(()) } else { Err(format!("an index of {wanted:?}")) }
}

fn compare_parts(parts: &[(String, Vec<u8>)], reply: &Reply) -> Result<(), String> {
    let content_type = reply.find("content-type").unwrap_or_default();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap_or("none");
    let mut wanted = Vec::new();
    for (range, bytes) in parts {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n"
        );
        wanted.extend(head.into_bytes());
        wanted.extend(bytes);
    }
    wanted.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    let length = reply.find("content-length") == Some(wanted.len().to_string().as_str());
    if length && reply.body == wanted { Ok(()) } else { Err(format!("{} parts", parts.len())) }
}
