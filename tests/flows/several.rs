//! Requests of several events, of one account or more.

use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_platform::connections::Unknown;
use tillwatch_providers::{Headers, Settings};
use tillwatch_tests::connected::connection;
use tillwatch_tests::sender::{Sent, provider, signed};
use tillwatch_tests::world::{World, settings};

/// Statuses of WhatsApp messages: the account and the number of each.
fn messages(world: &World, settings: &Settings, of: &[(&str, u64)]) -> Sent {
    let entry = |(account, number): &(&str, u64)| {
        let (_, body) = provider("meta").sample("message.delivered", *number, world.now()).unwrap();
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        let mut entry = body["entry"][0].take();
        entry["id"] = json!(account);
        entry
    };
    let entries: Vec<_> = of.iter().map(entry).collect();
    let body = json!({"object": "whatsapp_business_account", "entry": entries}).to_string();
    signed("meta", Headers::new(), body.into_bytes(), world.now(), settings)
}

/// The account and state of each event.
async fn states(world: &World) -> Vec<(String, String)> {
    world.work().await;
    let told = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let deliveries = world.deliveries("meta").await;
    let mut states: Vec<_> =
        deliveries.iter().map(|one| (told(one, "account"), told(one, "status"))).collect();
    states.sort();
    states
}

fn state(account: &str, state: &str) -> (String, String) {
    (account.to_owned(), state.to_owned())
}

#[tokio::test]
async fn an_event_that_fails_for_good_keeps_none_of_its_request_from_taking_effect() {
    let world = World::new().await;
    assert_eq!(world.post(&messages(&world, &settings("meta"), &[("1", 1)])).await, 200);
    world.work().await;
    // The first tells of a message that is another account's.
    assert_eq!(world.post(&messages(&world, &settings("meta"), &[("2", 1), ("3", 2), ("4", 3)])).await, 200);
    let wanted = [state("1", "applied"), state("2", "parked"), state("3", "applied"), state("4", "applied")];
    assert_eq!(states(&world).await, wanted);
}

#[tokio::test]
async fn an_event_that_fails_for_now_has_its_request_come_again() {
    let world = World::new().await;
    world.faults.down(|step| {
        step.starts_with("table.PutItem")
            && step.contains("R#meta#message##wamid.HBgLMTU1NTU1NTAxMDAVAgAS00000000000000000001")
    });
    assert_eq!(world.post(&messages(&world, &settings("meta"), &[("2", 1), ("3", 2)])).await, 200);
    assert_ne!(states(&world).await, [state("2", "applied"), state("3", "applied")]);
    world.faults.up();
    for _ in 0..10 {
        world.turn(Duration::from_mins(10)).await;
    }
    assert_eq!(states(&world).await, [state("2", "applied"), state("3", "applied")]);
}

/// Harbour's, with a key of its own; nobody has another account.
async fn harbour() -> (World, Settings) {
    let mut world = World::new().await;
    world.unknown = Unknown::Declared;
    world.restart().await;
    let own = json!({"signing_keys": ["the secret of harbours own app"]});
    world.declare_with(&connection("harbour-meta", "meta", &["1"]), &own).await;
    (world, Settings::with_keys(["the secret of harbours own app"]))
}

#[tokio::test]
async fn a_connections_own_key_is_found_by_any_account_of_a_request_and_proves_its_own_alone() {
    let (world, own) = harbour().await;
    world.faults.plan(&[]);
    assert_eq!(world.post(&messages(&world, &own, &[("1", 1), ("9", 2)])).await, 200);
    assert_eq!(world.post(&messages(&world, &own, &[("8", 3), ("1", 4)])).await, 200);
    assert_eq!(world.post(&messages(&world, &own, &[("7", 5)])).await, 401, "it has no event of harbour's");
    let wanted = [
        state("", "rejected"),
        state("1", "applied"),
        state("1", "applied"),
        state("8", "parked"),
        state("9", "parked"),
    ];
    assert_eq!(states(&world).await, wanted);
    // A deployed processor may read how events find connections, and no connection's document.
    let steps = world.faults.steps();
    world.faults.spare();
    assert!(!steps.iter().any(|step| step.name.contains(" C#")), "{steps:?}");
    let deliveries = world.deliveries("meta").await;
    let parked = deliveries.iter().find(|one| one["account"] == "9").unwrap();
    assert!(parked["cause"].as_str().unwrap().starts_with("connection: "), "{parked}");
}

#[tokio::test]
async fn a_request_of_many_events_is_sent_once_by_a_replay_of_them_all() {
    let policy = RetryPolicy { attempts: 1, outage: Duration::ZERO, ..RetryPolicy::default() };
    let mut world = World::with_policy(policy).await;
    let all: Vec<_> = (0..20).map(|number| ("1", number)).collect();
    world.faults.down(|step| step.starts_with("table.") && step.contains("R#"));
    assert_eq!(world.post(&messages(&world, &settings("meta"), &all)).await, 200);
    world.work().await;
    world.faults.up();
    world.restart_with_policy(RetryPolicy::default()).await;
    assert_eq!(world.health("meta").await["parked"], 20);
    world.faults.plan(&[]);
    let started = json!({"id": "all", "status": ["parked"], "rate": 1000});
    world.do_with("POST", "/replays", &started).await;
    world.replay().await;
    let sends = world.faults.steps().iter().filter(|step| step.name == "queue.send").count();
    world.faults.spare();
    assert_eq!(sends, 1);
    assert_eq!(world.get("/replays/all").await["sent"], 20);
    assert_eq!(world.health("meta").await["applied"], 20);
}
