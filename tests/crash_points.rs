//! Crash points: every I/O step of receive, process and rollup goes wrong in every way, one at a time, and afterwards
//! nothing is lost, nothing has taken effect twice, no older state stands, and the figures are exact.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::json;
use tillwatch_providers::Headers;
use tillwatch_tests::faults::Fault;
use tillwatch_tests::sender::{Sent, sample, signed};
use tillwatch_tests::world::{World, settings};

/// What is sent: two states of one payment with the older last, a payment of its own, a type that is not modelled, a body
/// that can't be read, and one that is not believed. Each with the status that answers it, and what must come of it.
fn requests(world: &World) -> Vec<(Sent, i64, &'static str)> {
    let square = settings("square");
    let now = world.now();
    let older = now - SignedDuration::from_secs(30);
    let of = |kind, number, at| sample("square", kind, number, at, &square);
    let plain = |body: &str| signed("square", Headers::new(), body.into(), now, &square);
    let mut forged = of("payment.updated", 3, now);
    forged.body.push(b' ');
    vec![
        (of("payment.updated", 1, now), 200, "applied"),
        (of("payment.created", 1, older), 200, "applied or superseded"),
        (of("refund.created", 2, now), 200, "applied"),
        (plain(r#"{"merchant_id":"M","type":"catalog.version.updated","event_id":"e"}"#), 200, "ignored"),
        (plain(r#"{"merchant_id":"M","type":"#), 200, "parked"),
        (forged, 401, "rejected"),
    ]
}

/// Sends everything, as often as the answer asks for it, and does the work, while the fault strikes once.
async fn live_through(world: &mut World) {
    for (sent, expected, _) in requests(world) {
        for attempt in 0.. {
            assert!(attempt < 4, "a sender is answered in the end");
            // A process that has ended answers nobody; its sender comes again.
            let was_dead = world.faults.is_dead();
            let status = if was_dead { 0 } else { world.post(&sent).await };
            if status == expected && !world.faults.is_dead() {
                break;
            }
            assert!(status == expected || status == 503 || status == 0, "{status}");
            if world.faults.is_dead() {
                world.restart().await;
            }
        }
    }
    for _ in 0..3 {
        world.work().await;
        if world.faults.is_dead() {
            world.restart().await;
        }
    }
    world.settle().await;
    if world.faults.is_dead() {
        world.restart().await;
    }
    world.faults.spare();
    world.settle().await;
}

async fn check(world: &World) {
    let deliveries = world.deliveries("square").await;
    let ids: BTreeSet<_> = deliveries.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), deliveries.len(), "each is there once");
    let of = |kind: &str, status: &str| {
        deliveries.iter().filter(|one| one["type"] == kind && one["status"] == status).count()
    };
    assert_eq!(of("payment.updated", "applied"), 1);
    assert_eq!(of("payment.created", "applied") + of("payment.created", "superseded"), 1);
    assert_eq!(of("refund.created", "applied"), 1);
    assert_eq!(of("catalog.version.updated", "ignored"), 1);
    assert_eq!(of("", "parked"), 1);
    // Whoever is told 401 need not come again; whoever got no answer does, and is rejected again.
    let rejected = of("", "rejected");
    assert!((1..=2).contains(&rejected), "{rejected}");
    assert_eq!(deliveries.len(), 5 + rejected, "and nothing else is");

    let payment = deliveries.iter().find(|one| one["type"] == "payment.updated").unwrap();
    let id = payment["id"].as_str().unwrap();
    let shown = world.get(&format!("/webhooks/deliveries/square/{id}")).await;
    let record = world.get(shown["records"][0]["path"].as_str().unwrap()).await;
    assert_eq!(record["status"], "completed", "no older state stands");
    assert_eq!(record["changes"].as_array().unwrap().len(), 2, "each change is there once");
    let history: Vec<_> = record["history"].as_array().unwrap().iter().map(|step| &step["status"]).collect();
    assert_eq!(history, [&json!("authorized"), &json!("completed")]);

    let health = world.health("square").await;
    let expected = [
        ("received", 5 + rejected),
        ("accepted", 5),
        ("rejected", rejected),
        ("processed", 4),
        ("parked", 1),
        ("failed", 0),
        ("ignored", 1),
    ];
    for (figure, count) in expected {
        assert_eq!(health[figure], json!(count), "{figure}: {health}");
    }
    let pending = world.get("/webhooks/health").await["pending"].clone();
    assert_eq!((&pending["count"], &pending["in_flight"]), (&json!(0), &json!(0)), "nothing is left lying");
}

async fn every_step_goes_wrong(fault: Fault) {
    let mut step = 0;
    loop {
        let mut world = World::new().await;
        let faults = world.faults.clone();
        faults.plan(step, fault);
        live_through(&mut world).await;
        if !faults.was_reached() {
            break;
        }
        check(&world).await;
        step += 1;
    }
    assert!(step > 40, "the steps were found: {step}");
}

#[tokio::test]
async fn a_step_that_fails_before_it_is_done() {
    every_step_goes_wrong(Fault::FailsBefore).await;
}

#[tokio::test]
async fn a_step_whose_answer_is_lost() {
    every_step_goes_wrong(Fault::FailsAfter).await;
}

#[tokio::test]
async fn a_process_that_ends_before_a_step() {
    every_step_goes_wrong(Fault::DiesBefore).await;
}

#[tokio::test]
async fn a_process_that_ends_after_a_step() {
    every_step_goes_wrong(Fault::DiesAfter).await;
}
