//! The protocol's words as values that cannot be wrong: no I/O, no HTTP.
//!
//! Everything here is parsed once, at the edge; past that line no digest, name or tag is a `&str`.

mod byte_range;
mod digest;
mod error_code;
mod manifest;
pub mod media_type;
mod reference;
mod repository_name;
mod tag;
mod upload_id;

pub use byte_range::{ByteRange, RangeSet};
pub use digest::{Algorithm, Digest, DigestHasher};
pub use error_code::ErrorCode;
pub use manifest::{Descriptor, Manifest, ManifestError, ManifestKind, Platform};
pub use reference::Reference;
pub use repository_name::RepositoryName;
pub use tag::Tag;
pub use upload_id::UploadId;

/// A text that does not follow the grammar of the type it was parsed as.
///
/// Carries what the grammar asks for, never the text itself: the text is hostile until shown otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GrammarError(pub &'static str);
