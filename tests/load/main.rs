//! Load and cost, measured: one command for each budget, figures on stdout. No part of the tests' pass.
//!
//! ```text
//! cargo run --release -p tillwatch-tests --bin load -- accept      durable webhooks a second on one machine
//! cargo run --release -p tillwatch-tests --bin load -- process     received → processed at a rate
//! cargo run --release -p tillwatch-tests --bin load -- growth      cost of an event from 10³ stored ones on
//! cargo run --release -p tillwatch-tests --bin load -- cost        AWS, per million events, from the calls that are made
//! cargo run --release -p tillwatch-tests --bin load -- apply       a configuration of many locations
//! cargo run --release -p tillwatch-tests --bin load -- connections webhooks of many connections with secrets of their own
//! cargo run --release -p tillwatch-tests --bin load -- checks      many connections checked, and told of
//! cargo run --release -p tillwatch-tests --bin load -- replay      a bulk replay beside new events
//! ```

mod accept;
mod checks;
mod configuration;
mod cost;
mod growth;
mod http;
mod process;
mod replay;

use std::time::Duration;

#[expect(clippy::print_stderr, reason = "a command's usage")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| {
        arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    match arguments.first().map(String::as_str) {
        Some("accept") => accept::run(number(1, 32), number(2, 0), Duration::from_secs(number(3, 15))),
        Some("process") => process::run(number(1, 300), Duration::from_secs(number(2, 20))),
        Some("growth") => growth::run(number(1, 100_000)),
        Some("cost") => cost::run(number(1, 1_000)),
        Some("apply") => configuration::apply(number(1, 2_000)),
        Some("connections") => {
            configuration::connections(number(1, 10_000), number(2, 0), Duration::from_secs(number(3, 15)));
        }
        Some("checks") => checks::run(number(1, 10_000)),
        Some("replay") => replay::run(number(1, 100_000), number(2, 300), Duration::from_secs(number(3, 30))),
        _ => eprintln!(
            "load accept [CONNECTIONS [RATE [SECONDS]]] | process [RATE [SECONDS]] | growth [EVENTS] | cost [EVENTS] \
             | apply [LOCATIONS] | connections [CONNECTIONS [RATE [SECONDS]]] | checks [CONNECTIONS] | replay [HELD [RATE [SECONDS]]]"
        ),
    }
}

/// A percentile of sorted times, in milliseconds with two decimals.
fn percentile(sorted: &[Duration], per_mille: usize) -> String {
    let Some(last) = sorted.len().checked_sub(1) else { return "-".to_owned() };
    let index = (sorted.len() * per_mille / 1_000).min(last);
    let micros = sorted[index].as_micros();
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}
