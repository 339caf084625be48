#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::PathBuf,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, SystemTime},
};

use super::{
    edit::edit,
    lock::{Lock, Patience},
    *,
};
use crate::auth::Password;

fn hash() -> PasswordHash {
    PasswordHash::create(&Password::new("secret".to_owned()), 4).unwrap()
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn names(text: &[u8]) -> Vec<String> {
    Users::parse(text).0.names().map(|name| name.as_str().to_owned()).collect()
}

/// A directory and the path of a file in it that is not there yet.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("htpasswd");
    (directory, file)
}

/// Nothing but `expected` is left behind in the directory.
#[track_caller]
fn assert_only(directory: &tempfile::TempDir, expected: &[&str]) {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn lines_as_apache_reads_them() {
    let (one, other) = (hash(), hash());
    let text = format!(
        "\u{feff}# users\r\n\r\nana:{}\r\n  bob:{}:ignored\nana:{}\n#cy:{}\n\nold:$apr1$x$y\nplain:secret\n\
         old:{}\nnonsense\n:{}\nlast:{}",
        one.as_str(),
        other.as_str(),
        other.as_str(),
        one.as_str(),
        one.as_str(),
        one.as_str(),
        one.as_str()
    );
    let (users, problems) = Users::parse(text.as_bytes());
    assert_eq!(users.get("ana"), Some(&one), "the first line of a name counts");
    assert_eq!(users.get("bob"), Some(&other));
    assert_eq!(users.get("last"), Some(&one));
    assert_eq!(users.len(), 3);
    assert_eq!(names(text.as_bytes()), ["ana", "bob", "old", "plain", "last"]);
    assert_eq!(
        problems,
        [
            Problem::Duplicate(name("ana")),
            Problem::OtherHash(name("old")),
            Problem::OtherHash(name("plain")),
            Problem::Duplicate(name("old")),
            Problem::Malformed(11),
            Problem::Malformed(12),
        ]
    );
    for problem in problems {
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
}

#[test]
fn a_torn_line_lets_nobody_in() {
    let text = format!("ana:{}", hash().as_str());
    for length in 0..text.len() {
        assert!(Users::parse(&text.as_bytes()[..length]).0.is_empty(), "{length}");
    }
    assert!(Users::parse(b"ana:\xff\xfe\nbob:\0").0.is_empty());
    let dear = text.replace("$04$", "$31$");
    assert_eq!(Users::parse(dear.as_bytes()).1, [Problem::Cost { user: name("ana"), cost: 31 }]);
}

#[test]
fn a_new_file_is_private_and_nothing_else_is_left() {
    let (directory, file) = place();
    assert!(add_user(&file, &name("ana"), &hash()).unwrap().owner_kept);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(names(&fs::read(&file).unwrap()), ["ana"]);
    assert_only(&directory, &["htpasswd"]);
}

#[test]
fn everything_but_the_one_line_stays() {
    let (directory, file) = place();
    let (old, new) = (hash(), hash());
    let before = format!("# keep\r\nana:{0}\r\n\nbob:$apr1$x\nana:{0}\ncy:x", old.as_str());
    fs::write(&file, &before).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();

    set_password(&file, &name("ana"), &new).unwrap();
    let changed = format!("# keep\r\nana:{}\r\n\nbob:$apr1$x\ncy:x", new.as_str());
    assert_eq!(fs::read_to_string(&file).unwrap(), changed, "a second line with the old password goes");

    add_user(&file, &name("dora"), &new).unwrap();
    let added = format!("{changed}\ndora:{}\n", new.as_str());
    assert_eq!(fs::read_to_string(&file).unwrap(), added);

    remove_user(&file, &name("bob")).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), added.replace("bob:$apr1$x\n", ""));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
    assert_only(&directory, &["htpasswd"]);
}

#[test]
fn removing_a_user_leaves_no_second_line_of_that_name() {
    let (_directory, file) = place();
    fs::write(&file, format!("ana:x\nbob:y\nana:{}\n", hash().as_str())).unwrap();
    remove_user(&file, &name("ana")).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "bob:y\n");
}

#[test]
fn refusals_change_nothing() {
    let (directory, file) = place();
    assert!(matches!(set_password(&file, &name("ana"), &hash()), Err(EditError::Unknown(_))));
    assert!(matches!(remove_user(&file, &name("ana")), Err(EditError::Unknown(_))));
    assert!(matches!(add_user(&file, &name("Jan Jansen"), &hash()), Err(EditError::Name(_))));
    assert_only(&directory, &[]);
    fs::write(&file, "ana:x\n").unwrap();
    assert!(matches!(add_user(&file, &name("ana"), &hash()), Err(EditError::Exists(_))));
    assert_eq!(fs::read_to_string(&file).unwrap(), "ana:x\n");
    assert_only(&directory, &["htpasswd"]);
}

