//! What there is: repositories and tags, by page.

use std::time::SystemTime;

use super::{Registry, RegistryError, blocking::Work};
use crate::{
    oci::{RepositoryName, Tag},
    storage::Storage,
};

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, in order.
    pub items: Vec<T>,
    /// Whether there are entries after them.
    pub more: bool,
}

impl<T> Page<T> {
    /// The first `limit` of `items`, which are all that are left, or all up to one more than `limit`.
    fn cut(mut items: Vec<T>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

/// A repository at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepositoryOverview {
    /// How many tags it has.
    pub tag_count: usize,
    /// When a tag of it was last written, by the clock of the file server; of at most 1000 tags.
    pub last_pushed: Option<SystemTime>,
}

/// Most tags looked at for the time of the last push.
const OVERVIEW_TAGS: usize = 1000;

impl Registry {
    /// Tags of a repository after `last`, which need not exist, in byte order.
    pub async fn tags(
        &self,
        repository: &RepositoryName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Page<Tag>, RegistryError> {
        let (name, last) = (repository.clone(), last.map(str::to_owned));
        let list =
            move |storage: &Storage| storage.list_tags_after(&name, last.as_deref(), limit.saturating_add(1));
        let tags = self.storage(Work::Lookup, list).await?;
        Ok(Page::cut(tags.ok_or_else(|| RegistryError::NameUnknown(repository.clone()))?, limit))
    }

    /// Repositories after `last`, which need not exist, in the order of their path components.
    pub async fn repositories(
        &self,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, RegistryError> {
        let last = last.map(str::to_owned);
        let list =
            move |storage: &Storage| storage.list_repositories(last.as_deref(), limit.saturating_add(1));
        Ok(Page::cut(self.storage(Work::Lookup, list).await?, limit))
    }

    /// A repository at a glance, for the catalogue page.
    pub async fn repository_overview(
        &self,
        repository: &RepositoryName,
    ) -> Result<RepositoryOverview, RegistryError> {
        let name = repository.clone();
        let look = move |storage: &Storage| {
            let Some(tag_count) = storage.count_tags(&name)? else { return Ok(None) };
            let mut last_pushed = None;
            for tag in storage.list_tags_after(&name, None, OVERVIEW_TAGS)?.unwrap_or_default() {
                last_pushed = last_pushed.max(storage.read_tag_link(&name, &tag)?.map(|link| link.written));
            }
            Ok(Some(RepositoryOverview { tag_count, last_pushed }))
        };
        self.storage(Work::Lookup, look).await?.ok_or_else(|| RegistryError::NameUnknown(repository.clone()))
    }
}
