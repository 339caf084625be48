//! Tags: one directory each, whose `current/link` names a manifest. The rename of that link is the moment a
//! tag moves, for every server.
//!
//! The file system has no "remove if it still says that". So a delete of a manifest takes the link of a tag aside,
//! looks at it, and puts it back when a push has moved the tag meanwhile. Should the server die between, the link
//! that was taken aside is still what the tag names: it counts where there is no `current/link`. One that was
//! taken aside before the link that is there now was written counts no more, and goes with the next delete.

use std::{path::Path, time::SystemTime};

use uuid::Uuid;

use super::{
    Storage, atomic_file,
    directory_names::{Names, SortedNames},
    error::StorageError,
    file_identity::FileIdentity,
    layout::LINK,
    leftovers::Leftover,
    lookup,
};
use crate::oci::{Digest, RepositoryName, Tag};

/// How the name of a link begins that a delete has taken aside.
pub(super) const TAKEN_ASIDE: &str = ".deleted.";

/// What a tag names, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagLink {
    /// The manifest.
    pub digest: Digest,
    /// When the tag was last written, by the clock of the file server.
    pub written: SystemTime,
    /// The file that says so, while it is the tag's own: as long as it is there, nobody has deleted the manifest since
    /// it was written, since a delete takes the tags first.
    pub file: Option<FileIdentity>,
}

/// What writing a tag did.
#[derive(Debug)]
pub struct TagWrite {
    /// Whether it named something else before, or was not there.
    pub moved: bool,
    /// What it named before.
    pub was: Option<Digest>,
    /// Why it may not survive a power cut, though it names the manifest now.
    pub failure: Option<StorageError>,
}

