//! Headers that several answers share.

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::oci::{Digest, RepositoryName, UploadId};

/// The digest of the content; clients check it.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The upload's identifier.
pub(super) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// The subject that was recorded; its absence makes clients fall back to a tag.
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// A tag that was set besides the one in the path.
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// The filters that were applied to the referrers.
pub(super) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// What every answer carries. Content comes from whoever may push, on the origin of the pages: a browser must
/// neither guess its type nor run it.
pub(super) fn complete(response: &mut Response, head: bool, warning: Option<&str>) {
    let headers = response.headers_mut();
    if let Some(text) = warning {
        // The one form that clients parse: code 299, no agent, no date.
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        headers.insert(header::WARNING, value(format!("299 - \"{escaped}\"")));
    }
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    if head {
        let length = http_body::Body::size_hint(response.body()).exact();
        if let Some(length) = length
            && !response.headers().contains_key(header::CONTENT_LENGTH)
        {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        *response.body_mut() = Body::empty();
    }
}

/// An answer without a body that says so.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    }
    response
}

/// A header value of text that is ASCII by its grammar.
pub(super) fn value(text: impl AsRef<str>) -> HeaderValue {
    HeaderValue::from_str(text.as_ref()).unwrap_or(HeaderValue::from_static(""))
}

/// The quoted digest (RFC 9110, 8.8.3).
pub(super) fn etag(digest: &Digest) -> HeaderValue {
    value(format!("\"{digest}\""))
}

/// Whether `If-None-Match` names the digest. Some clients send it without quotes.
pub(super) fn is_unchanged(headers: &http::HeaderMap, digest: &Digest) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
            .any(|tag| tag == "*" || tag == digest.as_str())
    })
}

/// Where a blob is. Addresses are paths: behind a proxy we cannot know the scheme and host a client used, and a
/// client sends its credentials only to those.
pub(super) fn blob_location(repository: &RepositoryName, digest: &Digest) -> HeaderValue {
    value(format!("/v2/{repository}/blobs/{digest}"))
}

/// Where a manifest is.
pub(super) fn manifest_location(repository: &RepositoryName, digest: &Digest) -> HeaderValue {
    value(format!("/v2/{repository}/manifests/{digest}"))
}

/// Where an upload goes on: the same address for every request of it.
pub(super) fn upload_location(repository: &RepositoryName, upload: &UploadId) -> HeaderValue {
    value(format!("/v2/{repository}/blobs/uploads/{upload}"))
}
