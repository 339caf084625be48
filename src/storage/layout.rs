//! The only place where a path on the volume is built.
//!
//! ```text
//! <v2>/blobs/<alg>/<first two hex>/<hex>/data                       bytes of a layer, configuration or manifest
//! <v2>/repositories/<name>/_layers/<alg>/<hex>/link                 the blob is in the repository
//! <v2>/repositories/<name>/_manifests/revisions/<alg>/<hex>/link    the manifest is in the repository
//! <v2>/repositories/<name>/_manifests/tags/<tag>/current/link       what the tag names
//! <v2>/repositories/<name>/_manifests/tags/<tag>/index/<alg>/<hex>/link   registry:2's: what the tag ever named
//! <v2>/repositories/<name>/_uploads/<id>/{startedat,data,state}     an upload session
//! <v2>/repositories/<name>/_referrers/<alg>/<hex>/<alg>/<hex>/link  ours: subject, then the manifest naming it
//! <v2>/repositories/<name>/_referrers/subjects                     ours: what each manifest names as its subject
//! <v2>/.pakhuis/                                                    ours: what several servers share
//! <v2>/.pakhuis/summaries/<alg>/<first two hex>/<hex>               ours: what pages show of a manifest
//! <v2>/.pakhuis/journal/<year-month-day>/<process>                  ours: which tag was moved when and by whom
//! <v2>/.pakhuis/damaged/<alg>-<hex>-<random>                        ours: content that is not what its digest says
//! ```
//!
//! Each `link` is a digest without a newline. The last six lines are ours, and `state` of an upload; all else is
//! the tree of registry:2, which skips directories that begin with `_` in a repository and never looks beside
//! `blobs` and `repositories`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::oci::{Algorithm, Digest, RepositoryName, Tag, UploadId};

/// Name of the file that holds a blob's bytes.
pub(super) const DATA: &str = "data";
/// Name of a link file.
pub(super) const LINK: &str = "link";
/// Name of the file whose presence is an upload session, to registry:2.
pub(super) const STARTED_AT: &str = "startedat";
/// Name of the file that says what of an upload was acknowledged.
pub(super) const STATE: &str = "state";
/// Name of the file that remembers the subjects of a repository's manifests.
pub(super) const SUBJECTS: &str = "subjects";

/// Where the doctor may make names: in our private directory or, where there is none yet, beside where it will be, so
/// that it does not look as if the volume had been in use.
#[derive(Clone, Debug)]
pub(super) struct DoctorDirectory {
    parent: PathBuf,
    prefix: &'static str,
}

impl DoctorDirectory {
    /// `v2` as it was found; `None` below a root that holds no registry.
    pub(super) fn new(root: &Path, v2: Option<&Path>) -> Self {
        let private = v2.map(|v2| Layout::new(v2.to_path_buf()).private());
        match private.filter(|private| private.is_dir()) {
            Some(parent) => Self { parent, prefix: "doctor-" },
            None => Self { parent: v2.unwrap_or(root).to_path_buf(), prefix: ".pakhuis-doctor-" },
        }
    }

    /// The directory in which all of it is.
    pub(super) fn parent(&self) -> &Path {
        &self.parent
    }

    /// The directory of one run, which has an id of 32 hexadecimal digits.
    pub(super) fn scratch(&self, id: &str) -> PathBuf {
        self.parent.join(format!("{}{id}", self.prefix))
    }

    /// Whether a name in the parent is the directory of a run.
    pub(super) fn is_scratch(&self, name: &OsStr) -> bool {
        name.to_str()
            .and_then(|name| name.strip_prefix(self.prefix))
            .is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    /// Where the doctors of two hosts meet.
    pub(super) fn meeting(&self) -> PathBuf {
        self.parent.join(format!("{}meeting", self.prefix))
    }
}

/// Paths below one `v2` directory.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    v2: PathBuf,
}

impl Layout {
    pub(super) fn new(v2: PathBuf) -> Self {
        Self { v2 }
    }

