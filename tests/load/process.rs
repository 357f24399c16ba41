//! From arrival to effect at a rate, by the server's own figures; and how long a backlog takes.

use std::time::{Duration, Instant};

use tillwatch_tests::process::Server;

use crate::{http, percentile};

#[expect(clippy::print_stdout, reason = "figures are what this is for")]
pub(crate) fn run(rate: u64, span: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_release(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let settings = server.settings("square");
    let started = Instant::now();
    let outcome = runtime.block_on(http::send(&server.address, &settings, 0, 32, rate, span));
    server.settled();
    let took = started.elapsed();
    let deliveries = server.deliveries("square", "");
    let millis = deliveries.iter().map(|delivery| delivery["processing_ms"].as_u64().unwrap_or(0));
    let mut times: Vec<_> = millis.map(Duration::from_millis).collect();
    times.sort_unstable();
    println!("asked rate            {rate} a second for {} s", span.as_secs());
    println!("accepted              {}", outcome.accepted);
    println!("processed             {} in {} ms", times.len(), took.as_millis());
    println!("processed a second    {}", times.len() as u128 * 1_000 / took.as_millis().max(1));
    println!(
        "answer p50 / p99      {} / {}",
        percentile(&outcome.times, 500),
        percentile(&outcome.times, 990)
    );
    println!("processed p50 / p99   {} / {}", percentile(&times, 500), percentile(&times, 990));
}
