//! A small client of our own, for what no command-line program can be made to do: it hides nothing and retries nothing.

use std::fs;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Body, Certificate, Client, Method, RequestBuilder};
use sha2::{Digest as _, Sha256};

use super::image::{Blob, Layout};
use super::server::TestServer;

/// What docker sends. Ours ignores it; the reference hides a manifest of a type that is not listed.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json, */*";

/// A logged-in client of one server. It goes on working when the server is restarted on its port.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    username: &'static str,
    password: &'static str,
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header as text; empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Api {
    /// Over HTTP/1.1, like docker, containerd and podman.
    pub(crate) fn new(server: &TestServer) -> Self {
        Self::with(server, true)
    }

    /// Over HTTP/2 where the server offers it, like crane, oras and regctl.
    pub(crate) fn over_http2(server: &TestServer) -> Self {
        Self::with(server, false)
    }

    fn with(server: &TestServer, http1_only: bool) -> Self {
        Self::maker(server, http1_only)()
    }

    /// Makes clients with connections of their own, also when the server is not at hand any more.
    pub(crate) fn maker(server: &TestServer, http1_only: bool) -> impl Fn() -> Self + Send + Sync + use<> {
        let pem = fs::read(server.ca_certificate()).expect("the CA certificate");
        let certificate = Certificate::from_pem(&pem).expect("a PEM certificate");
        let (base, username, password) = (server.url(), server.username(), server.password());
        move || {
            let mut builder = Client::builder().tls_certs_only([certificate.clone()]).no_proxy();
            if http1_only {
                builder = builder.http1_only();
            }
            let client = builder.build().expect("a client");
            Self { client, base: base.clone(), username, password }
        }
    }

    /// Asks `GET /v2/` as somebody else; the status.
    pub(crate) async fn status_of(&self, user: &str, password: &str) -> u16 {
        let request = self.client.get(format!("{}/v2/", self.base)).basic_auth(user, Some(password));
        request.send().await.expect("an answer").status().as_u16()
    }

    /// A request with the login; `path` starts with a slash.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        self.client
            .request(method, url)
            .basic_auth(self.username, Some(self.password))
            .header(ACCEPT, ACCEPTED)
    }

    /// Sends and reads the whole answer.
    pub(crate) async fn send(&self, method: Method, path: &str) -> reqwest::Result<Answer> {
        finish(self.request(method, path)).await
    }

    /// Sends a chunk of an upload, or any other body, and reads the whole answer.
    pub(crate) async fn send_part(
        &self,
        method: Method,
        path: &str,
        content_range: Option<&str>,
        body: Vec<u8>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.request(method, path).body(body);
        if let Some(range) = content_range {
            request = request.header(CONTENT_RANGE, range);
        }
        finish(request).await
    }

    /// GET that must reach the server.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path).await.unwrap_or_else(|error| panic!("GET {path}: {error:?}"))
    }

    /// Starts an upload, sends the body in one PATCH as docker does, and commits it. Gives the last answer,
    /// or the first one that is not what the specification says.
    pub(crate) async fn upload(
        &self,
        repository: &str,
        digest: &str,
        body: impl Into<Body>,
    ) -> reqwest::Result<Answer> {
        let started = self.send(Method::POST, &format!("/v2/{repository}/blobs/uploads/")).await?;
        if started.status != 202 {
            return Ok(started);
        }
        let location = self.path_of(started.header(LOCATION.as_str()));
        let patched = finish(self.request(Method::PATCH, &location).body(body)).await?;
        if patched.status != 202 {
            return Ok(patched);
        }
        let location = self.path_of(patched.header(LOCATION.as_str()));
        self.send(Method::PUT, &with_digest(&location, digest)).await
    }

    /// Starts an upload and sends the body with the commit in one PUT, as containerd does.
    pub(crate) async fn upload_at_once(
        &self,
        repository: &str,
        digest: &str,
        body: impl Into<Body>,
    ) -> reqwest::Result<Answer> {
        let started = self.send(Method::POST, &format!("/v2/{repository}/blobs/uploads/")).await?;
        if started.status != 202 {
            return Ok(started);
        }
        let location = with_digest(&self.path_of(started.header(LOCATION.as_str())), digest);
        finish(self.request(Method::PUT, &location).body(body)).await
    }

    /// PUT of a manifest under a tag or a digest.
    pub(crate) async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> reqwest::Result<Answer> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        finish(self.request(Method::PUT, &path).header(CONTENT_TYPE, media_type).body(bytes)).await
    }

    /// Pushes an image of a layout with everything it is made of; each step must be acknowledged.
    pub(crate) async fn push_image(&self, repository: &str, reference: &str, layout: &Layout, image: &Blob) {
        for part in layout.parts(image) {
            let pushed = self.upload(repository, &part.digest, layout.read(&part)).await.expect("an answer");
            assert_eq!(pushed.status, 201, "{repository} {}: {:?}", part.digest, pushed.body);
        }
        self.push_manifest(repository, reference, layout, image).await;
    }

    /// Pushes one manifest or index of a layout; it must be acknowledged.
    pub(crate) async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        layout: &Layout,
        manifest: &Blob,
    ) {
        let put = self.put_manifest(repository, reference, manifest.media_type, layout.read(manifest)).await;
        let put = put.expect("an answer");
        assert_eq!(put.status, 201, "{repository}:{reference}: {:?}", put.body);
        assert_eq!(put.header("docker-content-digest"), manifest.digest);
    }

    /// The reference answers with absolute addresses, ours with paths: both become a path.
    fn path_of(&self, location: &str) -> String {
        location.strip_prefix(&self.base).unwrap_or(location).to_owned()
    }
}

/// `sha256:` and the digest of the bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn with_digest(location: &str, digest: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

async fn finish(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, body: response.bytes().await? })
}
