//! Bugs of other registries that broke real clients, each as a test. The numbers and names are those of the
//! reports at the projects that met them.
//!
//! Not here, since they need a socket: a 5 GB blob's length (7), a status read while 50 MB are still being sent
//! (30), many HTTP/2 streams and slow windows (31), an answer to a panic (33), a client trusting our
//! certificate (34). Expiring tokens (29) cannot happen: there are none, credentials are checked at the start.

mod discovery;
mod manifests;
mod transfers;
