//! The tree as it is found: what a check of the whole volume looks at, link by link, and what it may mend.
//!
//! Absence is confirmed through freshly opened directories, as everywhere; any other failure is an error.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Storage, StorageError, directories,
    file_identity::FileIdentity,
    layout::{DATA, LINK},
    lookup,
};
use crate::oci::{Algorithm, Digest, RepositoryName, Tag};

/// Where a link is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The blob is in the repository.
    Layer(RepositoryName, Digest),
    /// The manifest is in the repository.
    Revision(RepositoryName, Digest),
    /// What the tag names.
    TagCurrent(RepositoryName, Tag),
    /// What the tag ever named.
    TagIndex(RepositoryName, Tag, Digest),
    /// Subject, then the manifest naming it.
    Referrer(RepositoryName, Digest, Digest),
}

/// What a link is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkContent {
    /// Not there.
    Absent,
    /// There, but not a digest and nothing else; so many bytes.
    Damaged(usize),
    /// A digest, to the byte.
    Names(Digest),
}

/// Files of a writer that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Path below `v2`.
    pub path: String,
    /// How long it has not been written, by the file server's clock.
    pub age: Duration,
}

/// The blobs of a directory that many share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// In order.
    pub blobs: Vec<Digest>,
    /// Paths below `v2` of what does not belong there.
    pub strange: Vec<String>,
}

impl Storage {
    /// The path of a link below `v2`.
    pub fn link_path(&self, place: &Place) -> String {
        self.below_v2(&self.directory_of(place).join(LINK))
    }

    /// The path of stored content below `v2`.
    pub fn content_path(&self, digest: &Digest) -> String {
        self.below_v2(&self.layout.blob_directory(digest).join(DATA))
    }

    fn below_v2(&self, path: &std::path::Path) -> String {
        path.strip_prefix(self.layout.v2()).unwrap_or(path).to_string_lossy().into_owned()
    }

    pub(super) fn directory_of(&self, place: &Place) -> std::path::PathBuf {
        match place {
            Place::Layer(name, digest) => self.layout.layer_link(name, digest),
            Place::Revision(name, digest) => self.layout.revision_link(name, digest),
            Place::TagCurrent(name, tag) => self.layout.tag_current(name, tag),
            Place::TagIndex(name, tag, digest) => self.layout.tag_index(name, tag, digest),
            Place::Referrer(name, subject, referrer) => self.layout.referrer_link(name, subject, referrer),
        }
    }

    /// Reads a link to the byte. The temporary files beside it are added to `leftovers`.
    pub fn inspect_link(
        &self,
        place: &Place,
        leftovers: &mut Vec<Leftover>,
    ) -> Result<LinkContent, StorageError> {
        let directory = self.directory_of(place);
        let names = lookup::names(self.layout.v2(), &directory)?.unwrap_or_default();
        self.note_temporaries(&directory, &names, leftovers)?;
        let Some(lookup::SmallFile { bytes, .. }) =
            lookup::read_small(self.layout.v2(), &directory.join(LINK))?
        else {
            return Ok(LinkContent::Absent);
        };
        let digest = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
        Ok(digest.map_or(LinkContent::Damaged(bytes.len()), LinkContent::Names))
    }

    /// Makes a link name what its own path says.
    pub fn rewrite_link(&self, place: &Place) -> Result<(), StorageError> {
        let digest = match place {
            Place::Layer(_, digest) | Place::Revision(_, digest) | Place::TagIndex(_, _, digest) => digest,
            Place::Referrer(_, _, referrer) => referrer,
            // Its path does not say what it named.
            Place::TagCurrent(..) => return Err(StorageError::NotFound),
        };
        let directory = self.directory_of(place);
        let permanent = directory.parent().unwrap_or(&directory);
        self.write_link(&directory, digest, permanent).map(drop)
    }

    /// The blobs a repository has a link directory for, in order.
    pub fn list_layers(&self, repository: &RepositoryName) -> Result<Vec<Digest>, StorageError> {
        self.sorted_digests(&self.layout.layers(repository))
    }

