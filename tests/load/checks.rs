//! Checks of many connections against servers on this machine, and what it takes to tell how all of them do.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use tillwatch_tests::process::Server;
use tillwatch_tests::server::{self, Reply};

use crate::percentile;

/// So many locations, each with a connection to Stripe whose server is that one.
fn yaml(connections: u64, base: &str) -> String {
    let mut text = String::from("locations:\n");
    for number in 0..connections {
        let _ = write!(
            text,
            "  - id: l{number}\n    business: b{}\n    timezone: Europe/Athens\n    providers:\n      \
             stripe: {{account: acct_{number}, api_key: rk_{number}, base_url: \"{base}\"}}\n",
            number % 100
        );
    }
    text
}

/// Has all of them checked at once, and asks how they do.
#[expect(clippy::print_stdout, reason = "figures are what this is for")]
pub(crate) fn run(connections: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let answers = || Reply::json(200, json!({"object": "balance", "livemode": true}));
    let fake = runtime.block_on(server::Server::start(move |_| answers()));
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [("TILLWATCH_ALLOW_PRIVATE", "true"), ("TILLWATCH_CHECK_SECONDS", "3600")];
    let tillwatch = Server::start_release_with(&folder.path().join("data"), &environment);
    let file = folder.path().join("locations.yaml");
    std::fs::write(&file, yaml(connections, &fake.base)).expect("the file is written");
    let (ok, text) = tillwatch.command(&["config", "apply", &file.to_string_lossy(), "--yes"]);
    assert!(ok, "{}", text.lines().rev().take(3).collect::<Vec<_>>().join(" / "));

    let mut called = 0;
    let mut until = |wanted: usize, what: &str| {
        let began = Instant::now();
        while called < wanted {
            assert!(began.elapsed() < Duration::from_mins(20), "{what}: {called} of {wanted}");
            std::thread::sleep(Duration::from_millis(20));
            called += fake.calls().len();
        }
        called -= wanted;
        began.elapsed()
    };
    let all = usize::try_from(connections).expect("a number");
    // What was configured is checked while more is being configured.
    until(all, "the first checks");
    let asked = Instant::now();
    let (status, _) = tillwatch.post("/pos/health/stripe/test", &json!({}));
    assert_eq!(status, 202);
    let sent = asked.elapsed();
    let took = until(all, "all checked at once");
    println!("connections       {connections}");
    println!("sent in           {} ms", sent.as_millis());
    println!("all checked in    {} ms", (asked.elapsed().min(sent + took)).as_millis());

    let up = |view: &serde_json::Value| view["providers"]["stripe"]["by_status"]["up"] == connections;
    tillwatch.when("/pos/health", up);
    for (what, path) in [
        ("all providers", "/pos/health"),
        ("a page of 100", "/pos/health/stripe/connections?limit=100"),
        ("one connection", "/connections/l7-stripe/health"),
    ] {
        let mut times: Vec<_> = (0..50)
            .map(|_| {
                let began = Instant::now();
                tillwatch.get(path);
                began.elapsed()
            })
            .collect();
        times.sort();
        println!("{what:<17} p50 {}, p99 {}", percentile(&times, 500), percentile(&times, 990));
    }
    let mut size = 0;
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            let began = Instant::now();
            size = tillwatch.scraped(&tillwatch.token).len();
            began.elapsed()
        })
        .collect();
    times.sort();
    let bytes = size / 1_024;
    println!("metrics, {bytes} KiB  p50 {}, p99 {}", percentile(&times, 500), percentile(&times, 990));
}
