//! The tree as a whole: found, refused, listed, gone.
#![allow(clippy::disallowed_methods, reason = "the tests damage the tree on purpose")]

use super::*;

#[test]
fn repositories_are_listed_by_components_and_by_page() {
    let volume = volume();
    for name in ["a", "a/b", "a-b", "ab", "z/y/x"] {
        volume.storage.ensure_repository(&name.parse().unwrap()).unwrap();
        let layers = volume.v2().join("repositories").join(name).join("_layers");
        assert!(layers.is_dir(), "without it registry:2 deletes the data of {name}");
    }
    let list = |last, limit| -> Vec<String> {
        volume.storage.list_repositories(last, limit).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(list(None, 10), ["a", "a/b", "a-b", "ab", "z/y/x"]);
    assert_eq!(list(None, 2), ["a", "a/b"]);
    assert_eq!(list(Some("a/b"), 2), ["a-b", "ab"]);
    assert_eq!(list(Some("a/a"), 9), ["a/b", "a-b", "ab", "z/y/x"]);
    assert_eq!(list(Some("z"), 9), ["z/y/x"]);
    assert_eq!(list(Some("z/y/x"), 9), [""; 0]);
}

#[test]
fn finds_either_tree_and_refuses_two() {
    let directory = TempDir::new().unwrap();
    fs::create_dir_all(directory.path().join("v2/blobs")).unwrap();
    let storage = Storage::open(Config::new(directory.path())).unwrap();
    assert_eq!(storage.directory(), directory.path().join("v2"));
    fs::create_dir_all(directory.path().join("docker/registry/v2/repositories")).unwrap();
    assert!(matches!(Storage::open(Config::new(directory.path())), Err(OpenError::TwoTrees { .. })));
}

#[test]
fn an_unmounted_share_is_not_a_new_registry() {
    let (local, volume) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut config = Config::new(volume.path().join("registry"));
    config.remembered_roots = Some(local.path().join("roots"));
    Storage::open(config.clone()).unwrap();
    Storage::open(config.clone()).unwrap();
    fs::remove_dir_all(volume.path().join("registry")).unwrap();
    assert!(matches!(Storage::open(config.clone()), Err(OpenError::LooksUnmounted { .. })));
    assert!(!volume.path().join("registry").exists(), "nothing was made");
}

#[test]
fn a_tree_that_lost_a_part_is_refused() {
    let volume = volume();
    fs::remove_dir_all(volume.v2().join("repositories")).unwrap();
    let opened = Storage::open(Config::new(volume.directory.path()));
    assert!(matches!(opened, Err(OpenError::Incomplete { missing: "repositories", .. })));
}

#[test]
fn a_secret_is_made_once() {
    let volume = volume();
    let first = volume.storage.shared_secret("key").unwrap();
    assert_eq!(volume.storage.shared_secret("key").unwrap(), first);
    assert_ne!(volume.storage.shared_secret("other").unwrap(), first);
}

#[test]
fn a_share_that_goes_away_is_an_error_and_nothing_is_written_elsewhere() {
    let volume = volume();
    let digest = volume.push(b"there");
    let (root, away) = (volume.directory.path().join("docker"), volume.directory.path().join("away"));
    fs::rename(&root, &away).unwrap();
    let tag: Tag = "v1".parse().unwrap();
    assert!(matches!(volume.storage.blob_size(&repository(), &digest), Err(StorageError::Io { .. })));
    assert!(matches!(volume.storage.read_tag(&repository(), &tag), Err(StorageError::Io { .. })));
    assert!(matches!(volume.storage.list_tags(&repository()), Err(StorageError::Io { .. })));
    assert!(volume.storage.start_upload(&repository(), Algorithm::Sha256).is_err());
    assert!(volume.storage.write_tag(&repository(), &tag, &digest).is_err());
    assert!(volume.storage.write_content(&digest, b"there").is_err());
    assert!(volume.storage.check_writable().is_err());
    assert!(!root.exists(), "nothing was made where the share was");
    fs::rename(&away, &root).unwrap();
    assert_eq!(volume.storage.blob_size(&repository(), &digest).unwrap(), Some(5));
}

#[test]
fn a_volume_that_must_exist_is_never_made() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { must_exist: true, ..Config::new(directory.path()) };
    let error = Storage::open(config.clone()).unwrap_err().to_string();
    assert!(error.contains("is the share mounted?"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    fs::create_dir_all(directory.path().join("docker/registry/v2/repositories")).unwrap();
    Storage::open(config.clone()).unwrap().check_writable().unwrap();
    Storage::open(config).unwrap();
}
