//! Crash points: every I/O step of receive, process, retry and rollup goes wrong in every way, one at a time and in
//! pairs, and afterwards nothing is lost, nothing has taken effect twice, no older state stands, and the figures are exact.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash_points {
    mod arriving;
    mod coming_back;
    mod connected;
    mod invariants;
    mod life;
    mod replaying;
}
