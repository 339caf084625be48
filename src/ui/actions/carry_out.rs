//! Taking tags off and deleting manifests, each with a note of it; of what stays, nothing that it lists goes either.

use std::collections::{HashMap, HashSet};

use super::super::{Ui, response::Failure, visitor::Viewer};
use crate::{
    oci::{Digest, RepositoryName, Tag},
    registry::{Action, ConditionalDeletion, JournalEntry, RepositoryView},
};

/// Manifests taken out in one call on the volume: a call has a deadline, and what it did must be noted.
const AT_ONCE: usize = 100;

impl Ui {
    /// Deletes manifests of a view with those tags of them that are in `allowed`. What lists others goes first: at no
    /// moment is there an index of which parts are gone. What another tag names stays, with all that it lists.
    pub(super) async fn delete_manifests(
        &self,
        viewer: &Viewer,
        view: &RepositoryView,
        digests: &[Digest],
        allowed: &[Tag],
    ) -> Result<ConditionalDeletion, Failure> {
        let mut all = ConditionalDeletion::default();
        let mut needed = HashSet::new();
        for level in levels(view, digests) {
            let going: Vec<Digest> = level.into_iter().filter(|digest| !needed.contains(digest)).collect();
            for part in going.chunks(AT_ONCE) {
                let done = self.registry.delete_manifests_if(view.name(), part, allowed).await?;
                self.note_deletions(viewer, view.name(), &done).await;
                for (_, digest) in &done.kept {
                    add_listed(view, digest, &mut needed);
                }
                all.deleted.extend(done.deleted);
                all.untagged.extend(done.untagged);
                all.kept.extend(done.kept);
            }
        }
        Ok(all)
    }

    /// Takes a tag off if it names `digest` still. Says whether it did.
    pub(super) async fn take_off(
        &self,
        viewer: &Viewer,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<bool, Failure> {
        let taken = self.registry.delete_tag_if(name, tag, digest).await?;
        if taken {
            self.note_deletion(JournalEntry {
                repository: Some(name.clone()),
                tag: Some(tag.clone()),
                was: Some(digest.clone()),
                ..viewer.entry(Action::Untag)
            })
            .await;
        }
        Ok(taken)
    }

    async fn note_deletions(&self, viewer: &Viewer, name: &RepositoryName, done: &ConditionalDeletion) {
        let entry = |action, tag: Option<&Tag>, was: &Digest| JournalEntry {
            repository: Some(name.clone()),
            tag: tag.cloned(),
            was: Some(was.clone()),
            ..viewer.entry(action)
        };
        for digest in &done.deleted {
            self.note_deletion(entry(Action::Delete, None, digest)).await;
        }
        for (tag, digest) in &done.untagged {
            let untagged = entry(Action::Untag, Some(tag), digest);
            // Who is told of a manifest is told of its tags with that.
            if done.deleted.contains(digest) {
                self.note(untagged);
            } else {
                self.note_deletion(untagged).await;
            }
        }
    }
}

/// `digests` in parts, of which each lists only what is in a later one.
fn levels(view: &RepositoryView, digests: &[Digest]) -> Vec<Vec<Digest>> {
    let all: HashSet<&Digest> = digests.iter().collect();
    let listing =
        |digest: &Digest| view.indexes_of(digest).filter(|index| all.contains(&index.digest)).count();
    let mut left: HashMap<&Digest, usize> = all.iter().map(|digest| (*digest, listing(digest))).collect();
    let mut level: Vec<&Digest> = digests.iter().filter(|digest| left[digest] == 0).collect();
    let mut levels = Vec::new();
    while !level.is_empty() {
        let mut next = Vec::new();
        for digest in &level {
            let children = view.manifest(digest).map(|manifest| manifest.children.as_slice());
            let once: HashSet<&Digest> = children.unwrap_or_default().iter().collect();
            for child in once {
                if let Some(count) = left.get_mut(child) {
                    *count -= 1;
                    next.extend((*count == 0).then_some(child));
                }
            }
        }
        levels.push(level.into_iter().cloned().collect());
        level = next;
    }
    levels
}

/// Adds what a manifest lists, and what that lists in turn.
fn add_listed(view: &RepositoryView, digest: &Digest, found: &mut HashSet<Digest>) {
    let mut waiting = vec![digest.clone()];
    while let Some(digest) = waiting.pop() {
        let Some(manifest) = view.manifest(&digest) else { continue };
        waiting.extend(manifest.children.iter().filter(|child| found.insert((*child).clone())).cloned());
    }
}
