//! `pakhuis add-user`: a new user in the htpasswd file.

use std::process::ExitCode;

use super::users::{
    Console, DONE, NewPassword, UserFile, hash, htpasswd_path, names_user, on_console, quoted, record,
};
use crate::auth::{UserName, htpasswd};

/// Add a user to the htpasswd file
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pakhuis add-user ana
  pakhuis add-user ci-builder --generate --htpasswd /etc/pakhuis/htpasswd")]
pub(super) struct AddUser {
    /// Name of the new user: at most 64 letters, digits, '.', '_', '@' and '-'
    name: UserName,
    #[command(flatten)]
    password: NewPassword,
    #[command(flatten)]
    file: UserFile,
}

impl AddUser {
    /// Runs the command. Exit codes: 0 added, 2 no usable name or password, 5 the user exists.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        on_console(|console| self.execute(console))
    }

    pub(super) fn execute(&self, console: &mut Console<'_>) -> anyhow::Result<u8> {
        let Self { name, password: from, file } = self;
        let path = htpasswd_path(file)?;
        let flags = file.as_flags();
        let hint = format!("to change the password: pakhuis set-password {}{flags}", quoted(name.as_str()));
        // Said before a password is asked for; whoever is quicker is found below.
        if let Err(error) = name.check_new() {
            return console.refuse_edit(error.into(), &hint);
        }
        if names_user(&path, name)? {
            return console.refuse_edit(htpasswd::EditError::Exists(name.clone()), &hint);
        }
        let password = match console.new_password(from, &format!("pakhuis add-user {name}{flags}"))? {
            Ok(password) => password,
            Err(code) => return Ok(code),
        };
        match htpasswd::add_user(&path, name, &hash(&password, from, file)?) {
            Ok(edited) => {
                record(file, "add-user", name)?;
                console.show_generated(from, &password)?;
                let done = format!("added user \"{name}\"");
                console.report(&done, &path, "knows the user from now on", edited)?;
                Ok(DONE)
            }
            Err(error) => console.refuse_edit(error, &hint),
        }
    }
}
