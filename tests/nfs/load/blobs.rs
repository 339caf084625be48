//! What a worker does with blobs: uploads that go from server to server, mounts, deletes.

use bytes::Bytes;
use reqwest::Method;

use super::{
    client::{Answer, Request, Stopped},
    image::Blob,
    worker::Worker,
};

impl Worker {
    /// Pushes a blob in one of the ways of real clients, and looks for it on another server before and after.
    pub(super) async fn push_blob(&mut self, repository: &str, blob: Blob) -> Result<(), Stopped> {
        let other = self.server();
        if self.random.once_in(2) {
            self.look_for_blob(other, repository, blob).await?;
        }
        let (digest, bytes) = (blob.digest(), blob.bytes());
        let last = match self.random.below(3) {
            0 => self.upload_in_one(repository, &digest, bytes).await?,
            1 => self.upload_in_two(repository, &digest, bytes).await?,
            _ => self.upload_in_chunks(repository, &digest, &bytes).await?,
        };
        self.blob_written(repository, blob, last)?;
        self.look_for_blob(other, repository, blob).await?;
        if self.random.once_in(5) {
            let server = self.server();
            self.read_blob(server, repository, blob).await?;
        }
        Ok(())
    }

    /// One POST with all, which a registry may answer like an ordinary start.
    async fn upload_in_one(&self, repository: &str, digest: &str, bytes: Bytes) -> Result<Answer, Stopped> {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let answer = self.send_bytes(Method::POST, path, bytes.clone(), None).await;
        if answer.status != 202 {
            return Ok(answer);
        }
        Ok(self.send_bytes(Method::PUT, with_digest(&answer.location(), digest), bytes, None).await)
    }

    /// POST on one server, PUT with the bytes on the next.
    async fn upload_in_two(&self, repository: &str, digest: &str, bytes: Bytes) -> Result<Answer, Stopped> {
        let location = self.start_upload(repository).await?;
        Ok(self.send_bytes(Method::PUT, with_digest(&location, digest), bytes, None).await)
    }

    /// Begun on one server, continued on the next, asked for on a third, committed on another.
    async fn upload_in_chunks(
        &mut self,
        repository: &str,
        digest: &str,
        bytes: &Bytes,
    ) -> Result<Answer, Stopped> {
        let mut location = self.start_upload(repository).await?;
        let cut = self.random.below(bytes.len() + 1);
        for (start, end) in [(0, cut), (cut, bytes.len())] {
            if start == end {
                continue;
            }
            let answer = self.send_bytes(Method::PATCH, location, bytes.slice(start..end), Some(start)).await;
            let answer = self.shared.client.expect(answer, &[202])?;
            location = answer.location();
            if self.random.once_in(2) {
                let asked = self.send(self.server(), Method::GET, location.clone()).await;
                let asked = self.shared.client.expect(asked, &[204])?;
                if asked.header("range") != format!("0-{}", end - 1) {
                    return Err(self.shared.client.mismatch("an upload has another length", &asked));
                }
            }
        }
        Ok(self.send_bytes(Method::PUT, with_digest(&location, digest), Bytes::new(), None).await)
    }

    /// Two servers write to one upload at once: one of them may, and what is committed is what it was sent.
    pub(super) async fn two_writers(&mut self, repository: &str) -> Result<(), Stopped> {
        let blobs = [Blob::only(&mut self.random), Blob::only(&mut self.random)];
        let location = self.start_upload(repository).await?;
        let send = |blob: Blob| self.send_bytes(Method::PATCH, location.clone(), blob.bytes(), Some(0));
        let (first, second) = tokio::join!(send(blobs[0]), send(blobs[1]));
        let client = &self.shared.client;
        let answers = [client.expect(first, &[202, 409, 416])?, client.expect(second, &[202, 409, 416])?];
        let winners: Vec<_> = answers.iter().zip(blobs).filter(|(answer, _)| answer.status == 202).collect();
        let [(answer, blob)] = winners[..] else {
            return Err(client.mismatch("two writers of an upload, and not one succeeded", &answers[0]));
        };
        let path = with_digest(&answer.location(), &blob.digest());
        let last = self.send_bytes(Method::PUT, path, Bytes::new(), None).await;
        self.blob_written(repository, blob, last)?;
        let server = self.server();
        self.read_blob(server, repository, blob).await
    }

