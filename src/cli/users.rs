//! What the commands about users share: which file, where a password comes from, and how they end.

use std::{
    io::{self, IsTerminal as _, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use zeroize::Zeroizing;

use super::audit;
use crate::auth::{
    Password, PasswordHash, UserName,
    htpasswd::{self, EditError, Edited, Users},
};
use crate::config::{Config, Flags};

pub(super) const DONE: u8 = 0;
pub(super) const USAGE: u8 = 2;
pub(super) const NOT_FOUND: u8 = 4;
pub(super) const REFUSED: u8 = 5;

/// Which htpasswd file.
#[derive(Debug, Args)]
pub(super) struct UserFile {
    /// The htpasswd file [default: the one the configuration names, else ./pakhuis-htpasswd]
    #[arg(long, value_name = "FILE", env = "PAKHUIS_HTPASSWD")]
    pub(super) htpasswd: Option<PathBuf>,

    /// The configuration whose [auth] htpasswd names the file
    #[arg(long, value_name = "FILE", env = "PAKHUIS_CONFIG")]
    pub(super) config: Option<PathBuf>,
}

/// The configuration whose users are meant: flag over environment over file over default, as for the server.
fn configuration(file: &UserFile) -> anyhow::Result<Config> {
    let flags = Flags { config: file.config.clone(), htpasswd: file.htpasswd.clone(), ..Flags::default() };
    Ok(Config::load(&flags, &|name| std::env::var(name).ok())?)
}

/// The htpasswd file meant.
pub(super) fn htpasswd_path(file: &UserFile) -> anyhow::Result<PathBuf> {
    Ok(configuration(file)?.user_file)
}

/// Writes a command that was carried out to the audit log, if there is one.
pub(super) fn record(file: &UserFile, command: &str, user: &UserName) -> anyhow::Result<()> {
    audit::record(&configuration(file)?, command, user.as_str());
    Ok(())
}

impl UserFile {
    /// The flags that name the same file again, for a command to copy: empty, or with a space before.
    pub(super) fn as_flags(&self) -> String {
        let flag = |name: &str, path: &Path| format!(" {name} {}", quoted(&path.to_string_lossy()));
        match (&self.htpasswd, &self.config) {
            (Some(path), _) => flag("--htpasswd", path),
            (None, Some(path)) => flag("--config", path),
            (None, None) => String::new(),
        }
    }
}

/// Where a new password comes from; without a flag it is asked for, twice, on the terminal.
#[derive(Debug, Args)]
pub(super) struct NewPassword {
    /// Read the password from standard input, one line
    #[arg(long, conflicts_with = "generate")]
    pub(super) password_stdin: bool,

    /// Make up a password and print it once on standard output
    #[arg(long)]
    pub(super) generate: bool,

    /// Cost of the bcrypt hash: one more doubles the work of every guess, and of every first sign-in [default: the
    /// configuration's auth.bcrypt_cost, else 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=15))]
    pub(super) bcrypt_cost: Option<u32>,
}

/// What a command talks to; tests put their own in its place.
pub(super) struct Console<'a> {
    pub(super) input: &'a mut dyn Read,
    /// Whether a person sits at the terminal.
    pub(super) interactive: bool,
    /// Asks for a line that is not shown.
    pub(super) ask_secret: &'a mut dyn FnMut(&str) -> io::Result<String>,
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
}

/// Runs a command on the real terminal.
pub(super) fn on_console(
    command: impl FnOnce(&mut Console<'_>) -> anyhow::Result<u8>,
) -> anyhow::Result<ExitCode> {
    let mut console = Console {
        input: &mut io::stdin(),
        interactive: io::stdin().is_terminal() && io::stderr().is_terminal(),
        ask_secret: &mut |prompt| rpassword::prompt_password(prompt),
        out: &mut io::stdout(),
        err: &mut io::stderr(),
    };
    Ok(ExitCode::from(command(&mut console)?))
}

impl Console<'_> {
    /// Says why the command ends without having done anything.
    pub(super) fn refuse(&mut self, code: u8, message: &str) -> anyhow::Result<u8> {
        writeln!(self.err, "error: {message}")?;
        Ok(code)
    }

    /// Gets the new password, or says why there is none (`Err`: the exit code). `again` is the command as typed.
    pub(super) fn new_password(
        &mut self,
        from: &NewPassword,
        again: &str,
    ) -> anyhow::Result<Result<Password, u8>> {
        let password = if from.generate {
            generate()?
        } else if from.password_stdin {
            match self.read_line()? {
                Some(password) => password,
                None => {
                    let message = "standard input holds more than one line of UTF-8 text as the password";
                    return self.refuse(USAGE, message).map(Err);
                }
            }
        } else if self.interactive {
            let first = Password::new((self.ask_secret)("New password: ")?);
            let second = Password::new((self.ask_secret)("Once more: ")?);
            if first.expose() != second.expose() {
                return self.refuse(USAGE, "the two passwords differ; nothing was changed").map(Err);
            }
            first
        } else {
            let message = format!(
                "there is no terminal to ask for a password; to have one made up: {again} --generate\n\
                 hint: to pass one: {again} --password-stdin < FILE"
            );
            return self.refuse(USAGE, &message).map(Err);
        };
        match password.check_new() {
            Ok(()) => Ok(Ok(password)),
            Err(rule) => self.refuse(USAGE, &rule.to_string()).map(Err),
        }
    }

    /// One line, its end removed; `None` when it is something else.
    fn read_line(&mut self) -> io::Result<Option<Password>> {
        /// Far above any password; the rule about its length comes later.
        const MAX_LENGTH: u64 = 4096;
        // With its room at once, so that no copy stays behind where it grew.
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_LENGTH as usize + 64));
        (&mut *self.input).take(MAX_LENGTH).read_to_end(&mut text)?;
        let line = text.strip_suffix(b"\n").unwrap_or(&text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(line) if !line.contains('\n') => Ok(Some(Password::new(line.to_owned()))),
            _ => Ok(None),
        }
    }

    /// Says what was done, after it was, and what a running server makes of it.
    pub(super) fn report(&mut self, done: &str, file: &Path, server: &str, edited: Edited) -> io::Result<()> {
        writeln!(self.err, "{done} in {}; a running server {server}", file.display())?;
        if !edited.owner_kept {
            writeln!(
                self.err,
                "hint: the file now belongs to you, because its former owner could not be kept; \
                 see that the server can read it"
            )?;
        }
        Ok(())
    }

    /// Prints a password that was made up; one that was given is known already.
    pub(super) fn show_generated(&mut self, from: &NewPassword, password: &Password) -> io::Result<()> {
        if from.generate { writeln!(self.out, "{}", password.expose()) } else { Ok(()) }
    }

    /// Turns the reason why a file was not changed into words and an exit code.
    pub(super) fn refuse_edit(&mut self, error: EditError, hint: &str) -> anyhow::Result<u8> {
        let code = match &error {
            EditError::Exists(_) => REFUSED,
            EditError::Unknown(_) => NOT_FOUND,
            EditError::Name(_) => return self.refuse(USAGE, &error.to_string()),
            EditError::Locked(_) => return self.refuse(REFUSED, &format!("{error}; try again")),
            EditError::Io { .. } => return Err(error.into()),
        };
        self.refuse(code, &format!("{error}; {hint}"))
    }
}

