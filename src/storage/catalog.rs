//! The repositories of a volume, in the order of registry:2: by path components, so `a`, `a/b`, `a-b`.

use std::path::Path;

use super::{Storage, directory_names::SortedNames, error::StorageError, lookup};
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
        let directory = self.layout.repositories();
        if let Some(names) = self.names.list(self.layout.v2(), &directory)? {
            walk.descend(&directory, &names, "", last.as_deref())?;
        }
        Ok(walk.found)
    }
}

struct Walk<'a> {
    storage: &'a Storage,
    limit: usize,
    found: Vec<RepositoryName>,
}

impl Walk<'_> {
    /// Takes in `directory`, which has `names` and whose own name is `name`. `last` is what is left of the starting
    /// point below it: `None` when everything here comes after it, empty when it is this very directory.
    fn descend(
        &mut self,
        directory: &Path,
        names: &SortedNames,
        name: &str,
        last: Option<&[&str]>,
    ) -> Result<(), StorageError> {
        let is_repository = ["_manifests", "_layers"].iter().any(|name| names.contains(name));
        if is_repository
            && last.is_none()
            && let Ok(name) = name.parse()
        {
            self.found.push(name);
        }
        let first = last.and_then(<[_]>::first).copied();
        let children = names.from(first.unwrap_or_default());
        let mut children = children.filter(|name| RepositoryName::is_component(name)).peekable();
        if children.peek().is_none() {
            return Ok(());
        }
        let root = self.storage.layout.v2();
        let Some(opened) = lookup::open_to_list(root, directory)? else { return Ok(()) };
        for child in children {
            if self.found.len() >= self.limit {
                break;
            }
            let below = match last {
                Some([first, rest @ ..]) if child == *first => Some(rest),
                _ => None,
            };
            let path = if name.is_empty() { child.to_owned() } else { format!("{name}/{child}") };
            if path.len() > RepositoryName::MAX_LENGTH {
                continue;
            }
            let directory = directory.join(child);
            if let Some(names) = self.storage.names.list_in(root, &opened, &directory)? {
                self.descend(&directory, &names, &path, below)?;
            }
        }
        Ok(())
    }
}
