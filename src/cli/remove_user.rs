//! `pakhuis remove-user`: a user less in the htpasswd file.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::ExitCode,
};

use super::users::{Console, DONE, USAGE, UserFile, htpasswd_path, names_user, on_console, quoted, record};
use crate::auth::{UserName, htpasswd};

/// Remove a user from the htpasswd file
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pakhuis remove-user ana
  pakhuis remove-user ci-builder --yes")]
pub(super) struct RemoveUser {
    /// Name of the user
    name: UserName,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    file: UserFile,
}

impl RemoveUser {
    /// Runs the command. Exit codes: 0 removed, 2 not confirmed, 4 there is no such user.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        on_console(|console| self.execute(console))
    }

    pub(super) fn execute(&self, console: &mut Console<'_>) -> anyhow::Result<u8> {
        let Self { name, yes, file } = self;
        let path = htpasswd_path(file)?;
        let flags = file.as_flags();
        let hint = format!("to see who there is: pakhuis list-users{flags}");
        if !names_user(&path, name)? {
            return console.refuse_edit(htpasswd::EditError::Unknown(name.clone()), &hint);
        }
        if !yes {
            if !console.interactive {
                let name = quoted(name.as_str());
                let message = format!(
                    "there is no terminal to confirm on; to remove the user: pakhuis remove-user {name} --yes{flags}"
                );
                return console.refuse(USAGE, &message);
            }
            if !console.confirm(&format!("Remove user \"{name}\" from {}? [y/N] ", path.display()))? {
                return console.refuse(USAGE, "not confirmed; nothing was changed");
            }
        }
        match htpasswd::remove_user(&path, name) {
            Ok(edited) => {
                record(file, "remove-user", name)?;
                let done = format!("removed user \"{name}\"");
                console.report(&done, &path, "refuses the user within 5 seconds", edited)?;
                Ok(DONE)
            }
            Err(error) => console.refuse_edit(error, &hint),
        }
    }
}

impl Console<'_> {
    /// Asks a question to which only yes is yes.
    fn confirm(&mut self, question: &str) -> std::io::Result<bool> {
        write!(self.err, "{question}")?;
        self.err.flush()?;
        let mut answer = String::new();
        BufReader::new((&mut *self.input).take(64)).read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}
