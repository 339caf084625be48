//! `n` and `last` of the listings, and the `Link` to the next page.

use http::{HeaderValue, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{error::ApiError, headers};
use crate::oci::ErrorCode;

/// Everything but what RFC 3986 leaves unreserved.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The values of a query parameter, decoded, in order.
pub(super) fn query_values(uri: &Uri, name: &str) -> Vec<String> {
    let query = uri.query().unwrap_or_default();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
        .collect()
}

/// The first value of a query parameter, decoded.
pub(super) fn query_value(uri: &Uri, name: &str) -> Option<String> {
    query_values(uri, name).into_iter().next()
}

/// Where a page starts and how long it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageRequest {
    pub(super) limit: usize,
    pub(super) last: Option<String>,
}

impl PageRequest {
    /// Reads `n` and `last`; a page is `most` long when `n` is missing or larger: clients ask for thousands, and
    /// follow the link.
    pub(super) fn from_query(uri: &Uri, most: usize) -> Result<Self, ApiError> {
        let invalid = || {
            let message = "n must be a whole number, zero or larger".to_owned();
            ApiError::Invalid(ErrorCode::PaginationNumberInvalid, message)
        };
        let limit = match query_value(uri, "n") {
            None => most,
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map_or(most, |n: usize| n.min(most))
            }
            Some(_) => return Err(invalid()),
        };
        Ok(Self { limit, last: query_value(uri, "last").filter(|last| !last.is_empty()) })
    }
}

/// A link to the page after `last`; `parameters` are carried over.
pub(super) fn next_link(path: &str, parameters: &[(&str, &str)], last: &str) -> HeaderValue {
    let mut link = format!("<{path}?");
    for (key, value) in parameters {
        link.push_str(&format!("{key}={}&", utf8_percent_encode(value, QUERY_VALUE)));
    }
    link.push_str(&format!("last={}>; rel=\"next\"", utf8_percent_encode(last, QUERY_VALUE)));
    headers::value(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<PageRequest, ApiError> {
        PageRequest::from_query(&format!("/v2/a/tags/list?{query}").parse().unwrap(), 100)
    }

    #[test]
    fn n_is_clamped_and_nonsense_refused() {
        assert_eq!(page("").unwrap(), PageRequest { limit: 100, last: None });
        assert_eq!(page("n=0&last=").unwrap(), PageRequest { limit: 0, last: None });
        assert_eq!(page("n=7&last=a%2Bb").unwrap(), PageRequest { limit: 7, last: Some("a+b".to_owned()) });
        assert_eq!(page("n=10000").unwrap().limit, 100);
        assert_eq!(page("n=99999999999999999999999").unwrap().limit, 100);
        for query in ["n=-1", "n=x", "n=", "n=1.5", "n=+1", "n=NaN"] {
            assert!(
                matches!(page(query), Err(ApiError::Invalid(ErrorCode::PaginationNumberInvalid, _))),
                "{query}"
            );
        }
    }

    #[test]
    fn a_link_is_a_path() {
        let link = next_link("/v2/a/tags/list", &[("n", "5")], "v1+x");
        assert_eq!(link, "</v2/a/tags/list?n=5&last=v1%2Bx>; rel=\"next\"");
    }
}
