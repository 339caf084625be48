//! The pages, in process: signing in and out, what is shown to whom, and that every page is sound HTML.

mod browser;
mod markup;
mod pages;
mod sample;
mod sign_in;
