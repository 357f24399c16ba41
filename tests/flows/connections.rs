//! Which connection a webhook's events belong to, and what becomes of them there.

use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_domain::{Connection, Role, State};
use tillwatch_platform::connections::{Kind, Unknown};
use tillwatch_providers::request::SUFFIX;
use tillwatch_providers::{Headers, Settings};
use tillwatch_tests::connected::connection;
use tillwatch_tests::sender::{Sent, provider, sample, signed, square_payment};
use tillwatch_tests::world::{World, settings};

/// The merchant of Square's payments here.
const MERCHANT: &str = "M1";
/// What is read of a connection is used for ten seconds.
const READ_AGAIN: Duration = Duration::from_secs(11);

/// A world in which nobody's events take effect unless a connection is declared.
async fn declared() -> World {
    let mut world = World::new().await;
    world.unknown = Unknown::Declared;
    world.restart().await;
    world
}

fn payment(world: &World, id: &str) -> Sent {
    let body = square_payment(id, "COMPLETED", 100, world.now(), &format!("event of {id}"));
    signed("square", Headers::new(), body, world.now(), &settings("square"))
}

/// A payment at one of a merchant's places.
fn payment_at(world: &World, id: &str, place: &str) -> Sent {
    let body = String::from_utf8(square_payment(id, "COMPLETED", 100, world.now(), id)).unwrap();
    let body = body.replace(r#""status":"#, &format!(r#""location_id":"{place}","status":"#));
    signed("square", Headers::new(), body.into_bytes(), world.now(), &settings("square"))
}

async fn take(world: &World, sent: &Sent) -> Value {
    assert_eq!(world.post(sent).await, 200);
    world.work().await;
    let id = &sent.event_ids()[0];
    world.get(&format!("/webhooks/deliveries/{}/{id}", sent.provider)).await
}

async fn record_status(world: &World, id: &str) -> i64 {
    world.ask("GET", &format!("/records/payments/square/{id}")).await.0
}

/// The connection of which the table says that an event belongs to it.
async fn home(world: &World, sent: &Sent) -> Option<String> {
    let key = json!({"pk": {"S": format!("E#{}", sent.event_ids()[0])}, "sk": {"S": "E"}});
    let get = json!({"TableName": tillwatch::stack::MAIN_TABLE, "Key": key}).to_string();
    let (_, answer) = world.stack().ports().table.call("GetItem", get.as_bytes()).await.unwrap();
    let item: Value = serde_json::from_slice(&answer).unwrap();
    let fields = item["Item"].as_object().unwrap();
    let is_one = |value: &Value| value["S"].as_str().is_some_and(|text| text.starts_with("harbour-"));
    fields.values().find(|value| is_one(value)).map(|value| value["S"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_event_of_an_unknown_account_is_kept_and_changes_nothing_where_connections_are_declared() {
    let world = declared().await;
    let sent = payment(&world, "p1");
    assert_eq!(take(&world, &sent).await["status"], "unknown_connection");
    assert_eq!(record_status(&world, "p1").await, 404);
    let figures = world.health("square").await;
    assert_eq!((&figures["unknown_connection"], &figures["processed"]), (&json!(1), &json!(0)));
    world.declare(&connection("harbour-square", "square", &[MERCHANT])).await;
    world.pass(READ_AGAIN);
    assert_eq!(take(&world, &payment(&world, "p2")).await["status"], "applied");
    assert_eq!(record_status(&world, "p1").await, 404, "what came before waits until it is released");
}

#[tokio::test]
async fn every_providers_unknown_accounts_are_kept_where_connections_are_declared() {
    let world = declared().await;
    for provider in tillwatch_providers::ALL {
        let kind = provider.sample_kinds()[0];
        let sent = sample(provider.name(), kind, 1, world.now(), &settings(provider.name()));
        assert_eq!(take(&world, &sent).await["status"], "unknown_connection", "{}", provider.name());
    }
}

#[tokio::test]
async fn every_provider_finds_the_connection_of_its_account() {
    let world = declared().await;
    for provider in tillwatch_providers::ALL {
        let name = provider.name();
        let sent = sample(name, provider.sample_kinds()[0], 1, world.now(), &settings(name));
        let account = provider.claimed_account(&sent.headers, &sent.body);
        // Odoo names no account: its connection is known by the URL.
        let id =
            if account.is_none() { "harbour-odoo".to_owned() } else { format!("harbour-{}", &name[..4]) };
        let accounts: Vec<_> = account.iter().map(String::as_str).collect();
        world.declare(&connection(&id, name, &accounts)).await;
        let delivery = take(&world, &sent).await;
        assert_eq!(delivery["status"], "applied", "{name}: {delivery}");
        assert_eq!(home(&world, &sent).await, Some(id), "{name}");
    }
}

#[tokio::test]
async fn a_connection_that_is_declared_is_never_made_anew_by_an_event() {
    let world = World::new().await;
    let own = json!({"url_keys": ["harbours-own-secret-of-its-url"]});
    let odoo = Connection { state: State::Paused, ..connection("harbour-odoo", "odoo", &[]) };
    world.declare(&odoo).await;
    let sent = |number, settings: &Settings| sample("odoo", "pos.order", number, world.now(), settings);
    // Under the secret that all share, at the connection's URL.
    assert_eq!(take(&world, &sent(1, &settings("odoo"))).await["status"], "held");
    world.declare_with(&odoo, &own).await;
    world.pass(Duration::from_secs(61));
    let own = Settings::with_url_keys(["harbours-own-secret-of-its-url"]);
    assert_eq!(take(&world, &sent(2, &own)).await["status"], "held");
    let kept = world.connections().document::<Connection>(Kind::Connection, "harbour-odoo").await.unwrap();
    assert!(!kept.unwrap().document.automatic);
}

#[tokio::test]
async fn an_event_of_an_account_that_a_declared_connection_has_given_up_makes_no_other_in_its_place() {
    let world = World::new().await;
    assert_eq!(take(&world, &payment(&world, "p1")).await["status"], "applied");
    let (made, _) =
        world.connections().documents::<Connection>(Kind::Connection, "square", "", 10).await.unwrap();
    let declared = Connection { automatic: false, accounts: vec!["M7".to_owned()], ..made[0].clone() };
    world.declare(&declared).await;
    world.pass(READ_AGAIN);
    assert_eq!(take(&world, &payment(&world, "p2")).await["status"], "unknown_connection");
}

#[tokio::test]
async fn two_connections_of_one_account_are_told_apart_by_the_place_that_an_event_names() {
    let world = declared().await;
    for (id, place) in [("harbour-bondi", "L1"), ("harbour-manly", "L2")] {
        let connection = connection(id, "square", &[MERCHANT]);
        world.declare(&Connection { place: Some(place.to_owned()), ..connection }).await;
    }
    for (id, place, expected) in [("p1", "L1", "harbour-bondi"), ("p2", "L2", "harbour-manly")] {
        let sent = payment_at(&world, id, place);
        assert_eq!(take(&world, &sent).await["status"], "applied");
        assert_eq!(home(&world, &sent).await.as_deref(), Some(expected));
    }
    let elsewhere = payment_at(&world, "p3", "L3");
    assert_eq!(take(&world, &elsewhere).await["status"], "unknown_connection");
    world.declare(&connection("harbour-whole", "square", &[MERCHANT])).await;
    world.pass(READ_AGAIN);
    let elsewhere = payment_at(&world, "p4", "L3");
    assert_eq!(take(&world, &elsewhere).await["status"], "applied");
    assert_eq!(home(&world, &elsewhere).await.as_deref(), Some("harbour-whole"));
}

#[tokio::test]
async fn one_places_pause_holds_its_events_and_no_others() {
    let world = declared().await;
    for (id, place, state) in
        [("harbour-bondi", "L1", State::Paused), ("harbour-manly", "L2", State::Enabled)]
    {
        let connection = connection(id, "square", &[MERCHANT]);
        world.declare(&Connection { place: Some(place.to_owned()), state, ..connection }).await;
    }
    assert_eq!(take(&world, &payment_at(&world, "p1", "L1")).await["status"], "held");
    assert_eq!(take(&world, &payment_at(&world, "p2", "L2")).await["status"], "applied");
}

#[tokio::test]
async fn what_comes_to_a_paused_or_disabled_connection_is_held_and_what_comes_afterwards_takes_effect() {
    let world = declared().await;
    let enabled = connection("harbour-square", "square", &[MERCHANT]);
    for (id, state) in [("p1", State::Paused), ("p2", State::Disabled)] {
        world.declare(&Connection { state, ..enabled.clone() }).await;
        world.pass(READ_AGAIN);
        let delivery = take(&world, &payment(&world, id)).await;
        assert_eq!(delivery["status"], "held", "{delivery}");
        assert_eq!(delivery["cause"], format!("its connection is {}", state.name()));
        assert_eq!(record_status(&world, id).await, 404);
    }
    assert_eq!(world.health("square").await["held"], json!(2));
    world.declare(&enabled).await;
    world.pass(READ_AGAIN);
    assert_eq!(take(&world, &payment(&world, "p3")).await["status"], "applied");
}

#[tokio::test]
async fn a_paused_provider_holds_the_events_of_all_its_connections_and_of_no_other_provider() {
    let world = World::new().await;
    let since = world.now().as_millisecond();
    world.connections().pause("square", Some(since)).await.unwrap();
    let delivery = take(&world, &payment(&world, "p1")).await;
    assert_eq!((&delivery["status"], &delivery["cause"]), (&json!("held"), &json!("its provider is paused")));
    let stripe = sample("stripe", "payment_intent.succeeded", 1, world.now(), &settings("stripe"));
    assert_eq!(take(&world, &stripe).await["status"], "applied");
    world.connections().pause("square", None).await.unwrap();
    world.pass(READ_AGAIN);
    assert_eq!(take(&world, &payment(&world, "p2")).await["status"], "applied");
}

#[tokio::test]
async fn what_comes_to_a_connection_in_shadow_is_recorded_and_changes_nothing() {
    let world = declared().await;
    let shadow = Connection { role: Role::Shadow, ..connection("harbour-square", "square", &[MERCHANT]) };
    world.declare(&shadow).await;
    assert_eq!(take(&world, &payment(&world, "p1")).await["status"], "shadowed");
    assert_eq!(record_status(&world, "p1").await, 404);
    world.declare(&Connection { role: Role::Fallback, ..shadow }).await;
    world.pass(READ_AGAIN);
    assert_eq!(take(&world, &payment(&world, "p2")).await["status"], "applied");
}

#[tokio::test]
async fn a_test_is_ignored_whoever_it_belongs_to() {
    let world = declared().await;
    let test = sample("square", "webhooks.test_notification", 1, world.now(), &settings("square"));
    assert_eq!(take(&world, &test).await["status"], "ignored");
}

/// A notice of one calendar, from this channel.
fn notice(world: &World, channel: &str, number: u64, token: &str) -> Sent {
    let (headers, body) = provider("google_calendar").sample("exists", 1, world.now()).unwrap();
    let mut headers: Headers = headers.iter().filter(|(name, _)| !name.contains("channel-id")).collect();
    headers.remove("x-goog-message-number");
    headers.push("x-goog-channel-id", channel);
    headers.push("x-goog-message-number", number.to_string());
    signed("google_calendar", headers, body, world.now(), &Settings::with_url_keys([token]))
}

#[tokio::test]
async fn a_renewed_channel_goes_on_with_the_record_of_its_calendar_beside_the_old_one_and_after_it() {
    let world = declared().await;
    let (old, new) = ("the token of the old channel", "the token of the new channel");
    let calendar = |accounts: &[&str]| connection("harbour-calendar", "google_calendar", accounts);
    world.declare_with(&calendar(&["channel-1"]), &json!({"url_keys": [old]})).await;
    assert_eq!(take(&world, &notice(&world, "channel-1", 4711, old)).await["status"], "applied");
    // The new channel begins before the old one ends; its messages are counted from 1.
    let both = json!({"url_keys": [new, old]});
    world.declare_with(&calendar(&["channel-2", "channel-1"]), &both).await;
    world.pass(Duration::from_secs(61));
    assert_eq!(take(&world, &notice(&world, "channel-2", 2, new)).await["status"], "applied");
    world.pass(Duration::from_secs(1));
    assert_eq!(take(&world, &notice(&world, "channel-1", 4712, old)).await["status"], "applied");
    world.declare_with(&calendar(&["channel-2"]), &json!({"url_keys": [new]})).await;
    world.pass(Duration::from_secs(61));
    assert_eq!(world.post(&notice(&world, "channel-1", 4713, old)).await, 401, "the old one has ended");
    assert_eq!(take(&world, &notice(&world, "channel-2", 3, new)).await["status"], "applied");
    let record = world
        .get("/records/calendars/google_calendar/ret0000000000000001htgh289g?account=harbour-calendar")
        .await;
    assert_eq!(record["changes"].as_array().unwrap().len(), 4, "{record}");
    assert_eq!(world.health("google_calendar").await["parked"], json!(0));
}

#[tokio::test]
async fn a_calendar_whose_connection_is_made_by_its_channel_is_renewed_as_well() {
    let world = World::new().await;
    let token = settings("google_calendar").url_keys[0].expose().to_owned();
    for channel in ["channel-1", "channel-2"] {
        let delivery = take(&world, &notice(&world, channel, 1, &token)).await;
        assert_eq!(delivery["status"], "applied", "{channel}: {delivery}");
        world.pass(READ_AGAIN);
    }
}

#[tokio::test]
async fn an_account_may_have_more_connections_than_one_page_of_them() {
    let world = declared().await;
    for number in 0..20 {
        let connection = connection(&format!("harbour-{number:02}"), "square", &[MERCHANT]);
        world.declare(&Connection { place: Some(format!("L{number}")), ..connection }).await;
    }
    let sent = payment_at(&world, "p1", "L19");
    assert_eq!(take(&world, &sent).await["status"], "applied");
    assert_eq!(home(&world, &sent).await.as_deref(), Some("harbour-19"));
}

#[tokio::test]
async fn two_connections_that_name_one_calendar_have_a_record_of_it_each() {
    let world = declared().await;
    for (id, channel, token) in [
        ("harbour-calendar", "channel-1", "the token of harbours channel"),
        ("bondi-calendar", "channel-2", "the token of bondis channel"),
    ] {
        let calendar = connection(id, "google_calendar", &[channel]);
        world.declare_with(&calendar, &json!({"url_keys": [token]})).await;
        let delivery = take(&world, &notice(&world, channel, 1, token)).await;
        assert_eq!(delivery["status"], "applied", "{delivery}");
        let path = format!("/webhooks/deliveries/google_calendar/{}", delivery["id"].as_str().unwrap());
        let shown = world.get(&path).await;
        let path = shown["records"][0]["path"].as_str().unwrap();
        assert_eq!(world.get(path).await["account"], id, "{shown}");
    }
}

#[tokio::test]
async fn a_connection_that_is_made_by_its_first_event_is_one_however_many_come_at_once() {
    let world = World::new().await;
    for number in 0..10 {
        let sent = sample("square", "payment.updated", number, world.now(), &settings("square"));
        assert_eq!(world.post(&sent).await, 200);
    }
    world.work().await;
    let (made, _) =
        world.connections().documents::<Connection>(Kind::Connection, "square", "", 10).await.unwrap();
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(made[0].automatic && made[0].id.starts_with("square-"), "{made:?}");
    assert_eq!(world.health("square").await["applied"], json!(10));
}

#[tokio::test]
async fn a_path_that_names_a_connection_is_taken_with_the_providers_own_key_too() {
    let world = declared().await;
    world.declare(&connection("harbour-square", "square", &[MERCHANT])).await;
    let mut sent = payment(&world, "p1");
    // Square signs the URL that it was given, and here that is another.
    let url = format!("{}/harbour-square", settings("square").notification_url.unwrap());
    sent.headers = Headers::from_iter([(SUFFIX, "/harbour-square")]);
    let at_its_url = Settings { notification_url: Some(url), ..settings("square") };
    let plain = signed("square", Headers::new(), sent.body.clone(), world.now(), &at_its_url);
    let signature = plain.headers.iter().next().unwrap();
    sent.headers.push(signature.0, signature.1);
    assert_eq!(take(&world, &sent).await["status"], "applied");
    assert_eq!(home(&world, &sent).await.as_deref(), Some("harbour-square"));
}
