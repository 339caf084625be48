//! Apache's `htpasswd` and Pakhuis read what the other wrote.

use std::{path::Path, process::Command};

use pakhuis::auth::{Password, PasswordHash, htpasswd};

/// Runs Apache's program; without it there is nothing to compare with.
fn apache(arguments: &[&str]) -> bool {
    let output = Command::new("htpasswd")
        .args(arguments)
        .output()
        .expect("the program htpasswd (Debian: apache2-utils) is installed");
    output.status.success()
}

fn accepts(file: &Path, user: &str, password: &str) -> bool {
    let text = std::fs::read(file).expect("a file that was written before");
    let (users, _) = htpasswd::Users::parse(&text);
    users.get(user).is_some_and(|hash| hash.verify(&Password::new(password.to_owned())))
}

fn hash(password: &str) -> PasswordHash {
    PasswordHash::create(&Password::new(password.to_owned()), 5).expect("a password that may be set")
}

const PASSWORDS: [&str; 4] = [
    "plain",
    "with : colon and spaces",
    "pässwörd €",
    "seventy-one-bytes-0123456789-0123456789-0123456789-0123456789-012345678",
];

#[test]
fn apache_accepts_what_we_write() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users");
    let path = file.to_str().expect("a path in UTF-8");
    for (n, password) in PASSWORDS.iter().enumerate() {
        let user = format!("user.{n}@dccn-nl");
        let name = user.parse().expect("a user name");
        htpasswd::add_user(&file, &name, &hash("first")).expect("a new user");
        htpasswd::set_password(&file, &name, &hash(password)).expect("a user who is there");
        assert!(apache(&["-vb", path, &user, password]), "{password:?}");
        assert!(!apache(&["-vb", path, &user, "first"]), "{password:?}");
    }
    htpasswd::remove_user(&file, &"user.0@dccn-nl".parse().expect("a user name"))
        .expect("a user who is there");
    assert!(!apache(&["-vb", path, "user.0@dccn-nl", PASSWORDS[0]]));
    assert!(apache(&["-vb", path, "user.1@dccn-nl", PASSWORDS[1]]));
}

#[test]
fn we_accept_what_apache_writes_with_bcrypt_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users");
    let path = file.to_str().expect("a path in UTF-8");
    assert!(apache(&["-cbB", path, "first", "x"]));
    for (n, password) in PASSWORDS.iter().enumerate() {
        let user = format!("user{n}");
        assert!(apache(&["-bB", path, &user, password]));
        assert!(accepts(&file, &user, password), "{password:?}");
        assert!(!accepts(&file, &user, "other"));
    }
    for (flag, user) in [("-bm", "md5"), ("-bs", "sha1"), ("-bp", "plain"), ("-bd", "crypt")] {
        assert!(apache(&[flag, path, user, "secret"]));
        assert!(!accepts(&file, user, "secret"), "{user}");
    }
    // Both programs leave the other's lines alone.
    htpasswd::add_user(&file, &"ours".parse().expect("a user name"), &hash("mine")).expect("a new user");
    assert!(apache(&["-bB", path, "user0", "changed"]));
    assert!(accepts(&file, "ours", "mine") && accepts(&file, "user0", "changed"));
    assert!(apache(&["-vb", path, "md5", "secret"]));
}
