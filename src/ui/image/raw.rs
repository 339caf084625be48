//! A manifest or configuration as it was pushed, as text.

use askama::Template;
use futures_util::StreamExt;

use super::suffix;
use crate::{
    oci::{Manifest, Reference, RepositoryName},
    registry::RegistryError,
    ui::{
        Ui,
        address::Target,
        display,
        repository::{Crumb, crumbs},
        response::Failure,
        visitor::{Frame, Viewer},
    },
};

/// Most shown, in bytes.
const SHOWN: usize = 64 * 1024;

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
    let manifest = ui.registry.manifest(name, reference).await?;
    let (what, (text, left_out)) = match what {
        "config" => ("Configuration", configuration(ui, name, &manifest.bytes).await?),
        "manifest" => ("Manifest", shown(&manifest.bytes, manifest.bytes.len() as u64)),
        _ => return Err(Failure::NotFound),
    };
    let target = Target::Image(name.clone(), reference.clone());
    Ok(RawPage {
        frame: viewer.frame.clone(),
        what,
        title: format!("{what} of {name}{}", suffix(reference)),
        image: suffix(reference),
        href: target.path(),
        crumbs: crumbs(name),
        text,
        left_out,
    })
}

async fn configuration(
    ui: &Ui,
    name: &RepositoryName,
    manifest: &[u8],
) -> Result<(String, Option<String>), Failure> {
    let manifest = Manifest::parse(manifest, None).map_err(|_| Failure::NotFound)?;
    let config = manifest.config.ok_or(Failure::NotFound)?;
    let reader = match ui.registry.open_blob(name, &config.digest).await {
        Err(RegistryError::BlobUnknown(_)) => return Err(Failure::NotFound),
        result => result?,
    };
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
    (String::from_utf8_lossy(shown).into_owned(), left_out)
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
}
