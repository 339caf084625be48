use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Barrier;
use std::thread;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn private_keys_are_for_their_owner_only() {
    let (directory, files) = started();
    assert_eq!((mode(&files.ca_key), mode(&files.private_key)), (0o600, 0o600));
    renew(directory.path(), &renewal()).unwrap();
    assert_eq!((mode(&files.ca_key), mode(&files.private_key)), (0o600, 0o600));
}

#[test]
fn a_second_start_changes_nothing() {
    let (directory, files) = started();
    let before = contents(&files);
    let again = first_start(directory.path(), &names(&["other.test"])).unwrap();
    assert!(!again.created);
    assert_eq!(contents(&files), before);
    assert_eq!(leftovers(directory.path()), Vec::<String>::new());
}

#[test]
fn a_start_that_was_killed_half_way_is_completed_by_the_next() {
    for survivors in 1..4 {
        let (directory, files) = started();
        let order = [&files.private_key, &files.ca_key, &files.ca_certificate, &files.certificate];
        let kept = fs::read(&files.private_key).unwrap();
        for lost in &order[survivors..] {
            fs::remove_file(lost).unwrap();
        }
        assert!(first_start(directory.path(), &names(&["registry.test"])).unwrap().created);
        assert_eq!(fs::read(&files.private_key).unwrap(), kept);
        assert_eq!(issued_by(&files.certificate, &files.ca_certificate).unwrap(), None);
    }
}

#[test]
fn first_starts_at_once_leave_one_matching_set() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("certs");
        let barrier = Barrier::new(8);
        let made: usize = thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        first_start(&path, &names(&["registry.test"])).unwrap()
                    })
                })
                .collect();
            starts.into_iter().map(|start| usize::from(start.join().unwrap().created)).sum()
        });
        assert_eq!(made, 1);
        assert_consistent(&path);
    }
}

#[test]
fn a_renewal_during_first_starts_leaves_one_matching_set() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    barrier.wait();
                    first_start(path, &names(&["registry.test"])).unwrap()
                });
            }
            barrier.wait();
            renew(path, &renewal()).unwrap();
        });
        assert_consistent(path);
    }
}

#[test]
fn only_one_renewal_runs_at_a_time() {
    let (directory, files) = started();
    let lock = fs::File::create(directory.path().join(".lock")).unwrap();
    lock.lock().unwrap();
    let before = contents(&files);
    assert!(matches!(renew(directory.path(), &renewal()), Err(TlsError::Locked { .. })));
    assert_eq!(contents(&files), before);
    drop(lock);
    renew(directory.path(), &renewal()).unwrap();
}

#[tokio::test]
async fn renewal_keeps_the_ca_and_clients_notice_nothing() {
    let (directory, files) = started();
    let ca = fs::read(&files.ca_certificate).unwrap();
    let old = read_facts(&files.certificate).unwrap();
    let old_key = fs::read(&files.private_key).unwrap();
    let written = renew(directory.path(), &renewal()).unwrap();
    assert_eq!(written, [files.private_key.clone(), files.certificate.clone()]);
    assert_eq!(fs::read(&files.ca_certificate).unwrap(), ca);
    let new = read_facts(&files.certificate).unwrap();
    assert_ne!(new.serial, old.serial);
    assert_ne!(fs::read(&files.private_key).unwrap(), old_key);
    let server = load(&config(&files)).unwrap().server_config();
    connect(server, client(&ca), "registry.test").await.unwrap();
}

#[test]
fn a_new_authority_only_on_demand() {
    let (directory, files) = started();
    let old = fs::read(&files.ca_certificate).unwrap();
    let written = renew(directory.path(), &Renewal { renew_authority: true, ..renewal() }).unwrap();
    assert_eq!(
        written,
        [&files.ca_key, &files.ca_certificate, &files.private_key, &files.certificate].map(Clone::clone)
    );
    assert_ne!(fs::read(&files.ca_certificate).unwrap(), old);
    assert_eq!(mode(&files.ca_key), 0o600);
    assert_consistent(directory.path());
}

#[test]
fn an_authority_whose_key_is_kept_elsewhere_is_never_replaced() {
    let (directory, files) = started();
    fs::remove_file(&files.ca_key).unwrap();
    let before = fs::read(&files.ca_certificate).unwrap();
    // The server's own pair is all that a start needs.
    assert!(!first_start(directory.path(), &names(&["registry.test"])).unwrap().created);
    let refused = renew(directory.path(), &renewal());
    assert!(matches!(refused, Err(TlsError::KeyMissing { private_key, .. }) if private_key == files.ca_key));
    assert_eq!(fs::read(&files.ca_certificate).unwrap(), before);
    assert!(!files.ca_key.exists());
}

#[test]
fn a_certificate_without_its_key_stops_the_start_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let files = CertificateDirectory::at(directory.path());
    let (_other, other) = started();
    fs::copy(&other.certificate, &files.certificate).unwrap();
    let refused = first_start(directory.path(), &names(&["registry.test"]));
    assert!(
        matches!(refused, Err(TlsError::KeyMissing { private_key, .. }) if private_key == files.private_key)
    );
    assert!(!files.ca_key.exists() && !files.ca_certificate.exists());
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let (directory, files) = started();
    fs::remove_file(&files.certificate).unwrap();
    // A directory in the file's place cannot be replaced by a rename.
    fs::create_dir(&files.certificate).unwrap();
    assert!(matches!(renew(directory.path(), &renewal()), Err(TlsError::Write { .. })));
    assert_eq!(leftovers(directory.path()), [".lock"]);
}

#[track_caller]
fn assert_consistent(directory: &Path) {
    let files = CertificateDirectory::at(directory);
    ServerIdentity::read(&files.certificate, &files.private_key).unwrap();
    ServerIdentity::read(&files.ca_certificate, &files.ca_key).unwrap();
    assert_eq!(issued_by(&files.certificate, &files.ca_certificate).unwrap(), None);
    let leftovers = leftovers(directory);
    assert!(leftovers.iter().all(|name| name == ".lock"), "{leftovers:?}");
}

fn contents(files: &CertificateDirectory) -> [Vec<u8>; 4] {
    [&files.ca_certificate, &files.ca_key, &files.certificate, &files.private_key]
        .map(|path| fs::read(path).unwrap())
}

fn leftovers(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}
