//! Flows through the whole stack, as senders and operators see them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod flows {
    mod answers;
    mod api;
    mod configuration;
    mod connections;
    mod counting;
    mod faults;
    mod interrupted;
    mod metrics;
    mod own_secrets;
    mod pausing;
    mod receiving;
    mod releasing;
    mod replaying;
    mod several;
    mod taking_effect;
    mod tenants;
    mod time_out;
}
