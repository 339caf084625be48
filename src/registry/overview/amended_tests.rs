//! What is remembered and kept up with changes is what is read afresh, whatever changed, and whoever changed it.

use std::{fs, path::PathBuf, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    oci::{Algorithm, Reference},
    registry::{Action, Config, image_summary},
    storage,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A manifest under a tag.
    Push {
        tag: usize,
        manifest: usize,
    },
    /// A manifest without one.
    PushUntagged {
        manifest: usize,
    },
    Untag {
        tag: usize,
    },
    Delete {
        manifest: usize,
    },
    /// Somebody looks.
    Look,
}

const TAGS: usize = 6;
/// As many manifests of an index as a summary has.
const LISTED: usize = image_summary::MAX_ENTRIES;
const ORDERS: [TagOrder; 5] =
    [TagOrder::Name, TagOrder::Pushed, TagOrder::Created, TagOrder::Size, TagOrder::Digest];
const CATALOGUE_ORDERS: [CatalogueOrder; 4] =
    [CatalogueOrder::Name, CatalogueOrder::Pushed, CatalogueOrder::Size, CatalogueOrder::Tags];

/// Images that share layers, of which some claim other sizes, what refers to some of them, and indexes that list some.
fn manifests() -> Vec<(Digest, String)> {
    let of = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
    let descriptor = |media_type: &str, digest: &Digest, size: usize| {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let image = |number: usize, subject: Option<&Digest>| {
        let layer =
            |name: String| descriptor("application/vnd.oci.image.layer.v1.tar", &of(&name), 100 + number % 2);
        let subject = subject.map(|digest| {
            let named = descriptor("application/vnd.oci.image.manifest.v1+json", digest, 9);
            format!(r#","subject":{named}"#)
        });
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a/b","config":{},"layers":[{},{}],"annotations":{{"org.opencontainers.image.created":"2026-01-0{}T00:00:00Z"}}{}}}"#,
            descriptor("application/vnd.oci.empty.v1+json", &of("{}"), 2),
            layer("base".to_owned()),
            layer(format!("{}", number / 2)),
            number % 3 + 1,
            subject.unwrap_or_default(),
        )
    };
    let index = |children: &[&Digest]| {
        let child = |digest: &&Digest| descriptor("application/vnd.oci.image.manifest.v1+json", digest, 9);
        let children: Vec<_> = children.iter().map(child).collect();
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
            children.join(",")
        )
    };
    let with_digest = |text: String| (of(&text), text);
    let mut all: Vec<_> = (0..4).map(|number| with_digest(image(number, None))).collect();
    all.extend([4, 5].map(|number| with_digest(image(number, Some(&all[0].0)))));
    all.push(with_digest(index(&[&all[0].0, &all[1].0, &all[0].0])));
    all.push(with_digest(index(&[&all[1].0])));
    // Of the second index, and one that lists more than summaries have.
    all.push(with_digest(index(&[&all[7].0, &all[2].0])));
    let absent: Vec<_> = (0..LISTED).map(|number| of(&format!("absent {number}"))).collect();
    all.push(with_digest(index(&absent.iter().chain([&all[3].0]).collect::<Vec<_>>())));
    all
}

/// Tags of which one is about an image.
fn tag(number: usize) -> Tag {
    let names = ["latest", "v1.10", "v1.9", "a", "z"];
    let about = format!("sha256-{}.sig", manifests()[0].0.encoded());
    names.get(number).map_or(about, |name| (*name).to_owned()).parse().unwrap()
}

fn server(directory: &tempfile::TempDir) -> Registry {
    let storage = Storage::open(storage::Config::new(directory.path().to_path_buf())).unwrap();
    Registry::new(storage, Config { sparse_manifests: true, ..Config::default() })
}

