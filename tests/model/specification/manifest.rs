//! What the image specification says of the bytes of a manifest.

use serde_json::{Map, Value};

use crate::alphabet::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) bytes: Vec<u8>,
    pub(super) media_type: &'static str,
    json: Map<String, Value>,
}

impl Manifest {
    /// Reads a manifest that is pushed with a type; `None` when it must be refused.
    pub(super) fn read(bytes: &[u8], declared: Option<&str>) -> Option<Self> {
        let Value::Object(json) = serde_json::from_slice(bytes).ok()? else { return None };
        if json.get("schemaVersion")? != 2 {
            return None;
        }
        let declared = declared.map(|text| text.split(';').next().unwrap_or_default().trim());
        let declared = declared.filter(|text| *text != "application/json");
        let own = json.get("mediaType").and_then(Value::as_str);
        // The volume keeps no type beside the bytes: without one of its own, a manifest is what it looks like.
        let looks = if json.contains_key("manifests") { OCI_INDEX } else { OCI_MANIFEST };
        let media_type = own.unwrap_or(looks);
        if declared.is_some_and(|declared| declared != media_type) {
            return None;
        }
        let known = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];
        let media_type = known.into_iter().find(|known| *known == media_type)?;
        let manifest = Self { bytes: bytes.to_vec(), media_type, json };
        let index = matches!(media_type, OCI_INDEX | DOCKER_LIST);
        // One content must not read as an image and as an index (CVE-2021-41190).
        let whole = if index {
            !manifest.json.contains_key("config") && manifest.list("layers").is_empty()
        } else {
            manifest.json.contains_key("config") && manifest.list("manifests").is_empty()
        };
        let descriptors = manifest.descriptors();
        let named = descriptors.iter().all(|descriptor| digest(descriptor).len() >= 71);
        (whole && named).then_some(manifest)
    }

    fn list(&self, field: &str) -> &[Value] {
        self.json.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn descriptors(&self) -> Vec<&Value> {
        let single = ["config", "subject"].into_iter().filter_map(|field| self.json.get(field));
        single.chain(self.list("layers")).chain(self.list("manifests")).collect()
    }

    /// The blobs that must be in the repository: not those that are fetched from elsewhere.
    pub(super) fn blobs(&self) -> Vec<&str> {
        let elsewhere = |descriptor: &&Value| {
            let media_type = descriptor["mediaType"].as_str().unwrap_or_default();
            media_type.contains(".nondistributable.") || descriptor["urls"].is_array()
        };
        let blobs = self.json.get("config").into_iter().chain(self.list("layers"));
        blobs.filter(|descriptor| !elsewhere(descriptor)).map(digest).collect()
    }

    /// What an index lists.
    pub(super) fn children(&self) -> Vec<&str> {
        self.list("manifests").iter().map(digest).collect()
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.json.get("subject").map(digest)
    }

    /// Its own artifact type, else that of its configuration; an index without one has none.
    pub(super) fn artifact_type(&self) -> Option<&str> {
        let own = self.json.get("artifactType").and_then(Value::as_str);
        own.or_else(|| self.json.get("config").and_then(|config| config["mediaType"].as_str()))
    }

    /// Its entry in a list of referrers.
    pub(super) fn descriptor(&self, digest: &str) -> Value {
        let mut entry = Map::new();
        entry.insert("mediaType".to_owned(), self.media_type.into());
        entry.insert("digest".to_owned(), digest.into());
        entry.insert("size".to_owned(), self.bytes.len().into());
        if let Some(artifact_type) = self.artifact_type() {
            entry.insert("artifactType".to_owned(), artifact_type.into());
        }
        if let Some(annotations) = self.json.get("annotations") {
            entry.insert("annotations".to_owned(), annotations.clone());
        }
        Value::Object(entry)
    }
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap_or_default()
}
