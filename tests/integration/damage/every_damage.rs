//! Every flip of a byte and every truncation of every file: found, never served, healed by a push.
//!
//! `cargo test` tries one in 40, drawn with a fresh seed that it prints. `PAKHUIS_DAMAGE_SEED` repeats a draw, and
//! `PAKHUIS_DAMAGE_SHARE=1` tries all.

#![expect(clippy::print_stdout, reason = "a test prints its seed and its count")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use pakhuis::registry::verification::Repairs;

use super::sample::{Sample, kinds, verify};
use crate::{
    random::{Random, number_from, seed_from},
    support::TestRegistry,
};

#[derive(Clone, Copy, Debug)]
enum Damage {
    /// The byte at a position, changed by these bits.
    Flip(usize, u8),
    /// All from a length on lost.
    Truncate(usize),
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn every_damage_is_found_never_served_and_healed_by_a_push() {
    let share = number_from("PAKHUIS_DAMAGE_SHARE").unwrap_or(40);
    let seed = seed_from("PAKHUIS_DAMAGE_SEED");
    println!("PAKHUIS_DAMAGE_SEED={seed} PAKHUIS_DAMAGE_SHARE={share}");
    let mut random = Random(seed);
    let volume = TestRegistry::in_memory();
    let sample = Sample::new();
    sample.push(&volume.anonymous()).await;
    assert_eq!(sample.pull(&volume.another_server().anonymous()).await, 0);
    assert_eq!(kinds(&verify(&volume, Repairs::None).findings), [""; 0]);
    let v2 = volume.v2();
    let mut all = Vec::new();
    files(&v2.join("blobs"), &mut all);
    files(&v2.join("repositories"), &mut all);
    // A list made from the manifests to save reading them; one that is damaged is made again (storage::subjects).
    all.retain(|file| !file.ends_with("_referrers/subjects"));
    all.sort();
    let (mut flips, mut truncations) = (0, 0);
    for file in &all {
        let relative = file.strip_prefix(&v2).unwrap().to_string_lossy().into_owned();
        let whole = fs::read(file).unwrap();
        for position in 0..whole.len() {
            let bits = u8::try_from(random.next() % 255).unwrap() + 1;
            for damage in [Damage::Flip(position, bits), Damage::Truncate(position)] {
                // A file of nothing is the damage that crashes leave: always tried.
                if !random.next().is_multiple_of(share) && !matches!(damage, Damage::Truncate(0)) {
                    continue;
                }
                let mut bytes = whole.clone();
                match damage {
                    Damage::Flip(position, bits) => {
                        bytes[position] ^= bits;
                        flips += 1;
                    }
                    Damage::Truncate(length) => {
                        bytes.truncate(length);
                        truncations += 1;
                    }
                }
                fs::write(file, &bytes).unwrap();
                let case = format!("{relative} {damage:?}");
                let server = volume.another_server();
                let findings = verify(&server, Repairs::None).findings;
                assert!(
                    findings.iter().any(|finding| finding.path == relative),
                    "{case}: not found, only {findings:?}"
                );
                let _ = sample.pull(&server.anonymous()).await;
                sample.push(&server.anonymous()).await;
                assert_eq!(sample.pull(&server.anonymous()).await, 0, "{case}: not healed");
                let left = verify(&volume.another_server(), Repairs::None).findings;
                assert_eq!(kinds(&left), [""; 0], "{case}: not clean");
                let _ = fs::remove_dir_all(v2.join(".pakhuis/damaged"));
            }
        }
    }
    println!(
        "{} files, {flips} flips, {truncations} truncations: all found, none served, all healed",
        all.len()
    );
    assert!(truncations >= all.len());
}
