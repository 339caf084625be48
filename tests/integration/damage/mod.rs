//! Damage on the volume: found, not served, set aside, healed by a push.

mod first_read;
