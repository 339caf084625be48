#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use clap::{CommandFactory as _, Parser};

use super::*;
use crate::cli::{
    add_user::AddUser, list_users::ListUsers, remove_user::RemoveUser, set_password::SetPassword,
};

#[derive(Parser)]
#[command(name = "pakhuis")]
enum Command {
    AddUser(AddUser),
    SetPassword(SetPassword),
    RemoveUser(RemoveUser),
    ListUsers(ListUsers),
}

/// What a command answered.
#[derive(Debug)]
struct Answer {
    code: u8,
    out: String,
    err: String,
}

/// Runs commands on one file.
struct Desk {
    _directory: tempfile::TempDir,
    file: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("htpasswd");
        Self { _directory: directory, file }
    }

    /// `typed`: what a person at a terminal answers to prompts; `None`: there is no terminal.
    fn run(&self, line: &str, mut input: &[u8], typed: Option<&[&str]>) -> Answer {
        let flags = ["--htpasswd", self.file.to_str().unwrap()];
        let words = ["pakhuis"].into_iter().chain(line.split(' ')).chain(flags);
        let command = Command::try_parse_from(words).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut answers = typed.unwrap_or_default().iter();
        let mut console = Console {
            input: &mut input,
            interactive: typed.is_some(),
            ask_secret: &mut |_| Ok((*answers.next().expect("a further prompt")).to_owned()),
            out: &mut out,
            err: &mut err,
        };
        let code = match command {
            Command::AddUser(command) => command.execute(&mut console),
            Command::SetPassword(command) => command.execute(&mut console),
            Command::RemoveUser(command) => command.execute(&mut console),
            Command::ListUsers(command) => command.execute(&mut console),
        };
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { code: code.unwrap(), out: text(out), err: text(err) }
    }

    fn accepts(&self, user: &str, password: &str) -> bool {
        let (users, _) = Users::parse(&fs::read(&self.file).unwrap_or_default());
        users.get(user).is_some_and(|hash| hash.verify(&Password::new(password.to_owned())))
    }
}

#[test]
fn a_user_from_first_to_last() {
    let desk = Desk::new();
    let added = desk.run("add-user ana --password-stdin --bcrypt-cost 4", b"pa:ss word\r\n", None);
    assert_eq!((added.code, added.out.as_str()), (0, ""), "{added:?}");
    assert!(added.err.ends_with("; a running server knows the user from now on\n"), "{added:?}");
    assert!(added.err.contains("added user \"ana\"") && !added.err.contains("pa:ss"), "{added:?}");
    assert!(desk.accepts("ana", "pa:ss word"));

    let again = desk.run("add-user ana --generate", b"", None);
    let flags = format!("--htpasswd {}", desk.file.display());
    assert_eq!(again.code, 5);
    assert_eq!(
        again.err,
        format!("error: user \"ana\" exists; to change the password: pakhuis set-password ana {flags}\n")
    );

    let changed = desk.run("set-password ana --bcrypt-cost 4", b"", Some(&["new", "new"]));
    assert_eq!(changed.code, 0, "{changed:?}");
    assert!(changed.err.ends_with("from now on, and the old one for up to 5 seconds\n"), "{changed:?}");
    assert!(desk.accepts("ana", "new") && !desk.accepts("ana", "pa:ss word"));

    let listed = desk.run("list-users", b"", None);
    assert_eq!((listed.code, listed.out.as_str()), (0, "ana\n"));
    let listed = desk.run("list-users --json", b"", None);
    assert_eq!(listed.out, "[{\"name\":\"ana\",\"bcrypt_cost\":4}]\n");

    let asked = desk.run("remove-user ana", b"", None);
    assert_eq!(asked.code, 2);
    assert!(asked.err.contains(&format!("pakhuis remove-user ana --yes {flags}\n")), "{asked:?}");
    assert_eq!(desk.run("remove-user ana", b"n\n", Some(&[])).code, 2);
    assert_eq!(desk.run("remove-user ana", b"", Some(&[])).code, 2);
    assert!(desk.accepts("ana", "new"));
    assert_eq!(desk.run("remove-user ana", b"y\n", Some(&[])).code, 0);
    assert_eq!(desk.run("remove-user ana --yes", b"", None).code, 4);
    assert_eq!(desk.run("list-users", b"", None).out, "");
}

