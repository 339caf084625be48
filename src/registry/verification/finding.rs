//! What a check of the volume finds: what is wrong, where, what breaks by it, and what to do.

use std::{collections::BTreeSet, fmt};

use crate::{
    oci::{Digest, RepositoryName, Tag},
    storage::{FileIdentity, Place, SetAsideFile},
};

/// The kinds of findings. The text of each is part of the JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "docs/operations.md says what each means")]
pub enum FindingKind {
    BlobDamaged,
    BlobMissing,
    ChildMissing,
    GhostTag,
    LayerLinkDamaged,
    LayerLinkDangling,
    LayerLinkMissing,
    ManifestDamaged,
    ManifestInvalid,
    ManifestMissing,
    ManifestSizeWrong,
    ReferrerDangling,
    ReferrerLinkDamaged,
    ReferrerMissing,
    RepositoryIncomplete,
    RevisionLinkDamaged,
    SetAsideGood,
    StrangeName,
    TagDangling,
    TagIndexDamaged,
    TagLinkDamaged,
    TemporaryOld,
    UploadAbandoned,
}

impl FindingKind {
    /// Its name in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobDamaged => "blob-damaged",
            Self::BlobMissing => "blob-missing",
            Self::ChildMissing => "child-missing",
            Self::GhostTag => "ghost-tag",
            Self::LayerLinkDamaged => "layer-link-damaged",
            Self::LayerLinkDangling => "layer-link-dangling",
            Self::LayerLinkMissing => "layer-link-missing",
            Self::ManifestDamaged => "manifest-damaged",
            Self::ManifestInvalid => "manifest-invalid",
            Self::ManifestMissing => "manifest-missing",
            Self::ManifestSizeWrong => "manifest-size-wrong",
            Self::ReferrerDangling => "referrer-dangling",
            Self::ReferrerLinkDamaged => "referrer-link-damaged",
            Self::ReferrerMissing => "referrer-missing",
            Self::RepositoryIncomplete => "repository-incomplete",
            Self::RevisionLinkDamaged => "revision-link-damaged",
            Self::SetAsideGood => "set-aside-good",
            Self::StrangeName => "strange-name",
            Self::TagDangling => "tag-dangling",
            Self::TagIndexDamaged => "tag-index-damaged",
            Self::TagLinkDamaged => "tag-link-damaged",
            Self::TemporaryOld => "temporary-old",
            Self::UploadAbandoned => "upload-abandoned",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// In which repository, if in one.
    pub repository: Option<RepositoryName>,
    /// Of what content, if of one.
    pub digest: Option<Digest>,
    /// Path below `v2`.
    pub path: String,
    /// What is wrong, and what breaks by it.
    pub detail: String,
    /// Whether it was mended.
    pub repaired: bool,
    /// What to do.
    pub advice: String,
}

/// A finding that is not confirmed yet, and what would mend it.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    pub(super) finding: Finding,
    pub(super) repair: Option<Repair>,
}

/// A repair that is safe whatever else goes on.
#[derive(Clone, Debug)]
pub(super) enum Repair {
    RewriteLink(Place),
    SetAside(Digest, FileIdentity),
    LinkReferrer { subject: Digest, referrer: Digest },
    UnlinkReferrer { subject: Digest, referrer: Digest },
    CompleteRepository,
    RemoveGhostTag(Tag),
    Restore(SetAsideFile),
}

impl Suspicion {
    pub(super) fn new(kind: FindingKind, path: String, detail: impl Into<String>) -> Self {
        let (repository, digest, advice) = (None, None, String::new());
        let detail = detail.into();
        let finding = Finding { kind, repository, digest, path, detail, repaired: false, advice };
        Self { finding, repair: None }
    }

    pub(super) fn of(mut self, digest: &Digest) -> Self {
        self.finding.digest = Some(digest.clone());
        self
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.finding.advice = advice.into();
        self
    }

    pub(super) fn mend(mut self, repair: Option<Repair>) -> Self {
        self.repair = repair;
        self
    }

    /// Whether both speak of the same thing.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (a, b) = (&self.finding, &other.finding);
        a.kind == b.kind && a.path == b.path && a.digest == b.digest
    }
}

/// Most images named in an advice.
const NAMED: usize = 10;

/// `push again: team/app:v1, team/app:v2`.
pub(super) fn push_again(images: &BTreeSet<String>) -> String {
    if images.is_empty() {
        return "no image of the volume uses it; nothing to do".to_owned();
    }
    let named: Vec<&str> = images.iter().take(NAMED).map(String::as_str).collect();
    let more = images.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("push again: {}{rest}", named.join(", "))
}
