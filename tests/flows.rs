//! Flows through the whole stack, as senders and operators see them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod flows {
    mod api;
    mod counting;
    mod faults;
    mod metrics;
    mod receiving;
    mod taking_effect;
    mod time_out;
}
