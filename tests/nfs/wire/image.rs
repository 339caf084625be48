//! The image whose push and pull are counted, and the requests of both, in the order of docker: one after the other,
//! so that two runs send the same.

use bytes::Bytes;
use reqwest::Method;

use crate::{
    load::{Answer, Blob, Client, Image, MANIFEST, Request},
    random::Random,
};

const LAYERS: usize = 10;
const LAYER_BYTES: usize = 4096;

/// What is done with each request, by its name, while it runs.
pub(super) trait Observer {
    /// A request of this name was answered.
    fn answered(&mut self, name: &'static str);
}

/// A repository on one server.
pub(super) struct Repository<'a> {
    pub(super) client: &'a Client,
    pub(super) name: &'a str,
    pub(super) observer: &'a mut dyn Observer,
}

pub(super) fn new_image(random: &mut Random) -> Image {
    let blobs = (0..=LAYERS).map(|_| Blob::sized(random, LAYER_BYTES)).collect();
    Image::of(blobs, random.next())
}

impl Repository<'_> {
    pub(super) async fn push(&mut self, image: &Image, tag: &str) {
        // The config is the first blob; clients send it last.
        for blob in image.blobs.iter().skip(1).chain(image.blobs.first()) {
            self.push_blob(*blob).await;
        }
        let path = format!("manifests/{tag}");
        self.send("PUT manifest", Method::PUT, &path, image.manifest.clone(), 201).await;
    }

    async fn push_blob(&mut self, blob: Blob) {
        let digest = blob.digest();
        self.send("HEAD blob", Method::HEAD, &format!("blobs/{digest}"), Bytes::new(), 404).await;
        let started = self.send("POST upload", Method::POST, "blobs/uploads/", Bytes::new(), 202).await;
        let patched = self.send("PATCH upload", Method::PATCH, &started.location(), blob.bytes(), 202).await;
        let location = patched.location();
        let separator = if location.contains('?') { '&' } else { '?' };
        let last = format!("{location}{separator}digest={digest}");
        self.send("PUT upload", Method::PUT, &last, Bytes::new(), 201).await;
    }

    pub(super) async fn pull(&mut self, image: &Image, tag: &str) {
        self.send("HEAD manifest by tag", Method::HEAD, &format!("manifests/{tag}"), Bytes::new(), 200).await;
        let by_digest = format!("manifests/{}", image.digest);
        let manifest = self.send("GET manifest by digest", Method::GET, &by_digest, Bytes::new(), 200).await;
        assert_eq!(manifest.body, image.manifest);
        for blob in &image.blobs {
            let path = format!("blobs/{}", blob.digest());
            let answer = self.send("GET blob", Method::GET, &path, Bytes::new(), 200).await;
            assert_eq!(answer.body, blob.bytes());
        }
    }

    /// `path` is below the repository, or absolute as in a `Location`.
    async fn send(
        &mut self,
        name: &'static str,
        method: Method,
        path: &str,
        body: Bytes,
        status: u16,
    ) -> Answer {
        let media_type = if name == "PUT manifest" { MANIFEST } else { "application/octet-stream" };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/v2/{}/{path}", self.name) };
        let headers = [("content-type", media_type.to_owned())];
        let answer = self.client.send(0, Request { method, path, body, headers: &headers }).await;
        assert_eq!(answer.status, status, "{name}: {:?}", answer.body);
        self.observer.answered(name);
        answer
    }
}
