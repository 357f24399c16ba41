//! When what we stand on fails: attempts, waits, parking, and coming back.

use std::time::Duration;

use serde_json::json;
use tillwatch_providers::Headers;
use tillwatch_tests::pages::Pages;
use tillwatch_tests::sender::{json as answer_of, large, sample, signed};
use tillwatch_tests::world::{World, settings};

/// Everything about records fails, the events' own items do not: what an outage of one partition looks like.
fn records(step: &str) -> bool {
    step.starts_with("table.") && step.contains("R#")
}

async fn accepted(world: &World, number: u64) {
    let sent = sample("square", "payment.updated", number, world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 200);
}

/// Lets time pass and work be done until what failed waits in the table.
async fn waits_in_the_table(world: &World) {
    for _ in 0..100 {
        if !world.deliveries("square").await.is_empty() {
            return;
        }
        world.pass(Duration::from_secs(60));
        world.work().await;
    }
    panic!("it comes to wait in the table");
}

#[tokio::test]
async fn a_table_that_is_down_delays_events_and_loses_none() {
    let world = World::new().await;
    world.faults.down(|step| step.starts_with("table."));
    for number in 0..5 {
        accepted(&world, number).await;
    }
    world.work().await;
    let (status, _) = world.ask("GET", "/webhooks/health").await;
    assert_eq!(status, 503);
    world.faults.up();
    let pending = world.get("/webhooks/health").await["pending"].clone();
    assert_eq!(pending["in_flight"], json!(5));
    assert!(world.health("square").await["received"] == json!(0));
    world.settle().await;
    assert_eq!(world.health("square").await["applied"], json!(5));
}

#[tokio::test]
async fn an_event_that_keeps_failing_leaves_the_queue_waits_in_the_table_and_is_parked_in_the_end() {
    let world = World::new().await;
    world.faults.down(records);
    accepted(&world, 1).await;
    let mut seen = Vec::new();
    for _ in 0..100 {
        world.turn(Duration::from_secs(1_200)).await;
        if let Some(one) = world.deliveries("square").await.first() {
            let status = one["status"].as_str().unwrap().to_owned();
            if seen.last() != Some(&status) {
                seen.push(status);
            }
        }
    }
    assert_eq!(seen, ["failed", "parked"]);
    let parked = world.deliveries("square").await.remove(0);
    assert!(parked["attempts"].as_u64().unwrap() > 20, "an outage is given a day: {parked}");
    assert!(parked["cause"].as_str().unwrap().starts_with("table: "), "{parked}");
    assert_eq!(world.get("/webhooks/health?hours=720").await["providers"]["square"]["parked"], json!(1));
    assert_eq!(world.get("/webhooks/health").await["pending"]["count"], json!(0));
}

#[tokio::test]
async fn a_failed_event_takes_effect_when_it_is_due_and_the_fault_is_gone() {
    let world = World::new().await;
    world.faults.down(records);
    accepted(&world, 1).await;
    waits_in_the_table(&world).await;
    world.faults.up();
    world.turn(Duration::from_secs(60)).await;
    assert_eq!(world.deliveries("square").await[0]["status"], "failed", "it is not due yet");
    world.settle().await;
    let delivery = world.deliveries("square").await.remove(0);
    assert_eq!(delivery["status"], "applied");
    let health = world.health("square").await;
    assert_eq!(
        (&health["received"], &health["failed"], &health["applied"]),
        (&json!(1), &json!(0), &json!(1))
    );
}

