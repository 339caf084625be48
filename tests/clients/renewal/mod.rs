//! What an administrator renews while clients go on: certificate, authority, users, configuration, the process itself.

mod files;
mod load;
mod process;
