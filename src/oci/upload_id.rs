//! The identifier of an upload session.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use super::GrammarError;

/// A random (version 4) UUID: 122 bits nobody can guess, in its hyphenated lower-case form, as registry:2
/// names the directories below `_uploads`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(Uuid);

impl UploadId {
    /// A new identifier, from the operating system's random source.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for UploadId {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        const ERROR: GrammarError = GrammarError("an upload is named by a lower-case hyphenated UUID");
        // The UUID parser also takes braces, URNs and capitals; one session must have one name.
        let uuid = Uuid::try_parse(text).map_err(|_| ERROR)?;
        if uuid.hyphenated().to_string() == text { Ok(Self(uuid)) } else { Err(ERROR) }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_form_only() {
        let id = UploadId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "..",
            "{936da01f-9abd-4d9d-80c7-02af85c822a8}",
            "936DA01F-9ABD-4D9D-80C7-02AF85C822A8",
            "936da01f9abd4d9d80c702af85c822a8",
        ] {
            assert!(text.parse::<UploadId>().is_err(), "{text:?} was accepted");
        }
    }
}