async fn parked(world: &World, number: u64) -> String {
    world.faults.down(records);
    accepted(world, number).await;
    for _ in 0..60 {
        world.turn(Duration::from_secs(4_000)).await;
    }
    world.faults.up();
    let delivery = world.deliveries("square").await.remove(0);
    assert_eq!(delivery["status"], "parked", "{delivery}");
    delivery["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_parked_event_takes_effect_when_an_operator_tries_it_again_and_only_once() {
    let world = World::new().await;
    let id = parked(&world, 1).await;
    for _ in 0..2 {
        let (status, body) = world.ask("POST", &format!("/webhooks/retry/square/{id}")).await;
        assert_eq!((status, &body["status"]), (202, &json!("queued")));
    }
    world.work().await;
    assert_eq!(world.deliveries("square").await[0]["status"], "applied");
    let health = world.get("/webhooks/health?hours=720").await["providers"]["square"].clone();
    assert_eq!(
        (&health["parked"], &health["applied"], &health["received"]),
        (&json!(0), &json!(1), &json!(1))
    );
    let (status, _) = world.ask("POST", &format!("/webhooks/retry/square/{id}")).await;
    assert_eq!(status, 409, "it has taken effect");
}

#[tokio::test]
async fn a_parked_event_takes_effect_when_its_provider_sends_it_again() {
    let world = World::new().await;
    let arrived = world.now();
    let id = parked(&world, 1).await;
    let again = sample("square", "payment.updated", 1, arrived, &settings("square"));
    assert_eq!(world.post(&again).await, 200);
    world.work().await;
    let delivery = world.get(&format!("/webhooks/deliveries/square/{id}")).await;
    assert_eq!(
        (&delivery["status"], &delivery["received_at"]),
        (&json!("applied"), &json!("2026-11-23T23:00:00Z"))
    );
}

#[tokio::test]
async fn a_message_that_became_a_dead_letter_is_parked() {
    let world = World::new().await;
    accepted(&world, 1).await;
    // The processor dies each time before it can say anything.
    for _ in 0..201 {
        world.stack().ports().events.receive(10, Duration::from_secs(1)).await.unwrap();
        world.pass(Duration::from_secs(2));
    }
    world.work().await;
    let delivery = world.deliveries("square").await.remove(0);
    assert_eq!(delivery["status"], "parked");
    assert!(delivery["cause"].as_str().unwrap().starts_with("queue: "), "{delivery}");
    assert_eq!(delivery["type"], "payment.updated", "what it is, is known all the same");
    let id = delivery["id"].as_str().unwrap();
    assert_eq!(world.ask("POST", &format!("/webhooks/retry/square/{id}")).await.0, 202);
    world.work().await;
    assert_eq!(world.deliveries("square").await[0]["status"], "applied");
}

#[tokio::test]
async fn figures_that_could_not_be_written_are_counted_later_and_once() {
    let world = World::new().await;
    for number in 0..30 {
        accepted(&world, number).await;
    }
    world.faults.down(|step| step.starts_with("table.UpdateItem") && step.contains("tillwatch-figures"));
    world.work().await;
    world.faults.up();
    assert_eq!(world.health("square").await["received"], json!(0));
    world.work().await;
    world.work().await;
    assert_eq!(world.health("square").await["received"], json!(30));
}

/// Whatever asks the payload store, which is a folder of this world.
fn payloads(step: &str) -> bool {
    step.starts_with("payloads.")
}

#[tokio::test]
async fn a_request_whose_body_can_not_be_fetched_is_one_event_in_the_end_and_counts_once() {
    let world = World::new().await;
    let sent = signed("square", Headers::new(), large(1_500_000), world.now(), &settings("square"));
    let answer = answer_of(&world.send(&sent).await);
    let request = answer["id"].as_str().unwrap();
    world.faults.down(payloads);
    waits_in_the_table(&world).await;
    let waiting = world.deliveries("square").await.remove(0);
    assert_eq!((&waiting["id"], &waiting["status"]), (&json!(request), &json!("failed")));
    assert_eq!(world.health("square").await["failed"], json!(1));
    world.faults.up();
    world.settle().await;
    let deliveries = world.deliveries("square").await;
    assert_eq!((deliveries.len(), &deliveries[0]["status"]), (1, &json!("applied")));
    let health = world.health("square").await;
    assert_eq!(
        (&health["received"], &health["failed"], &health["applied"]),
        (&json!(1), &json!(0), &json!(1)),
        "{health}"
    );
    let shown = world.get(&format!("/webhooks/deliveries/square/{request}")).await;
    assert_eq!(shown["id"], deliveries[0]["id"], "the id that the sender was given leads to the event");
}

#[tokio::test]
async fn failed_events_are_listed_page_by_page_with_their_due_times() {
    let world = World::new().await;
    world.faults.down(records);
    for number in 0..60 {
        accepted(&world, number).await;
    }
    for _ in 0..20 {
        world.pass(Duration::from_secs(60));
        world.work().await;
    }
    let mut pages = Pages::of("/webhooks/deliveries/square?status=failed&limit=7");
    while let Some(path) = pages.wanted() {
        pages.read(&world.get(&path).await);
    }
    let mut seen = std::collections::BTreeSet::new();
    for one in &pages.deliveries {
        assert!(one["due_at"].is_string(), "{one}");
        assert!(seen.insert(one["id"].as_str().unwrap()), "{one} is listed twice");
    }
    assert_eq!(seen.len(), 60);
}
