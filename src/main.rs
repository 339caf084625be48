//! The command `pakhuis`.

use std::process::ExitCode;

use clap::Parser;
use pakhuis::cli::{Arguments, run};

fn main() -> ExitCode {
    run(Arguments::parse())
}
