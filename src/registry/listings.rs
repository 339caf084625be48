//! What there is: repositories and tags, by page.

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
}