    /// The manifests a tag has an entry of in its index, in order.
    pub fn list_tag_index(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Vec<Digest>, StorageError> {
        self.sorted_digests(&self.layout.tag_indexes(repository, tag))
    }

    /// The subjects that a repository records referrers of, in order.
    pub fn list_subjects(&self, repository: &RepositoryName) -> Result<Vec<Digest>, StorageError> {
        self.sorted_digests(&self.layout.referrers_root(repository))
    }

    fn sorted_digests(&self, parent: &std::path::Path) -> Result<Vec<Digest>, StorageError> {
        let mut digests = self.list_digests(parent)?;
        digests.sort_unstable();
        Ok(digests)
    }

    /// The uploads of a repository that have not been written for `age`.
    pub fn abandoned_uploads(
        &self,
        repository: &RepositoryName,
        age: Duration,
    ) -> Result<Vec<Leftover>, StorageError> {
        let directory = self.layout.uploads(repository);
        let names = lookup::names(self.layout.v2(), &directory)?.unwrap_or_default();
        let mut abandoned = Vec::new();
        for name in names.iter().filter(|name| !is_of_nfs(name)) {
            let upload = directory.join(name);
            let mut youngest = self.age_in(&directory, name)?;
            for file in lookup::names(self.layout.v2(), &upload)?.unwrap_or_default() {
                youngest = youngest.min(self.age_in(&upload, &file)?.or(youngest));
            }
            if let Some(found) = youngest.filter(|found| *found >= age) {
                abandoned.push(Leftover { path: self.below_v2(&upload), age: found });
            }
        }
        Ok(abandoned)
    }

    /// Directories without which registry:2 does not see a repository, or deletes its data: those that are missing.
    pub fn missing_directories(&self, repository: &RepositoryName) -> Result<Vec<String>, StorageError> {
        let mut missing = Vec::new();
        for directory in self.layout.required_directories(repository) {
            if lookup::names(self.layout.v2(), &directory)?.is_none() {
                missing.push(self.below_v2(&directory));
            }
        }
        Ok(missing)
    }

    /// Makes the directories that a repository must have.
    pub fn complete_repository(&self, repository: &RepositoryName) -> Result<(), StorageError> {
        for directory in self.layout.required_directories(repository) {
            directories::make(self.layout.v2(), &directory)?;
            self.settle_permanent(&directory)?;
        }
        Ok(())
    }

    /// Removes what is left of a tag that names nothing; a push that comes back to it keeps it.
    pub fn remove_ghost_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        if self.read_tag(repository, tag)?.is_none() {
            self.remove_tag_directories(repository, tag);
        }
        Ok(())
    }

    /// The directories that blobs are in, in order; what does not belong beside them is added to `strange`.
    pub fn blob_shards(&self, strange: &mut Vec<String>) -> Result<Vec<(Algorithm, String)>, StorageError> {
        let blobs = self.layout.blobs();
        let mut shards = Vec::new();
        for name in lookup::names(self.layout.v2(), &blobs)?.unwrap_or_default() {
            let Ok(algorithm) = name.parse() else {
                strange.push(self.below_v2(&blobs.join(name)));
                continue;
            };
            let parent = blobs.join(&name);
            for shard in lookup::names(self.layout.v2(), &parent)?.unwrap_or_default() {
                if shard.len() == 2 && shard.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
                {
                    shards.push((algorithm, shard));
                } else if !is_of_nfs(&shard) {
                    strange.push(self.below_v2(&parent.join(shard)));
                }
            }
        }
        shards.sort_unstable();
        Ok(shards)
    }

    /// The blobs of one such directory.
    pub fn list_shard(&self, algorithm: Algorithm, shard: &str) -> Result<Shard, StorageError> {
        let directory = self.layout.blobs().join(algorithm.as_str()).join(shard);
        let mut found = Shard::default();
        for name in lookup::names(self.layout.v2(), &directory)?.unwrap_or_default() {
            match Digest::from_parts(algorithm, &name) {
                Ok(digest) if name.starts_with(shard) => found.blobs.push(digest),
                _ if is_of_nfs(&name) => {}
                _ => found.strange.push(self.below_v2(&directory.join(name))),
            }
        }
        found.blobs.sort_unstable();
        Ok(found)
    }

    /// Which file stored content is; `None` when the directory is empty. The temporary files beside it are added
    /// to `leftovers`.
    pub fn inspect_stored(
        &self,
        digest: &Digest,
        leftovers: &mut Vec<Leftover>,
    ) -> Result<Option<FileIdentity>, StorageError> {
        let directory = self.layout.blob_directory(digest);
        let names = lookup::names(self.layout.v2(), &directory)?.unwrap_or_default();
        self.note_temporaries(&directory, &names, leftovers)?;
        self.find_stored(digest)
    }

    /// The path below `v2` of a file that was set aside.
    pub fn set_aside_name(&self, aside: &super::SetAsideFile) -> String {
        self.below_v2(&self.layout.damaged().join(&aside.name))
    }

    fn note_temporaries(
        &self,
        directory: &std::path::Path,
        names: &[String],
        leftovers: &mut Vec<Leftover>,
    ) -> Result<(), StorageError> {
        // Those of registry:2 3.x have no dot before them. What is in our own private directory is not listed.
        let temporary = |name: &&String| name.ends_with(".tmp") && !is_of_nfs(name);
        for name in names.iter().filter(temporary).collect::<BTreeSet<_>>() {
            if let Some(age) = self.age_in(directory, name)? {
                leftovers.push(Leftover { path: self.below_v2(&directory.join(name)), age });
            }
        }
        Ok(())
    }
}

/// What an NFS client leaves of a file that was removed while open.
fn is_of_nfs(name: &str) -> bool {
    name.starts_with(".nfs")
}
