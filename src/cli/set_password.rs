//! `pakhuis set-password`: another password for a user of the htpasswd file.

use std::process::ExitCode;

use super::users::{
    Console, DONE, NewPassword, UserFile, hash, htpasswd_path, names_user, on_console, quoted, record,
};
use crate::auth::{UserName, htpasswd};

/// Change the password of a user
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pakhuis set-password ana
  pakhuis set-password ci-builder --password-stdin < password.txt")]
pub(super) struct SetPassword {
    /// Name of the user
    name: UserName,
    #[command(flatten)]
    password: NewPassword,
    #[command(flatten)]
    file: UserFile,
}

impl SetPassword {
    /// Runs the command. Exit codes: 0 changed, 2 no usable password, 4 there is no such user.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        on_console(|console| self.execute(console))
    }

    pub(super) fn execute(&self, console: &mut Console<'_>) -> anyhow::Result<u8> {
        let Self { name, password: from, file } = self;
        let path = htpasswd_path(file)?;
        let (flags, quoted_name) = (file.as_flags(), quoted(name.as_str()));
        let hint = format!("to add the user: pakhuis add-user {quoted_name}{flags}");
        if !names_user(&path, name)? {
            return console.refuse_edit(htpasswd::EditError::Unknown(name.clone()), &hint);
        }
        let again = format!("pakhuis set-password {quoted_name}{flags}");
        let password = match console.new_password(from, &again)? {
            Ok(password) => password,
            Err(code) => return Ok(code),
        };
        match htpasswd::set_password(&path, name, &hash(&password, from, file)?) {
            Ok(edited) => {
                record(file, "set-password", name)?;
                console.show_generated(from, &password)?;
                let done = format!("changed the password of \"{name}\"");
                let server = "takes the new one from now on, and the old one for up to 5 seconds";
                console.report(&done, &path, server, edited)?;
                Ok(DONE)
            }
            Err(error) => console.refuse_edit(error, &hint),
        }
    }
}
