//! Damage on the volume: found, not served, set aside, healed by a push.

mod background;
mod every_damage;
mod first_read;
mod repair;
mod sample;