    /// The directory everything is below.
    pub(super) fn v2(&self) -> &Path {
        &self.v2
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.v2.join("blobs")
    }

    pub(super) fn repositories(&self) -> PathBuf {
        self.v2.join("repositories")
    }

    /// Whether a directory is as old as the volume, so that a volume without it is not there.
    pub(super) fn is_permanent(&self, directory: &Path) -> bool {
        directory == self.blobs() || directory == self.repositories()
    }

    /// Our private directory, which a volume that only registry:2 has served does not have.
    pub(super) fn private(&self) -> PathBuf {
        self.v2.join(".pakhuis")
    }

    /// Where the summaries of manifests are.
    pub(super) fn summaries(&self) -> PathBuf {
        self.private().join("summaries")
    }

    /// The directory of the summary of a manifest; the file is named by the rest of the digest.
    pub(super) fn summary_shard(&self, digest: &Digest) -> PathBuf {
        let mut path = self.summaries();
        path.push(digest.algorithm().as_str());
        path.push(&digest.encoded()[..2]);
        path
    }

    /// Where the journal is: a directory a day, in it a file a process.
    pub(super) fn journal(&self) -> PathBuf {
        self.private().join("journal")
    }

    /// Where damaged content is set aside.
    pub(super) fn damaged(&self) -> PathBuf {
        self.private().join("damaged")
    }

    /// The directory of a blob; its parent is a shard shared by many.
    pub(super) fn blob_directory(&self, digest: &Digest) -> PathBuf {
        let mut path = self.blobs();
        path.push(digest.algorithm().as_str());
        path.push(&digest.encoded()[..2]);
        path.push(digest.encoded());
        path
    }

    pub(super) fn repository(&self, name: &RepositoryName) -> PathBuf {
        let mut path = self.repositories();
        path.extend(name.components());
        path
    }

    pub(super) fn layers(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_layers")
    }

    /// The directory of the link that puts a blob into a repository.
    pub(super) fn layer_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        by_digest(self.layers(name), digest)
    }

    pub(super) fn revisions(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_manifests/revisions")
    }

    /// The directory of the link that puts a manifest into a repository.
    pub(super) fn revision_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        by_digest(self.revisions(name), digest)
    }

    pub(super) fn tags(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_manifests/tags")
    }

    pub(super) fn tag(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tags(name).join(tag.as_str())
    }

    /// The directory of the link that says what a tag names now.
    pub(super) fn tag_current(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tag(name, tag).join("current")
    }

    /// The directory of a link that says what a tag once named.
    pub(super) fn tag_index(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> PathBuf {
        by_digest(self.tag_indexes(name, tag), digest)
    }

    pub(super) fn tag_indexes(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tag(name, tag).join("index")
    }

    /// Without these registry:2 does not see a repository, or deletes its data when it collects garbage.
    pub(super) fn required_directories(&self, name: &RepositoryName) -> [PathBuf; 3] {
        [self.revisions(name), self.tags(name), self.layers(name)]
    }

    pub(super) fn uploads(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_uploads")
    }

    pub(super) fn upload(&self, name: &RepositoryName, upload: &UploadId) -> PathBuf {
        self.uploads(name).join(upload.to_string())
    }

    /// The directory of all we add to a repository. A directory, since registry:2 stops at a file that begins
    /// with `_` and then deletes the data of the repository.
    pub(super) fn referrers_root(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_referrers")
    }

    /// The directory below which the referrers of a subject are, for one algorithm of the referrer.
    pub(super) fn referrers(&self, name: &RepositoryName, subject: &Digest, algorithm: Algorithm) -> PathBuf {
        by_digest(self.referrers_root(name), subject).join(algorithm.as_str())
    }

    /// The directory of the link from a subject to one referrer.
    pub(super) fn referrer_link(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> PathBuf {
        self.referrers(name, subject, referrer.algorithm()).join(referrer.encoded())
    }
}

fn by_digest(mut parent: PathBuf, digest: &Digest) -> PathBuf {
    parent.push(digest.algorithm().as_str());
    parent.push(digest.encoded());
    parent
}
