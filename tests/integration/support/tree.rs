//! A volume as registry:2 writes it, made file by file; and what goes wrong with one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pakhuis::oci::{Algorithm, Digest};

use super::Image;

/// The tree below a rootdirectory.
pub(crate) struct Tree {
    v2: PathBuf,
}

impl Tree {
    /// The tree of a rootdirectory, with the two directories that are always there.
    pub(crate) fn at(root: &Path) -> Self {
        let v2 = root.join("docker/registry/v2");
        for directory in ["blobs", "repositories"] {
            fs::create_dir_all(v2.join(directory)).unwrap();
        }
        Self { v2 }
    }

    pub(crate) fn v2(&self) -> &Path {
        &self.v2
    }

    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        self.v2.join("repositories").join(name)
    }

    /// The bytes of content.
    pub(crate) fn data(&self, digest: &Digest) -> PathBuf {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.encoded());
        self.v2.join("blobs").join(algorithm).join(&hex[..2]).join(hex).join("data")
    }

    pub(crate) fn layer(&self, repository: &str, digest: &Digest) -> PathBuf {
        self.link(repository, "_layers", digest)
    }

    pub(crate) fn revision(&self, repository: &str, digest: &Digest) -> PathBuf {
        self.link(repository, "_manifests/revisions", digest)
    }

    fn link(&self, repository: &str, kind: &str, digest: &Digest) -> PathBuf {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.encoded());
        self.repository(repository).join(kind).join(algorithm).join(hex).join("link")
    }

    pub(crate) fn tag(&self, repository: &str, tag: &str) -> PathBuf {
        self.repository(repository).join("_manifests/tags").join(tag).join("current/link")
    }

    /// Puts a blob into a repository, as registry:2 does.
    pub(crate) fn add_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        write(&self.data(&digest), bytes);
        write(&self.layer(repository, &digest), digest.as_str().as_bytes());
        fs::create_dir_all(self.repository(repository).join("_uploads")).unwrap();
        digest
    }

    /// Puts an image into a repository, under a tag or under its digest alone, as registry:2 does.
    pub(crate) fn add_image(&self, repository: &str, tag: Option<&str>, image: &Image) -> Digest {
        for blob in &image.blobs {
            self.add_blob(repository, blob);
        }
        let digest = image.digest();
        write(&self.data(&digest), &image.manifest);
        write(&self.revision(repository, &digest), digest.as_str().as_bytes());
        fs::create_dir_all(self.repository(repository).join("_manifests/tags")).unwrap();
        if let Some(tag) = tag {
            let current = self.tag(repository, tag);
            let index = current.parent().unwrap().parent().unwrap().join("index");
            write(&index.join("sha256").join(digest.encoded()).join("link"), digest.as_str().as_bytes());
            write(&current, digest.as_str().as_bytes());
        }
        digest
    }

    /// Deletes a manifest as registry:2 does: its directory stays, and so does the content until a collection.
    pub(crate) fn delete_manifest(&self, repository: &str, digest: &Digest) {
        fs::remove_file(self.revision(repository, digest)).unwrap();
    }
}

/// Writes a file with the directories it needs.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