#[test]
fn a_generated_password_is_printed_once_and_works() {
    let desk = Desk::new();
    let added = desk.run("add-user ci --generate --bcrypt-cost 4", b"", None);
    let password = added.out.strip_suffix('\n').unwrap();
    assert_eq!(password.len(), 24);
    assert!(password.bytes().all(|b| b.is_ascii_alphanumeric() && !b"0O1lIo".contains(&b)), "{password}");
    assert!(desk.accepts("ci", password) && !added.err.contains(password));
    let other = desk.run("set-password ci --generate --bcrypt-cost 4", b"", None);
    assert_ne!(other.out, added.out);
    assert!(desk.accepts("ci", other.out.trim_end()));
}

#[test]
fn without_a_terminal_the_exact_command_is_told() {
    let desk = Desk::new();
    let answer = desk.run("add-user ana", b"ignored\n", None);
    let again = format!("pakhuis add-user ana --htpasswd {}", desk.file.display());
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains(&format!("{again} --generate\n")), "{answer:?}");
    assert!(answer.err.contains(&format!("{again} --password-stdin < FILE\n")), "{answer:?}");
    assert!(!desk.file.exists());
}

#[test]
fn bad_passwords_and_names_change_nothing() {
    let desk = Desk::new();
    let long = [b'a'; 72];
    for input in [&b""[..], b"\n", b"a\0b\n", b"two\nlines\n", b"\xff\n", &long] {
        assert_eq!(desk.run("add-user ana --password-stdin", input, None).code, 2, "{input:?}");
    }
    assert_eq!(desk.run("add-user ana", b"", Some(&["one", "other"])).code, 2);
    assert_eq!(desk.run("add-user é", b"", Some(&[])).code, 2, "before a password is asked for");
    assert!(!desk.file.exists());
}

#[test]
fn who_is_not_there_is_named_with_the_way_out() {
    let desk = Desk::new();
    let answer = desk.run("set-password ana", b"", Some(&[]));
    assert_eq!(answer.code, 4, "before a password is asked for");
    assert!(answer.err.starts_with("error: there is no user \"ana\"; to add the user: pakhuis add-user ana"));
    assert_eq!(desk.run("list-users", b"", None).code, 4);
    assert!(!desk.file.exists());
}

#[test]
fn users_who_cannot_sign_in_are_listed_with_a_warning() {
    let desk = Desk::new();
    fs::write(&desk.file, "old:$apr1$salt$secret\n").unwrap();
    let listed = desk.run("list-users --json", b"", None);
    assert_eq!((listed.code, listed.out.as_str()), (0, "[{\"name\":\"old\",\"bcrypt_cost\":null}]\n"));
    assert!(listed.err.contains("\"old\"") && !listed.err.contains("secret"), "{listed:?}");
}

#[test]
fn the_file_is_the_flag_then_the_configuration_then_the_default() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("pakhuis.toml");
    fs::write(&config, "[auth]\nhtpasswd = \"/etc/pakhuis/htpasswd\"\n").unwrap();
    let path = |htpasswd: Option<&str>, config: Option<&PathBuf>| {
        htpasswd_path(&UserFile { htpasswd: htpasswd.map(Into::into), config: config.cloned() })
    };
    assert_eq!(path(Some("x"), Some(&config)).unwrap(), Path::new("x"));
    assert_eq!(path(None, Some(&config)).unwrap(), Path::new("/etc/pakhuis/htpasswd"));
    assert_eq!(path(None, None).unwrap(), Path::new("pakhuis-htpasswd"));
    fs::write(&config, "[server]\n").unwrap();
    assert_eq!(path(None, Some(&config)).unwrap(), Path::new("pakhuis-htpasswd"));
    fs::write(&config, "[").unwrap();
    assert!(path(None, Some(&config)).is_err());
    assert!(path(None, Some(&directory.path().join("absent"))).is_err());
}

#[test]
fn every_help_ends_with_two_examples_and_no_password_is_an_argument() {
    Command::command().debug_assert();
    for mut command in Command::command().get_subcommands().cloned().collect::<Vec<_>>() {
        let help = command.render_help().to_string();
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        assert_eq!(
            examples.trim_end().lines().filter(|line| line.starts_with("  pakhuis ")).count(),
            2,
            "{help}"
        );
    }
    let refused = Command::try_parse_from(["pakhuis", "add-user", "ana", "secret"]);
    assert!(refused.is_err());
    assert!(Command::try_parse_from(["pakhuis", "add-user", "ana", "--bcrypt-cost", "16"]).is_err());
}

#[test]
fn words_for_a_shell() {
    assert_eq!(quoted("/etc/pakhuis/htpasswd"), "/etc/pakhuis/htpasswd");
    assert_eq!(quoted("it's here"), r"'it'\''s here'");
    assert_eq!(quoted(""), "''");
}
