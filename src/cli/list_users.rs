//! `pakhuis list-users`: who is in the htpasswd file.

use std::{io, process::ExitCode};

use anyhow::Context as _;
use serde::Serialize;

use super::users::{Console, DONE, NOT_FOUND, UserFile, htpasswd_path, on_console};
use crate::auth::htpasswd::{self, Users};

/// List the users of the htpasswd file, one name a line
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pakhuis list-users
  pakhuis list-users --json --htpasswd /etc/pakhuis/htpasswd")]
pub(super) struct ListUsers {
    /// Print a JSON array of objects instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: UserFile,
}

/// A user in the output of `--json`.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    /// The cost of the bcrypt hash; null for a user whose hash lets nobody in.
    bcrypt_cost: Option<u32>,
}

impl ListUsers {
    /// Runs the command. Exit codes: 0 listed, 4 there is no such file.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        on_console(|console| self.execute(console))
    }

    pub(super) fn execute(&self, console: &mut Console<'_>) -> anyhow::Result<u8> {
        let path = htpasswd_path(&self.file)?;
        let text = match htpasswd::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let flags = self.file.as_flags();
                let message = format!(
                    "there is no user file {}; to make it with a first user: pakhuis add-user NAME{flags}",
                    path.display()
                );
                return console.refuse(NOT_FOUND, &message);
            }
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let (users, problems) = Users::parse(&text);
        for problem in problems {
            writeln!(console.err, "warning: {}: {problem}", path.display())?;
        }
        if self.json {
            let listed = |name| Listed { name, bcrypt_cost: users.get(name).map(|hash| hash.cost()) };
            let list: Vec<_> = users.names().map(|name| listed(name.as_str())).collect();
            serde_json::to_writer(&mut *console.out, &list)?;
            writeln!(console.out)?;
        } else {
            for name in users.names() {
                writeln!(console.out, "{name}")?;
            }
        }
        Ok(DONE)
    }
}
