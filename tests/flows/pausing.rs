//! Pauses hold events and lose none; what was held, unknown, shadowed or ignored takes effect when things have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_domain::{Connection, Role, State};
use tillwatch_platform::connections::{Kind, Stored, Unknown};
use tillwatch_providers::Headers;
use tillwatch_tests::sender::{sample, signed, square_payment};
use tillwatch_tests::world::{TOKEN, World, settings};

async fn pay(world: &World, id: &str) {
    let body = square_payment(id, "COMPLETED", 100, world.now(), &format!("event of {id}"));
    let sent = signed("square", Headers::new(), body, world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 200);
    world.work().await;
}

async fn figures(world: &World) -> [i64; 4] {
    let health = world.health("square").await;
    ["applied", "held", "unknown_connection", "shadowed"].map(|name| health[name].as_i64().unwrap())
}

/// The connection that an event of the account made.
async fn connection(world: &World) -> String {
    let page = world.get("/webhooks/deliveries/square").await;
    page["deliveries"][0]["connection"].as_str().unwrap().to_owned()
}

/// Changes a connection as a configuration does.
async fn change(world: &World, id: &str, change: impl Fn(&mut Connection)) -> Connection {
    let connections = world.stack().replays().connections();
    let Stored { mut document, revision } =
        connections.document::<Connection>(Kind::Connection, id).await.unwrap().unwrap();
    change(&mut document);
    connections.route_events(&document).await.unwrap();
    connections.put_document(Kind::Connection, id, "square", &document, Some(revision)).await.unwrap();
    world.pass(Duration::from_secs(20));
    document
}

#[tokio::test]
async fn a_paused_connection_holds_its_events_and_lets_each_take_effect_once_when_it_is_resumed() {
    let world = World::new().await;
    pay(&world, "p1").await;
    let id = connection(&world).await;
    let paused = world.do_with("POST", &format!("/connections/{id}/pause"), &Value::Null).await;
    assert_eq!((&paused["state"], &paused["replays"]), (&json!("paused"), &json!([])));
    for number in 0..5 {
        pay(&world, &format!("while paused {number}")).await;
    }
    assert_eq!(figures(&world).await, [1, 5, 0, 0]);
    let held = world.get(&format!("/webhooks/deliveries/square?connection={id}&status=held")).await;
    assert_eq!(held["deliveries"][0]["cause"], "its connection is paused");
    assert_eq!(world.ask("GET", "/records/payments/square/while%20paused%200").await.0, 404);

    let resumed = world.do_with("POST", &format!("/connections/{id}/resume"), &Value::Null).await;
    assert_eq!(resumed["state"], "enabled");
    world.do_with("POST", &format!("/connections/{id}/resume"), &Value::Null).await;
    world.replay().await;
    assert_eq!(figures(&world).await, [6, 0, 0, 0]);
    let record = world.get("/records/payments/square/while%20paused%200").await;
    assert_eq!(record["changes"].as_array().unwrap().len(), 1);
    pay(&world, "p2").await;
    assert_eq!(figures(&world).await, [7, 0, 0, 0]);
}

#[tokio::test]
async fn what_an_old_reading_held_after_the_pause_was_over_is_released_all_the_same() {
    let world = World::new().await;
    pay(&world, "p1").await;
    let id = connection(&world).await;
    change(&world, &id, |connection| connection.state = State::Paused).await;
    pay(&world, "held").await;
    // As by another process, which goes by what it read before.
    let connections = world.stack().replays().connections();
    let Stored { mut document, revision } =
        connections.document::<Connection>(Kind::Connection, &id).await.unwrap().unwrap();
    document.state = State::Enabled;
    connections.route_events(&document).await.unwrap();
    connections.put_document(Kind::Connection, &id, "square", &document, Some(revision)).await.unwrap();
    world.stack().replays().start_for_connection(&document).await.unwrap();
    world.pass(Duration::from_millis(500));
    pay(&world, "held by an old reading").await;
    assert_eq!(figures(&world).await, [1, 2, 0, 0]);
    world.replay_once().await;
    assert_eq!(figures(&world).await, [2, 1, 0, 0], "it arrived after the replay began");
    world.replay().await;
    assert_eq!(figures(&world).await, [3, 0, 0, 0]);
}

#[tokio::test]
async fn a_paused_provider_holds_all_its_events_and_a_connection_that_is_paused_too_goes_on_holding() {
    let world = World::new().await;
    pay(&world, "p1").await;
    let id = connection(&world).await;
    let paused = world.do_with("POST", "/providers/square/pause", &Value::Null).await;
    assert_eq!(paused["since"], "2026-11-23T23:00:00Z");
    pay(&world, "p2").await;
    world.do_with("POST", &format!("/connections/{id}/pause"), &Value::Null).await;
    pay(&world, "p3").await;
    assert_eq!(figures(&world).await, [1, 2, 0, 0]);
    world.do_with("POST", "/providers/square/resume", &Value::Null).await;
    world.replay().await;
    assert_eq!(figures(&world).await, [1, 2, 0, 0]);
    world.do_with("POST", &format!("/connections/{id}/resume"), &Value::Null).await;
    world.replay().await;
    assert_eq!(figures(&world).await, [3, 0, 0, 0]);
    assert_eq!(world.ask("POST", "/providers/paypal/pause").await.0, 404);
    assert_eq!(world.ask("POST", "/connections/nobody/pause").await.0, 404);
}

