//! One entry of the journal, and the line it is written as.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::format_description};

use crate::oci::{Digest, RepositoryName, Tag};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A tag was pointed at a manifest.
    Push,
    /// A tag was removed; what it named stays.
    Untag,
    /// A manifest was deleted with this tag, or, without a tag, when it had none.
    Delete,
    /// All of a repository was deleted, at this moment to its end: each tag and manifest has an entry of its own
    /// before.
    DeleteRepository,
    /// Somebody signed in on the pages.
    SignIn,
    /// A user name or a password was wrong.
    SignInFailed,
    /// Somebody changed the own password.
    PasswordChanged,
}

impl Action {
    /// As it is written: `sign-in-failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Untag => "untag",
            Self::Delete => "delete",
            Self::DeleteRepository => "delete-repository",
            Self::SignIn => "sign-in",
            Self::SignInFailed => "sign-in-failed",
            Self::PasswordChanged => "password-changed",
        }
    }
}

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// When, in milliseconds since 1970, by the clock of the server that did it.
    pub at: i64,
    /// What.
    pub action: Action,
    /// Who; `None` where nobody needs to sign in.
    pub user: Option<String>,
    /// From which address.
    pub address: Option<String>,
    /// The repository.
    pub repository: Option<RepositoryName>,
    /// The tag.
    pub tag: Option<Tag>,
    /// What the tag named before.
    pub was: Option<Digest>,
    /// What it names now.
    pub now: Option<Digest>,
}

/// As it is written: one line of JSON.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    at: i64,
    action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<String>,
}

/// Longest user name or address kept, in bytes.
const MAX_TEXT: usize = 256;

impl JournalEntry {
    /// Something done now.
    pub fn new(action: Action, user: Option<&str>, address: Option<String>) -> Self {
        let since = OffsetDateTime::now_utc() - OffsetDateTime::UNIX_EPOCH;
        let cut = |text: &str| text[..text.floor_char_boundary(MAX_TEXT)].to_owned();
        Self {
            at: i64::try_from(since.whole_milliseconds()).unwrap_or_default(),
            action,
            user: user.map(cut),
            address,
            repository: None,
            tag: None,
            was: None,
            now: None,
        }
    }

    /// The same by whom and where, done now.
    pub fn done(&self, action: Action) -> Self {
        Self { at: Self::new(action, None, None).at, action, ..self.clone() }
    }

    /// The line, with its end.
    pub(super) fn line(&self) -> Vec<u8> {
        let line = Line {
            at: self.at,
            action: Some(self.action),
            user: self.user.clone(),
            address: self.address.clone(),
            repository: self.repository.as_ref().map(ToString::to_string),
            tag: self.tag.as_ref().map(ToString::to_string),
            was: self.was.as_ref().map(ToString::to_string),
            now: self.now.as_ref().map(ToString::to_string),
        };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a line; `None` when it is torn, or of a later version.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let parsed = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Some(Self {
            at: line.at,
            action: line.action?,
            user: line.user,
            address: line.address,
            repository: line.repository.and_then(|text| text.parse().ok()),
            tag: line.tag.and_then(|text| text.parse().ok()),
            was: parsed(line.was),
            now: parsed(line.now),
        })
    }
}

/// The day of a moment, `2026-11-26`, in UTC.
pub(super) fn day_of(at: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(at / 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(format_description!("[year]-[month]-[day]")).unwrap_or_else(|_| "1970-01-01".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_and_a_torn_line_is_none() {
        let mut entry = JournalEntry::new(Action::Push, Some("ana"), Some("10.0.0.1".to_owned()));
        entry.repository = Some("team/app".parse().unwrap());
        entry.tag = Some("v1".parse().unwrap());
        let line = entry.line();
        assert_eq!(JournalEntry::parse(&line[..line.len() - 1]), Some(entry));
        for length in 0..line.len() - 1 {
            assert_eq!(JournalEntry::parse(&line[..length]), None);
        }
        assert_eq!(JournalEntry::parse(b"{\"at\":1,\"action\":\"of-tomorrow\"}"), None);
        assert_eq!(day_of(1_795_000_000_000), "2026-11-18");
    }
}
