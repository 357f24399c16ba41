//! Prints what the code needs of its deployment, as it is found by running it, for `.ci/template` to hold template.yaml to:
//! the tables, the queues' numbers, the heartbeat's message, and every metric with its dimensions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tillwatch::embedded::{DataFolder, Now};
use tillwatch::ports::{Queues, Storage};
use tillwatch::stack::{BATCH, PROCESSOR_TIMEOUT, VISIBILITY};
use tillwatch_domain::Outcome;
use tillwatch_domain::health::Finding;
use tillwatch_domain::threshold;
use tillwatch_platform::metrics::Metric;
use tillwatch_platform::queue::Outgoing;
use tillwatch_platform::table::schema;
use tillwatch_tests::sender::{sample, signed};
use tillwatch_tests::world::{World, settings};
use tillwatch_workflows::envelope::Message;
use tillwatch_workflows::subscriptions::Standing;
use tillwatch_workflows::tally::Address;
use tillwatch_workflows::tokens::Refreshed;

/// What the template calls the time at which a heartbeat is sent.
const SCHEDULED: &str = "<aws.scheduler.scheduled-time>";

#[expect(clippy::print_stdout, reason = "it prints")]
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let deployment = json!({
        "tables": {
            "Table": [schema::main_table("-"), schema::time_to_live("-")],
            "FiguresTable": [schema::figures_table("-"), schema::time_to_live("-")],
            "ConnectionsTable": [schema::connections_table("-"), schema::time_to_live("-")],
        },
        "batch": BATCH,
        "visibility": VISIBILITY.as_secs(),
        "processor_timeout": PROCESSOR_TIMEOUT.as_secs(),
        "dead_after": dead_after().await,
        "late_write_ms": threshold::DATABASE.as_millis(),
        "heartbeat": Message::Heartbeat { at: SCHEDULED.to_owned() }.to_text(),
        "providers": providers(),
        "metrics": metrics().await,
    });
    println!("{deployment}");
}

/// Every provider, and whether its webhook function takes `GET` as well.
fn providers() -> BTreeMap<&'static str, bool> {
    tillwatch_providers::ALL.iter().map(|provider| (provider.name(), provider.takes_get())).collect()
}

/// After how many receptions a message is a dead letter.
async fn dead_after() -> u32 {
    let folder = tempfile::tempdir().expect("a folder");
    let data = DataFolder::open(folder.path()).expect("the folder is opened");
    let clock = Arc::new(AtomicI64::new(0));
    let now: Now = Arc::new({
        let clock = Arc::clone(&clock);
        move || clock.load(Ordering::SeqCst)
    });
    let queues = Queues::open(&data, &now).await.expect("the queues are opened");
    let storage = Storage::open(queues, &data, now).await.expect("the tables are opened");
    let message = Outgoing { body: "any".to_owned(), group: "any".to_owned(), delay: Duration::ZERO };
    storage.events.send(message).await.expect("it is sent");
    let mut receptions = 0;
    while !storage.events.receive(1, Duration::from_secs(1)).await.expect("it is received").is_empty() {
        receptions += 1;
        clock.fetch_add(1_000, Ordering::SeqCst);
    }
    receptions
}

/// Every metric that there can be an alarm on, as the format has it, without values and time.
async fn metrics() -> BTreeSet<String> {
    let world = World::new().await;
    for provider in tillwatch_providers::ALL {
        let (name, settings) = (provider.name(), settings(provider.name()));
        let request = sample(name, provider.sample_kinds()[0], 1, world.now(), &settings);
        let mut forged = request.clone();
        forged.body.push(b' ');
        let unreadable = request.headers.iter().filter(|(header, _)| !header.contains("signature"));
        let unreadable = unreadable.filter(|(header, _)| !header.contains("hmac")).collect();
        let unreadable = signed(name, unreadable, b"{".to_vec(), world.now(), &settings);
        for sent in [request, forged, unreadable] {
            world.send(&sent).await;
        }
    }
    let unknown = Outgoing { body: "no envelope".into(), group: "any".into(), delay: Duration::ZERO };
    world.stack().ports().events.send(unknown).await.expect("it is sent");
    // Attempts are repeated as long as records fail.
    world.faults.down(|step| step.starts_with("table.") && step.contains("R#"));
    world.work().await;
    world.faults.up();
    for _ in 0..20 {
        world.turn(Duration::from_hours(1)).await;
    }
    // What checks may find: to find it takes the providers.
    for finding in Finding::ALL {
        let values = [(Metric::Checks, vec![1]), (Metric::CheckTime, vec![1])];
        world.metrics.emit(world.now(), "square", finding.name(), &values);
    }
    // What a look at subscriptions may say of them: to find them so takes the providers.
    for standing in Standing::ALL {
        world.metrics.emit(world.now(), "square", standing.outcome(), &[(Metric::Subscriptions, vec![1])]);
    }
    // And what may come of a refresh.
    for what in [Refreshed::Done, Refreshed::NeedsAPerson, Refreshed::Gone] {
        world.metrics.emit(world.now(), "square", what.outcome(), &[(Metric::Refreshes, vec![1])]);
    }
    // And what may be told of what no webhook brought.
    let outcomes = Outcome::ALL.iter().map(|outcome| outcome.name());
    for outcome in outcomes.chain(["duplicate", "again", "missing", "unlisted"]) {
        world.metrics.emit(world.now(), "square", outcome, &[(Metric::Reconciled, vec![1])]);
    }
    // And how our own addresses may do.
    for address in Address::ALL {
        let values = [(Metric::Addresses, vec![1]), (Metric::SyntheticTime, vec![1])];
        world.metrics.emit(world.now(), "square", address.outcome(), &values);
    }
    let lines = world.metrics.lines();
    lines.iter().flat_map(|line| described(&serde_json::from_str(line).expect("a line is JSON"))).collect()
}

fn described(line: &Value) -> Vec<String> {
    let mut described = line["_aws"]["CloudWatchMetrics"].clone();
    let directives = described.as_array_mut().expect("a line says which metrics it is of");
    for directive in directives.iter_mut() {
        for dimension in ["provider", "outcome"] {
            directive[dimension] = line[dimension].clone();
        }
    }
    directives.iter().map(Value::to_string).collect()
}
