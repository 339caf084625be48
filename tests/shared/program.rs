//! Finding and running programs: output is shown when a program does not do what was expected.
#![allow(dead_code, reason = "each test target has a use for some of it")]

use std::env;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A command for a program of the system. Panics with the name of the Debian package when it is not installed.
#[track_caller]
pub(crate) fn program(name: &str, debian_package: &str) -> Command {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file());
    let Some(path) = found else {
        panic!("the program {name} is missing: apt-get install --no-install-recommends {debian_package}");
    };
    Command::new(path)
}

/// The program under test: the build that Cargo made for these tests, or the one that `PAKHUIS_UNDER_TEST` names, so
/// that a test of the release does not have to be built as one.
#[track_caller]
pub(crate) fn program_under_test() -> PathBuf {
    let Some(named) = env::var_os("PAKHUIS_UNDER_TEST") else {
        return PathBuf::from(env!("CARGO_BIN_EXE_pakhuis"));
    };
    let named = PathBuf::from(named);
    named.canonicalize().unwrap_or_else(|error| panic!("PAKHUIS_UNDER_TEST={}: {error}", named.display()))
}

/// A command for a program that `.ci/run` installs with `go install` into `target/ci-tools/bin`.
/// `PAKHUIS_CI_TOOLS` names another directory. Panics with the name of the Go package when it is missing.
#[track_caller]
pub(crate) fn go_tool(name: &str, go_package: &str) -> Command {
    let directory = env::var_os("PAKHUIS_CI_TOOLS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/ci-tools/bin"), PathBuf::from);
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "the program {} is missing: .ci/run installs it from {go_package}",
        path.display()
    );
    Command::new(path)
}

/// Runs to the end and insists on success.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = finish(command, None);
    assert!(output.status.success(), "{}", describe(command, &output));
    output
}

/// Runs with `input` on standard input and insists on success.
#[track_caller]
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let output = finish(command, Some(input));
    assert!(output.status.success(), "{}", describe(command, &output));
    output
}

/// Runs to the end and insists on failure. A client that dies by a signal has not refused anything.
#[track_caller]
pub(crate) fn run_failing(command: &mut Command) -> Output {
    let output = finish(command, None);
    assert!(
        output.status.code().is_some_and(|code| code != 0),
        "should fail: {}",
        describe(command, &output)
    );
    output
}

/// What a person at the terminal would have read: standard output, then standard error.
pub(crate) fn combined(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn finish(command: &mut Command, input: Option<&[u8]>) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let name = command.get_program().to_owned();
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", name.display()));
    if let Some(input) = input {
        // A program that refuses before it has read its input closes the pipe; its own message says why.
        let _ = child.stdin.take().expect("stdin is piped").write_all(input);
    }
    child.wait_with_output().expect("a child that was started can be waited for")
}

fn describe(command: &Command, output: &Output) -> String {
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    format!(
        "{} {}\n{}\n{}",
        command.get_program().display(),
        arguments.join(" "),
        output.status,
        combined(output)
    )
}
