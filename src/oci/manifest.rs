//! What a registry must read of a manifest. The bytes themselves are kept and served as received.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Digest, media_type};

/// The four kinds of manifest that registry:2 and its garbage collection know, hence the four we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// OCI image manifest; artifacts too.
    OciManifest,
    /// OCI image index.
    OciIndex,
    /// Docker image manifest, version 2 schema 2.
    DockerManifest,
    /// Docker manifest list.
    DockerManifestList,
}

impl ManifestKind {
    fn from_media_type(value: &str) -> Option<Self> {
        Some(match value {
            media_type::OCI_MANIFEST => Self::OciManifest,
            media_type::OCI_INDEX => Self::OciIndex,
            media_type::DOCKER_MANIFEST => Self::DockerManifest,
            media_type::DOCKER_MANIFEST_LIST => Self::DockerManifestList,
            _ => return None,
        })
    }

    /// The media type to serve it with.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OciManifest => media_type::OCI_MANIFEST,
            Self::OciIndex => media_type::OCI_INDEX,
            Self::DockerManifest => media_type::DOCKER_MANIFEST,
            Self::DockerManifestList => media_type::DOCKER_MANIFEST_LIST,
        }
    }

    /// Whether it lists other manifests.
    pub fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerManifestList)
    }
}

/// Why bytes are not a manifest we store. Texts are written for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum ManifestError {
    #[error("the manifest is not a JSON object with the fields the image specification asks for: {0}")]
    Json(String),
    #[error("schema 1 manifests are not supported; push the image again with a current client")]
    SchemaOne,
    #[error(
        "the manifest's media type is not one of OCI image manifest, OCI image index, Docker manifest v2, Docker manifest list"
    )]
    UnsupportedMediaType,
    #[error("the Content-Type and the mediaType field of the manifest differ")]
    MediaTypeMismatch,
    #[error("the manifest must have schemaVersion 2")]
    SchemaVersion,
    #[error("a manifest with layers must not have manifests as well")]
    Ambiguous,
}

/// A descriptor (image specification, descriptor.md), reduced to what is used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Type of what it points at; empty when missing.
    #[serde(default, deserialize_with = "null_is_default")]
    pub media_type: String,
    /// Digest of what it points at.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else it can be fetched.
    #[serde(default, deserialize_with = "null_is_default")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    /// The platform, on entries of an index.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// The artifact type, on entries of an index.
    #[serde(default)]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Whether the registry may lack the bytes: non-distributable layers, or an address elsewhere.
    pub fn is_stored_elsewhere(&self) -> bool {
        media_type::is_nondistributable(&self.media_type) || !self.urls.is_empty()
    }
}

/// The platform an image runs on (image specification, image-index.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "fields of the specification")]
pub struct Platform {
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub variant: String,
}

/// The fields of a manifest that a registry must read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Which of the four.
    pub kind: ManifestKind,
    /// The artifact's type, when named.
    pub artifact_type: Option<String>,
    /// The configuration; absent in an index.
    pub config: Option<Descriptor>,
    /// The layers, in order; empty in an index.
    pub layers: Vec<Descriptor>,
    /// The children of an index, in order.
    pub manifests: Vec<Descriptor>,
    /// The manifest this one refers to.
    pub subject: Option<Descriptor>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Go writes `null` for absent lists and maps, so every such field takes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest. `content_type` is what the client declared, if anything; a stored manifest has none.
    ///
    /// The kind is the `mediaType` field, else the declared type, else what the other fields show.
    ///
    /// # Errors
    /// When the bytes are not one of the four kinds, or contradict themselves or the declared type.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        let declared = content_type.map(media_type::essence).filter(|value| {
            !matches!(*value, "" | "application/json" | media_type::OCTET_STREAM | "text/plain")
        });
        if declared.is_some_and(is_schema_one) {
            return Err(ManifestError::SchemaOne);
        }
        if nesting_depth(bytes) > MAX_NESTING {
            return Err(ManifestError::Json(format!("nested deeper than {MAX_NESTING} levels")));
        }
        let fields: Fields =
            serde_json::from_slice(bytes).map_err(|error| ManifestError::Json(position(&error)))?;
        if fields.schema_version == Some(1) || fields.media_type.as_deref().is_some_and(is_schema_one) {
            return Err(ManifestError::SchemaOne);
        }
        if fields.schema_version != Some(2) {
            return Err(ManifestError::SchemaVersion);
        }
        let own = fields.media_type.as_deref().filter(|value| !value.is_empty());
        if let (Some(own), Some(declared)) = (own, declared)
            && own != declared
        {
            return Err(ManifestError::MediaTypeMismatch);
        }
        let kind = match own.or(declared) {
            Some(value) => ManifestKind::from_media_type(value).ok_or(ManifestError::UnsupportedMediaType)?,
            None if fields.manifests.is_some() => ManifestKind::OciIndex,
            None if fields.config.is_some() => ManifestKind::OciManifest,
            None => return Err(ManifestError::UnsupportedMediaType),
        };
        fields.into_manifest(kind)
    }

    /// The artifact type as the referrers listing has it: the manifest's own, else its configuration's media
    /// type (distribution specification, Listing Referrers). An index without one has none.
    pub fn effective_artifact_type(&self) -> Option<&str> {
        self.artifact_type
            .as_deref()
            .filter(|value| !value.is_empty())
            .or_else(|| self.config.as_ref().map(|config| config.media_type.as_str()))
            .filter(|value| !value.is_empty())
    }

    /// Every blob this manifest needs in its repository: the configuration, and the layers that are not
    /// fetched from elsewhere.
    pub fn required_blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(&self.layers).filter(|descriptor| !descriptor.is_stored_elsewhere())
    }
}

