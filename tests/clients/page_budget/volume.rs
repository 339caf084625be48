//! A large volume, written as files in the tree of registry:2, with the journal of who pushed what.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::MANY;
use pakhuis::oci::{Algorithm, Digest, media_type};

/// See the module.
pub(super) struct Volume {
    root: PathBuf,
    journal: RefCell<String>,
}

impl Volume {
    /// [`MANY`] tags in one repository, and as many repositories, under the root of a storage. Gives two images of the
    /// former, of which also the layers are there.
    pub(super) fn fill(root: &Path) -> [String; 2] {
        let volume = Self { root: root.join("docker/registry/v2"), journal: RefCell::default() };
        let mut images = Vec::new();
        for number in 0..MANY {
            let tag = format!("v{}.{}.{}", number / 400, number / 20 % 20, number % 20);
            let pushed = volume.push("large/app", &tag, number);
            if images.len() < 2 && !is_index(number) {
                volume.layers("large/app", number);
                images.push(pushed);
            }
            volume.push(
                &format!("team{:02}/group{}/app{number:05}", number % 40, number % 7),
                "latest",
                number,
            );
        }
        volume.write(".pakhuis/journal/2026-01-28/builders", volume.journal.borrow().as_bytes());
        images.try_into().unwrap()
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        self.write(&format!("blobs/sha256/{}/{}/data", &digest.encoded()[..2], digest.encoded()), bytes);
        digest
    }

    fn link(&self, repository: &str, path: &str, digest: &Digest) {
        self.write(&format!("repositories/{repository}/{path}/link"), digest.as_str().as_bytes());
    }

    /// What makes a manifest exist in a repository, with its descriptor.
    fn manifest(&self, repository: &str, manifest: &Value) -> Value {
        let text = manifest.to_string();
        let digest = self.blob(text.as_bytes());
        self.link(repository, &format!("_manifests/revisions/sha256/{}", digest.encoded()), &digest);
        descriptor(manifest["mediaType"].as_str().unwrap(), &digest, text.len())
    }

    /// An image under a tag, or an index of two platforms, as somebody pushed it. Gives the manifest.
    fn push(&self, repository: &str, tag: &str, number: usize) -> String {
        let manifest = if is_index(number) {
            let platform = |architecture: &str| {
                let mut child =
                    self.manifest(repository, &self.image(repository, number, Some(architecture)));
                child["platform"] = json!({ "os": "linux", "architecture": architecture });
                child
            };
            json!({
                "schemaVersion": 2,
                "mediaType": media_type::OCI_INDEX,
                "manifests": [platform("amd64"), platform("arm64")],
            })
        } else {
            self.image(repository, number, None)
        };
        let descriptor = self.manifest(repository, &manifest);
        let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        self.link(repository, &format!("_manifests/tags/{tag}/current"), &digest);
        let at = 1_769_600_000_000_usize + number;
        let entry = json!({ "at": at, "action": "push", "user": format!("builder{}", number % 50), "repository": repository, "tag": tag, "now": digest.as_str() });
        self.journal.borrow_mut().push_str(&format!("{entry}\n"));
        manifest.to_string()
    }

    /// An image with a configuration and layers of its own; these are not there.
    fn image(&self, repository: &str, number: usize, architecture: Option<&str>) -> Value {
        let architecture = architecture.unwrap_or(["amd64", "arm64"][number % 2]);
        let created = format!("2026-01-{:02}T{:02}:00:00Z", number % 28 + 1, number % 24);
        let config =
            json!({ "os": "linux", "architecture": architecture, "created": created, "number": number })
                .to_string();
        let digest = self.blob(config.as_bytes());
        self.link(repository, &format!("_layers/sha256/{}", digest.encoded()), &digest);
        let layer = |name: &String| {
            let digest = Digest::of(Algorithm::Sha256, name.as_bytes());
            descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &digest, 1_000_000 + number)
        };
        json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(media_type::OCI_CONFIG, &digest, config.len()),
            "layers": layer_names(repository, number).iter().map(layer).collect::<Vec<_>>(),
        })
    }

    fn layers(&self, repository: &str, number: usize) {
        for name in layer_names(repository, number) {
            let digest = self.blob(name.as_bytes());
            self.link(repository, &format!("_layers/sha256/{}", digest.encoded()), &digest);
        }
    }
}

/// Whether a tag of that number names an index: a third does.
fn is_index(number: usize) -> bool {
    number.is_multiple_of(3)
}

/// What the layers of an image contain: one that all have, one that seven have, and one of its own.
fn layer_names(repository: &str, number: usize) -> [String; 3] {
    ["base".to_owned(), format!("{repository} {}", number / 7), format!("{repository} {number}")]
}

fn descriptor(media_type: &str, digest: &Digest, size: usize) -> Value {
    json!({ "mediaType": media_type, "digest": digest.as_str(), "size": size })
}
