//! A server process of its own for each test, the programs that talk to it, and images made from nothing.
//!
//! `TestServer::start(Options::default())` runs the program under test with TLS, one user and an empty volume.
//! With `PAKHUIS_CLIENTS_SERVER=docker-registry` in the environment the same call runs Debian's
//! `docker-registry` instead, which tells a defect of a test from a defect of ours.

mod api;
pub(crate) mod book;
pub(crate) mod cluster;
pub(crate) mod docker_engine;
mod image;
mod link;
pub(crate) mod pages;
mod reference;
pub(crate) mod sandbox;
mod server;
pub(crate) mod wire;

pub(crate) use crate::program::{
    combined, go_tool, program, program_under_test, run, run_failing, run_with_input,
};
pub(crate) use api::{Answer, Api, sha256};
pub(crate) use image::{Blob, ImageSpec, Layout, pseudo_random};
pub(crate) use reference::Reference;
pub(crate) use server::{Options, TestServer, basic_authorization, fingerprint, pakhuis};
