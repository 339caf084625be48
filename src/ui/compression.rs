//! Which answers are compressed: long pages, the style sheet and the script, for who came from our own pages.
//!
//! A page has what only its reader may know beside what its address says. Who can send a browser to addresses with
//! guesses in them, and sees how long the answers are, could find the one by the other (BREACH): what another site
//! sends a browser to is not compressed. The tokens of forms are masked anew in each besides ([`super::form_token`]).

use axum::extract::Request;
use http::{Extensions, HeaderMap, Method, StatusCode, Version, header};
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer,
        predicate::{Predicate, SizeAbove},
    },
};

/// What fits into one packet is sent as it is.
const PACKET: u64 = 1400;

/// Compresses what is worth it, for requests that still accept it after [`plain_for_other_sites`].
pub(super) fn layer() -> CompressionLayer<impl Predicate + Send + Sync + 'static> {
    CompressionLayer::new()
        .quality(CompressionLevel::Precise(4))
        .compress_when(SizeAbove::new(PACKET).and(is_page_or_asset))
}

fn is_page_or_asset(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    ["text/html", "text/css", "text/javascript"].iter().any(|text| kind.starts_with(text.as_bytes()))
}

/// Asks for the answer as it is, unless a page of ours or the reader's own hand led to it.
///
/// The answer to a form is left alone, too: compressed, it could be refused as not acceptable after all was done.
pub(super) async fn plain_for_other_sites(mut request: Request) -> Request {
    let site = request.headers().get("sec-fetch-site").map(|site| site.as_bytes());
    let is_ours = matches!(site, Some(b"same-origin" | b"none"));
    if !is_ours || request.method() == Method::POST {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    request
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::{Router, body::Body, response::Html, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn what_fits_into_a_packet_is_sent_as_it_is() {
        for (length, expected) in [(1399, false), (1400, true)] {
            let page = "x".repeat(length);
            let pages = Router::new().route("/", get(|| async { Html(page) })).layer(layer());
            let request = Request::get("/").header(header::ACCEPT_ENCODING, "gzip");
            let answer = pages.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.headers().contains_key(header::CONTENT_ENCODING), expected, "{length}");
        }
    }
}
