//! Damage on a volume that a real registry filled: ours is healed by a push, and then theirs is too.

use std::fs;
use std::path::{Path, PathBuf};

use super::fill::fill;
use super::start_ours;
use crate::support::{Api, ImageSpec, Layout, Reference, TestServer, sha256};

const REPOSITORY: &str = "damaged/app";

/// The files of one image on a volume.
struct Files {
    v2: PathBuf,
    manifest: String,
    layer: String,
}

impl Files {
    fn link(&self, kind: &str, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("sha256");
        self.v2.join("repositories").join(REPOSITORY).join(kind).join("sha256").join(hex).join("link")
    }

    fn tag(&self) -> PathBuf {
        self.v2.join("repositories").join(REPOSITORY).join("_manifests/tags/v1/current/link")
    }

    fn data(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("sha256");
        self.v2.join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

fn empty(path: &Path) {
    fs::write(path, b"").expect("a file");
}

type Damage = (&'static str, fn(&Files));

/// Each as a crash of theirs leaves it; [`Damage`] by name.
const DAMAGES: [Damage; 8] = [
    ("empty tag link", |files| empty(&files.tag())),
    ("empty revision link", |files| empty(&files.link("_manifests/revisions", &files.manifest))),
    ("empty layer link", |files| empty(&files.link("_layers", &files.layer))),
    ("empty manifest", |files| empty(&files.data(&files.manifest))),
    ("torn manifest", |files| {
        let bytes = fs::read(files.data(&files.manifest)).expect("a manifest");
        fs::write(files.data(&files.manifest), &bytes[..100]).expect("a file");
    }),
    ("missing manifest", |files| fs::remove_file(files.data(&files.manifest)).expect("a file")),
    ("missing layer", |files| fs::remove_file(files.data(&files.layer)).expect("a file")),
    ("tag of a missing revision", |files| {
        fs::remove_file(files.link("_manifests/revisions", &files.manifest)).expect("a file");
    }),
];

#[tokio::test]
async fn a_push_to_ours_heals_what_their_collectors_stumble_over() {
    for reference in Reference::ALL {
        let volume = tempfile::tempdir().expect("a volume");
        let layouts = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(layouts.path());
        let image = layout.add_image(ImageSpec::new(7, 2, 30_000));
        let mut theirs = TestServer::start_reference(reference, volume.path());
        fill(&theirs, "whole").await;
        Api::new(&theirs).push_image(REPOSITORY, "v1", &layout, &image).await;
        theirs.stop();
        let layer = layout.parts(&image).first().expect("a layer").digest.clone();
        let v2 = volume.path().join("docker/registry/v2");
        let files = Files { v2, manifest: image.digest.clone(), layer };

        for (name, damage) in DAMAGES {
            damage(&files);
            let mut ours = start_ours(volume.path());
            let api = Api::new(&ours);
            for path in ["manifests/v1".to_owned(), format!("manifests/{}", image.digest)] {
                let status = api.get(&format!("/v2/{REPOSITORY}/{path}")).await.status;
                assert!(matches!(status, 200 | 404), "{reference:?}, {name}: {path} answers {status}");
            }
            api.push_image(REPOSITORY, "v1", &layout, &image).await;
            ours.stop();
            for collector in Reference::ALL {
                collector.garbage_collect(volume.path(), &[]);
            }
            let mut theirs = TestServer::start_reference(reference, volume.path());
            let api = Api::new(&theirs);
            for part in layout.parts(&image) {
                let answer = api.get(&format!("/v2/{REPOSITORY}/blobs/{}", part.digest)).await;
                assert_eq!(sha256(&answer.body), part.digest, "{reference:?} after {name}");
            }
            let answer = api.get(&format!("/v2/{REPOSITORY}/manifests/v1")).await;
            assert_eq!(sha256(&answer.body), image.digest, "{reference:?} after {name}");
            theirs.stop();
        }
        println!("{reference:?}: {} kinds of damage healed and collected by both", DAMAGES.len());
    }
}
