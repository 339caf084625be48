//! A manifest or configuration as it was pushed, as a file: never something that a browser would show or run.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, header};

use super::raw::{What, configuration};
use crate::{
    oci::{Reference, RepositoryName},
    ui::{Ui, response::Failure, visitor::Viewer},
};

/// The file.
pub(in crate::ui) async fn download(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    reference: &Reference,
    what: &str,
) -> Response {
    match file(ui, viewer, name, reference, what).await {
        Ok(file) => file,
        Err(failure) => viewer.fail(failure),
    }
}

async fn file(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    reference: &Reference,
    what: &str,
) -> Result<Response, Failure> {
    if !viewer.may_see(ui, name) {
        return Err(Failure::NotFound);
    }
    let what = What::parse(what).ok_or(Failure::NotFound)?;
    let manifest = ui.registry.manifest(name, reference).await?;
    let (digest, size, body) = match what {
        What::Manifest => (manifest.digest, manifest.bytes.len() as u64, Body::from(manifest.bytes)),
        What::Configuration => {
            let (digest, reader) = configuration(ui, name, &manifest.bytes).await?;
            let size = reader.size();
            let last = size.checked_sub(1);
            (digest, size, last.map_or_else(Body::empty, |last| Body::from_stream(reader.read(0..=last))))
        }
    };
    let mut response = Response::new(body);
    headers(response.headers_mut(), &format!("{}-{}.json", what.key(), &digest.encoded()[..12]), size)?;
    Ok(response)
}

fn headers(headers: &mut HeaderMap, file: &str, size: u64) -> Result<(), Failure> {
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{file}\""));
    headers.insert(header::CONTENT_DISPOSITION, disposition.map_err(|_| Failure::Internal)?);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, size.into());
    Ok(())
}
