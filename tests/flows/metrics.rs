//! Metrics as CloudWatch reads them: one line in the embedded metric format for each provider and outcome.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tillwatch::stack::{CONNECTIONS_TABLE, FIGURES_TABLE, MAIN_TABLE};
use tillwatch_platform::connections::{Connections, Unknown};
use tillwatch_platform::table::Table;
use tillwatch_providers::Headers;
use tillwatch_tests::sender::{Sent, sample, signed};
use tillwatch_tests::world::{BEGINNING_MS, World, settings};
use tillwatch_workflows::process::{Processor, Report};
use tillwatch_workflows::routing::Routing;

fn payment(world: &World, number: u64) -> Sent {
    sample("square", "payment.updated", number, world.now(), &settings("square"))
}

/// The lines since there were `before` of them.
fn lines(world: &World, before: usize) -> Vec<Value> {
    world.metrics.lines().iter().skip(before).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A line with these metrics (name and unit) of Square's and this outcome.
fn line(at_ms: i64, outcome: &str, metrics: &[(&str, &str)]) -> Value {
    let metrics: Vec<_> = metrics.iter().map(|(name, unit)| json!({"Name": name, "Unit": unit})).collect();
    json!({
        "_aws": {
            "Timestamp": at_ms,
            "CloudWatchMetrics": [{
                "Namespace": "Tillwatch/test",
                "Dimensions": [["provider", "outcome"]],
                "Metrics": metrics,
            }],
        },
        "provider": "square",
        "outcome": outcome,
    })
}

fn with(mut line: Value, values: &[(&str, Value)]) -> Value {
    for (name, value) in values {
        line[name] = value.clone();
    }
    line
}

fn requests(at_ms: i64, outcome: &str) -> Value {
    with(line(at_ms, outcome, &[("Requests", "Count")]), &[("Requests", json!(1))])
}

fn events(at_ms: i64, outcome: &str, count: u32, times: Value) -> Value {
    let mut line = line(at_ms, outcome, &[("Events", "Count"), ("ProcessingTime", "Milliseconds")]);
    // Their number over all providers too, which alarms look at.
    line["_aws"]["CloudWatchMetrics"].as_array_mut().unwrap().push(json!({
        "Namespace": "Tillwatch/test",
        "Dimensions": [["outcome"]],
        "Metrics": [{"Name": "Events", "Unit": "Count"}],
    }));
    with(line, &[("Events", json!(count)), ("ProcessingTime", times)])
}

#[tokio::test]
async fn each_request_is_measured_by_its_verdict() {
    let world = World::new().await;
    let mut forged = payment(&world, 1);
    forged.body.push(b' ');
    assert_eq!(world.post(&payment(&world, 1)).await, 200);
    assert_eq!(world.post(&forged).await, 401);
    world.faults.down(|step| step == "queue.send");
    assert_eq!(world.post(&payment(&world, 2)).await, 503);
    let expected = ["accepted", "rejected", "unavailable"].map(|outcome| requests(BEGINNING_MS, outcome));
    assert_eq!(lines(&world, 0), expected);
}

#[tokio::test]
async fn events_of_a_batch_that_come_to_the_same_are_one_line_with_the_time_of_each() {
    let world = World::new().await;
    assert_eq!(world.post(&payment(&world, 1)).await, 200);
    world.pass(Duration::from_millis(20));
    for number in [2, 2] {
        assert_eq!(world.post(&payment(&world, number)).await, 200);
    }
    world.pass(Duration::from_millis(30));
    world.work().await;
    let now = BEGINNING_MS + 50;
    let expected = [events(now, "applied", 2, json!([50, 30])), events(now, "duplicate", 1, json!(30))];
    let mut lines = lines(&world, 3);
    // They are processed side by side, so which is done first is not said.
    lines[0]["ProcessingTime"].as_array_mut().unwrap().sort_by_key(|took| std::cmp::Reverse(took.as_i64()));
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn an_attempt_that_is_repeated_and_an_event_that_is_given_up_are_measured_too() {
    let world = World::new().await;
    assert_eq!(world.post(&payment(&world, 1)).await, 200);
    world.faults.down(|step| step.starts_with("table.") && step.contains("R#"));
    world.work().await;
    let again = lines(&world, 1);
    assert_eq!(again, [events(BEGINNING_MS, "again", 1, json!(0))]);
    world.faults.up();
    let Sent { body, .. } = payment(&world, 2);
    let unreadable = signed("square", Headers::new(), body[..20].to_vec(), world.now(), &settings("square"));
    assert_eq!(world.post(&unreadable).await, 200);
    let before = world.metrics.lines().len();
    world.work().await;
    assert_eq!(lines(&world, before), [events(BEGINNING_MS, "parked", 1, json!(0))]);
}

#[tokio::test]
async fn a_heartbeat_that_comes_through_is_measured_without_dimensions() {
    let world = World::new().await;
    world.turn(Duration::from_secs(60)).await;
    let expected = json!({
        "_aws": {
            "Timestamp": BEGINNING_MS + 60_000,
            "CloudWatchMetrics": [{
                "Namespace": "Tillwatch/test",
                "Dimensions": [[]],
                "Metrics": [{"Name": "Heartbeat", "Unit": "Count"}],
            }],
        },
        "Heartbeat": 1,
    });
    assert_eq!(lines(&world, 0), [expected]);
}

#[tokio::test]
async fn a_line_holds_no_more_values_of_a_metric_than_the_format_allows() {
    let world = World::new().await;
    let ports = world.stack().ports();
    let processor = Processor {
        table: Table::in_process(ports.table.clone(), MAIN_TABLE.to_owned(), FIGURES_TABLE.to_owned()),
        routing: Arc::new(Routing::new(
            Connections::in_process(ports.table.clone(), CONNECTIONS_TABLE.to_owned()),
            Unknown::Auto,
        )),
        queue: ports.events.clone(),
        payloads: ports.payloads.clone(),
        clock: ports.clock.clone(),
        metrics: ports.metrics.clone(),
        policy: ports.policy,
    };
    let report =
        |took_ms| Report { provider: "square".into(), outcome: "applied", took_ms, reconciled: false };
    processor.measure(&(0..250).map(report).collect::<Vec<_>>());
    let lines = lines(&world, 0);
    let counts: Vec<_> = lines.iter().map(|line| line["Events"].as_i64().unwrap()).collect();
    assert_eq!(counts, [100, 100, 50]);
}
