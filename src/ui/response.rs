//! Answers: a rendered page, a redirect, a failure as a page; and the headers that all of them carry.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::visitor::Frame;
use crate::registry::RegistryError;

/// Nothing inline, nothing from elsewhere, no frames.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Why there is no page. Says nothing of what lies beneath; the log has that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no such page, repository or image.
    NotFound,
    /// The visitor may not see it.
    Denied,
    /// The visitor may see it but not change it.
    NotYours,
    /// A form named no tag that is there.
    NoTags,
    /// What was to be typed was not.
    NotTyped,
    /// A comparison needs two images.
    TwoImages,
    /// No page takes this method.
    NotAllowed,
    /// A form was sent from another site.
    OtherSite,
    /// A form was sent without the token it was given.
    StaleForm,
    /// What was sent is no form.
    NoForm,
    /// What was sent is larger than any form.
    TooLarge,
    /// The volume does not answer.
    Unavailable,
    /// Our own fault.
    Internal,
}

impl Failure {
    fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Denied | Self::NotYours | Self::OtherSite | Self::StaleForm => StatusCode::FORBIDDEN,
            Self::NoTags | Self::NotTyped | Self::TwoImages => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::NotFound => {
                ("Not found", "There is no such repository, image or page here, or none that you may see.")
            }
            Self::Denied => ("Not permitted", "You are not permitted to see this."),
            Self::NotYours => ("Not permitted", "You are not permitted to change this repository."),
            Self::NoTags => ("No tag chosen", "Choose at least one tag that is there, then try again."),
            Self::NotTyped => ("Not done", "The name was not the one asked for, so nothing was done."),
            Self::TwoImages => {
                ("Two images, please", "A comparison needs two container images with a platform in common.")
            }
            Self::NotAllowed => ("Not possible", "This page cannot be used that way."),
            Self::OtherSite => ("Refused", "This form was sent from another site, so nothing was done."),
            Self::StaleForm => (
                "Refused",
                "This form is no longer valid, so nothing was done. Go back, reload the page and try again.",
            ),
            Self::NoForm => {
                ("Not a form", "What was sent is not a form of these pages, so nothing was done.")
            }
            Self::TooLarge => (
                "Too much at once",
                "The form is larger than this server takes, so nothing was done. Choose less.",
            ),
            Self::Unavailable => ("Not available now", "The storage does not answer. Try again in a minute."),
            Self::Internal => {
                ("Something went wrong", "The server could not make this page. Its log says why.")
            }
        }
    }

    /// The failure as a page in `frame`.
    pub(super) fn page(self, frame: Frame) -> Response {
        let (title, message) = self.texts();
        render(self.status(), &FailurePage { frame, title, message })
    }
}

impl IntoResponse for Failure {
    /// Without a visitor: for refusals that come before anybody is known.
    fn into_response(self) -> Response {
        self.page(Frame::default())
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::NameUnknown(_) | RegistryError::ManifestUnknown(_) => Self::NotFound,
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a page could not be made");
                match error {
                    RegistryError::Unavailable(_)
                    | RegistryError::Storage(_)
                    | RegistryError::ReadOnly(_)
                    | RegistryError::OutOfSpace(_) => Self::Unavailable,
                    _ => Self::Internal,
                }
            }
        }
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    frame: Frame,
    title: &'static str,
    message: &'static str,
}

/// A page; an error while rendering is our own fault.
pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a template could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made").into_response()
        }
    }
}

/// An answer that sends the browser to one of our paths.
pub(super) fn redirect(status: StatusCode, path: &str) -> Response {
    match HeaderValue::try_from(path) {
        Ok(location) => (status, [(header::LOCATION, location)]).into_response(),
        Err(_) => Failure::NotFound.into_response(),
    }
}

/// Sends the browser to a page with GET.
pub(super) fn see_other(path: &str) -> Response {
    redirect(StatusCode::SEE_OTHER, path)
}

/// The headers of every answer. A page depends on who asks, so it is kept by nobody unless its handler says so.
pub(super) async fn add_headers(mut response: Response) -> Response {
    const ALWAYS: [(HeaderName, &str); 5] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: that makes the Origin of a form `null`, and no form could be sent.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-store"));
    response
}
