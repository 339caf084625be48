//! Whole pushes and pulls, and waiting for what comes about in a while.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::{
    client::{Answer, Client, NoAnswer},
    image::{Image, MANIFEST, sha256},
};

/// The answer, if it is one of those.
pub(crate) fn expect(answer: Result<Answer, NoAnswer>, wanted: &[u16], what: &str) -> Result<Answer, String> {
    match answer {
        Ok(answer) if wanted.contains(&answer.status) => Ok(answer),
        Ok(answer) => Err(format!("{what}: {}", answer.told())),
        Err(error) => Err(format!("{what}: {error:?}")),
    }
}

/// Pushes an image as docker does; says which step was not acknowledged.
pub(crate) async fn push(
    client: &Client,
    repository: &str,
    reference: &str,
    image: &Image,
) -> Result<(), String> {
    push_blobs(client, repository, image).await?;
    put_manifest(client, repository, reference, image).await
}

pub(crate) async fn put_manifest(
    client: &Client,
    repository: &str,
    reference: &str,
    image: &Image,
) -> Result<(), String> {
    let path = format!("/v2/{repository}/manifests/{reference}");
    let put = client.try_send("PUT", &path, &[("content-type", MANIFEST)], image.manifest.clone()).await;
    expect(put, &[201], "PUT of the manifest").map(drop)
}

pub(crate) async fn push_blobs(client: &Client, repository: &str, image: &Image) -> Result<(), String> {
    for blob in &image.blobs {
        let digest = sha256(blob);
        let path = format!("/v2/{repository}/blobs/{digest}");
        let there = client.try_send("HEAD", &path, &[], Vec::new()).await;
        if expect(there, &[200, 404], "HEAD of a blob")?.status == 200 {
            continue;
        }
        let path = format!("/v2/{repository}/blobs/uploads/");
        let started = client.try_send("POST", &path, &[], Vec::new()).await;
        let started = expect(started, &[202], "POST of an upload")?;
        let location = started.header("location");
        let patched = client.try_send("PATCH", location, &[], blob.clone()).await;
        expect(patched, &[202], "PATCH of an upload")?;
        let path = format!("{location}?digest={digest}");
        expect(client.try_send("PUT", &path, &[], Vec::new()).await, &[201], "PUT of a blob")?;
    }
    Ok(())
}

/// Pulls an image; says what is missing or has other bytes.
pub(crate) async fn pull(
    client: &Client,
    repository: &str,
    reference: &str,
    image: &Image,
) -> Result<(), String> {
    let manifest = format!("/v2/{repository}/manifests/{reference}");
    let mut parts = vec![(manifest, &image.manifest)];
    for blob in &image.blobs {
        parts.push((format!("/v2/{repository}/blobs/{}", sha256(blob)), blob));
    }
    for (path, bytes) in parts {
        let got = expect(client.try_send("GET", &path, &[], Vec::new()).await, &[200], "GET of a part")?;
        if got.body.as_ref().ok().is_none_or(|body| body != bytes) {
            return Err("a part has other bytes, or was cut".to_owned());
        }
    }
    Ok(())
}

/// Waits at most half a minute, asking every 200 ms.
pub(crate) async fn wait_for<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
