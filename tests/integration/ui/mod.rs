//! The pages, in process: signing in and out, what is shown to whom, what is done, and that every page is sound HTML.

mod account;
mod actions;
mod browser;
mod compare;
mod compression;
mod data;
mod deletion;
mod forms;
mod interference;
mod lists;
mod markup;
mod pages;
mod raw;
mod rights;
mod sample;
mod sign_in;
mod theme;

pub(crate) use browser::Browser;
