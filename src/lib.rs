//! Pakhuis: a private OCI image registry for a shared volume.
//!
//! Where things are, in reading order: [`oci`] the protocol's words as values; [`storage`] bytes and names on
//! disk; [`registry`] the rules of the OCI specification over it. A request enters by [`server`], is asked who
//! it is by [`auth`], and is answered by [`api`] (`/v2`, for clients) or [`ui`] (pages, for people);
//! [`events`] tells other services, by [`http_client`]. [`config`]
//! gathers what an operator writes, [`cli`] is the command `pakhuis`. `docs/architecture.md` has the map.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests damage files on purpose"))]

pub mod oci;
pub mod storage;
pub mod registry;
pub mod auth;
pub mod api;
pub mod ui;
pub mod events;
pub mod tls;
pub mod http_client;
pub mod observability;
pub mod server;
pub mod config;
pub mod cli;
