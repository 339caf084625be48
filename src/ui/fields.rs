//! The fields of a query or of a form, of which a name may stand more than once.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, header};
use percent_encoding::percent_decode_str;

use super::response::Failure;

/// Most fields read; a form of ours has at most one a tag, of [`super::actions::MAX_TAGS`], and some.
const MAX_FIELDS: usize = 2000;

/// Names and values, decoded, in order. Debug is not derived: one may be a password.
#[derive(Default)]
pub(super) struct Fields(Vec<(String, String)>);

/// Of the query, or of the form that was posted. What is no form, or too large, is answered with a page.
impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(Self::parse(request.uri().query().unwrap_or_default()));
        }
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Failure::NoForm.into_response());
        }
        match Bytes::from_request(request, state).await {
            Ok(body) => Ok(Self::parse(&String::from_utf8_lossy(&body))),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Failure::TooLarge.into_response())
            }
            Err(_) => Err(Failure::NoForm.into_response()),
        }
    }
}

impl Fields {
    /// Reads `a=b&c=d`.
    pub(super) fn parse(text: &str) -> Self {
        let decode =
            |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(MAX_FIELDS);
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// The first value of a name; empty when there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The values of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The page of a list that is asked for, from 1.
    pub(super) fn page(&self) -> usize {
        self.get("page").parse().unwrap_or(1).clamp(1, 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_may_repeat() {
        let fields = Fields::parse("tag=a&tag=b%2Bc&q=x+y%3C&empty&page=2");
        assert_eq!(fields.all("tag").collect::<Vec<_>>(), ["a", "b+c"]);
        assert_eq!((fields.get("q"), fields.get("empty"), fields.get("none")), ("x y<", "", ""));
        assert_eq!((fields.page(), Fields::parse("page=-1").page()), (2, 1));
    }
}
