//! Many locations: how long their configuration takes to apply, and what webhooks cost whose connections all have secrets of
//! their own.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tillwatch_providers::Settings;
use tillwatch_tests::process::Server;
use tillwatch_tests::sender::{provider, signed};

use crate::replay::worked_off;
use crate::{http, percentile};

/// How many connections are met a second.
const FIRSTS: u64 = 1_000;

fn key(number: u64) -> String {
    format!("{number:024}-of-a-url")
}

/// A configuration of so many locations, each with a connection to Odoo with a URL secret of its own, and, with `more`, three
/// further ones.
fn yaml(locations: u64, more: bool) -> String {
    let mut text = String::from("locations:\n");
    for number in 0..locations {
        let key = key(number);
        let _ = write!(
            text,
            "  - id: l{number}\n    business: b{}\n    timezone: Europe/Athens\n    providers:\n      \
             odoo: {{url: \"https://o{number}.example.com\", api_key: odoo-{number}, url_key: \"{key}\"}}\n",
            number % 100
        );
        if !more {
            continue;
        }
        let _ = write!(
            text,
            "      square: {{merchant_id: M{number}, access_token: token-{number}, refresh_token: refresh-{number}}}\n      \
             shopify: {{shop: s{number}.myshopify.com, access_token: shpat-{number}}}\n      \
             zettle: {{organization_uuid: org-{number}, signing_key: \"{key}\", api_key: key-{number}}}\n"
        );
    }
    text
}

/// How many messages are on the queue.
fn waiting(server: &Server) -> i64 {
    let pending = &server.get("/webhooks/health")["pending"];
    ["count", "in_flight"].iter().filter_map(|name| pending[name].as_i64()).sum()
}

fn applied(server: &Server, folder: &Path, locations: u64, more: bool) -> Duration {
    let file = folder.join("locations.yaml");
    std::fs::write(&file, yaml(locations, more)).expect("the file is written");
    let started = Instant::now();
    let (ok, text) = server.command(&["config", "apply", &file.to_string_lossy(), "--yes"]);
    assert!(ok, "{}", text.lines().rev().take(3).collect::<Vec<_>>().join(" / "));
    started.elapsed()
}

/// How long it takes to apply so many locations, and to find that nothing is left to change.
#[expect(clippy::print_stdout, reason = "figures are what this is for")]
pub(crate) fn apply(locations: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_release(&folder.path().join("data"));
    let (first, again) =
        (applied(&server, folder.path(), locations, true), applied(&server, folder.path(), locations, true));
    println!("locations             {locations}, with {} connections", locations * 4);
    println!("applied in            {} ms", first.as_millis());
    println!("nothing to change in  {} ms", again.as_millis());
}

/// Webhooks of so many connections, each proved by its own URL's secret: the first of each, for which its secret is looked
/// up, and those that follow.
#[expect(clippy::print_stdout, reason = "figures are what this is for")]
pub(crate) fn connections(connections: u64, rate: u64, span: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_release(&folder.path().join("data"));
    applied(&server, folder.path(), connections, false);
    let at = "2026-11-23T23:00:00Z".parse().expect("a time");
    let odoo = provider("odoo");
    let request = |number: u64| {
        let (mut headers, body) = odoo.sample(odoo.sample_kinds()[0], number, at).expect("a sample");
        headers.remove(":suffix");
        // Each connection in turn, in an order that is no order of their ids.
        let connection = number.wrapping_mul(7_919) % connections;
        headers.push(":suffix", format!("/l{connection}-odoo"));
        http::wire(&signed("odoo", headers, body, at, &Settings::with_url_keys([key(connection)])))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("connections     {connections}, each with its own secret");
    let firsts = Duration::from_secs(connections.div_ceil(FIRSTS));
    for (name, from, rate, span) in
        [("first of each", 0, FIRSTS, firsts), ("after it", connections, rate, span)]
    {
        let requests = (from..from + http::expected(rate, span)).map(request).collect();
        let outcome = runtime.block_on(http::send_all(&server.address, requests, 32, rate, span));
        println!("\n{name}");
        println!("accepted        {} in {} ms", outcome.accepted, outcome.took.as_millis());
        println!("not accepted    {}", outcome.other);
        println!(
            "a second        {}",
            u128::from(outcome.accepted) * 1_000 / outcome.took.as_millis().max(1)
        );
        println!("answer p50      {}", percentile(&outcome.times, 500));
        println!("answer p99      {}", percentile(&outcome.times, 990));
    }
    // Those that came faster than they are processed wait, and none is lost.
    let (sent, started) = (Instant::now(), waiting(&server));
    worked_off(&server);
    println!("\nwaited at last  {started}, worked off in {} ms", sent.elapsed().as_millis());
    println!("at connections  {}", server.get("/webhooks/health")["providers"]["odoo"]["processed"]);
}
