//! The tags of a repository: what each names, and what registry:2 noted that it has named.

use super::{
    Check,
    finding::{FindingKind as Kind, Repair, Suspicion},
    repository::Repository,
};
use crate::{
    oci::Tag,
    storage::{LinkContent, Place, StorageError},
};

impl Check<'_> {
    pub(super) fn look_at_tags(&mut self, repository: &mut Repository) -> Result<(), StorageError> {
        for tag in self.storage.list_tags(&repository.name)?.unwrap_or_default() {
            self.report.checked.tags += 1;
            let has_named = self.look_at_index(repository, &tag)?;
            self.look_at_tag(repository, tag, &has_named)?;
        }
        Ok(())
    }

    /// The entries that registry:2 made of what a tag named. No server answers from them, ours makes none; whoever
    /// looks for what a lost tag was finds it there. Gives the end of an advice, empty without entries.
    fn look_at_index(&mut self, repository: &mut Repository, tag: &Tag) -> Result<String, StorageError> {
        let mut known = Vec::new();
        for digest in self.storage.list_tag_index(&repository.name, tag)? {
            let entry = Place::TagIndex(repository.name.clone(), tag.clone(), digest.clone());
            match self.link(&entry)? {
                LinkContent::Absent => continue,
                LinkContent::Names(target) if target == digest => {}
                _ => repository.suspect(
                    Suspicion::new(
                        Kind::TagIndexDamaged,
                        self.storage.link_path(&entry),
                        "the entry of what the tag has named does not name what it stands for; no answer depends on it",
                    )
                    .of(&digest)
                    .advise("run pakhuis verify --repair")
                    .mend(Some(Repair::RewriteLink(entry))),
                ),
            }
            known.push(digest.to_string());
        }
        Ok(if known.is_empty() { String::new() } else { format!("; it has named: {}", known.join(", ")) })
    }

    fn look_at_tag(
        &mut self,
        repository: &mut Repository,
        tag: Tag,
        has_named: &str,
    ) -> Result<(), StorageError> {
        let name = repository.name.clone();
        let place = Place::TagCurrent(name.clone(), tag.clone());
        let path = self.storage.link_path(&place);
        let again = format!("push {name}:{} again", tag.as_str());
        match self.link(&place)? {
            LinkContent::Names(digest) => {
                // A damaged link is reported by itself.
                let revision = Place::Revision(name, digest.clone());
                if self.link(&revision)? == LinkContent::Absent {
                    let detail =
                        format!("the tag names {digest}, which the repository does not have; it answers 404");
                    repository.suspect(
                        Suspicion::new(Kind::TagDangling, path, detail)
                            .advise(format!("{again}, or delete the tag{has_named}")),
                    );
                }
                repository.tags.insert(tag, digest);
            }
            LinkContent::Damaged(bytes) => {
                let detail = format!("the {bytes} bytes of the link are no digest; the tag answers 404");
                repository.suspect(
                    Suspicion::new(Kind::TagLinkDamaged, path, detail).advise(format!("{again}{has_named}")),
                );
            }
            LinkContent::Absent => {
                let age = self.storage.tag_age(&name, &tag)?;
                if age.is_some_and(|age| age >= self.options.grace) {
                    let detail = "the tag is listed and names nothing; it answers 404";
                    repository.suspect(
                        Suspicion::new(Kind::GhostTag, path, detail)
                            .advise(format!("run pakhuis verify --repair, or {again}"))
                            .mend(Some(Repair::RemoveGhostTag(tag))),
                    );
                }
            }
        }
        Ok(())
    }
}
