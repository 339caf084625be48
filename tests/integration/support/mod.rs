//! Actors and artefacts: a registry in this process, users of it, images they push.

mod image;
mod reply;
mod tree;

use std::{path::PathBuf, sync::Arc};

use axum::{Router, body::Body};
use base64::Engine as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use pakhuis::{
    api::{ApiState, Limits, router},
    auth,
    oci::{Algorithm, Digest},
    registry::{self, Registry},
    storage::{self, Storage},
};
use tower::ServiceExt as _;

pub(crate) use image::{Image, Upload, descriptor, image, index, layer};
pub(crate) use reply::{Reply, assert_oci_error};
pub(crate) use tree::{Tree, write};

/// The password of every user.
pub(crate) const PASSWORD: &str = "correct horse";

/// A registry over a directory of its own, driven without a socket.
pub(crate) struct TestRegistry {
    router: Router,
    registry: Registry,
    auth_config: auth::Config,
    directory: Arc<tempfile::TempDir>,
}

impl TestRegistry {
    /// A registry that knows the users `alice` and `bob`.
    pub(crate) fn start() -> Self {
        Self::start_with(registry::Config::default(), Limits::default())
    }

    pub(crate) fn start_with(config: registry::Config, limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let htpasswd = directory.path().join("htpasswd");
        let hash = bcrypt::hash(PASSWORD, 4).unwrap();
        std::fs::write(&htpasswd, format!("alice:{hash}\nbob:{hash}\n")).unwrap();
        let auth_config = auth::Config {
            htpasswd: Some(htpasswd),
            // The growing pause after failures has tests of its own; here it would only be waited for.
            max_failure_delay: std::time::Duration::from_millis(10),
            ..auth::Config::default()
        };
        Self::build(Arc::new(directory), config, limits, auth_config)
    }

    /// The same users on the same volume, with rules on who may do what.
    pub(crate) fn with_rules(&self, access: Vec<auth::AccessRule>) -> Self {
        let auth_config = auth::Config { access, ..self.auth_config.clone() };
        Self::build(self.directory.clone(), registry::Config::default(), Limits::default(), auth_config)
    }

    /// A registry without authentication.
    pub(crate) fn open_to_all() -> Self {
        Self::open_to_all_in(tempfile::tempdir().unwrap())
    }

    /// The same on a volume in memory where the machine has one, for tests of thousands of small writes.
    pub(crate) fn in_memory() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let directory = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        Self::open_to_all_in(directory.unwrap())
    }

    fn open_to_all_in(directory: tempfile::TempDir) -> Self {
        let auth_config = auth::Config { htpasswd: None, ..auth::Config::default() };
        let directory = Arc::new(directory);
        Self::build(directory, registry::Config::default(), Limits::default(), auth_config)
    }

    /// Another server on the same volume: what the first one remembers it does not know.
    pub(crate) fn another_server(&self) -> Self {
        let (directory, auth_config) = (self.directory.clone(), self.auth_config.clone());
        Self::build(directory, registry::Config::default(), Limits::default(), auth_config)
    }

    /// The registry behind the API.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The directory `v2` of the volume.
    pub(crate) fn v2(&self) -> PathBuf {
        self.directory.path().join("data/docker/registry/v2")
    }

    /// The file that holds a blob.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.encoded());
        self.v2().join(format!("blobs/{algorithm}/{}/{hex}/data", &hex[..2]))
    }

    fn build(
        directory: Arc<tempfile::TempDir>,
        config: registry::Config,
        limits: Limits,
        auth_config: auth::Config,
    ) -> Self {
        let storage = Storage::open(storage::Config::new(directory.path().join("data"))).unwrap();
        let policy = auth::Policy::new(&auth_config);
        let registry = Registry::new(storage, config);
        let state = ApiState {
            registry: registry.clone(),
            authenticator: auth::Authenticator::open(auth_config.clone()).unwrap(),
            policy,
            limits: Arc::new(limits),
        };
        Self { router: router(state), registry, auth_config, directory }
    }

    /// A registry without authentication over a volume that another one left behind: `directory` has its
    /// rootdirectory as `data`.
    pub(crate) fn over(directory: Arc<tempfile::TempDir>) -> Self {
        let auth_config = auth::Config { htpasswd: None, ..auth::Config::default() };
        Self::build(directory, registry::Config::default(), Limits::default(), auth_config)
    }

    /// What a registry leaves when it ends, for the next one.
    pub(crate) fn stop(self) -> Arc<tempfile::TempDir> {
        self.directory
    }

    /// The rootdirectory of the volume.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The files of the volume.
    pub(crate) fn tree(&self) -> Tree {
        Tree::at(&self.root())
    }

    pub(crate) fn as_user(&self, name: &str) -> Client<'_> {
        self.with_password(name, PASSWORD)
    }

    pub(crate) fn with_password(&self, name: &str, password: &str) -> Client<'_> {
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        self.with_authorization(&format!("Basic {encoded}"))
    }

    pub(crate) fn with_authorization(&self, value: &str) -> Client<'_> {
        Client { registry: self, authorization: Some(value.to_owned()) }
    }

    pub(crate) fn anonymous(&self) -> Client<'_> {
        Client { registry: self, authorization: None }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        Reply::read(self.respond(request).await).await
    }

    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }
}

/// Somebody who sends requests.
#[derive(Clone)]
pub(crate) struct Client<'a> {
    registry: &'a TestRegistry,
    authorization: Option<String>,
}

impl Client<'_> {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn head(&self, path: &str) -> Reply {
        self.send("HEAD", path, &[], Body::empty()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str) -> Reply {
        self.send("POST", path, &[], Body::empty()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        self.registry.send(self.request(method, path, headers, body)).await
    }

    /// A `GET` whose body may be cut off: the status, what arrived, and whether that was all.
    pub(crate) async fn get_perhaps_cut(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Vec<u8>, bool) {
        let response = self.registry.respond(self.request("GET", path, headers, Body::empty())).await;
        let (parts, mut body) = response.into_parts();
        let mut arrived = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => arrived.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => return (parts.status.as_u16(), arrived, false),
            }
        }
        (parts.status.as_u16(), arrived, true)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        request.body(body.into()).unwrap()
    }

    /// Starts an upload; its location.
    pub(crate) async fn start_upload(&self, repository: &str) -> String {
        let reply = self.post(&format!("/v2/{repository}/blobs/uploads/")).await;
        assert_eq!(reply.status, 202);
        reply.header("location").to_owned()
    }

    /// Pushes a blob as containerd does: POST, then one PUT.
    pub(crate) async fn push_blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, content);
        self.push_blob_as(repository, content, &digest).await;
        digest
    }

    pub(crate) async fn push_blob_as(&self, repository: &str, content: &[u8], digest: &Digest) {
        let location = self.start_upload(repository).await;
        let path = format!("{location}?digest={digest}");
        let reply = self.send("PUT", &path, &[], content.to_vec()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }

    pub(crate) async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Reply {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.send("PUT", &path, &[("content-type", media_type)], bytes.to_vec()).await
    }

    /// Pushes the blobs of an image and its manifest under a tag.
    pub(crate) async fn push(&self, repository: &str, tag: &str, image: &Image) -> Reply {
        for blob in &image.blobs {
            self.push_blob(repository, blob).await;
        }
        let reply = self.put_manifest(repository, tag, image.media_type, &image.manifest).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply
    }
}
