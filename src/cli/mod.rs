//! The command `pakhuis`: one file a subcommand.

pub mod add_user;
pub mod list_users;
pub mod remove_user;
pub mod set_password;
mod users;
