//! The repositories of a volume, in the order of registry:2: by path components, so `a`, `a/b`, `a-b`.

use std::path::Path;

use super::{Storage, error::StorageError};
use crate::oci::RepositoryName;

impl Storage {
    /// At most `limit` repositories after `last`, which need not exist.
    ///
    /// Only the directories on the way are listed: the cost is that of the page, not of the volume.
    pub fn list_repositories(
        &self,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StorageError> {
        let last: Option<Vec<&str>> = last.map(|last| last.split('/').collect());
        let mut walk = Walk { storage: self, limit, found: Vec::new() };
        walk.descend(&self.layout.repositories(), "", last.as_deref())?;
        Ok(walk.found)
    }
}

struct Walk<'a> {
    storage: &'a Storage,
    limit: usize,
    found: Vec<RepositoryName>,
}

impl Walk<'_> {
    /// Lists `directory`, whose name is `name`. `last` is what is left of the starting point below it: `None`
    /// when everything here comes after it, empty when it is this very directory.
    fn descend(&mut self, directory: &Path, name: &str, last: Option<&[&str]>) -> Result<(), StorageError> {
        let Some(names) = self.storage.names.list(self.storage.layout.v2(), directory)? else {
            return Ok(());
        };
        let is_repository = ["_manifests", "_layers"].iter().any(|name| names.contains(name));
        if is_repository
            && last.is_none()
            && let Ok(name) = name.parse()
        {
            self.found.push(name);
        }
        let first = last.and_then(<[_]>::first).copied();
        for child in names.from(first.unwrap_or_default()).filter(|name| RepositoryName::is_component(name)) {
            if self.found.len() >= self.limit {
                break;
            }
            let below = match last {
                Some([first, rest @ ..]) if child == *first => Some(rest),
                _ => None,
            };
            let path = if name.is_empty() { child.to_owned() } else { format!("{name}/{child}") };
            if path.len() <= RepositoryName::MAX_LENGTH {
                self.descend(&directory.join(child), &path, below)?;
            }
        }
        Ok(())
    }
}
