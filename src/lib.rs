//! Pakhuis: a private OCI image registry.
pub mod auth;
pub mod config;
pub mod observability;
pub mod server;