impl Storage {
    /// What a tag names now: read from the volume each time, since another server may have moved it.
    pub fn read_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        Ok(self.read_tag_link(repository, tag)?.map(|link| link.digest))
    }

    /// What a tag names, and since when.
    pub fn read_tag_link(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<TagLink>, StorageError> {
        let directory = self.layout.tag_current(repository, tag);
        let Some(link) = self.read_link(&directory)? else { return self.read_taken_aside(&directory) };
        let written = link.identity.modified();
        Ok(Some(TagLink { digest: link.digest, written, file: Some(link.identity) }))
    }

    /// Points a tag at a manifest of the repository, durably but for [`TagWrite::failure`]. Of writers at once the last
    /// rename wins.
    ///
    /// registry:2 keeps beside it what a tag once named (`index`). No answer of it depends on that, and its collections
    /// only remove entries there: it is not kept.
    pub fn write_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<TagWrite, StorageError> {
        let current = self.layout.tag_current(repository, tag);
        let put = atomic_file::put(self.layout.v2(), &current, LINK, digest.as_str().as_bytes())?;
        let failure = self.settle_put(&current.join(LINK), &put, &self.layout.tags(repository)).err();
        let was =
            put.replaced.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()?.trim().parse().ok());
        Ok(TagWrite { moved: !put.was_there(), was, failure })
    }

    /// Removes a tag; the manifest stays. `Ok(false)` when there was none.
    pub fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, StorageError> {
        Ok(self.take_tag(repository, tag)?.is_some())
    }

    /// Removes a tag, and says what it named when that could be read. `None` when there was none.
    pub fn take_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Option<Digest>>, StorageError> {
        let current = self.layout.tag_current(repository, tag);
        let aside = self.taken_aside(&current)?;
        let named = self.read_link(&current)?;
        if named.is_some() {
            self.remove_all(&current, &aside)?;
        }
        let removed = atomic_file::remove(self.layout.v2(), &current.join(LINK))?;
        let was_aside = !removed && self.remove_all(&current, &aside)?;
        if removed || was_aside {
            self.settle_removal(&current)?;
        }
        // Also when there was none: a crash may have left a tag that is listed and names nothing, and this takes it
        // off the list. It counts as absent all the same, since it may as well be a push on its way.
        self.remove_tag_directories(repository, tag);
        Ok((removed || was_aside).then(|| named.map(|link| link.digest)))
    }

    /// Removes a tag if it names `digest`, without harm to a push that moves it meanwhile. `Ok(false)` when it did not.
    pub fn delete_tag_if(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        self.delete_tag_when(repository, tag, digest, || Ok(true))
    }

    /// Removes a tag if it names `digest` and this manifest is not in the repository.
    ///
    /// A push links its manifest before it writes its tag. So a tag whose manifest is seen to be absent after the tag
    /// was taken aside is none that a push has just written: its manifest was deleted since, or the push, which looks
    /// after it has written its tags, publishes them once more.
    pub fn delete_dangling_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        self.delete_tag_when(repository, tag, digest, || Ok(!self.has_manifest(repository, digest)?))
    }

    /// Removes a tag if it names `digest`, and if so it may, asked when it is in our hands.
    fn delete_tag_when(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        may: impl Fn() -> Result<bool, StorageError>,
    ) -> Result<bool, StorageError> {
        if self.read_tag(repository, tag)?.as_ref() != Some(digest) || !may()? {
            return Ok(false);
        }
        let current = self.layout.tag_current(repository, tag);
        let link = current.join(LINK);
        let superseded = self.taken_aside(&current)?;
        let aside = current.join(format!("{TAKEN_ASIDE}{}", Uuid::new_v4().simple()));
        // Taken aside first and looked at then: between the look above and an unlink the tag may have moved.
        match atomic_file::rename(&link, &aside, || aside.exists()) {
            Err(StorageError::NotFound) => {
                return self.forget_taken_aside(repository, tag, digest).map(|()| true);
            }
            result => result?,
        }
        self.remove_all(&current, &superseded)?;
        let taken = lookup::read_small(self.layout.v2(), &aside)?;
        let is_named = |taken: &lookup::SmallFile| taken.bytes == digest.as_str().as_bytes();
        let stays = taken.is_some_and(|taken| !is_named(&taken)) || !may()?;
        if stays {
            // A push moved it, or it is not to go: put it back, unless a still newer one is there already.
            atomic_file::link_if_absent(&aside, &link)?;
            self.settle_removal(&current)?;
        }
        atomic_file::remove(self.layout.v2(), &aside)?;
        self.settle_removal(&current)?;
        if !link.exists() {
            self.remove_tag_directories(repository, tag);
        }
        Ok(!stays)
    }

    /// Finishes a delete that died with the link of `digest` taken aside.
    fn forget_taken_aside(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let current = self.layout.tag_current(repository, tag);
        for name in self.taken_aside(&current)? {
            let path = current.join(name);
            let taken = lookup::read_small(self.layout.v2(), &path)?;
            if taken.is_some_and(|taken| taken.bytes == digest.as_str().as_bytes()) {
                atomic_file::remove(self.layout.v2(), &path)?;
                self.settle_removal(&current)?;
            }
        }
        if self.read_tag(repository, tag)?.is_none() {
            self.remove_tag_directories(repository, tag);
        }
        Ok(())
    }

    /// Names of the links in `current` that were taken aside.
    fn taken_aside(&self, current: &Path) -> Result<Vec<String>, StorageError> {
        let names = lookup::names(self.layout.v2(), current)?.unwrap_or_default();
        Ok(names.into_iter().filter(|name| name.starts_with(TAKEN_ASIDE)).collect())
    }

    /// What the newest link says that was taken aside.
    fn read_taken_aside(&self, current: &Path) -> Result<Option<TagLink>, StorageError> {
        let mut newest: Option<TagLink> = None;
        for name in self.taken_aside(current)? {
            let path = current.join(name);
            let Some(file) = lookup::read_small(self.layout.v2(), &path)? else { continue };
            let digest = std::str::from_utf8(&file.bytes).ok().and_then(|text| text.parse().ok());
            let written = file.identity.modified();
            if let Some(digest) = digest
                && newest.as_ref().is_none_or(|newest| newest.written < written)
            {
                newest = Some(TagLink { digest, written, file: None });
            }
        }
        Ok(newest)
    }

    /// Removes files of a directory; whether one of them was there.
    fn remove_all(&self, directory: &Path, names: &[String]) -> Result<bool, StorageError> {
        let mut removed = false;
        for name in names {
            removed |= atomic_file::remove(self.layout.v2(), &directory.join(name))?;
        }
        Ok(removed)
    }

    /// The tags of a repository, in byte order, read from the volume each time: for who changes them. `None` when there
    /// is no such repository.
    pub fn list_tags(&self, repository: &RepositoryName) -> Result<Option<Vec<Tag>>, StorageError> {
        let Some(names) = lookup::names(self.layout.v2(), &self.layout.tags(repository))? else {
            return Ok(None);
        };
        let mut tags: Vec<Tag> = names.iter().filter_map(|name| name.parse().ok()).collect();
        tags.sort_unstable();
        Ok(Some(tags))
    }

    /// At most `limit` tags of a repository after `last`, which need not exist, in byte order; `None` when there is no
    /// such repository.
    pub fn list_tags_after(
        &self,
        repository: &RepositoryName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<Tag>>, StorageError> {
        let names = self.names.list(self.layout.v2(), &self.layout.tags(repository))?;
        let tags = |names: &SortedNames| {
            let after = names.from(last.unwrap_or_default()).filter(|name| Some(*name) != last);
            after.filter_map(|name| name.parse().ok()).take(limit).collect()
        };
        Ok(names.as_deref().map(tags))
    }

    /// The names of the tags of a repository, to be compared with those of a moment ago; `None` when there is no such
    /// repository.
    pub fn tag_names(&self, repository: &RepositoryName) -> Result<Option<Names>, StorageError> {
        Ok(self.names.list(self.layout.v2(), &self.layout.tags(repository))?.map(Names))
    }

    /// How many tags a repository has; `None` when there is no such repository.
    pub fn count_tags(&self, repository: &RepositoryName) -> Result<Option<usize>, StorageError> {
        let names = self.names.list(self.layout.v2(), &self.layout.tags(repository))?;
        Ok(names.map(|names| names.iter().filter(|name| Tag::is_tag(name)).count()))
    }

    /// Removes what is left of a deleted tag, which would go on being listed.
    pub(super) fn remove_tag_directories(&self, repository: &RepositoryName, tag: &Tag) {
        Leftover::Tag(self.layout.tag(repository, tag)).clear();
    }
}
