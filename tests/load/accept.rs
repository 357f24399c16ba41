//! How many webhooks a second one machine accepts, each on disk before its 200. Server and sender share the cores.

use std::time::Duration;

use tillwatch_tests::process::Server;

use crate::{http, percentile};

#[expect(clippy::print_stdout, reason = "figures are what this is for")]
pub(crate) fn run(connections: u64, rate: u64, span: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_release(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let settings = server.settings("square");
    let outcome = runtime.block_on(http::send(&server.address, &settings, 0, connections, rate, span));
    let per_second = u128::from(outcome.accepted) * 1_000 / outcome.took.as_millis().max(1);
    println!("connections     {connections}");
    println!(
        "asked rate      {}",
        if rate == 0 { "as fast as answered".to_owned() } else { rate.to_string() }
    );
    println!("accepted        {} in {} ms", outcome.accepted, outcome.took.as_millis());
    println!("a second        {per_second}");
    println!("not accepted    {}", outcome.other);
    println!(
        "p50 / p99 / max {} / {} / {}",
        percentile(&outcome.times, 500),
        percentile(&outcome.times, 990),
        percentile(&outcome.times, 1_000)
    );
}
