//! An answer, read whole.

use axum::body::Body;
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use serde_json::Value;

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(super) async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let reply = Self { status: parts.status.as_u16(), headers: parts.headers, body };
        // What every answer must carry, so that no test needs to ask for it.
        assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("content-security-policy"), "default-src 'none'; sandbox");
        assert!(reply.find("content-encoding").is_none() && reply.find("transfer-encoding").is_none());
        if let Some(location) = reply.find("location") {
            assert!(location.starts_with("/v2/") && location.is_ascii() && !location.contains('%'));
        }
        reply
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {} {:?}", self.status, self.headers))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The path and query of the next page.
    #[track_caller]
    pub(crate) fn next_page(&self) -> Option<String> {
        let link = self.find("link")?;
        let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        let path = path.unwrap_or_else(|| panic!("not a link to a next page: {link}"));
        assert!(path.starts_with("/v2/"), "{path}");
        Some(path.to_owned())
    }
}

/// Asserts that an answer is an error clients can parse, of this status and code.
#[track_caller]
pub(crate) fn assert_oci_error(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    let body = reply.json();
    let errors = body["errors"].as_array().expect("a list of errors");
    assert!(!errors.is_empty());
    for error in errors {
        assert_eq!(error["code"], code, "{body}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }
}
