//! A node as its administrator has it: what docker and podman say when something is missing, and `config/trust`.

mod messages;
mod trust;
