//! Two servers whose clients of the volume believe what they once looked up, as on NFS; and requests that meet others
//! or an error half way.

use std::{fs, thread, time::Duration};

use fuser::Errno;
use pakhuis::oci::Algorithm;
use reqwest::{Client, Method, header};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    image::{Blob, Image},
    random::Random,
    server::{Server, send},
    strict_file_system::{
        Mount, StrictFileSystem,
        faults::{Effect, Fault, Operation},
    },
};

pub(crate) const REPOSITORY: &str = "team/app";

/// Two servers, each on a mount of its own of one store.
pub(crate) struct Pair {
    pub(crate) store: StrictFileSystem,
    pub(crate) servers: [Server; 2],
    pub(crate) mounts: [Mount; 2],
    _directories: [TempDir; 2],
    pub(crate) runtime: Runtime,
    pub(crate) http: Client,
}

/// Starts both; their clients of the volume believe a name for this long.
pub(crate) fn pair(believed_for: Duration) -> Pair {
    let store = StrictFileSystem::new();
    let directories = [(); 2].map(|()| TempDir::new().expect("a directory"));
    let mounts = directories.each_ref().map(|directory| store.mount(directory.path()));
    let servers = mounts.each_ref().map(|mount| Server::start(mount.path()));
    mounts.iter().for_each(|mount| mount.gate().cache_names(believed_for));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let http = Client::builder().no_proxy().build().expect("a client");
    Pair { store, servers, mounts, _directories: directories, runtime: runtime.expect("a runtime"), http }
}

impl Pair {
    /// The status of a request to one of the servers, with a body that may be empty.
    fn ask(&self, server: usize, method: Method, path: &str, body: &bytes::Bytes) -> u16 {
        self.runtime.block_on(ask(
            self.http.clone(),
            self.servers[server].address().to_owned(),
            method,
            path,
            body,
        ))
    }

    fn upload(&self, server: usize, blob: &Blob) -> u16 {
        let path = format!("blobs/uploads/?digest={}", blob.digest);
        self.ask(server, Method::POST, &path, &blob.bytes)
    }

    fn look(&self, server: usize, path: &str) -> u16 {
        self.ask(server, Method::HEAD, path, &bytes::Bytes::new())
    }

    fn push(&self, server: usize, image: &Image, tag: &str) {
        for blob in &image.blobs {
            assert_eq!(self.upload(server, blob), 201);
        }
        assert_eq!(self.ask(server, Method::PUT, &format!("manifests/{tag}"), &image.manifest.bytes), 201);
    }

    fn tag_is(&self, server: usize, tag: &str, image: &Image) -> bool {
        let url = format!("http://{}/v2/{REPOSITORY}/manifests/{tag}", self.servers[server].address());
        let answer = self.runtime.block_on(async { self.http.get(url).send().await?.bytes().await });
        answer.expect("an answer") == image.manifest.bytes
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.mounts.iter().for_each(|mount| mount.gate().abandon());
    }
}

async fn ask(http: Client, address: String, method: Method, path: &str, body: &bytes::Bytes) -> u16 {
    let path = format!("/v2/{REPOSITORY}/{path}");
    let media_type = crate::image::MANIFEST;
    let with = |request: reqwest::RequestBuilder| {
        request.header(header::CONTENT_TYPE, media_type).body(body.clone())
    };
    send(&http, &address, method, &path, with).await.expect("an answer").status
}

fn image(seed: u64) -> Image {
    Image::random(Algorithm::Sha256, &mut Random(seed), 1)
}

#[test]
fn what_one_server_did_the_other_sees_though_it_remembers_otherwise() {
    let pair = pair(Duration::from_secs(60));
    let (first, second) = (image(1), image(2));
    let blob = format!("blobs/{}", first.blobs[0].digest);
    assert_eq!((pair.look(1, &blob), pair.look(1, "manifests/tag")), (404, 404));
    pair.push(0, &first, "tag");
    assert_eq!((pair.look(1, &blob), pair.look(1, "manifests/tag")), (200, 200), "an absence is asked again");
    assert!(pair.tag_is(1, "tag", &first));
    pair.push(0, &second, "tag");
    assert!(pair.tag_is(1, "tag", &second), "a tag that moved");
    assert_eq!(pair.ask(0, Method::DELETE, "manifests/tag", &bytes::Bytes::new()), 202);
    assert_eq!(pair.look(1, "manifests/tag"), 404, "a tag that was deleted");
    let encoded = first.blobs[0].digest.encoded();
    let data = format!("docker/registry/v2/blobs/sha256/{}/{encoded}/data", &encoded[..2]);
    let from = pair.mounts[0].path().join(data);
    fs::rename(&from, pair.mounts[0].path().join("set-aside")).expect("a blob to set aside");
    assert_eq!(pair.look(1, &blob), 404, "a blob that was set aside");
}

#[test]
fn a_manifest_whose_blob_is_deleted_meanwhile_is_refused() {
    let pair = pair(Duration::ZERO);
    let image = image(3);
    image.blobs.iter().for_each(|blob| assert_eq!(pair.upload(0, blob), 201));
    let gate = pair.mounts[0].gate();
    gate.add(Fault::once(&[Operation::Rename], Effect::Hang).on_path("_manifests/revisions"));
    let (http, address) = (pair.http.clone(), pair.servers[0].address().to_owned());
    let bytes = image.manifest.bytes.clone();
    let put =
        pair.runtime.spawn(async move { ask(http, address, Method::PUT, "manifests/tag", &bytes).await });
    while gate.hanging() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let blob = format!("blobs/{}", image.blobs[0].digest);
    assert_eq!(pair.ask(1, Method::DELETE, &blob, &bytes::Bytes::new()), 202);
    gate.resume();
    let status = pair.runtime.block_on(put).expect("an answer");
    assert_eq!((status, pair.look(1, "manifests/tag")), (400, 404), "its blob is unknown");
}

#[test]
fn bytes_that_could_not_be_flushed_are_not_acknowledged() {
    let pair = pair(Duration::ZERO);
    let blob = &image(4).blobs[0];
    let full = Fault::once(&[Operation::Flush], Effect::Error(Errno::ENOSPC)).on_path("_uploads");
    pair.mounts[0].gate().add(full);
    assert_eq!(pair.upload(0, blob), 507);
    assert_eq!(pair.look(1, &format!("blobs/{}", blob.digest)), 404);
    pair.mounts[0].gate().clear();
    thread::sleep(Duration::from_secs(6));
    assert_eq!(pair.upload(0, blob), 201);
}
