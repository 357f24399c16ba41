//! What the suites share: a whole stack on temporary files, with a clock, faults and senders of the test's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod connected;
pub mod described;
pub mod faults;
pub mod front;
pub mod identity;
pub mod mail;
pub mod meter;
pub mod pages;
pub mod process;
pub mod sender;
pub mod server;
pub mod world;
