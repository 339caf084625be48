//! Up to three servers in this process, on one volume, each with a memory of its own.

use std::{path::Path, sync::Arc};

use axum::Router;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use pakhuis::{
    api::{ApiState, Limits, router},
    auth,
    registry::{self, Registry},
    storage::{self, Storage},
};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::{
    alphabet::{CATALOGUE_PAGE, MANIFEST_LIMIT, TAG_PARAMETERS, TAGS_PAGE},
    call::Call,
};

/// The most servers on one volume.
pub(crate) const SERVERS: usize = 3;

/// Servers that know nothing of each other but the volume.
pub(crate) struct Servers {
    routers: Vec<Router>,
    _volume: TempDir,
}

impl Servers {
    pub(crate) fn start(count: usize) -> Self {
        let volume = new_volume();
        let routers = (0..count).map(|_| start(volume.path())).collect();
        Self { routers, _volume: volume }
    }

    pub(crate) async fn send(&self, server: usize, call: &Call) -> Reply {
        let response = self.routers[server].clone().oneshot(call.request()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes().to_vec());
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.unwrap_or_else(|_| b"(the answer broke off)".to_vec()),
        }
    }
}

/// In memory where the system has a directory for that: here it is about meaning, not about power cuts.
fn new_volume() -> TempDir {
    let memory = Path::new("/dev/shm");
    let volume = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    volume.unwrap()
}

fn start(volume: &Path) -> Router {
    let auth_config = auth::Config { htpasswd: None, ..auth::Config::default() };
    let config = registry::Config { manifest_size_limit: MANIFEST_LIMIT, ..registry::Config::default() };
    let limits = Limits {
        tags_page: TAGS_PAGE,
        catalog_page: CATALOGUE_PAGE,
        tag_parameters: TAG_PARAMETERS,
        ..Limits::default()
    };
    let storage = Storage::open(storage::Config::new(volume)).unwrap();
    router(ApiState {
        registry: Registry::new(storage, config),
        policy: auth::Policy::new(&auth_config),
        authenticator: auth::Authenticator::open(auth_config).unwrap(),
        limits: Arc::new(limits),
    })
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn bare(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), body: Vec::new() }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The start of the body, for a message.
    pub(crate) fn text(&self) -> String {
        let start = &self.body[..self.body.len().min(600)];
        format!("{} bytes: {}", self.body.len(), String::from_utf8_lossy(start))
    }
}