#[test]
fn the_target_of_a_link_is_replaced_not_the_link() {
    let (directory, file) = place();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink("hop", &file).unwrap();
    symlink(elsewhere.path().join("users"), directory.path().join("hop")).unwrap();
    add_user(&file, &name("ana"), &hash()).unwrap();
    add_user(&file, &name("bob"), &hash()).unwrap();
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    assert_eq!(names(&fs::read(elsewhere.path().join("users")).unwrap()), ["ana", "bob"]);
    assert_only(&directory, &["hop", "htpasswd"]);
    assert_only(&elsewhere, &["users"]);
}

#[test]
fn many_at_once_lose_nobody() {
    const THREADS: usize = 8;
    const EACH: usize = 12;
    let (directory, file) = place();
    let start = Arc::new(Barrier::new(THREADS));
    let hash = hash();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (file, start, hash) = (file.clone(), Arc::clone(&start), hash.clone());
            thread::spawn(move || {
                start.wait();
                for n in 0..EACH {
                    let name = name(&format!("user-{thread}-{n}"));
                    add_user(&file, &name, &hash).unwrap();
                    if n % 3 == 0 {
                        remove_user(&file, &name).unwrap();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let (users, problems) = Users::parse(&fs::read(&file).unwrap());
    assert_eq!(users.len(), THREADS * EACH * 2 / 3);
    assert_eq!(problems, []);
    assert_only(&directory, &["htpasswd"]);
}

const IMPATIENT: Patience =
    Patience { stale_after: Duration::from_secs(30), give_up_after: Duration::from_millis(200) };

/// Leaves a lock as a crash would, `age` ago.
fn leave_lock(file: &Path, content: &str, age: Duration) -> PathBuf {
    let path = file.with_file_name("htpasswd.lock");
    fs::write(&path, content).unwrap();
    fs::File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    path
}

#[test]
fn a_fresh_lock_is_respected() {
    let (directory, file) = place();
    leave_lock(&file, "somebody", Duration::from_secs(20));
    let outcome = edit(&file, IMPATIENT, |_| Ok(b"ana:x\n".to_vec()));
    assert!(matches!(outcome, Err(EditError::Locked(_))), "{outcome:?}");
    assert_only(&directory, &["htpasswd.lock"]);
}

#[test]
fn a_lock_left_behind_is_taken_by_exactly_one() {
    for content in ["somebody", ""] {
        let (directory, file) = place();
        leave_lock(&file, content, Duration::from_secs(40));
        let start = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (file, start) = (file.clone(), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    add_user(&file, &name(&format!("user{thread}")), &PasswordHash::stand_in(4)).unwrap();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(names(&fs::read(&file).unwrap()).len(), 8);
        assert_only(&directory, &["htpasswd"]);
    }
}

#[test]
fn who_lost_the_lock_begins_again_with_what_is_there_by_then() {
    let (_directory, file) = place();
    fs::write(&file, "ana:x\n").unwrap();
    let rounds = std::cell::Cell::new(0);
    edit(&file, IMPATIENT, |text| {
        if rounds.replace(rounds.get() + 1) == 0 {
            // Somebody took the lock for left behind, added bob and was done.
            fs::remove_file(file.with_file_name("htpasswd.lock")).unwrap();
            fs::write(&file, "ana:x\nbob:y\n").unwrap();
        }
        Ok([text, b"cy:z\n"].concat())
    })
    .unwrap();
    assert_eq!(rounds.get(), 2);
    assert_eq!(fs::read_to_string(&file).unwrap(), "ana:x\nbob:y\ncy:z\n");
}

#[test]
fn a_lock_that_is_not_ours_is_not_removed() {
    let (_directory, file) = place();
    let lock = Lock::acquire(&file, IMPATIENT).unwrap().unwrap();
    let path = leave_lock(&file, "somebody else", Duration::ZERO);
    assert!(!lock.is_held());
    drop(lock);
    assert!(path.exists());
}

#[test]
fn a_file_too_large_is_not_read() {
    let (_directory, file) = place();
    fs::File::create(&file).unwrap().set_len(MAX_FILE_LENGTH + 1).unwrap();
    assert_eq!(read(&file).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}
