//! Tags: one directory each, whose `current/link` names a manifest. The rename of that link is the moment a
//! tag moves, for every server.

use std::time::SystemTime;

use uuid::Uuid;

use super::{
    Storage, atomic_file,
    error::{IoContext, StorageError},
    layout::LINK,
};
use crate::oci::{Digest, RepositoryName, Tag};

/// What a tag names, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagLink {
    /// The manifest.
    pub digest: Digest,
    /// When the tag was last written, by the clock of the file server.
    pub written: SystemTime,
}

impl Storage {
    /// What a tag names now: read from the volume each time, since another server may have moved it.
    pub fn read_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        self.read_link(&self.layout.tag_current(repository, tag))
    }

    /// What a tag names, and since when.
    pub fn read_tag_link(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<TagLink>, StorageError> {
        let directory = self.layout.tag_current(repository, tag);
        let Some(digest) = self.read_link(&directory)? else { return Ok(None) };
        let path = directory.join(LINK);
        let Some(file) = atomic_file::open(self.layout.v2(), &path)? else { return Ok(None) };
        let written = file.metadata().and_then(|metadata| metadata.modified()).context("look up", &path)?;
        Ok(Some(TagLink { digest, written }))
    }

    /// Points a tag at a manifest of the repository, durably. Of writers at once the last rename wins.
    pub fn write_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.write_link(&self.layout.tag_index(repository, tag, digest), digest)?;
        self.write_link(&self.layout.tag_current(repository, tag), digest)
    }

    /// Removes a tag; the manifest stays. `Ok(false)` when there was none.
    pub fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, StorageError> {
        let current = self.layout.tag_current(repository, tag);
        let removed = atomic_file::remove(self.layout.v2(), &current.join(LINK))?;
        if removed {
            atomic_file::sync_what_is_left(&current)?;
            self.remove_tag_directories(repository, tag);
            return Ok(true);
        }
        // A crash may have left a tag that is listed and names nothing; deleting it takes it off the list.
        let is_listed = atomic_file::names(self.layout.v2(), &self.layout.tag(repository, tag))?.is_some();
        if is_listed {
            self.remove_tag_directories(repository, tag);
        }
        Ok(is_listed)
    }

    /// Removes a tag if it names `digest`, without harm to a push that moves it meanwhile.
    pub fn delete_tag_if(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        if self.read_tag(repository, tag)?.as_ref() != Some(digest) {
            return Ok(());
        }
        let current = self.layout.tag_current(repository, tag);
        let (link, aside) =
            (current.join(LINK), current.join(format!(".deleted.{}", Uuid::new_v4().simple())));
        // Taken aside first and looked at then: between the look above and an unlink the tag may have moved.
        match atomic_file::rename(&link, &aside, || aside.exists()) {
            Err(StorageError::NotFound) => return Ok(()),
            result => result?,
        }
        let taken = atomic_file::read_small(self.layout.v2(), &aside)?;
        if taken.is_some_and(|bytes| bytes != digest.as_str().as_bytes()) {
            // A push moved it: put it back, unless a still newer one is there already.
            atomic_file::link_if_absent(&aside, &link)?;
        }
        atomic_file::remove_leftover(&aside);
        atomic_file::sync_what_is_left(&current)?;
        if !link.exists() {
            self.remove_tag_directories(repository, tag);
        }
        Ok(())
    }

    /// The tags of a repository, in byte order; `None` when there is no such repository.
    pub fn list_tags(&self, repository: &RepositoryName) -> Result<Option<Vec<Tag>>, StorageError> {
        let Some(names) = atomic_file::names(self.layout.v2(), &self.layout.tags(repository))? else {
            return Ok(None);
        };
        let mut tags: Vec<Tag> = names.iter().filter_map(|name| name.parse().ok()).collect();
        tags.sort_unstable();
        Ok(Some(tags))
    }

    /// Removes what is left of a deleted tag. A push that comes back to the tag meanwhile keeps its files: its
    /// `current` is not empty, and its entry in `index` is not needed to read the tag.
    fn remove_tag_directories(&self, repository: &RepositoryName, tag: &Tag) {
        let directory = self.layout.tag(repository, tag);
        let current = directory.join("current");
        atomic_file::remove_old_temporaries(&current);
        atomic_file::remove_directory_if_empty(&current);
        if !current.exists() {
            atomic_file::remove_leftover_tree(&directory.join("index"));
            atomic_file::remove_directory_if_empty(&directory);
        }
    }
}
