//! What can be typed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{
    add_user::AddUser, cert::Cert, check_config::CheckConfig, convert_config::ConvertConfig, doctor::Doctor,
    export_referrers::ExportReferrers, healthcheck::Healthcheck, list_users::ListUsers, reindex::Reindex,
    remove_user::RemoveUser, serve::Serve, set_password::SetPassword, verify::Verify,
};

/// A private OCI image registry for a shared volume: one binary, in place of registry:2
#[derive(Debug, Parser)]
#[command(name = "pakhuis", version, after_help = "Examples:\n  pakhuis serve\n  pakhuis add-user alice")]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Serve(Serve),
    Healthcheck(Healthcheck),
    Verify(Verify),
    CheckConfig(CheckConfig),
    ConvertConfig(ConvertConfig),
    Doctor(Doctor),
    AddUser(AddUser),
    SetPassword(SetPassword),
    RemoveUser(RemoveUser),
    ListUsers(ListUsers),
    Cert(Cert),
    ExportReferrers(ExportReferrers),
    Reindex(Reindex),
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Serve(command) => command.run(),
            Self::Healthcheck(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::CheckConfig(command) => command.run(),
            Self::ConvertConfig(command) => command.run(),
            Self::Doctor(command) => command.run(),
            Self::AddUser(command) => command.run(),
            Self::SetPassword(command) => command.run(),
            Self::RemoveUser(command) => command.run(),
            Self::ListUsers(command) => command.run(),
            Self::Cert(command) => command.run(),
            Self::ExportReferrers(command) => command.run(),
            Self::Reindex(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_help_ends_with_two_examples() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.get_name() != "help" {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                let examples = help.lines().filter(|line| line.starts_with("  ")).count();
                assert!(help.contains("Examples:") && examples >= 2, "{path}: {help:?}");
            }
            for subcommand in command.get_subcommands() {
                check(subcommand, &path);
            }
        }
        check(&Arguments::command(), "");
    }
}
