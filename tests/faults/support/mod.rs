//! What the fault tests share: a server under trace, volumes, requests, and judgement of answers.

pub(crate) mod calls;
pub(crate) mod client;
pub(crate) mod image;
pub(crate) mod registry;
pub(crate) mod server;
pub(crate) mod stoppable;
pub(crate) mod tracer;
pub(crate) mod volume;