    /// Deletes a blob that no manifest names, looks for it everywhere, and pushes it again.
    pub(super) async fn delete_blob(&mut self) -> Result<(), Stopped> {
        let (repository, blob) = (self.own().to_owned(), Blob::only(&mut self.random));
        self.push_blob(&repository, blob).await?;
        let path = format!("/v2/{repository}/blobs/{}", blob.digest());
        let answer = self.send(self.server(), Method::DELETE, path).await;
        let (span, register) = (answer.span, blob_register(&repository, blob));
        match self.shared.client.expect(answer, &[202]) {
            Ok(_) => self.shared.history.wrote(&register, None, span),
            Err(stopped) => {
                self.shared.history.may_have_written(&register, None, span);
                return Err(stopped);
            }
        }
        for server in self.shared.client.all_servers() {
            self.look_for_blob(server, &repository, blob).await?;
        }
        self.push_blob(&repository, blob).await
    }

    /// Gives a blob of the worker's own repository to the shared one.
    pub(super) async fn mount(&mut self) -> Result<(), Stopped> {
        let (repository, shared) = (self.own().to_owned(), self.shared.repository());
        let blob = Blob::only(&mut self.random);
        self.push_blob(&repository, blob).await?;
        let digest = blob.digest();
        let path = format!("/v2/{shared}/blobs/uploads/?mount={digest}&from={repository}");
        let answer = self.send(self.server(), Method::POST, path).await;
        self.blob_written(&shared, blob, answer)?;
        for server in self.shared.client.all_servers() {
            self.look_for_blob(server, &shared, blob).await?;
        }
        Ok(())
    }

    /// The bytes of a blob from one server, which must be right if they are there.
    pub(crate) async fn read_blob(&self, server: usize, repository: &str, blob: Blob) -> Result<(), Stopped> {
        let path = format!("/v2/{repository}/blobs/{}", blob.digest());
        let answer = self.send(server, Method::GET, path).await;
        let answer = self.shared.client.expect(answer, &[200, 404])?;
        let found = answer.status == 200;
        if found && answer.body != blob.bytes() {
            return Err(self.shared.client.mismatch("a blob has other bytes", &answer));
        }
        self.blob_seen(repository, blob, found, &answer);
        Ok(())
    }

    /// Whether a blob is there on one server, without its bytes.
    async fn look_for_blob(&self, server: usize, repository: &str, blob: Blob) -> Result<(), Stopped> {
        let path = format!("/v2/{repository}/blobs/{}", blob.digest());
        let answer = self.send(server, Method::HEAD, path).await;
        let answer = self.shared.client.expect(answer, &[200, 404])?;
        let found = answer.status == 200;
        if found && answer.header("content-length") != blob.size.to_string() {
            return Err(self.shared.client.mismatch("a blob has another length", &answer));
        }
        self.blob_seen(repository, blob, found, &answer);
        Ok(())
    }

    fn blob_seen(&self, repository: &str, blob: Blob, found: bool, answer: &Answer) {
        let value = found.then(|| blob.digest());
        self.shared.history.read(&blob_register(repository, blob), value, answer.span);
    }

    /// The last answer of an upload or a mount: the blob is there if it says so.
    fn blob_written(&self, repository: &str, blob: Blob, answer: Answer) -> Result<(), Stopped> {
        let (span, register) = (answer.span, blob_register(repository, blob));
        let history = &self.shared.history;
        match self.shared.client.expect(answer, &[201]) {
            Ok(_) => {
                history.wrote(&register, Some(blob.digest()), span);
                Ok(())
            }
            Err(stopped) => {
                history.may_have_written(&register, Some(blob.digest()), span);
                Err(stopped)
            }
        }
    }

    async fn start_upload(&self, repository: &str) -> Result<String, Stopped> {
        let answer = self.send(self.server(), Method::POST, format!("/v2/{repository}/blobs/uploads/")).await;
        self.shared.client.expect(answer, &[202]).map(|answer| answer.location())
    }

    /// Bytes to the next server, with the range of a chunk that starts at `offset`.
    async fn send_bytes(&self, method: Method, path: String, body: Bytes, offset: Option<usize>) -> Answer {
        let mut headers = vec![("content-type", "application/octet-stream".to_owned())];
        if let Some(offset) = offset {
            headers.push(("content-range", format!("{offset}-{}", (offset + body.len()).max(1) - 1)));
        }
        let server = self.server();
        self.shared.client.send(server, Request { method, path, body, headers: &headers }).await
    }
}

pub(crate) fn blob_register(repository: &str, blob: Blob) -> String {
    format!("blob {repository}@{}", blob.digest())
}

fn with_digest(location: &str, digest: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}
