//! Programs of the system. One that is missing fails the test with the name of its package.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

/// A command for a program of the system.
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

/// Runs to the end and insists on success.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().expect("a program that was found starts");
    assert!(
        output.status.success(),
        "{:?}: {}\n{}{}",
        command,
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
