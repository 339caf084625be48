//! One server stops in the middle of a request, at each of its changes and flushes in turn, and another one finds what
//! it left and acknowledges the same; then the power is cut. What the second acknowledged is its own to make durable.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use pakhuis::oci::Algorithm;
use reqwest::Client;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    check::{Expectation, Known, check_tree, check_volume, memory_directory},
    history::{History, Thing},
    image::Image,
    random::Random,
    server::Server,
    strict_file_system::{
        Mount, StrictFileSystem,
        crash::{Disk, Kept},
        faults::{Effect, Fault, Operation},
        journal::Record,
    },
    traffic::Pusher,
};

/// What the first server stops in the middle of, on an image that is not there yet or is.
#[derive(Clone, Copy, Debug)]
enum Stopped {
    Push,
    Mount,
    MoveOfTag,
    DeleteOfTag,
    DeleteOfManifest,
}

struct Volume {
    store: StrictFileSystem,
    /// The disk as of a position of the journal.
    disk: Mutex<(Disk, usize)>,
    history: Arc<History>,
    servers: [Server; 2],
    mounts: [Mount; 2],
    _directories: [TempDir; 2],
    runtime: Runtime,
}

#[test]
fn what_a_server_left_undone_another_does_before_it_acknowledges() {
    let (mut dice, mut stops, mut violations) = (Random(1), 0, Vec::new());
    for stopped in
        [Stopped::Push, Stopped::Mount, Stopped::MoveOfTag, Stopped::DeleteOfTag, Stopped::DeleteOfManifest]
    {
        let (volume, mut place) = (volume(), 0);
        while volume.try_one(stopped, place, &mut dice, &mut violations) {
            place += 1;
        }
        assert!(place > 2, "{stopped:?} has changes");
        println!("{stopped:?}: stopped at {place} places");
        stops += place;
    }
    assert!(stops > 100, "{stops} places");
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

/// registry:2 flushes less than we do, and a copy of a volume is not flushed at all.
#[test]
fn what_others_wrote_is_flushed_before_it_is_acknowledged() {
    let (volume, mut dice) = (volume(), Random(3));
    for round in 0..4 {
        let repository: &'static str = format!("copied-{round}").leak();
        let image = Image::random(Algorithm::Sha256, &mut dice, 2);
        copy_in(&volume.mounts[0].path().join("docker/registry/v2"), repository, &image);
        let mut server = volume.pusher(1, dice.next());
        volume.runtime.block_on(server.push(repository, &image, &["tag"]));
        volume
            .look([&image, &image], repository, &mut dice, repository)
            .unwrap_or_else(|lost| panic!("{lost}"));
    }
}

/// Writes an image as a program would that knows nothing of power cuts.
fn copy_in(v2: &Path, repository: &str, image: &Image) {
    let write = |path: PathBuf, bytes: &[u8]| {
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    };
    let repository = v2.join("repositories").join(repository);
    fs::create_dir_all(repository.join("_uploads")).expect("a directory");
    fs::create_dir_all(repository.join("_layers/sha256")).expect("a directory");
    for blob in image.blobs.iter().chain([&image.manifest]) {
        let (hex, is_manifest) = (blob.digest.encoded(), blob.digest == image.manifest.digest);
        write(v2.join("blobs/sha256").join(&hex[..2]).join(hex).join("data"), &blob.bytes);
        let links = if is_manifest { "_manifests/revisions/sha256" } else { "_layers/sha256" };
        write(repository.join(links).join(hex).join("link"), blob.digest.as_str().as_bytes());
    }
    let digest = image.manifest.digest.as_str().as_bytes();
    write(repository.join("_manifests/tags/tag/current/link"), digest);
}

fn volume() -> Volume {
    let store = StrictFileSystem::new();
    let directories = [(); 2].map(|()| TempDir::new().expect("a directory"));
    let mounts = directories.each_ref().map(|directory| store.mount(directory.path()));
    let servers = mounts.each_ref().map(|mount| Server::start(mount.path()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    Volume {
        history: Arc::new(History::new(store.clone())),
        store,
        disk: Mutex::default(),
        servers,
        mounts,
        _directories: directories,
        runtime: runtime.expect("a runtime"),
    }
}

impl Volume {
    /// Stops the first server at its change number `place` of a request. False when it had fewer.
    fn try_one(
        &self,
        stopped: Stopped,
        place: usize,
        dice: &mut Random,
        violations: &mut Vec<String>,
    ) -> bool {
        // A repository of its own for each, so that one volume serves for all.
        let repository: &'static str = format!("stopped/{stopped:?}-{place}").to_lowercase().leak();
        let image = Image::random(Algorithm::Sha256, dice, 1);
        let other = Image::of(Algorithm::Sha256, &image.blobs, None, dice.next());
        let mut second = self.pusher(1, dice.next());
        match stopped {
            Stopped::Push => {}
            Stopped::Mount => self.runtime.block_on(second.push(crate::traffic::SHARED, &image, &["base"])),
            _ => {
                self.runtime.block_on(second.push(repository, &image, &["tag"]));
                self.runtime.block_on(second.push(repository, &other, &["tag"]));
            }
        }
        let gate = self.mounts[0].gate();
        gate.add(Fault::once(Operation::CHANGES, Effect::Hang).after(place));
        let mut first = self.pusher(0, dice.next());
        let (pushed, replaced) = (image.clone(), other.clone());
        let request = self.runtime.spawn(async move {
            match stopped {
                Stopped::Push => drop(first.try_push(repository, &pushed, &["tag"]).await),
                Stopped::Mount => drop(first.try_mount_all(repository, &pushed).await),
                Stopped::MoveOfTag => drop(first.try_put_manifest(repository, &pushed, &["tag"]).await),
                Stopped::DeleteOfTag => drop(first.try_delete(repository, "tag").await),
                Stopped::DeleteOfManifest => {
                    let digest = replaced.manifest.digest.to_string();
                    drop(first.try_delete(repository, &digest).await);
                }
            }
        });
        while gate.hanging() == 0 && !request.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        let met = gate.hanging() > 0;
        self.runtime.block_on(second.push(repository, &image, &["tag"]));
        let looked =
            self.look([&image, &other], repository, dice, &format!("{stopped:?} stopped at {place}"));
        violations.extend(looked.err());
        gate.clear();
        gate.abandon();
        let _ = self.runtime.block_on(request);
        gate.admit();
        met
    }

    fn pusher(&self, server: usize, seed: u64) -> Pusher {
        Pusher {
            http: Client::builder().no_proxy().build().expect("a client"),
            addresses: Arc::new(Mutex::new(vec![self.servers[server].address().to_owned()])),
            // What the first one is asked is not acknowledged, and not asked for.
            history: if server == 0 {
                Arc::new(History::new(self.store.clone()))
            } else {
                self.history.clone()
            },
            dice: Random(seed),
            is_stopped: server == 0,
        }
    }

    /// The image that was acknowledged is whole, whatever else survives.
    fn look(
        &self,
        images: [&Image; 2],
        repository: &'static str,
        dice: &mut Random,
        about: &str,
    ) -> Result<(), String> {
        let mut disk = self.disk.lock().expect("nobody panicked with it");
        let (disk, position) = &mut *disk;
        let since: Vec<Record> = self.store.journal_from(*position);
        since.iter().for_each(|record| disk.advance(record));
        *position += since.len();
        // What the stops before this one were about was looked at then.
        let blobs: Vec<&str> = images
            .iter()
            .flat_map(|image| image.blobs.iter().chain([&image.manifest]))
            .map(|blob| blob.digest.encoded())
            .collect();
        let concerns = |path: &str| {
            path.contains(".pakhuis")
                || path.ends_with("v2/repositories")
                || path.ends_with("v2/blobs")
                || path.contains(&format!("/repositories/{repository}/"))
                || blobs.iter().any(|blob| path.contains(blob))
        };
        let digest = Some(images[0].manifest.digest.clone());
        let things = self.history.expected(*position).into_iter();
        let concerned = |thing: &Thing| {
            // What the first server may have deleted is there or not.
            thing.repository() == repository
                && *thing != Thing::Manifest(repository, images[1].manifest.digest.clone())
        };
        let things: BTreeMap<_, _> = things.filter(|(thing, _)| concerned(thing)).collect();
        assert!(things.values().any(|seen| seen.contains(&digest)), "the image is expected");
        let expected =
            Expectation { things, images: Arc::new(self.history.images()), push_again: Vec::new() };
        for state in 0..4 {
            let tree =
                disk.after_a_cut(if state == 0 { Kept::Nothing } else { Kept::Some(dice) }).only(concerns);
            let directory = memory_directory();
            tree.write_to(directory.path()).expect("a state");
            let looked = check_tree(&tree, &mut Known::default()).and_then(|()| {
                self.runtime.block_on(check_volume(directory.path(), &tree, &expected)).map(drop)
            });
            if let Err(violation) = looked {
                return Err(format!("{about}, state {state}: {violation}"));
            }
        }
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // A server with a call that hangs cannot be killed.
        self.mounts.iter().for_each(|mount| mount.gate().abandon());
    }
}
