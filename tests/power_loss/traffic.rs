//! Clients that push, mount, tag, retag and delete through every server of a volume in turn, and write down what they
//! asked and what was acknowledged.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::stream;
use pakhuis::oci::{Algorithm, Digest};
use reqwest::{Client, Method, RequestBuilder, header};

use crate::{
    history::{History, Seen, Thing},
    image::{Blob, Image},
    random::Random,
    server::{Answer, send},
};

/// The repository that all clients push to.
pub(crate) const SHARED: &str = "shared/base";

/// How often a client does again what a dying server did not answer.
const ATTEMPTS: usize = 100;

/// Where the servers listen now.
pub(crate) type Addresses = Arc<Mutex<Vec<String>>>;

/// There was no answer: the server died.
pub(crate) struct NoAnswer;

/// One client, which does one thing after another.
pub(crate) struct Pusher {
    pub(crate) http: Client,
    pub(crate) addresses: Addresses,
    pub(crate) history: Arc<History>,
    pub(crate) dice: Random,
    /// Whether its server is stopped on the way, and answers that it failed.
    pub(crate) is_stopped: bool,
}

impl Pusher {
    /// Everything a registry is asked to do, in a repository of its own and in the shared one.
    pub(crate) async fn live(mut self, own: &'static str, shared: Image) {
        let first = Image::random(Algorithm::Sha256, &mut self.dice, 3);
        self.push(own, &first, &["v1", "latest"]).await;
        self.push(SHARED, &shared, &["shared"]).await;
        self.mount_all(own, &shared).await;
        self.put_manifest(own, &shared, &["base"]).await;
        let second = Image::of(Algorithm::Sha256, &first.blobs[..2], None, self.dice.next());
        self.push(own, &second, &["latest"]).await;
        self.contend(&shared).await;
        let signature = Image::of(Algorithm::Sha256, &[], Some(&first), self.dice.next());
        self.push(own, &signature, &[]).await;
        self.push(own, &Image::index(&[&first, &second]), &["multi"]).await;
        self.put_manifest(own, &first, &["stable"]).await;
        self.delete_tag(own, "v1").await;
        self.delete_tag(own, "base").await;
        self.delete_manifest(own, &signature, &[]).await;
        let long = Image::random(Algorithm::Sha512, &mut self.dice, 2);
        self.push(own, &long, &["long"]).await;
        self.cancelled_upload(own).await;
        self.refused_upload(own).await;
        self.broken_off_upload(own).await;
        let loose = Blob::random(Algorithm::Sha256, &mut self.dice, 3_000);
        self.upload(own, &loose).await;
        self.delete_blob(own, &loose).await;
        self.delete_manifest(own, &second, &["latest"]).await;
        self.push(own, &second, &["latest"]).await;
        self.push(own, &signature, &["signed"]).await;
        self.delete_tag(own, "stable").await;
        self.push(own, &long, &["v1"]).await;
    }

    /// A tag that every client moves.
    async fn contend(&mut self, shared: &Image) {
        let mine = Image::of(Algorithm::Sha256, &shared.blobs, None, self.dice.next());
        self.push(SHARED, &mine, &["moving"]).await;
        self.put_manifest(SHARED, shared, &["moving"]).await;
    }

