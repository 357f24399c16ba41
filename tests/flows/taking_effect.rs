//! Events take effect once, whatever their order and number, and what can't be processed is kept.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tillwatch_platform::payloads::{PayloadError, Payloads};
use tillwatch_platform::queue::Outgoing;
use tillwatch_providers::Headers;
use tillwatch_tests::sender::{sample, signed, square_payment};
use tillwatch_tests::world::{World, settings};

/// A payment of Square's in this state at this time.
fn payment(status: &str, cents: u32, updated_at: Timestamp, event: &str) -> Vec<u8> {
    square_payment("p1", status, cents, updated_at, event)
}

async fn post(world: &World, body: Vec<u8>) -> i64 {
    world.post(&signed("square", Headers::new(), body, world.now(), &settings("square"))).await
}

#[tokio::test]
async fn an_older_state_that_arrives_later_changes_nothing_and_stands_in_the_history() {
    let world = World::new().await;
    let older = world.now() - SignedDuration::from_secs(60);
    assert_eq!(post(&world, payment("COMPLETED", 200, world.now(), "newer")).await, 200);
    world.work().await;
    world.pass(Duration::from_millis(1));
    assert_eq!(post(&world, payment("APPROVED", 100, older, "older")).await, 200);
    world.work().await;
    let record = world.get("/records/payments/square/p1").await;
    assert_eq!((&record["status"], &record["amount"]["minor"]), (&json!("completed"), &json!(200)));
    let history: Vec<_> =
        record["history"].as_array().unwrap().iter().map(|entry| entry["status"].as_str().unwrap()).collect();
    assert_eq!(history, ["authorized", "completed"]);
    let statuses: Vec<_> = world
        .deliveries("square")
        .await
        .iter()
        .map(|one| one["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(statuses, ["superseded", "applied"], "newest first");
}

#[tokio::test]
async fn equal_versions_end_in_one_state_whichever_came_first_and_are_said_to_be_uncertain() {
    let mut ends = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let world = World::new().await;
        let bodies =
            [payment("COMPLETED", 100, world.now(), "a"), payment("COMPLETED", 200, world.now(), "b")];
        for index in order {
            assert_eq!(post(&world, bodies[index].clone()).await, 200);
            world.work().await;
        }
        let record = world.get("/records/payments/square/p1").await;
        assert_eq!(record["uncertain"], json!(true));
        ends.push(record["amount"]["minor"].clone());
    }
    assert_eq!(ends[0], ends[1]);
}

#[tokio::test]
async fn two_events_of_one_record_at_once_both_take_effect() {
    let world = World::new().await;
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..20 {
        let at = world.now() + SignedDuration::from_millis(number);
        let body = payment("APPROVED", 100, at, &format!("e{number}"));
        let sent = signed("square", Headers::new(), body, world.now(), &settings("square"));
        let stack = Arc::clone(world.stack());
        senders.spawn(async move { stack.http(sent.event()).await.status_code });
    }
    assert!(senders.join_all().await.into_iter().all(|status| status == 200));
    let (one, other) = tokio::join!(world.stack().process_batch(false), world.stack().process_batch(false));
    assert_eq!(one.unwrap() + other.unwrap(), 20);
    world.settle().await;
    let record = world.get("/records/payments/square/p1").await;
    assert_eq!(record["changes"].as_array().unwrap().len(), 20);
    let health = world.health("square").await;
    assert_eq!((&health["processed"], &health["received"]), (&json!(20), &json!(20)));
}

#[tokio::test]
async fn deliveries_in_any_order_and_number_count_each_event_once() {
    let world = World::new().await;
    let mut sent = Vec::new();
    for number in 0..100 {
        for kind in ["payment.created", "payment.updated"] {
            sent.push(sample("square", kind, number, world.now(), &settings("square")));
        }
    }
    for index in 0..400 {
        // 7 and 200 have no common factor: every event is met twice, in an order of no meaning.
        assert_eq!(world.post(&sent[index * 7 % 200]).await, 200);
        if index % 90 == 0 {
            world.work().await;
        }
    }
    world.work().await;
    let health = world.health("square").await;
    assert_eq!((&health["received"], &health["processed"]), (&json!(200), &json!(200)));
    assert_eq!(world.deliveries("square").await.len(), 200);
}

#[tokio::test]
async fn types_that_are_not_modelled_and_tests_are_kept_as_ignored() {
    let world = World::new().await;
    let body = json!({"merchant_id": "M1", "type": "catalog.version.updated", "event_id": "e", "created_at": "2026-11-23T23:00:00Z"});
    assert_eq!(post(&world, body.to_string().into_bytes()).await, 200);
    let test = sample("square", "webhooks.test_notification", 1, world.now(), &settings("square"));
    assert_eq!(world.post(&test).await, 200);
    world.work().await;
    let deliveries = world.deliveries("square").await;
    assert_eq!(deliveries.len(), 2);
    assert!(deliveries.iter().all(|one| one["status"] == "ignored"));
}

#[tokio::test]
async fn a_verified_body_that_can_not_be_read_is_parked_under_its_requests_id() {
    let world = World::new().await;
    let bodies = [
        br#"{"merchant_id":"M1","type":"payment.updated","#.to_vec(),
        [b"[".repeat(100_000), b"]".repeat(100_000)].concat(),
        vec![0xff; 300],
        format!(r#"{{"merchant_id":"{}","type":"x","event_id":"e"}}"#, "M".repeat(3_000)).into_bytes(),
    ];
    for body in &bodies {
        assert_eq!(post(&world, body.clone()).await, 200);
    }
    world.work().await;
    let parked = world.deliveries("square").await;
    assert_eq!(parked.len(), bodies.len());
    for one in &parked {
        assert_eq!((&one["status"], &one["id"]), (&json!("parked"), &one["request_id"]));
        assert!(one["cause"].as_str().unwrap().starts_with("parse: "), "{one}");
        let shown = world.get(&format!("/webhooks/deliveries/square/{}", one["id"].as_str().unwrap())).await;
        let body = match shown["body"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => BASE64_STANDARD.decode(shown["body_base64"].as_str().unwrap()).unwrap(),
        };
        assert!(bodies.contains(&body), "its body is kept as it came");
    }
    assert_eq!(world.health("square").await["parked"], json!(4));
}

#[tokio::test]
async fn a_change_of_another_accounts_record_is_parked_and_changes_nothing() {
    let world = World::new().await;
    assert_eq!(post(&world, payment("COMPLETED", 100, world.now(), "mine")).await, 200);
    world.work().await;
    let theirs =
        String::from_utf8(payment("CANCELED", 1, world.now() + SignedDuration::from_secs(9), "theirs"));
    assert_eq!(post(&world, theirs.unwrap().replace("M1", "M2").into_bytes()).await, 200);
    world.work().await;
    assert_eq!(world.get("/records/payments/square/p1").await["status"], "completed");
    assert_eq!(world.health("square").await["parked"], json!(1));
}

#[tokio::test]
async fn a_poison_message_in_a_batch_of_ten_is_parked_and_the_other_nine_take_effect() {
    let world = World::new().await;
    for number in 0..9 {
        let sent = sample("square", "payment.updated", number, world.now(), &settings("square"));
        assert_eq!(world.post(&sent).await, 200);
    }
    let poison =
        Outgoing { body: "\u{1F4A3} not an envelope".into(), group: "square".into(), delay: Duration::ZERO };
    world.stack().ports().events.send(poison).await.unwrap();
    world.work().await;
    assert_eq!(world.health("square").await["applied"], json!(9));
    let parked = world.deliveries("unknown").await;
    assert_eq!((parked.len(), &parked[0]["status"]), (1, &json!("parked")));
    let id = parked[0]["id"].as_str().unwrap();
    let shown = world.get(&format!("/webhooks/deliveries/unknown/{id}")).await;
    assert_eq!(shown["body"], "\u{1F4A3} not an envelope");
}

struct Panicking;

#[async_trait]
impl Payloads for Panicking {
    async fn put(&self, _: &str, _: Vec<u8>, _: Timestamp) -> Result<(), PayloadError> {
        Ok(())
    }

    async fn get(&self, _: &str, _: Timestamp) -> Result<Option<Vec<u8>>, PayloadError> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_panic_fails_its_own_message_and_ends_in_parking() {
    let mut world = World::new().await;
    world.restart_with_payloads(Arc::new(Panicking)).await;
    let stored = r#"{"v":1,"kind":"request","id":"req_00000000000000000000000000000007","provider":"square","received_ms":1795474800000,"accepted":0,"size":2,"stored":"square/x"}"#;
    let poison = Outgoing { body: stored.into(), group: "square".into(), delay: Duration::ZERO };
    world.stack().ports().events.send(poison).await.unwrap();
    let sent = sample("square", "payment.updated", 1, world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 200);
    world.work().await;
    assert_eq!(world.health("square").await["applied"], json!(1));
    for _ in 0..30 {
        world.turn(Duration::from_secs(4_000)).await;
    }
    let parked = world.get("/webhooks/deliveries/square?status=parked").await["deliveries"][0].clone();
    assert_eq!((&parked["cause"], &parked["attempts"]), (&json!("process: it panicked"), &json!(20)));
}
