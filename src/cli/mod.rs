//! The command `pakhuis`: one file a subcommand. The result goes to stdout, everything else to stderr.

mod add_user;
mod arguments;
mod audit;
mod cert;
mod check_config;
mod convert_config;
mod counted;
mod doctor;
mod export_referrers;
mod healthcheck;
mod list_users;
mod reindex;
mod remove_user;
mod serve;
mod set_password;
mod users;
mod verify;

use std::{io::Write, process::ExitCode};

pub use arguments::Arguments;

/// Exit code for a wrong usage or configuration, as clap's own.
const USAGE: u8 = 2;

/// Runs a parsed command line; an error is told on stderr with its causes.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.command.run() {
        Ok(code) => code,
        Err(error) => {
            // Without a stderr there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            let wrong_configuration = error.downcast_ref::<crate::config::ConfigError>().is_some();
            ExitCode::from(if wrong_configuration { USAGE } else { 1 })
        }
    }
}
