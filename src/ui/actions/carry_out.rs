//! Taking tags off and deleting manifests, each with a note of it; of what stays, nothing that it lists goes either.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::super::{Ui, response::Failure, visitor::Viewer};
use crate::{
    oci::{Digest, RepositoryName, Tag},
    registry::{Action, Deletion, JournalEntry, RegistryError, RepositoryView},
};

/// Manifests taken out in one call on the volume: a call has a deadline, and this many are done well before it.
const AT_ONCE: usize = 100;

impl Ui {
    /// Deletes manifests of a view with those tags of them that are in `allowed`. What lists others goes first: at no
    /// moment is there an index of which parts are gone. What another tag names stays, with all that it lists.
    pub(super) async fn delete_manifests(
        self: &Arc<Self>,
        viewer: &Viewer,
        view: &RepositoryView,
        digests: &[Digest],
        allowed: &[Tag],
    ) -> Result<Deletion, Failure> {
        let by = viewer.entry_of(Action::Delete, view.name());
        let mut all = Deletion::default();
        let mut needed = HashSet::new();
        for level in levels(view, digests) {
            let going: Vec<Digest> = level.into_iter().filter(|digest| !needed.contains(digest)).collect();
            for part in going.chunks(AT_ONCE) {
                let (note, late_by) = (self.note_late(), by.clone());
                let late = move |done: Deletion| note(told(&done, &late_by));
                let done = self.registry.delete_manifests_if(view.name(), part, allowed, late).await?;
                for (entry, is_told) in told(&done, &by) {
                    self.note_deletion(entry, is_told).await;
                }
                if let Some(error) = done.failure {
                    return Err(RegistryError::from(error).into());
                }
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
        self: &Arc<Self>,
        viewer: &Viewer,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<bool, Failure> {
        let untag = JournalEntry {
            tag: Some(tag.clone()),
            was: Some(digest.clone()),
            ..viewer.entry_of(Action::Untag, name)
        };
        let (note, late) = (self.note_late(), untag.clone());
        let late = move || note(vec![(late.done(Action::Untag), true)]);
        let taken = self.registry.delete_tag_if(name, tag, digest, late).await?;
        if taken {
            self.note_deletion(untag.done(Action::Untag), true).await;
        }
        Ok(taken)
    }

    /// Notes what a deletion did that outlived its request, from a thread that is none of the async ones.
    pub(in crate::ui) fn note_late(
        self: &Arc<Self>,
    ) -> impl FnOnce(Vec<(JournalEntry, bool)>) + Send + 'static + use<> {
        let (ui, async_threads) = (self.clone(), tokio::runtime::Handle::current());
        move |entries| {
            async_threads.spawn(async move {
                for (entry, is_told) in entries {
                    ui.note_deletion(entry, is_told).await;
                }
            });
        }
    }
}

/// The entries of a deletion, each with whether others are told of it: who is told of a manifest is told of its tags
/// with that.
fn told(done: &Deletion, by: &JournalEntry) -> Vec<(JournalEntry, bool)> {
    let goes_with_it = |entry: &JournalEntry| {
        entry.tag.is_some() && entry.was.as_ref().is_some_and(|was| done.deleted.contains(was))
    };
    done.entries(by).map(|entry| (entry.clone(), !goes_with_it(&entry))).collect()
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
