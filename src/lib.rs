//! Pakhuis: a private OCI image registry.
pub mod auth;
pub mod observability;
pub mod server;
