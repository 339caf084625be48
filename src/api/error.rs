//! The one place that turns a failure into a status, a code and a text for the client.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{headers, route::RouteError};
use crate::{
    auth::AuthError,
    observability::Cause,
    oci::{ErrorCode, GrammarError, RepositoryName, UploadId},
    registry::RegistryError,
};

/// Seconds after which a client may try again what failed for lack of the volume or of time.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// A failed request.
#[derive(Debug)]
pub(super) enum ApiError {
    Auth(AuthError),
    Denied,
    TooManyRequests,
    Route(RouteError),
    Invalid(ErrorCode, String),
    TooManyTags { most: usize },
    RangeNotSatisfiable { size: u64 },
    Upload { repository: RepositoryName, upload: UploadId, error: RegistryError },
    Registry(RegistryError),
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl ApiError {
    /// A value out of its grammar.
    pub(super) fn grammar(code: ErrorCode) -> impl Fn(GrammarError) -> Self {
        move |error| Self::Invalid(code, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Auth(error) => auth(error),
            Self::Denied => {
                json(StatusCode::FORBIDDEN, ErrorCode::Denied, "you are signed in, but may not do this")
            }
            Self::TooManyRequests => {
                let message = "you have too many requests at once; try again";
                let mut response = json(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message);
                response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
                response
            }
            Self::Route(error) => route(&error),
            Self::Invalid(code, message) => json(StatusCode::BAD_REQUEST, code, &message),
            Self::TooManyTags { most } => {
                let message = format!("one request sets at most {most} tags");
                json(StatusCode::URI_TOO_LONG, ErrorCode::TagInvalid, &message)
            }
            Self::RangeNotSatisfiable { size } => {
                let message = format!("the range lies outside the {size} bytes of the content");
                let mut response = json(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid, &message);
                response
                    .headers_mut()
                    .insert(header::CONTENT_RANGE, headers::value(format!("bytes */{size}")));
                response
            }
            Self::Upload { repository, upload, error } => failed_upload(&repository, &upload, &error),
            Self::Registry(error) => registry(&error),
        }
    }
}

fn auth(error: AuthError) -> Response {
    let unauthorized = |message| {
        let mut response = json(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message);
        // Exactly one challenge, without a comma: clients disagree about everything else.
        let challenge = HeaderValue::from_static("Basic realm=\"Pakhuis\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        response
    };
    match error {
        AuthError::Missing => unauthorized("sign in first: docker login"),
        AuthError::Rejected => unauthorized("the user name or the password is wrong"),
        AuthError::Busy | AuthError::Unavailable => unavailable("sign-in is overloaded; try again"),
    }
}

fn route(error: &RouteError) -> Response {
    match error {
        RouteError::NotFound => {
            json(StatusCode::NOT_FOUND, ErrorCode::Unsupported, "nothing is at this address")
        }
        RouteError::MethodNotAllowed(allowed) => not_allowed(allowed, "the method is not supported here"),
        // A session with an impossible name is one that does not exist.
        RouteError::Invalid(code @ ErrorCode::BlobUploadUnknown, error) => {
            json(StatusCode::NOT_FOUND, *code, error.0)
        }
        RouteError::Invalid(code, error) => json(StatusCode::BAD_REQUEST, *code, error.0),
    }
}

/// 405 names the methods there are (RFC 9110, 15.5.6).
fn not_allowed(allowed: &'static str, message: &str) -> Response {
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// An upload that goes on: the client is told where, so that it can.
fn failed_upload(repository: &RepositoryName, upload: &UploadId, error: &RegistryError) -> Response {
    let mut response = registry(error);
    if let RegistryError::RangeMismatch { offset } = error {
        let headers = response.headers_mut();
        headers.insert(header::LOCATION, headers::upload_location(repository, upload));
        headers.insert(headers::DOCKER_UPLOAD_UUID, headers::value(upload.to_string()));
        // An empty upload has no last byte; a client would take `0-0` for one byte stored.
        if *offset > 0 {
            headers.insert(header::RANGE, headers::value(format!("0-{}", offset - 1)));
        }
    }
    response
}

fn registry(error: &RegistryError) -> Response {
    use ErrorCode as Code;
    use RegistryError as Error;
    let text = error.to_string();
    match error {
        Error::BlobUnknown(_) => json(StatusCode::NOT_FOUND, Code::BlobUnknown, &text),
        Error::UploadUnknown(_) => json(StatusCode::NOT_FOUND, Code::BlobUploadUnknown, &text),
        Error::UploadInUse(_) => json(StatusCode::CONFLICT, Code::BlobUploadInvalid, &text),
        Error::RangeMismatch { .. } => json(StatusCode::RANGE_NOT_SATISFIABLE, Code::RangeInvalid, &text),
        Error::SizeMismatch { .. } => json(StatusCode::BAD_REQUEST, Code::SizeInvalid, &text),
        Error::DigestMismatch { .. } => json(StatusCode::BAD_REQUEST, Code::DigestInvalid, &text),
        Error::NameUnknown(_) => json(StatusCode::NOT_FOUND, Code::NameUnknown, &text),
        Error::ManifestUnknown(_) => json(StatusCode::NOT_FOUND, Code::ManifestUnknown, &text),
        Error::ManifestInvalid(_) => json(StatusCode::BAD_REQUEST, Code::ManifestInvalid, &text),
        Error::ManifestTooLarge { .. } => json(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, &text),
        Error::ManifestBlobUnknown(missing) => {
            let errors = missing.iter().map(|digest| ErrorEntry {
                code: Code::ManifestBlobUnknown.as_str(),
                message: "the manifest names content that is not in the repository",
                detail: Some(Detail { digest: digest.as_str() }),
            });
            entries(StatusCode::BAD_REQUEST, errors.collect())
        }
        Error::DeleteDisabled => not_allowed("GET, HEAD, PUT", &text),
        // Nobody reads this answer if the connection is gone; when the client was only too slow, it can.
        Error::Body(_) => json(
            StatusCode::REQUEST_TIMEOUT,
            Code::BlobUploadInvalid,
            "the request body did not arrive whole",
        ),
        Error::OutOfSpace(_) => logged(error, || {
            json(
                StatusCode::INSUFFICIENT_STORAGE,
                Code::Denied,
                "the registry's volume is full; tell its administrator",
            )
        }),
        Error::ReadOnly(_) => {
            logged(error, || unavailable("the registry's volume cannot be written; tell its administrator"))
        }
        Error::Unavailable(_) | Error::Storage(_) => {
            logged(error, || unavailable("the registry's volume does not answer; try again"))
        }
        Error::Internal => {
            logged(error, || json(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, "internal error"))
        }
    }
}

/// Logs a failure of ours once, with its causes, which the client does not see.
fn logged(error: &RegistryError, response: impl FnOnce() -> Response) -> Response {
    let mut causes = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!("{error}{causes}");
    response()
}

fn unavailable(message: &str) -> Response {
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message);
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    errors: Vec<ErrorEntry<'a>>,
}

#[derive(Serialize)]
struct ErrorEntry<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Detail<'a>>,
}

#[derive(Serialize)]
struct Detail<'a> {
    digest: &'a str,
}

fn json(status: StatusCode, code: ErrorCode, message: &str) -> Response {
    entries(status, vec![ErrorEntry { code: code.as_str(), message, detail: None }])
}

fn entries(status: StatusCode, errors: Vec<ErrorEntry<'_>>) -> Response {
    let cause = errors.first().map(|error| Cause { code: error.code, text: error.message.into() });
    let mut response = (status, axum::Json(ErrorBody { errors })).into_response();
    if let Some(cause) = cause {
        response.extensions_mut().insert(cause);
    }
    response
}
