//! The `tillwatch` command as its user meets it: started, spoken to over HTTP, killed, started again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod one_machine {
    mod commands;
    mod durability;
    mod http;
    mod keys;
    mod locations;
}
