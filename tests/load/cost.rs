//! What a million events cost on AWS: the calls and units that the real handlers make, counted, times the unit prices
//! below. Events are 2 KB payments of Square's, each a new record.

use std::time::Duration;

use tillwatch_providers::Headers;
use tillwatch_tests::meter::Metered;
use tillwatch_tests::sender::{provider, signed};
use tillwatch_tests::world::{World, settings};

use crate::growth::thousandths;

/// List prices of us-east-1 in micro-dollars a million, or a GB where said; on-demand, arm64.
mod price {
    pub(super) const HTTP_API_REQUEST: u64 = 1_000_000;
    pub(super) const LAMBDA_REQUEST: u64 = 200_000;
    /// A million GB-seconds.
    pub(super) const LAMBDA_GB_SECOND: u64 = 13_333_400;
    pub(super) const SQS_REQUEST: u64 = 400_000;
    pub(super) const WRITE_UNIT: u64 = 625_000;
    pub(super) const READ_UNIT: u64 = 125_000;
    /// A GB-month.
    pub(super) const STORED_GB: u64 = 250_000;
    /// A GB.
    pub(super) const LOG_GB: u64 = 500_000;
}

/// Milliseconds that AWS bills for a webhook's invocation and, per event, for the processor's. Estimates for 256 MB, from
/// the processor time that `lambda-bench` measures and two and six network calls of a millisecond or two; not measured.
const WEBHOOK_MS: u64 = 6;
const PROCESSOR_MS_PER_EVENT: u64 = 4;
/// Bytes of log lines an event: the gateway's access line, the webhook's metric line, a tenth of the processor's.
const LOG_BYTES: u64 = 250 + 260 + 40;
/// Messages in a batch.
const BATCH: u64 = 10;

/// A sample made 2,048 bytes long by a note that does not repeat itself.
fn body(number: u64, at: jiff::Timestamp) -> Vec<u8> {
    let (_, body) = provider("square").sample("payment.updated", number, at).expect("the kind is sampled");
    let body = String::from_utf8(body).expect("JSON is text");
    let words =
        ["table", "for", "two", "no", "onions", "extra", "napkins", "birthday", "window", "allergy", "late"];
    let mut note = String::new();
    let mut state = number.wrapping_add(1);
    while body.len() + note.len() + 10 < 2_048 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        note.push_str(words[usize::try_from(state >> 33).unwrap_or(0) % words.len()]);
        note.push(' ');
    }
    note.truncate(2_048 - body.len() - 10);
    body.replacen(r#""source_type""#, &format!(r#""note":"{note}","source_type""#), 1).into_bytes()
}

#[expect(clippy::print_stdout, reason = "figures are what this is for")]
pub(crate) fn run(events: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (used, size) = runtime.block_on(async {
        let world = World::new().await;
        world.work().await;
        let before = world.meter.total();
        let mut size = 0;
        for number in 0..events {
            let body = body(number, world.now());
            size = body.len();
            let sent = signed("square", Headers::new(), body, world.now(), &settings("square"));
            assert_eq!(world.post(&sent).await, 200);
            if number % 100 == 99 {
                world.work().await;
                world.pass(Duration::from_secs(1));
            }
        }
        world.work().await;
        (world.meter.total().since(&before), size)
    });
    let per_event = |count: u64| count / events;
    println!("{events} events of {size} bytes; units and calls per event");
    for (name, count) in &used.calls {
        println!("  {name:<32} {}", thousandths(count * 1_000 / events));
    }
    let Metered { write_milliunits, read_milliunits, figure_milliunits, stored_bytes, .. } = used;
    println!("  write units, indexes included    {}", thousandths(per_event(write_milliunits)));
    println!("  read units                       {}", thousandths(per_event(read_milliunits)));
    println!("  figures' write units             {}", thousandths(per_event(figure_milliunits)));
    println!("  bytes stored, indexes included   {}", per_event(stored_bytes));

    // Sending, and receiving and deleting a tenth each; a message of up to 64 KB is one request.
    let sqs_thousandths = 1_000 + 2 * 1_000 / BATCH;
    let lambda_requests = 1_000 + 1_000 / BATCH;
    let gb_seconds_millionths = (WEBHOOK_MS + PROCESSOR_MS_PER_EVENT) * 1_000 / 4;
    let items = [
        ("HTTP API", price::HTTP_API_REQUEST),
        ("Lambda requests", price::LAMBDA_REQUEST * lambda_requests / 1_000),
        ("Lambda time (estimated)", price::LAMBDA_GB_SECOND * gb_seconds_millionths / 1_000_000),
        ("SQS", price::SQS_REQUEST * sqs_thousandths / 1_000),
        ("DynamoDB writes", price::WRITE_UNIT * per_event(write_milliunits) / 1_000),
        ("DynamoDB reads", price::READ_UNIT * per_event(read_milliunits) / 1_000),
        ("Figures", price::WRITE_UNIT * per_event(figure_milliunits) / 1_000),
        // A million events' bytes are their size in MB, kept for 30 days; DynamoDB adds 100 bytes an item.
        ("Storage, 30 days", price::STORED_GB * (per_event(stored_bytes) + 300) / 1_000),
        ("Logs", price::LOG_GB * LOG_BYTES / 1_000),
    ];
    println!("dollars per million events");
    for (name, micros) in items {
        println!("  {name:<32} {}", dollars(micros));
    }
    println!("  all                              {}", dollars(items.iter().map(|(_, micros)| micros).sum()));
}

fn dollars(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros % 1_000_000 / 1_000)
}
