//! The style sheet, the script and the icon: part of the program, at addresses that name their content.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::header;

use super::response::Failure;
use crate::oci::{Algorithm, Digest};

const FILES: [(&str, &str, &str); 3] = [
    ("app.css", "text/css; charset=utf-8", include_str!("assets/app.css")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("assets/app.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

static HASH: LazyLock<String> = LazyLock::new(|| {
    let all: String = FILES.iter().map(|(_, _, content)| *content).collect();
    Digest::of(Algorithm::Sha256, all.as_bytes()).encoded()[..16].to_owned()
});

static ADDRESSES: LazyLock<[String; 3]> =
    LazyLock::new(|| FILES.map(|(file, _, _)| format!("/ui/static/{}/{file}", *HASH)));

/// Where the files are, for templates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) icon: &'static str,
}

impl Default for Addresses {
    fn default() -> Self {
        let [style, script, icon] = &*ADDRESSES;
        Self { style, script, icon }
    }
}

/// A file; under another hash than ours there is none, so what a browser keeps is never the wrong one.
pub(super) async fn show(Path((hash, name)): Path<(String, String)>) -> Response {
    let file = FILES.iter().find(|(file, _, _)| *file == name);
    match file.filter(|_| hash == *HASH) {
        Some((_, media_type, content)) => {
            const KEEP: &str = "public, max-age=31536000, immutable";
            ([(header::CONTENT_TYPE, *media_type), (header::CACHE_CONTROL, KEEP)], *content).into_response()
        }
        None => Failure::NotFound.into_response(),
    }
}
