//! A bulk replay beside new events: what was held is released at a bounded rate, and new events must not wait for it.

use std::time::{Duration, Instant};

use serde_json::json;
use tillwatch_tests::process::Server;

use crate::{http, percentile};

/// Waits for as long as a hundred thousand events may take.
fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(15), "it comes to that");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until nothing is left on the queue.
pub(crate) fn worked_off(server: &Server) {
    until(|| {
        let pending = &server.get("/webhooks/health")["pending"];
        pending["count"] == 0 && pending["in_flight"] == 0
    });
}

#[expect(clippy::print_stdout, reason = "figures are what this is for")]
pub(crate) fn run(held: u64, rate: u64, span: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_release(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let settings = server.settings("square");
    assert_eq!(server.post("/providers/square/pause", &json!({})).0, 200, "it is paused");
    let seconds = Duration::from_secs(held.div_ceil(2_000).max(1));
    let sent = runtime.block_on(http::send(&server.address, &settings, 0, 32, 2_000, seconds));
    worked_off(&server);
    let of = |name: &str| server.get("/webhooks/health")["providers"]["square"][name].as_i64().unwrap_or(0);
    println!("held                  {} of {} accepted", of("held"), sent.accepted);
    let began = Instant::now();
    // Beside the replay that a resume starts at its own rate, one at the highest.
    assert_eq!(server.post("/providers/square/resume", &json!({})).0, 200, "it goes on");
    let filter = json!({"id": "bench", "providers": ["square"], "status": ["held"], "rate": 1_000});
    let _ = server.post("/replays", &filter);
    let from = server.get("/webhooks/health")["to"].as_str().unwrap_or_default().to_owned();
    let new = runtime.block_on(http::send(&server.address, &settings, 10_000_000, 32, rate, span));
    let left = of("held");
    println!(
        "released meanwhile    {} in {} s",
        i64::try_from(sent.accepted).unwrap_or(0) - left,
        began.elapsed().as_secs()
    );
    worked_off(&server);
    let deliveries = server.deliveries("square", &format!("&from={from}"));
    let mut times: Vec<_> = deliveries
        .iter()
        .map(|delivery| Duration::from_millis(delivery["processing_ms"].as_u64().unwrap_or(0)))
        .collect();
    times.sort_unstable();
    println!("new events            {} at {rate} a second", new.accepted);
    println!("answer p50 / p99      {} / {}", percentile(&new.times, 500), percentile(&new.times, 990));
    println!("processed p50 / p99   {} / {}", percentile(&times, 500), percentile(&times, 990));
    until(|| of("held") == 0);
    println!("all released in       {} s", began.elapsed().as_secs());
    println!("processed in all      {} of {}", of("processed"), sent.accepted + new.accepted);
}