/// Whether the file has such a user; a file that is not there has none.
pub(super) fn names_user(path: &Path, name: &UserName) -> anyhow::Result<bool> {
    match htpasswd::read(path) {
        Ok(text) => Ok(Users::parse(&text).0.names().any(|known| known == name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Hashes a password that was found good.
pub(super) fn hash(password: &Password, from: &NewPassword, file: &UserFile) -> anyhow::Result<PasswordHash> {
    let cost = match from.bcrypt_cost {
        Some(cost) => cost,
        None => configuration(file)?.auth.bcrypt_cost,
    };
    PasswordHash::create(password, cost).context("cannot hash the password")
}

/// 24 characters, none of which looks like another: 139 bits.
fn generate() -> anyhow::Result<Password> {
    const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    const LENGTH: usize = 24;
    let mut password = String::with_capacity(LENGTH);
    let mut bytes = Zeroizing::new([0_u8; 64]);
    while password.len() < LENGTH {
        getrandom::fill(&mut *bytes).context("the operating system gives no random bytes")?;
        // What lies beyond the last whole round of the alphabet would favour its beginning.
        let usable = 256 / ALPHABET.len() * ALPHABET.len();
        let letters = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < usable);
        let missing = LENGTH - password.len();
        password.extend(letters.map(|byte| char::from(ALPHABET[byte % ALPHABET.len()])).take(missing));
    }
    Ok(Password::new(password))
}

/// The text as a shell takes it for one word.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/@+=:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
#[path = "users_tests.rs"]
mod tests;