#[tokio::test]
async fn events_of_an_unknown_account_take_effect_when_its_connection_appears() {
    let mut world = World::new().await;
    world.unknown = Unknown::Declared;
    world.restart().await;
    for number in 0..3 {
        pay(&world, &format!("p{number}")).await;
    }
    assert_eq!(figures(&world).await, [0, 0, 3, 0]);
    let connection = Connection {
        id: "harbour-square".into(),
        provider: "square".into(),
        business: "harbour".into(),
        location: None,
        accounts: vec!["M1".into()],
        place: None,
        state: State::Enabled,
        role: Role::Primary,
        settings: BTreeMap::default(),
        sealed: BTreeSet::default(),
        configured: None,
        automatic: false,
    };
    let replays = world.stack().replays();
    let connections = replays.connections();
    connections.route(None, &connection, None).await.unwrap();
    connections.put_document(Kind::Connection, "harbour-square", "square", &connection, None).await.unwrap();
    replays.start_for_connection(&connection).await.unwrap();
    world.replay().await;
    assert_eq!(figures(&world).await, [3, 0, 0, 0]);
    let of_it = world.get("/webhooks/logs?connection=harbour-square").await;
    assert_eq!(of_it["deliveries"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_shadowed_event_takes_effect_when_it_is_tried_again_after_its_connection_has_become_primary() {
    let world = World::new().await;
    pay(&world, "p1").await;
    let id = connection(&world).await;
    change(&world, &id, |connection| connection.role = Role::Shadow).await;
    pay(&world, "p2").await;
    assert_eq!(figures(&world).await, [1, 0, 0, 1]);
    let event =
        world.get("/webhooks/deliveries/square").await["deliveries"][0]["id"].as_str().unwrap().to_owned();
    let retry = format!("/webhooks/retry/square/{event}");
    assert_eq!(world.ask("POST", &retry).await.0, 202);
    world.work().await;
    assert_eq!(figures(&world).await, [1, 0, 0, 1], "it is in shadow still");
    change(&world, &id, |connection| connection.role = Role::Primary).await;
    assert_eq!(world.ask("POST", &retry).await.0, 202);
    world.work().await;
    assert_eq!(figures(&world).await, [2, 0, 0, 0]);
    assert_eq!(world.ask("POST", &retry).await.0, 409, "what was applied stays so");
}

#[tokio::test]
async fn shadowed_events_of_days_ago_are_replayed_and_what_is_ignored_stays_so() {
    let world = World::new().await;
    pay(&world, "p0").await;
    let id = connection(&world).await;
    change(&world, &id, |connection| connection.role = Role::Shadow).await;
    for number in 1..=4 {
        pay(&world, &format!("p{number}")).await;
        world.pass(Duration::from_hours(20));
    }
    let test = sample("square", "webhooks.test_notification", 1, world.now(), &settings("square"));
    assert_eq!(world.post(&test).await, 200);
    world.work().await;
    change(&world, &id, |connection| connection.role = Role::Primary).await;
    let body = json!({"id": "shadowed", "status": ["shadowed", "ignored"]});
    assert_eq!(world.do_with("POST", "/replays", &body).await["planned"], 5);
    world.replay().await;
    assert_eq!(world.get("/replays/shadowed").await["sent"], 5);
    let page = world.get("/webhooks/logs?limit=500").await;
    let count = |status: &str| {
        page["deliveries"].as_array().unwrap().iter().filter(|one| one["status"] == status).count()
    };
    assert_eq!([count("applied"), count("shadowed"), count("ignored")], [5, 0, 1]);
}

#[tokio::test]
async fn a_connection_that_an_event_made_does_not_give_way_while_it_is_paused_and_holds_events() {
    let world = World::new().await;
    let sent = |number| sample("square", "payment.updated", number, world.now(), &settings("square"));
    assert_eq!(world.post(&sent(0)).await, 200);
    world.work().await;
    let made = connection(&world).await;
    world.do_with("POST", &format!("/connections/{made}/pause"), &Value::Null).await;
    assert_eq!(world.post(&sent(1)).await, 200);
    world.work().await;
    assert_eq!(figures(&world).await, [1, 1, 0, 0]);
    let square = json!({"merchant_id": "6SSW7HV8K2ST5", "access_token": "a token"});
    let harbour = json!({"id": "harbour", "business": "harbour-group", "providers": {"square": square}});
    let declare =
        async || world.ask_with("PUT", "/config/locations/harbour", Some(TOKEN), Some(&harbour)).await;
    let (status, answer) = declare().await;
    assert!(status == 409 && answer["detail"].as_str().unwrap().contains(&made), "{answer}");
    world.do_with("POST", &format!("/connections/{made}/resume"), &Value::Null).await;
    assert_eq!(declare().await.0, 200);
    world.replay().await;
    world.pass(Duration::from_secs(20));
    world.replay().await;
    assert_eq!(figures(&world).await, [2, 0, 0, 0]);
}
