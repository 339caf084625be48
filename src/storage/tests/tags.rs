//! Tags that are deleted and written at once, or by servers that die.
#![allow(clippy::disallowed_methods, reason = "the tests damage the tree on purpose")]

use super::*;

#[test]
fn deleting_a_tag_leaves_nothing_listed_and_spares_what_moved() {
    let volume = volume();
    let (old, new) = (sha256(b"old"), sha256(b"new"));
    let tag: Tag = "v1".parse().unwrap();
    volume.storage.write_tag(&repository(), &tag, &old).unwrap();
    volume.storage.write_tag(&repository(), &tag, &new).unwrap();
    volume.storage.delete_tag_if(&repository(), &tag, &old).unwrap();
    assert_eq!(volume.storage.read_tag(&repository(), &tag).unwrap(), Some(new.clone()));
    volume.storage.delete_tag_if(&repository(), &tag, &new).unwrap();
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
    assert!(!volume.storage.delete_tag(&repository(), &tag).unwrap());
    volume.storage.write_tag(&repository(), &tag, &old).unwrap();
    assert!(volume.storage.delete_tag(&repository(), &tag).unwrap());
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
}

#[test]
fn a_tag_dangles_only_while_its_manifest_is_gone() {
    let volume = volume();
    let (digest, tag) = (sha256(b"manifest"), "v1".parse().unwrap());
    let read = || volume.storage.read_tag(&repository(), &tag).unwrap();
    volume.storage.link_manifest(&repository(), &digest).unwrap();
    volume.storage.write_tag(&repository(), &tag, &digest).unwrap();
    volume.storage.delete_dangling_tag(&repository(), &tag, &digest).unwrap();
    assert_eq!(read(), Some(digest.clone()), "a push that came after the deletion keeps its tag");
    volume.storage.unlink_manifest(&repository(), &digest).unwrap();
    volume.storage.delete_dangling_tag(&repository(), &tag, &sha256(b"another")).unwrap();
    assert_eq!(read(), Some(digest.clone()));
    volume.storage.delete_dangling_tag(&repository(), &tag, &digest).unwrap();
    assert_eq!(read(), None);
}

#[test]
fn tags_deleted_and_written_at_once_stay_whole() {
    let volume = volume();
    let tag: Tag = "contested".parse().unwrap();
    let digests: Vec<Digest> = (0..4_u8).map(|i| sha256(&[i])).collect();
    std::thread::scope(|scope| {
        for digest in &digests {
            let (storage, tag) = (&volume.storage, &tag);
            scope.spawn(move || {
                for _ in 0..50 {
                    storage.write_tag(&repository(), tag, digest).unwrap();
                    storage.delete_tag_if(&repository(), tag, digest).unwrap();
                    let _ = storage.delete_tag(&repository(), tag).unwrap();
                }
            });
        }
    });
    volume.storage.write_tag(&repository(), &tag, &digests[0]).unwrap();
    assert_eq!(volume.storage.read_tag(&repository(), &tag).unwrap().as_ref(), Some(&digests[0]));
}

#[test]
fn a_ghost_of_a_tag_is_no_tag_and_deleting_it_takes_it_off_the_list() {
    let volume = volume();
    let tag: Tag = "ghost".parse().unwrap();
    fs::create_dir_all(volume.v2().join("repositories/team/app/_manifests/tags/ghost/current")).unwrap();
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![tag.clone()]));
    assert!(!volume.storage.delete_tag(&repository(), &tag).unwrap());
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
}

/// A delete of `digest` that dies with the link of the tag taken aside.
fn die_with_the_link_aside(volume: &Volume, tag: &Tag) {
    let current = volume.v2().join(format!("repositories/team/app/_manifests/tags/{tag}/current"));
    fs::rename(current.join("link"), current.join(format!(".deleted.{}", uuid::Uuid::new_v4().simple())))
        .unwrap();
}

#[test]
fn a_delete_that_died_with_a_tag_in_its_hands_loses_no_move_of_it() {
    let volume = volume();
    let (old, new) = (sha256(b"old"), sha256(b"new"));
    let tag: Tag = "v1".parse().unwrap();
    let read = || volume.storage.read_tag(&repository(), &tag).unwrap();
    // The delete was of `old`; a push had just moved the tag to `new`, and was told so.
    volume.storage.write_tag(&repository(), &tag, &new).unwrap();
    die_with_the_link_aside(&volume, &tag);
    assert_eq!(read(), Some(new.clone()));
    assert_eq!(volume.storage.read_tag_link(&repository(), &tag).unwrap().unwrap().digest, new);
    // The tag moves on; what was taken aside counts no more, also once the tag is deleted either way.
    volume.storage.write_tag(&repository(), &tag, &old).unwrap();
    assert_eq!(read(), Some(old.clone()));
    assert!(volume.storage.delete_tag(&repository(), &tag).unwrap());
    assert_eq!(read(), None);
    volume.storage.write_tag(&repository(), &tag, &new).unwrap();
    die_with_the_link_aside(&volume, &tag);
    volume.storage.write_tag(&repository(), &tag, &old).unwrap();
    volume.storage.delete_tag_if(&repository(), &tag, &old).unwrap();
    assert_eq!(read(), None);
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
}

#[test]
fn a_tag_whose_link_is_aside_is_deleted_like_any_other() {
    let volume = volume();
    let digest = sha256(b"manifest");
    let tag: Tag = "v1".parse().unwrap();
    volume.storage.write_tag(&repository(), &tag, &digest).unwrap();
    die_with_the_link_aside(&volume, &tag);
    assert!(volume.storage.delete_tag(&repository(), &tag).unwrap());
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
    volume.storage.write_tag(&repository(), &tag, &digest).unwrap();
    die_with_the_link_aside(&volume, &tag);
    volume.storage.delete_tag_if(&repository(), &tag, &digest).unwrap();
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
}