impl Fields {
    fn into_manifest(self, kind: ManifestKind) -> Result<Manifest, ManifestError> {
        let (layers, manifests) = (self.layers.unwrap_or_default(), self.manifests.unwrap_or_default());
        // One content that reads as an image and as an index means different things to different clients
        // (CVE-2021-41190).
        let ambiguous =
            if kind.is_index() { self.config.is_some() || !layers.is_empty() } else { !manifests.is_empty() };
        if ambiguous {
            return Err(ManifestError::Ambiguous);
        }
        if !kind.is_index() && self.config.is_none() {
            return Err(ManifestError::Json("missing field `config`".to_owned()));
        }
        Ok(Manifest {
            kind,
            artifact_type: self.artifact_type,
            config: self.config,
            layers,
            manifests,
            subject: self.subject,
            annotations: self.annotations,
        })
    }
}

/// Deepest nesting accepted. The parser refuses more in the fields it reads; it would skip over any depth in the
/// fields it does not, and a client with a recursive parser would then choke on what we serve.
const MAX_NESTING: usize = 128;

/// The deepest nesting of arrays and objects in a JSON text, brackets within strings left out.
fn nesting_depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn is_schema_one(value: &str) -> bool {
    matches!(value, media_type::DOCKER_SCHEMA1 | media_type::DOCKER_SCHEMA1_SIGNED)
}

/// The parser's message; it names fields and positions, and quotes at most a short scalar of the input.
fn position(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if text.len() > 200 {
        text = format!("line {} column {}", error.line(), error.column());
    }
    text
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn image(extra: &str) -> String {
        format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"c/d","digest":"{D}","size":0}}{extra}}}"#)
    }

    fn kind(text: &str, content_type: Option<&str>) -> Result<ManifestKind, ManifestError> {
        Manifest::parse(text.as_bytes(), content_type).map(|manifest| manifest.kind)
    }

    #[test]
    fn the_kind_comes_from_the_field_the_header_or_the_content() {
        assert_eq!(kind(&image(""), None), Ok(ManifestKind::OciManifest));
        assert_eq!(kind(&image(""), Some("application/json; charset=utf-8")), Ok(ManifestKind::OciManifest));
        assert_eq!(kind(&image(""), Some(media_type::DOCKER_MANIFEST)), Ok(ManifestKind::DockerManifest));
        let typed = image(&format!(r#","mediaType":"{}""#, media_type::DOCKER_MANIFEST));
        assert_eq!(kind(&typed, None), Ok(ManifestKind::DockerManifest));
        assert_eq!(kind(&typed, Some(media_type::OCI_MANIFEST)), Err(ManifestError::MediaTypeMismatch));
        assert_eq!(kind(r#"{"schemaVersion":2,"manifests":[]}"#, None), Ok(ManifestKind::OciIndex));
        assert_eq!(
            kind(r#"{"schemaVersion":2,"manifests":null}"#, Some(media_type::OCI_INDEX)),
            Ok(ManifestKind::OciIndex)
        );
    }

    #[test]
    fn refuses_the_rest() {
        assert_eq!(kind(&image(""), Some(media_type::DOCKER_SCHEMA1_SIGNED)), Err(ManifestError::SchemaOne));
        assert_eq!(kind(r#"{"schemaVersion":1}"#, None), Err(ManifestError::SchemaOne));
        assert_eq!(kind("{}", None), Err(ManifestError::SchemaVersion));
        assert_eq!(kind(r#"{"schemaVersion":2}"#, None), Err(ManifestError::UnsupportedMediaType));
        assert_eq!(kind(&image(""), Some("text/html")), Err(ManifestError::UnsupportedMediaType));
        assert!(kind(&image(r#","manifests":[{"digest":"sha256:x"}]"#), None).is_err());
        let both = image(&format!(r#","manifests":[{{"mediaType":"a/b","digest":"{D}","size":1}}]"#));
        assert_eq!(kind(&both, Some(media_type::OCI_MANIFEST)), Err(ManifestError::Ambiguous));
        assert_eq!(kind(&both, Some(media_type::OCI_INDEX)), Err(ManifestError::Ambiguous));
        for text in ["", "[]", "null", "\"a\"", "{", "\u{feff}{}"] {
            assert!(matches!(kind(text, None), Err(ManifestError::Json(_))), "{text:?}");
        }
    }

    #[test]
    fn nesting_without_end_is_an_error_not_a_crash() {
        let deep =
            format!(r#"{{"schemaVersion":2,"config":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(kind(&deep, None), Err(ManifestError::Json(_))));
        let unknown_field = image(&format!(r#","x":{}{}"#, "[".repeat(100_000), "]".repeat(100_000)));
        assert!(matches!(kind(&unknown_field, None), Err(ManifestError::Json(_))));
        let in_a_string = image(&format!(r#","x":"\"{}""#, "[".repeat(1000)));
        assert_eq!(kind(&in_a_string, None), Ok(ManifestKind::OciManifest));
    }

    #[test]
    fn go_writes_null_and_tools_add_fields() {
        let text = image(r#","layers":null,"annotations":null,"subject":null,"x":[{}],"layers2":{}"#);
        let manifest = Manifest::parse(text.as_bytes(), None).expect("a manifest");
        assert!(manifest.layers.is_empty() && manifest.subject.is_none());
        assert_eq!(manifest.effective_artifact_type(), Some("c/d"));
    }
}
