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
    /// Of messages with a group: fair queues cost a quarter more.
    pub(super) const SQS_REQUEST: u64 = 500_000;
    pub(super) const WRITE_UNIT: u64 = 625_000;
    pub(super) const READ_UNIT: u64 = 125_000;
    /// A GB-month.
    pub(super) const STORED_GB: u64 = 250_000;
    /// A GB-month that can be restored to any second; indexes are not charged for.
    pub(super) const RESTORABLE_GB: u64 = 200_000;
    /// A GB.
    pub(super) const LOG_GB: u64 = 500_000;
}

/// How full the batches are, which depends on how much comes.
struct Traffic {
    name: &'static str,
    /// Events in the processor's batch.
    batch: u64,
    /// Events in the rollup's batch: what comes in its window of five seconds, at most a thousand.
    rollup_batch: u64,
    /// Receptions of nothing, in thousandths an event: five pollers of each of two queues ask every twenty seconds.
    empty_receptions: u64,
    /// Events a minute, for what happens once a minute: the heartbeat, the rollup's window.
    a_minute: u64,
}

const TRAFFIC: [Traffic; 2] = [
    Traffic { name: "100 a second", batch: 10, rollup_batch: 500, empty_receptions: 5, a_minute: 6_000 },
    Traffic { name: "1 a second", batch: 1, rollup_batch: 5, empty_receptions: 500, a_minute: 60 },
];

/// MB-milliseconds that AWS bills: a webhook's invocation of 10 ms at 256 MB; an event's share of the processor's batch,
/// 4 ms at 512 MB, and 10 ms where it is alone; the rollup's invocation of 30 ms at 256 MB. Estimates, from the processor
/// time that `lambda-bench` measures and network calls of a millisecond or two; not measured on AWS.
const WEBHOOK_MB_MS: u64 = 10 * 256;
const PROCESSOR_MB_MS: u64 = 4 * 512;
const ALONE_MB_MS: u64 = 10 * 512;
const ROLLUP_MB_MS: u64 = 30 * 256;
/// Bytes of log lines an event: the gateway's access line, the webhook's metric line; and the processor's, of a batch.
const LOG_BYTES: u64 = 250 + 260;
const BATCH_LOG_BYTES: u64 = 400;
/// What the schedule makes each minute: a message sent, received and deleted, and an invocation.
const HEARTBEAT_REQUESTS: u64 = 3;
/// Events of before what is counted: their accounts' connections are made by them, which happens once.
const FIRST: u64 = 100;
/// A figure's counters of minute, hour and day.
const COUNTERS: u64 = 3;

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
        let (mut before, mut size) = (world.meter.total(), 0);
        for number in 0..FIRST + events {
            if number == FIRST {
                world.work().await;
                before = world.meter.total();
            }
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
    let Metered { write_milliunits, read_milliunits, figure_milliunits, stored_bytes, indexed_bytes, .. } =
        used;
    println!("  write units, indexes included    {}", thousandths(per_event(write_milliunits)));
    println!("  read units                       {}", thousandths(per_event(read_milliunits)));
    println!("  figures' write units             {}", thousandths(per_event(figure_milliunits)));
    println!("  bytes stored, indexes included   {}", per_event(stored_bytes));

    println!("dollars per million events, at {} and at {}", TRAFFIC[0].name, TRAFFIC[1].name);
    let columns = TRAFFIC.map(|traffic| {
        let thousandths_a_minute = 1_000 / traffic.a_minute.max(1);
        // Sending, receiving and deleting; a message of up to 64 KB is one request.
        let sqs = 1_000
            + 2 * 1_000 / traffic.batch
            + traffic.empty_receptions
            + HEARTBEAT_REQUESTS * thousandths_a_minute;
        let lambda = 1_000 + 1_000 / traffic.batch + 1_000 / traffic.rollup_batch + 2 * thousandths_a_minute;
        let processor = if traffic.batch == 1 { ALONE_MB_MS } else { PROCESSOR_MB_MS };
        let mb_ms = WEBHOOK_MB_MS + processor + ROLLUP_MB_MS / traffic.rollup_batch;
        let figures = COUNTERS * 1_000 / traffic.rollup_batch;
        // A million events' bytes are their size in MB, kept for 30 days; DynamoDB adds 100 bytes an item.
        let stored = per_event(stored_bytes) + 300;
        let restorable = per_event(stored_bytes - indexed_bytes) + 200;
        [
            ("HTTP API", price::HTTP_API_REQUEST),
            ("Lambda requests", price::LAMBDA_REQUEST * lambda / 1_000),
            ("Lambda time (estimated)", price::LAMBDA_GB_SECOND * mb_ms / 1_024 / 1_000),
            ("SQS", price::SQS_REQUEST * sqs / 1_000),
            ("DynamoDB writes", price::WRITE_UNIT * per_event(write_milliunits) / 1_000),
            ("DynamoDB reads", price::READ_UNIT * per_event(read_milliunits) / 1_000),
            ("Figures", price::WRITE_UNIT * figures / 1_000),
            ("Storage, 30 days", price::STORED_GB * stored / 1_000),
            ("Restorable to any second", price::RESTORABLE_GB * restorable / 1_000),
            ("Logs", price::LOG_GB * (LOG_BYTES + BATCH_LOG_BYTES / traffic.batch) / 1_000),
        ]
    });
    let [busy, quiet] = &columns;
    for ((name, busy), (_, quiet)) in busy.iter().zip(quiet) {
        println!("  {name:<32} {:>8} {:>8}", dollars(*busy), dollars(*quiet));
    }
    let [busy, quiet] = columns.map(|column| dollars(column.iter().map(|(_, micros)| micros).sum()));
    println!("  {:<32} {busy:>8} {quiet:>8}", "all");
}

fn dollars(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros % 1_000_000 / 1_000)
}
