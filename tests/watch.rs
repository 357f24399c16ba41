//! The watch on servers that stand for the providers, with a clock of the test's own: what is said of each connection, when,
//! and whose fault it is said to be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod watch {
    mod answers;
    mod beside;
    mod deadman;
    mod family;
    mod interrupted;
    mod mail;
    mod market;
    mod place;
    mod reconcile;
    mod reconcile_interrupted;
    mod reconnect;
    mod scenarios;
    mod schedule;
    mod silence;
    mod till;
    mod tokens;
    mod told;
}
