//! A manifest or configuration as it was pushed, as text; JSON on lines of its own.

use askama::Template;
use futures_util::StreamExt;

use super::suffix;
use crate::{
    oci::{Digest, Manifest, Reference, RepositoryName},
    registry::{BlobReader, RegistryError},
    ui::{
        Ui,
        address::{self, Target},
        display,
        repository::{Crumb, crumbs},
        response::Failure,
        visitor::{Frame, Viewer},
    },
};

/// Most shown, in bytes.
const SHOWN: usize = 64 * 1024;
/// Deepest indentation, so that a page does not grow far beyond what it shows.
const MAX_DEPTH: usize = 12;

#[derive(Template)]
#[template(path = "raw.html")]
pub(in crate::ui) struct RawPage {
    frame: Frame,
    what: &'static str,
    title: String,
    image: String,
    href: String,
    crumbs: Vec<Crumb>,
    text: String,
    left_out: Option<String>,
    download: String,
}

/// What of an image is shown as it was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Manifest,
    Configuration,
}

impl What {
    /// Reads `manifest` or `config`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Manifest, Self::Configuration].into_iter().find(|what| what.key() == text)
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Configuration => "config",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Manifest => "Manifest",
            Self::Configuration => "Configuration",
        }
    }
}

/// The page. `what` is `manifest` or `config`.
pub(in crate::ui) async fn page(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    reference: &Reference,
    what: &str,
) -> Result<RawPage, Failure> {
    if !viewer.may_see(ui, name) {
        return Err(Failure::NotFound);
    }
    let what = What::parse(what).ok_or(Failure::NotFound)?;
    let manifest = ui.registry.manifest(name, reference).await?;
    let (text, left_out) = match what {
        What::Configuration => beginning(&configuration(ui, name, &manifest.bytes).await?.1).await?,
        What::Manifest => shown(&manifest.bytes, manifest.bytes.len() as u64),
    };
    let target = Target::Image(name.clone(), reference.clone());
    Ok(RawPage {
        frame: viewer.frame.clone(),
        what: what.title(),
        title: format!("{} of {name}{}", what.title(), suffix(reference)),
        image: suffix(reference),
        download: address::with_query(&target.path(), &[("show", what.key()), ("download", "1")]),
        href: target.path(),
        crumbs: crumbs(name),
        text,
        left_out,
    })
}

/// The configuration that a manifest names, where its repository has it.
pub(super) async fn configuration(
    ui: &Ui,
    name: &RepositoryName,
    manifest: &[u8],
) -> Result<(Digest, BlobReader), Failure> {
    let manifest = Manifest::parse(manifest, None).map_err(|_| Failure::NotFound)?;
    let config = manifest.config.ok_or(Failure::NotFound)?;
    match ui.registry.open_blob(name, &config.digest).await {
        Err(RegistryError::BlobUnknown(_)) => Err(Failure::NotFound),
        result => Ok((config.digest, result?)),
    }
}

async fn beginning(reader: &BlobReader) -> Result<(String, Option<String>), Failure> {
    let size = reader.size();
    let mut bytes = Vec::new();
    if let Some(last) = size.min(SHOWN as u64).checked_sub(1) {
        let mut blocks = std::pin::pin!(reader.read(0..=last));
        while let Some(block) = blocks.next().await {
            bytes.extend_from_slice(&block.map_err(|_| Failure::Unavailable)?);
        }
    }
    Ok(shown(&bytes, size))
}

/// The bytes as text, and how large the whole is when that is not all of it.
fn shown(bytes: &[u8], size: u64) -> (String, Option<String>) {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let left_out = ((shown.len() as u64) < size).then(|| display::size(size));
    let text = String::from_utf8_lossy(shown).into_owned();
    let is_json = left_out.is_none() && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    (if is_json { on_lines(&text) } else { text }, left_out)
}

/// JSON with the white space between its parts made anew; all else of it stays as it is, twice-named fields too.
fn on_lines(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut is_escaped, mut is_empty) = (0_usize, false, false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth.min(MAX_DEPTH)));
    };
    for char in json.chars() {
        if in_string {
            text.push(char);
            in_string = is_escaped || char != '"';
            is_escaped = char == '\\' && !is_escaped;
            continue;
        }
        if char.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(char, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        if is_empty != closes && (is_empty || closes) {
            line(&mut text, depth);
        }
        text.push(char);
        in_string = char == '"';
        is_empty = matches!(char, '{' | '[');
        match char {
            '{' | '[' => depth += 1,
            ',' => line(&mut text, depth),
            ':' => text.push(' '),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_manifest_is_cut() {
        let (text, left_out) = shown(&vec![b'a'; 100_000], 100_000);
        assert_eq!((text.len(), left_out.as_deref()), (SHOWN, Some("100 kB")));
        assert_eq!(shown(b"{}", 2), ("{}".to_owned(), None));
    }

    #[test]
    fn json_is_put_on_lines_and_stays_what_it_is() {
        let json = r#"{"a":"x\"{[,:","a":[1, {"b":{}} ,[]],"c":"\\"}"#;
        let expected = "{\n  \"a\": \"x\\\"{[,:\",\n  \"a\": [\n    1,\
            \n    {\n      \"b\": {}\n    },\n    []\n  ],\n  \"c\": \"\\\\\"\n}";
        assert_eq!(shown(json.as_bytes(), json.len() as u64).0, expected);
        assert_eq!(shown(b"{\"a\":", 5).0, "{\"a\":");
    }
}
