//! A request, in words: what is sent, and how it prints in a list of requests that shows a difference.

use std::fmt;

use axum::body::Body;
use http::{Request, request::Builder};

use crate::alphabet::{BLOBS, MANIFESTS};

/// One request of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    StartUpload {
        repository: String,
        start: Start,
    },
    UploadStatus {
        repository: String,
        upload: String,
    },
    Patch {
        repository: String,
        upload: String,
        range: Option<String>,
        body: Vec<u8>,
    },
    PutUpload {
        repository: String,
        upload: String,
        digest: Option<String>,
        range: Option<String>,
        body: Vec<u8>,
    },
    CancelUpload {
        repository: String,
        upload: String,
    },
    ReadBlob {
        repository: String,
        digest: String,
        head: bool,
        range: Option<String>,
        etag: Option<String>,
    },
    DeleteBlob {
        repository: String,
        digest: String,
    },
    PutManifest {
        repository: String,
        reference: String,
        tags: Vec<String>,
        media_type: Option<String>,
        body: Vec<u8>,
    },
    ReadManifest {
        repository: String,
        reference: String,
        head: bool,
        etag: Option<String>,
    },
    DeleteManifest {
        repository: String,
        reference: String,
    },
    ListTags {
        repository: String,
        n: Option<String>,
        last: Option<String>,
    },
    Catalogue {
        n: Option<String>,
        last: Option<String>,
    },
    Referrers {
        repository: String,
        digest: String,
        artifact_type: Option<String>,
    },
    /// A path or a method that is not of the API.
    Other {
        method: &'static str,
        path: String,
    },
}

/// The ways to start an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Plain,
    Algorithm(String),
    Mount { digest: String, from: Option<String> },
    Monolithic { digest: String, body: Vec<u8> },
}

impl Call {
    /// The kind of request, for counting.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::StartUpload { start: Start::Plain | Start::Algorithm(_), .. } => "POST upload",
            Self::StartUpload { start: Start::Mount { .. }, .. } => "POST mount",
            Self::StartUpload { start: Start::Monolithic { .. }, .. } => "POST monolithic",
            Self::UploadStatus { .. } => "GET upload",
            Self::Patch { .. } => "PATCH upload",
            Self::PutUpload { .. } => "PUT upload",
            Self::CancelUpload { .. } => "DELETE upload",
            Self::ReadBlob { head: true, .. } => "HEAD blob",
            Self::ReadBlob { .. } => "GET blob",
            Self::DeleteBlob { .. } => "DELETE blob",
            Self::PutManifest { .. } => "PUT manifest",
            Self::ReadManifest { head: true, .. } => "HEAD manifest",
            Self::ReadManifest { .. } => "GET manifest",
            Self::DeleteManifest { .. } => "DELETE manifest",
            Self::ListTags { .. } => "GET tags",
            Self::Catalogue { .. } => "GET catalogue",
            Self::Referrers { .. } => "GET referrers",
            Self::Other { .. } => "other",
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Other { method, .. } => method,
            call => call.kind().split(' ').next().unwrap_or_default(),
        }
    }

    fn path(&self) -> String {
        match self {
            Self::StartUpload { repository, start } => {
                let query = match start {
                    Start::Plain => String::new(),
                    Start::Algorithm(name) => format!("?digest-algorithm={name}"),
                    Start::Mount { digest, from: None } => format!("?mount={digest}"),
                    Start::Mount { digest, from: Some(from) } => format!("?mount={digest}&from={from}"),
                    Start::Monolithic { digest, .. } => format!("?digest={digest}"),
                };
                format!("/v2/{repository}/blobs/uploads/{query}")
            }
            Self::UploadStatus { repository, upload }
            | Self::Patch { repository, upload, .. }
            | Self::CancelUpload { repository, upload } => format!("/v2/{repository}/blobs/uploads/{upload}"),
            Self::PutUpload { repository, upload, digest, .. } => {
                let query = digest.as_ref().map(|digest| format!("?digest={digest}")).unwrap_or_default();
                format!("/v2/{repository}/blobs/uploads/{upload}{query}")
            }
            Self::ReadBlob { repository, digest, .. } | Self::DeleteBlob { repository, digest } => {
                format!("/v2/{repository}/blobs/{digest}")
            }
            Self::PutManifest { repository, reference, tags, .. } => {
                let tags: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
                let mark = if tags.is_empty() { "" } else { "?" };
                format!("/v2/{repository}/manifests/{reference}{mark}{}", tags.join("&"))
            }
            Self::ReadManifest { repository, reference, .. }
            | Self::DeleteManifest { repository, reference } => {
                format!("/v2/{repository}/manifests/{reference}")
            }
            Self::ListTags { repository, n, last } => format!("/v2/{repository}/tags/list{}", page(n, last)),
            Self::Catalogue { n, last } => format!("/v2/_catalog{}", page(n, last)),
            Self::Referrers { repository, digest, artifact_type } => {
                let query =
                    artifact_type.as_ref().map(|name| format!("?artifactType={name}")).unwrap_or_default();
                format!("/v2/{repository}/referrers/{digest}{query}")
            }
            Self::Other { path, .. } => path.clone(),
        }
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let one = |name, value: &Option<String>| value.clone().map(|value| (name, value));
        match self {
            Self::Patch { range, .. } | Self::PutUpload { range, .. } => {
                one("content-range", range).into_iter().collect()
            }
            Self::ReadBlob { range, etag, .. } => {
                [one("range", range), one("if-none-match", etag)].into_iter().flatten().collect()
            }
            Self::PutManifest { media_type, .. } => one("content-type", media_type).into_iter().collect(),
            Self::ReadManifest { etag, .. } => one("if-none-match", etag).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn body(&self) -> &[u8] {
        match self {
            Self::Patch { body, .. }
            | Self::PutUpload { body, .. }
            | Self::PutManifest { body, .. }
            | Self::StartUpload { start: Start::Monolithic { body, .. }, .. } => body,
            _ => &[],
        }
    }

    /// The request as a client sends it: with the length of its body, where it has one.
    pub(crate) fn request(&self) -> Request<Body> {
        let mut request: Builder = Request::builder().method(self.method()).uri(self.path());
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let body = self.body();
        if !body.is_empty() {
            request = request.header("content-length", body.len());
        }
        request.body(Body::from(body.to_vec())).unwrap()
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), self.path())?;
        for (name, value) in self.headers() {
            write!(f, " {name}: {value}")?;
        }
        let body = self.body();
        if let Some(manifest) = MANIFESTS.iter().find(|manifest| manifest.bytes == body) {
            write!(f, " [manifest {}, {} bytes]", manifest.name, body.len())
        } else if let Some(number) = BLOBS.iter().position(|blob| blob == body && !body.is_empty()) {
            write!(f, " [blob {number}, {} bytes]", body.len())
        } else if body.is_empty() {
            Ok(())
        } else {
            write!(f, " [{} bytes]", body.len())
        }
    }
}

fn page(n: &Option<String>, last: &Option<String>) -> String {
    let parts: Vec<String> = [("n", n), ("last", last)]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")))
        .collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}
