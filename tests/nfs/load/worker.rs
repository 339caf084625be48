//! One worker: operations as they come from its seed, each request to another server.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::Method;

use super::{
    History,
    client::{Answer, Client, Request, Stopped},
    image::{Image, MANIFEST, sha256},
};
use crate::{random::Random, rig::Registry};

/// What all workers know.
pub(crate) struct Shared {
    /// What the names of its repositories begin with.
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) history: History,
    pub(crate) registry: Registry,
    /// The images that were pushed, by repository.
    pub(crate) images: tokio::sync::Mutex<HashMap<String, Vec<Arc<Image>>>>,
    /// Whether to begin another operation.
    pub(crate) go_on: Box<dyn Fn() -> bool + Send + Sync>,
}

/// A worker has a repository of its own, and one that it shares with the others.
pub(crate) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) random: Random,
    own: String,
}

const TAGS: [&str; 4] = ["one", "two", "three", "four"];

impl Shared {
    /// The repository that all workers have in common.
    pub(crate) fn repository(&self) -> String {
        format!("{}/shared", self.name)
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, number: usize, seed: u64) -> Self {
        let own = format!("{}/worker-{number}", shared.name);
        Self { shared, random: Random(seed), own }
    }

    /// Operations until nobody wants more.
    pub(crate) async fn work(mut self) {
        while (self.shared.go_on)() {
            if self.operation().await.is_err() {
                // The report has it. A refused client does not come back at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn operation(&mut self) -> Result<(), Stopped> {
        let repository = if self.random.once_in(2) { self.own.clone() } else { self.shared.repository() };
        let tag = (*self.random.pick(&TAGS)).to_owned();
        let report = self.shared.client.report.clone();
        match self.random.below(100) {
            0..35 => {
                report.operation("push");
                self.push(&repository, &tag).await
            }
            35..60 => {
                report.operation("pull");
                self.pull(&repository, &tag).await
            }
            60..72 => {
                report.operation("retag");
                self.retag(&repository, &tag).await
            }
            72..80 => {
                report.operation("delete tag");
                self.delete_tag(&repository, &tag).await
            }
            80..86 => {
                report.operation("delete manifest");
                self.delete_manifest(&repository).await
            }
            86..90 => {
                report.operation("delete blob");
                self.delete_blob().await
            }
            90..94 => {
                report.operation("mount");
                self.mount().await
            }
            94..97 => {
                report.operation("two writers");
                self.two_writers(&repository).await
            }
            _ => {
                report.operation("list tags");
                self.list_tags(&repository).await
            }
        }
    }

    async fn push(&mut self, repository: &str, tag: &str) -> Result<(), Stopped> {
        let image = Arc::new(Image::new(&mut self.random));
        for blob in &image.blobs {
            self.push_blob(repository, *blob).await?;
        }
        self.put_manifest(repository, tag, &image).await?;
        self.shared.images.lock().await.entry(repository.to_owned()).or_default().push(image.clone());
        for server in self.shared.client.all_servers() {
            self.read_tag(server, repository, tag).await?;
        }
        let server = self.server();
        self.read_manifest(server, repository, &image.digest).await
    }

    async fn pull(&mut self, repository: &str, tag: &str) -> Result<(), Stopped> {
        let server = self.server();
        let Some(digest) = self.read_tag(server, repository, tag).await? else { return Ok(()) };
        let image = self.image(repository, &digest).await;
        for blob in image.iter().flat_map(|image| &image.blobs) {
            let server = self.server();
            self.read_blob(server, repository, *blob).await?;
        }
        Ok(())
    }

    async fn retag(&mut self, repository: &str, tag: &str) -> Result<(), Stopped> {
        let Some(image) = self.some_image(repository).await else { return Ok(()) };
        self.put_manifest(repository, tag, &image).await?;
        for server in self.shared.client.all_servers() {
            self.read_tag(server, repository, tag).await?;
        }
        Ok(())
    }

    async fn delete_tag(&mut self, repository: &str, tag: &str) -> Result<(), Stopped> {
        if self.shared.registry == Registry::Distribution {
            // It cannot; what comes nearest takes the manifest with it.
            return self.delete_manifest(repository).await;
        }
        let (server, register) = (self.server(), tag_register(repository, tag));
        let answer = self.send(server, Method::DELETE, format!("/v2/{repository}/manifests/{tag}")).await;
        let span = answer.span;
        match self.shared.client.expect(answer, &[202, 404]) {
            Ok(answer) if answer.status == 202 => self.shared.history.wrote(&register, None, span),
            Ok(_) => self.shared.history.read(&register, None, span),
            Err(stopped) => {
                self.shared.history.may_have_written(&register, None, span);
                return Err(stopped);
            }
        }
        for server in self.shared.client.all_servers() {
            self.read_tag(server, repository, tag).await?;
        }
        Ok(())
    }

    async fn delete_manifest(&mut self, repository: &str) -> Result<(), Stopped> {
        let Some(image) = self.some_image(repository).await else { return Ok(()) };
        let (server, register) = (self.server(), manifest_register(repository, &image.digest));
        let path = format!("/v2/{repository}/manifests/{}", image.digest);
        let answer = self.send(server, Method::DELETE, path).await;
        let (span, history) = (answer.span, &self.shared.history);
        let outcome = self.shared.client.expect(answer, &[202, 404]);
        match &outcome {
            Ok(answer) if answer.status == 202 => history.wrote(&register, None, span),
            Ok(_) => history.read(&register, None, span),
            Err(_) => history.may_have_written(&register, None, span),
        }
        // The tags that name it go with it; which these are at that instant nobody knows.
        for tag in TAGS {
            let register = tag_register(repository, tag);
            match &outcome {
                Ok(_) => history.may_have_written_within(&register, None, span),
                Err(_) => history.may_have_written(&register, None, span),
            }
        }
        outcome?;
        for server in self.shared.client.all_servers() {
            self.read_manifest(server, repository, &image.digest).await?;
        }
        let tag = *self.random.pick(&TAGS);
        let server = self.server();
        self.read_tag(server, repository, tag).await.map(drop)
    }

    async fn list_tags(&mut self, repository: &str) -> Result<(), Stopped> {
        let server = self.server();
        let answer = self.send(server, Method::GET, format!("/v2/{repository}/tags/list")).await;
        let answer = self.shared.client.expect(answer, &[200, 404])?;
        if answer.status == 200 {
            let listed: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let names: Vec<_> = listed["tags"].as_array().into_iter().flatten().collect();
            let known =
                |name: &&serde_json::Value| TAGS.iter().any(|tag| *tag == name.as_str().unwrap_or_default());
            if names.iter().all(known) {
                // A tag that is not listed is read as nothing.
                for tag in TAGS.iter().filter(|tag| !names.iter().any(|name| name.as_str() == Some(tag))) {
                    self.shared.history.read(&tag_register(repository, tag), None, answer.span);
                }
            } else {
                return Err(self.shared.client.mismatch("a list has a tag that nobody made", &answer));
            }
        }
        Ok(())
    }

    /// Stores a manifest under a tag.
    pub(super) async fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        image: &Image,
    ) -> Result<(), Stopped> {
        let server = self.server();
        let request = Request {
            method: Method::PUT,
            path: format!("/v2/{repository}/manifests/{tag}"),
            body: image.manifest.clone(),
            headers: &[("content-type", MANIFEST.to_owned())],
        };
        let answer = self.shared.client.send(server, request).await;
        let (span, history) = (answer.span, &self.shared.history);
        let registers = [tag_register(repository, tag), manifest_register(repository, &image.digest)];
        let outcome = self.shared.client.expect(answer, &[201]);
        for register in registers {
            match &outcome {
                Ok(_) => history.wrote(&register, Some(image.digest.clone()), span),
                Err(_) => history.may_have_written(&register, Some(image.digest.clone()), span),
            }
        }
        outcome.map(drop)
    }

    /// What a tag names on one server; the manifest's bytes must be those of its digest.
    pub(crate) async fn read_tag(
        &self,
        server: usize,
        repository: &str,
        tag: &str,
    ) -> Result<Option<String>, Stopped> {
        let answer = self.send(server, Method::GET, format!("/v2/{repository}/manifests/{tag}")).await;
        let answer = self.shared.client.expect(answer, &[200, 404])?;
        let digest = (answer.status == 200).then(|| answer.header("docker-content-digest").to_owned());
        if digest.as_ref().is_some_and(|digest| sha256(&answer.body) != *digest) {
            return Err(self.shared.client.mismatch("a manifest has another digest", &answer));
        }
        let history = &self.shared.history;
        history.read(&tag_register(repository, tag), digest.clone(), answer.span);
        if let Some(digest) = &digest {
            history.read(&manifest_register(repository, digest), Some(digest.clone()), answer.span);
        }
        Ok(digest)
    }

    /// Whether a manifest is there on one server, by digest.
    pub(crate) async fn read_manifest(
        &self,
        server: usize,
        repository: &str,
        digest: &str,
    ) -> Result<(), Stopped> {
        let answer = self.send(server, Method::GET, format!("/v2/{repository}/manifests/{digest}")).await;
        let answer = self.shared.client.expect(answer, &[200, 404])?;
        let found = answer.status == 200;
        if found && sha256(&answer.body) != digest {
            return Err(self.shared.client.mismatch("a manifest has another digest", &answer));
        }
        let value = found.then(|| digest.to_owned());
        self.shared.history.read(&manifest_register(repository, digest), value, answer.span);
        Ok(())
    }

    pub(super) fn server(&self) -> usize {
        self.shared.client.next_server()
    }

    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// A request without a body.
    pub(super) async fn send(&self, server: usize, method: Method, path: String) -> Answer {
        let request = Request { method, path, body: Bytes::new(), headers: &[] };
        self.shared.client.send(server, request).await
    }

    async fn image(&self, repository: &str, digest: &str) -> Option<Arc<Image>> {
        let images = self.shared.images.lock().await;
        images.get(repository)?.iter().find(|image| image.digest == digest).cloned()
    }

    async fn some_image(&mut self, repository: &str) -> Option<Arc<Image>> {
        let images = self.shared.images.lock().await;
        let of_repository = images.get(repository)?;
        // Of late, mostly: those are tagged still.
        let newest = of_repository.len().saturating_sub(8);
        Some(self.random.pick(&of_repository[newest..]).clone())
    }
}

pub(crate) fn tag_register(repository: &str, tag: &str) -> String {
    format!("tag {repository}:{tag}")
}

pub(crate) fn manifest_register(repository: &str, digest: &str) -> String {
    format!("manifest {repository}@{digest}")
}