    /// All blobs, then the manifest under each tag, or under its digest when there is none.
    pub(crate) async fn push(&mut self, repository: &'static str, image: &Image, tags: &[&'static str]) {
        self.history.know(image);
        for _ in 0..ATTEMPTS {
            let push = self.history.begin_push(repository, image, tags.first().copied());
            let done = self.try_push(repository, image, tags).await;
            self.history.end(push, done.is_ok());
            if done.is_ok() {
                return;
            }
        }
        panic!("{repository}: no server answers");
    }

    pub(crate) async fn try_push(
        &mut self,
        repository: &'static str,
        image: &Image,
        tags: &[&'static str],
    ) -> Result<(), NoAnswer> {
        for blob in &image.blobs {
            // As clients do: what is there is not sent again.
            let head = format!("/v2/{repository}/blobs/{}", blob.digest);
            if self.ask(Method::HEAD, &head, |request| request, &[200, 404]).await?.status == 404 {
                self.try_upload(repository, blob).await?;
            }
        }
        self.try_put_manifest(repository, image, tags).await
    }

    async fn upload(&mut self, repository: &'static str, blob: &Blob) {
        for _ in 0..ATTEMPTS {
            if self.try_upload(repository, blob).await.is_ok() {
                return;
            }
        }
        panic!("{repository}: no server answers");
    }

    /// In one request, in two, or in chunks.
    async fn try_upload(&mut self, repository: &'static str, blob: &Blob) -> Result<(), NoAnswer> {
        let (digest, bytes) = (&blob.digest, blob.bytes.clone());
        let blobs = format!("/v2/{repository}/blobs/uploads/");
        let writes = vec![(Thing::Blob(repository, digest.clone()), Some(digest.clone()))];
        let way = self.dice.below(3);
        if way == 0 {
            let path = format!("{blobs}?digest={digest}");
            return self
                .change(Method::POST, &path, writes, |request| request.body(bytes), &[201])
                .await
                .map(drop);
        }
        let start = format!("{blobs}?digest-algorithm={}", digest.algorithm().as_str());
        let mut location = self.ask(Method::POST, &start, |request| request, &[202]).await?.location;
        let mut sent = 0;
        if way == 2 {
            let half = bytes.len() / 2;
            for end in [half, bytes.len()] {
                location = self.chunk(&location, &blob.bytes.slice(sent..end), sent).await?;
                sent = end;
            }
        }
        let path = format!("{location}?digest={digest}");
        let rest = bytes.slice(sent..);
        self.change(Method::PUT, &path, writes, |request| request.body(rest), &[201]).await.map(drop)
    }

    async fn chunk(&mut self, location: &str, bytes: &bytes::Bytes, from: usize) -> Result<String, NoAnswer> {
        let range = format!("{from}-{}", from + bytes.len() - 1);
        let with = |request: RequestBuilder| request.header(header::CONTENT_RANGE, range).body(bytes.clone());
        Ok(self.ask(Method::PATCH, location, with, &[202]).await?.location)
    }

    async fn mount_all(&mut self, repository: &'static str, image: &Image) {
        for _ in 0..ATTEMPTS {
            if self.try_mount_all(repository, image).await.is_ok() {
                return;
            }
        }
        panic!("{repository}: no server answers");
    }

    pub(crate) async fn try_mount_all(
        &mut self,
        repository: &'static str,
        image: &Image,
    ) -> Result<(), NoAnswer> {
        for blob in &image.blobs {
            let digest = &blob.digest;
            let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={SHARED}");
            let writes = vec![(Thing::Blob(repository, digest.clone()), Some(digest.clone()))];
            self.change(Method::POST, &path, writes, |request| request, &[201]).await?;
        }
        Ok(())
    }

    /// A tag, or a manifest with its tags; nothing is written down.
    pub(crate) async fn try_delete(
        &mut self,
        repository: &'static str,
        reference: &str,
    ) -> Result<Answer, NoAnswer> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.ask(Method::DELETE, &path, |request| request, &[202]).await
    }

    async fn put_manifest(&mut self, repository: &'static str, image: &Image, tags: &[&'static str]) {
        self.history.know(image);
        for _ in 0..ATTEMPTS {
            if self.try_put_manifest(repository, image, tags).await.is_ok() {
                return;
            }
        }
        panic!("{repository}: no server answers");
    }

    pub(crate) async fn try_put_manifest(
        &mut self,
        repository: &'static str,
        image: &Image,
        tags: &[&'static str],
    ) -> Result<(), NoAnswer> {
        let digest = &image.manifest.digest;
        // A tag alone is put by its name; sha512, several, and none need the digest.
        let mut path = format!("/v2/{repository}/manifests/{digest}");
        match tags {
            [tag] if digest.algorithm() == Algorithm::Sha256 => {
                path = format!("/v2/{repository}/manifests/{tag}");
            }
            [] => {}
            tags => path.push_str(&format!("?tag={}", tags.join("&tag="))),
        }
        let mut writes = vec![(Thing::Manifest(repository, digest.clone()), Some(digest.clone()))];
        writes.extend(tags.iter().map(|&tag| (Thing::Tag(repository, tag), Some(digest.clone()))));
        // What is acknowledged is the whole image, whoever sent its blobs.
        writes.extend(
            image
                .blobs
                .iter()
                .map(|blob| (Thing::Blob(repository, blob.digest.clone()), Some(blob.digest.clone()))),
        );
        writes.extend(image.subject.iter().map(|subject| {
            (Thing::Referrer(repository, subject.clone(), digest.clone()), Some(digest.clone()))
        }));
        let with = |request: RequestBuilder| {
            request.header(header::CONTENT_TYPE, image.media_type).body(image.manifest.bytes.clone())
        };
        self.change(Method::PUT, &path, writes, with, &[201]).await.map(drop)
    }

    async fn delete_tag(&mut self, repository: &'static str, tag: &'static str) {
        let path = format!("/v2/{repository}/manifests/{tag}");
        self.until_answered(Method::DELETE, &path, &[(Thing::Tag(repository, tag), None)], 202).await;
    }

    /// With the tags that name it.
    async fn delete_manifest(&mut self, repository: &'static str, image: &Image, tags: &[&'static str]) {
        let digest = &image.manifest.digest;
        let mut writes = vec![(Thing::Manifest(repository, digest.clone()), None)];
        writes.extend(tags.iter().map(|&tag| (Thing::Tag(repository, tag), None)));
        let referrer = |subject: &Digest| Thing::Referrer(repository, subject.clone(), digest.clone());
        writes.extend(image.subject.iter().map(|subject| (referrer(subject), None)));
        let path = format!("/v2/{repository}/manifests/{digest}");
        self.until_answered(Method::DELETE, &path, &writes, 202).await;
    }

    async fn delete_blob(&mut self, repository: &'static str, blob: &Blob) {
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        let thing = Thing::Blob(repository, blob.digest.clone());
        self.until_answered(Method::DELETE, &path, &[(thing, None)], 202).await;
    }

    async fn cancelled_upload(&mut self, repository: &'static str) {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let Ok(started) = self.ask(Method::POST, &path, |request| request, &[202]).await else { return };
        let bytes = Blob::random(Algorithm::Sha256, &mut self.dice, 2_000).bytes;
        let Ok(location) = self.chunk(&started.location, &bytes, 0).await else { return };
        let _ = self.ask(Method::DELETE, &location, |request| request, &[204]).await;
    }

    /// Bytes that are not what their digest says.
    async fn refused_upload(&mut self, repository: &'static str) {
        let [said, sent] = [(); 2].map(|()| Blob::random(Algorithm::Sha256, &mut self.dice, 2_000));
        let path = format!("/v2/{repository}/blobs/uploads/?digest={}", said.digest);
        let _ = self.ask(Method::POST, &path, |request| request.body(sent.bytes), &[400]).await;
    }

    /// An upload that ends with what came before a chunk that broke off.
    async fn broken_off_upload(&mut self, repository: &'static str) {
        let blob = Blob::random(Algorithm::Sha256, &mut self.dice, 3_000);
        let path = format!("/v2/{repository}/blobs/uploads/");
        let Ok(started) = self.ask(Method::POST, &path, |request| request, &[202]).await else { return };
        let Ok(location) = self.chunk(&started.location, &blob.bytes, 0).await else { return };
        let range = format!("{}-{}", blob.bytes.len(), blob.bytes.len() + 399_999);
        // Of no announced length and more than a server gathers, so that it is written before it is found too short.
        let torn = self.dice.bytes(300_000);
        let torn = reqwest::Body::wrap_stream(stream::iter([Ok::<_, Infallible>(torn)]));
        let with = |request: RequestBuilder| request.header(header::CONTENT_RANGE, range).body(torn);
        if self.ask(Method::PATCH, &location, with, &[400]).await.is_err() {
            return;
        }
        let writes = vec![(Thing::Blob(repository, blob.digest.clone()), Some(blob.digest.clone()))];
        let path = format!("{location}?digest={}", blob.digest);
        let _ = self.change(Method::PUT, &path, writes, |request| request, &[201]).await;
    }

    /// A change, until it is acknowledged; when an attempt without an answer had done it already nothing is promised.
    async fn until_answered(&mut self, method: Method, path: &str, writes: &[(Thing, Seen)], status: u16) {
        for attempt in 0..ATTEMPTS {
            let allowed: &[u16] = if attempt == 0 { &[status] } else { &[status, 404] };
            if self.change(method.clone(), path, writes.to_vec(), |request| request, allowed).await.is_ok() {
                return;
            }
        }
        panic!("{path}: no server answers");
    }

    /// A request that is written down with what it changes. An answer of 404 changes nothing.
    async fn change(
        &mut self,
        method: Method,
        path: &str,
        writes: Vec<(Thing, Seen)>,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
        allowed: &[u16],
    ) -> Result<Answer, NoAnswer> {
        let begun = self.history.begin(format!("{method} {path}"), writes);
        let answer = self.ask(method, path, with, allowed).await;
        self.history.end(begun, answer.as_ref().is_ok_and(|answer| answer.status != 404));
        answer
    }

    /// A request to any of the servers. Another status than those allowed is a failure of the test: a server answers
    /// rightly or is dead.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
        allowed: &[u16],
    ) -> Result<Answer, NoAnswer> {
        let address = {
            let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            addresses[self.dice.below(addresses.len())].clone()
        };
        let Ok(answer) = send(&self.http, &address, method.clone(), path, with).await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            return Err(NoAnswer);
        };
        if self.is_stopped && !allowed.contains(&answer.status) {
            return Err(NoAnswer);
        }
        assert!(allowed.contains(&answer.status), "{method} {path}: {answer:?}");
        Ok(answer)
    }
}
