//! Clients that mean harm, many at once: memory stays bounded, and an honest client that comes meanwhile notices
//! little.

mod floods;
mod http2;
mod slow;
mod smuggling;
mod watch;