/// What a server does when it is asked for it, its journal included.
async fn carry_out(registry: &Registry, name: &RepositoryName, step: Step) {
    let all = manifests();
    let by = |action| JournalEntry {
        repository: Some(name.clone()),
        ..JournalEntry::new(action, Some("ana"), None)
    };
    let put = async |reference: Reference, manifest: usize| {
        let bytes = Bytes::from(all[manifest].1.clone());
        let done = registry.put_manifest(name, &reference, &[], None, bytes, drop).await.unwrap();
        for moved in done.moved {
            let (tag, now) = (Some(moved.tag), Some(done.digest.clone()));
            registry.note(JournalEntry { tag, was: moved.was, now, ..by(Action::Push) });
        }
    };
    match step {
        Step::Push { tag: number, manifest } => {
            put(Reference::Tag(tag(number)), manifest).await;
        }
        Step::PushUntagged { manifest } => {
            put(Reference::Digest(all[manifest].0.clone()), manifest).await;
        }
        // What is not there cannot be deleted.
        Step::Untag { tag: number } => {
            if let Ok(was) = registry.delete_tag(name, &tag(number), drop).await {
                registry.note(JournalEntry { tag: Some(tag(number)), was, ..by(Action::Untag) });
            }
        }
        Step::Delete { manifest } => {
            if let Ok(done) = registry.delete_manifest(name, &all[manifest].0, drop).await {
                done.entries(&by(Action::Delete)).for_each(|entry| registry.note(entry));
            }
        }
        Step::Look => {}
    }
}

/// All that a view says, as text.
async fn told(registry: &Registry, name: &RepositoryName) -> String {
    let Ok(view) = registry.repository_view(name).await else { return "none".to_owned() };
    let names = |places: &[u32]| -> Vec<_> {
        places.iter().map(|place| view.tags()[*place as usize].tag.to_string()).collect()
    };
    let digests = |found: &mut dyn Iterator<Item = &Arc<ManifestView>>| -> Vec<_> {
        found.map(|manifest| manifest.digest.to_string()).collect()
    };
    let of_each = manifests().into_iter().map(|(digest, _)| {
        let tags: Vec<_> = view.tags_of(&digest).cloned().collect();
        let (referrers, indexes) =
            (digests(&mut view.referrers_of(&digest)), digests(&mut view.indexes_of(&digest)));
        let about: Vec<_> = view.tags_about(&digest).cloned().collect();
        (view.manifest(&digest).map(|manifest| manifest.size), tags, referrers, indexes, about)
    });
    format!(
        "{:#?}",
        (
            view.tags()
                .iter()
                .map(|tag| (&tag.tag, &tag.digest, tag.pushed, tag.manifest.is_some()))
                .collect::<Vec<_>>(),
            ORDERS.map(|order| names(view.ordered(order))),
            of_each.collect::<Vec<_>>(),
            (view.logical_bytes(), view.stored_bytes(), &view.manifests.blobs, view.manifest_count()),
            (view.newest().map(|tag| &tag.tag), view.has_tags_about_others(), view.is_empty()),
            digests(&mut view.indexes_cut().iter()),
        )
    )
}

async fn told_of_all(registry: &Registry) -> String {
    let catalogue = registry.catalogue().await.unwrap();
    let orders = CATALOGUE_ORDERS.map(|order| catalogue.ordered(order).to_vec());
    format!("{:#?}", (catalogue.rows(), orders, catalogue.totals(), catalogue.namespaces()))
}

/// What a server hears of another: its journal, and what that does not say when all is read again.
async fn hear_of(other: &Registry, server: &Registry, is_unsaid: bool) {
    other.write_journal().await;
    server.inner.journal.look_again();
    server.follow_journal().await.unwrap();
    if is_unsaid {
        server.read_catalogue().await.unwrap();
    }
}

fn step() -> impl Strategy<Value = Step> {
    let (tag, manifest) = (0..TAGS, 0..manifests().len());
    prop_oneof![
        5 => (tag.clone(), manifest.clone()).prop_map(|(tag, manifest)| Step::Push { tag, manifest }),
        1 => manifest.clone().prop_map(|manifest| Step::PushUntagged { manifest }),
        2 => tag.prop_map(|tag| Step::Untag { tag }),
        2 => manifest.prop_map(|manifest| Step::Delete { manifest }),
        3 => Just(Step::Look),
    ]
}

/// A step, by which of two servers, in which of some repositories.
fn steps() -> impl Strategy<Value = Vec<(Step, bool, usize)>> {
    proptest::collection::vec((step(), any::<bool>(), 0..3_usize), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_view_kept_up_with_changes_is_one_read_afresh(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let (looked_at, other) = (server(&directory), server(&directory));
            let names = ["app", "team/app", "team/a/b"].map(|name| name.parse::<RepositoryName>().unwrap());
            let mut is_unsaid = false;
            for (step, is_other, repository) in steps {
                let name = &names[repository];
                carry_out(if is_other { &other } else { &looked_at }, name, step).await;
                is_unsaid |= is_other && matches!(step, Step::PushUntagged { .. });
                if matches!(step, Step::Look) {
                    hear_of(&other, &looked_at, std::mem::take(&mut is_unsaid)).await;
                    let fresh = server(&directory);
                    assert_eq!(told(&looked_at, name).await, told(&fresh, name).await);
                    assert_eq!(told_of_all(&looked_at).await, told_of_all(&fresh).await);
                }
            }
            hear_of(&other, &looked_at, is_unsaid).await;
            let fresh = server(&directory);
            for name in &names {
                assert_eq!(told(&looked_at, name).await, told(&fresh, name).await);
            }
            assert_eq!(told_of_all(&looked_at).await, told_of_all(&fresh).await);
        });
    }
}

