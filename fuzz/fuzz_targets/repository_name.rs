//! Any text: refused, or a name, tag or digest that prints as it was and is no way out of a directory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pakhuis::oci::{Digest, Reference, RepositoryName, Tag, UploadId};

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<RepositoryName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= RepositoryName::MAX_LENGTH && text.is_ascii());
        assert!(name.components().all(|part| !part.is_empty() && !part.starts_with(['.', '_', '-'])));
    }
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(tag.as_str(), text);
        assert!(text.len() <= Tag::MAX_LENGTH && !text.contains('/') && !text.starts_with('.'));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.as_str(), text);
        assert!(digest.encoded().bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
    }
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string(), text);
        assert_eq!(matches!(reference, Reference::Digest(_)), text.contains(':'));
    }
    if let Ok(upload) = text.parse::<UploadId>() {
        assert_eq!(upload.to_string(), text);
    }
});
