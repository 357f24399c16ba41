//! AWS wire: the functions' binaries under AWS's own runtime emulator, an AWS emulator behind them with what
//! `template.yaml` says is there, and the suite as the event sources between them.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says why")]

mod wire {
    mod declared;
    mod deployment;
    mod emulators;
    mod faults;
    mod samples;
    mod table;
    mod watch;
    mod webhooks;
}
