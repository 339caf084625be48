//! What an administrator does while clients go on: renew certificates, users and configuration, replace the process,
//! make a back-up.

mod backup;
mod files;
mod load;
mod process;