/// The directory of a manifest in the repository `app`.
fn directory_of(volume: &tempfile::TempDir, digest: &Digest) -> PathBuf {
    let revisions = "docker/registry/v2/repositories/app/_manifests/revisions/sha256";
    volume.path().join(revisions).join(digest.encoded())
}

async fn manifest_count(registry: &Registry, name: &RepositoryName) -> usize {
    registry.repository_view(name).await.unwrap().manifest_count()
}

#[tokio::test]
async fn a_manifest_that_was_looked_for_between_its_directory_and_its_link_is_seen() {
    let volume = tempfile::tempdir().unwrap();
    let (looked_at, other) = (server(&volume), server(&volume));
    let (name, elsewhere) = ("app".parse().unwrap(), "elsewhere".parse().unwrap());
    carry_out(&other, &name, Step::Push { tag: 0, manifest: 0 }).await;
    carry_out(&other, &elsewhere, Step::PushUntagged { manifest: 1 }).await;
    let digest = &manifests()[1].0;
    let directory = directory_of(&volume, digest);
    fs::create_dir(&directory).unwrap();
    assert_eq!(manifest_count(&looked_at, &name).await, 1);
    // From now on the list of names is believed.
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..2 {
        assert_eq!(manifest_count(&looked_at, &name).await, 1);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    fs::write(directory.join("link"), digest.as_str()).unwrap();
    assert_eq!(manifest_count(&looked_at, &name).await, 2);
}

#[tokio::test]
async fn a_deleted_manifest_is_gone_though_its_directory_stays() {
    let volume = tempfile::tempdir().unwrap();
    let (looked_at, other) = (server(&volume), server(&volume));
    let name = "app".parse().unwrap();
    for manifest in 0..3 {
        carry_out(&looked_at, &name, Step::PushUntagged { manifest }).await;
        // As of a client of NFS that has the file open.
        fs::write(directory_of(&volume, &manifests()[manifest].0).join(".nfs01"), "").unwrap();
    }
    assert_eq!(manifest_count(&looked_at, &name).await, 3);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(manifest_count(&looked_at, &name).await, 3);
    carry_out(&looked_at, &name, Step::Delete { manifest: 0 }).await;
    assert_eq!(manifest_count(&looked_at, &name).await, 2);
    carry_out(&other, &name, Step::Delete { manifest: 1 }).await;
    hear_of(&other, &looked_at, false).await;
    assert_eq!(manifest_count(&looked_at, &name).await, 1);
    assert!(directory_of(&volume, &manifests()[1].0).exists());
    // And one that comes again.
    carry_out(&looked_at, &name, Step::PushUntagged { manifest: 0 }).await;
    assert_eq!(manifest_count(&looked_at, &name).await, 2);
}

#[tokio::test]
async fn a_damaged_manifest_is_none_until_it_is_pushed_again() {
    let volume = tempfile::tempdir().unwrap();
    let (looked_at, other) = (server(&volume), server(&volume));
    let name = "app".parse().unwrap();
    let push = Step::Push { tag: 0, manifest: 0 };
    carry_out(&other, &name, push).await;
    let (digest, text) = &manifests()[0];
    let blob =
        format!("docker/registry/v2/blobs/sha256/{}/{}/data", &digest.encoded()[..2], digest.encoded());
    fs::write(volume.path().join(blob), text.replace('{', "[")).unwrap();
    for _ in 0..2 {
        let view = looked_at.repository_view(&name).await.unwrap();
        assert_eq!((view.tags().len(), view.manifest_count()), (1, 0));
        assert!(view.tags()[0].manifest.is_none());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    carry_out(&looked_at, &name, push).await;
    let view = looked_at.repository_view(&name).await.unwrap();
    assert!(view.tags()[0].manifest.is_some() && view.manifest_count() == 1);
}
