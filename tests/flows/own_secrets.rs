//! Connections with secrets of their own: what those prove, and what they don't.

use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_platform::connections::Unknown;
use tillwatch_providers::request::{QUERY, SUFFIX};
use tillwatch_providers::{Headers, Settings};
use tillwatch_tests::connected::connection;
use tillwatch_tests::sender::{Sent, json, provider, sample, signed, square_payment};
use tillwatch_tests::world::{SQUARE_URL, World, settings};

const OWN_KEY: &str = "harbours-own-signing-key";
const URL_KEY: &str = "harbours-own-secret-of-its-url";
const MERCHANT: &str = "M1";

fn own_settings() -> Settings {
    Settings::with_keys([OWN_KEY]).with_url(SQUARE_URL)
}

fn payment_of(world: &World, merchant: &str, id: &str, settings: &Settings) -> Sent {
    let body = String::from_utf8(square_payment(id, "COMPLETED", 100, world.now(), id)).unwrap();
    let body = body.replace(MERCHANT, merchant).into_bytes();
    signed("square", Headers::new(), body, world.now(), settings)
}

/// The same at a connection's own URL.
fn payment_at(world: &World, suffix: &str, id: &str, settings: &Settings) -> Sent {
    let body = square_payment(id, "COMPLETED", 100, world.now(), id);
    signed("square", Headers::from_iter([(SUFFIX, suffix)]), body, world.now(), settings)
}

/// Harbour's, with a key of its own; and Bondi's, which has none.
async fn harbour() -> World {
    let mut world = World::new().await;
    world.unknown = Unknown::Declared;
    world.restart().await;
    let own = json!({"signing_keys": [OWN_KEY]});
    world.declare_with(&connection("harbour-square", "square", &[MERCHANT]), &own).await;
    world.declare(&connection("bondi-square", "square", &["M2"])).await;
    world
}

async fn answered(world: &World, sent: &Sent) -> (i64, String) {
    let answer = world.send(sent).await;
    let kind = json(&answer)["type"].as_str().unwrap_or_default().to_owned();
    (answer.status_code, kind.trim_start_matches("urn:tillwatch:problem:").to_owned())
}

async fn is_answered(world: &World, sent: &Sent, status: i64, cause: &str) {
    assert_eq!(answered(world, sent).await, (status, cause.to_owned()));
}

async fn deliveries(world: &World, provider: &str) -> Vec<Value> {
    world.work().await;
    world.deliveries(provider).await
}

/// The name of the secret that proved a delivery.
async fn signing_key(world: &World, provider: &str, delivery: &Value) -> String {
    let id = delivery["id"].as_str().unwrap();
    let shown = world.get(&format!("/webhooks/deliveries/{provider}/{id}")).await;
    shown["signing_key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_connections_own_key_proves_its_own_account_and_no_other() {
    let world = harbour().await;
    is_answered(&world, &payment_of(&world, MERCHANT, "p1", &own_settings()), 200, "").await;
    is_answered(&world, &payment_of(&world, "M2", "p2", &own_settings()), 401, "wrong_signature").await;
    is_answered(&world, &payment_of(&world, "M3", "p3", &own_settings()), 401, "wrong_signature").await;
    // The provider's key speaks for every account.
    for (merchant, id) in [(MERCHANT, "p4"), ("M2", "p5")] {
        is_answered(&world, &payment_of(&world, merchant, id, &settings("square")), 200, "").await;
    }
    let deliveries = deliveries(&world, "square").await;
    let applied: Vec<_> = deliveries.iter().filter(|one| one["status"] == "applied").collect();
    assert_eq!((deliveries.len(), applied.len()), (5, 3));
    let mut own = 0;
    for one in applied {
        own += usize::from(signing_key(&world, "square", one).await.starts_with("harbour-square/"));
    }
    assert_eq!(own, 1, "one was proved by the connection's own key");
}

#[tokio::test]
async fn a_connections_own_key_at_its_own_url_does_not_speak_for_another_account() {
    let world = harbour().await;
    is_answered(&world, &payment_at(&world, "/harbour-square", "p1", &own_settings()), 200, "").await;
    let theirs = String::from_utf8(square_payment("p2", "CANCELED", 1, world.now(), "p2")).unwrap();
    let theirs = theirs.replace(MERCHANT, "M2").into_bytes();
    let headers = Headers::from_iter([(SUFFIX, "/harbour-square")]);
    let theirs = signed("square", headers, theirs, world.now(), &own_settings());
    is_answered(&world, &theirs, 403, "other_account").await;
    is_answered(&world, &payment_at(&world, "/bondi-square", "p3", &own_settings()), 401, "wrong_signature")
        .await;
    let deliveries = deliveries(&world, "square").await;
    let causes: Vec<_> = deliveries.iter().filter_map(|one| one["cause"].as_str()).collect();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert_eq!(world.ask("GET", "/records/payments/square/p2").await.0, 404);
}

#[tokio::test]
async fn a_url_of_no_connection_is_said_to_be_so_and_the_request_is_kept() {
    let world = harbour().await;
    is_answered(&world, &payment_at(&world, "/nobody", "p1", &own_settings()), 404, "unknown_connection")
        .await;
    // The connection may be declared in a moment: it is looked for again.
    world.declare(&connection("nobody", "square", &["M9"])).await;
    world.pass(Duration::from_secs(2));
    is_answered(&world, &payment_at(&world, "/nobody", "p2", &own_settings()), 401, "wrong_signature").await;
    let deliveries = deliveries(&world, "square").await;
    let causes: Vec<_> = deliveries.iter().map(|one| one["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["wrong_signature", "unknown_connection"]);
}

/// A webhook of Odoo's at a connection's URL, with this in its query.
fn odoo(world: &World, connection: &str, query: &str) -> Sent {
    let (_, body) = provider("odoo").sample("pos.order", 1, world.now()).unwrap();
    let headers = [(SUFFIX, format!("/{connection}")), (QUERY, query.to_owned())];
    Sent { provider: "odoo".to_owned(), headers: headers.into_iter().collect(), body }
}

#[tokio::test]
async fn a_secret_of_a_url_opens_its_own_connection_and_is_right_to_the_last_character() {
    let world = World::new().await;
    let own = json!({"url_keys": [URL_KEY]});
    world.declare_with(&connection("harbour-odoo", "odoo", &[]), &own).await;
    let other = json!({"url_keys": ["bondis-own-secret-of-its-url"]});
    world.declare_with(&connection("bondi-odoo", "odoo", &[]), &other).await;
    let at = |connection: &str, query: &str| odoo(&world, connection, query);
    is_answered(&world, &at("harbour-odoo", &format!("key={URL_KEY}")), 200, "").await;
    for wrong in [&URL_KEY[..29], &format!("{URL_KEY}x"), &URL_KEY.replace("its", "itS"), ""] {
        is_answered(&world, &at("harbour-odoo", &format!("key={wrong}")), 401, "wrong_secret").await;
    }
    is_answered(&world, &at("harbour-odoo", ""), 401, "missing_secret").await;
    is_answered(&world, &at("bondi-odoo", &format!("key={URL_KEY}")), 401, "wrong_secret").await;
    is_answered(&world, &at("nobody", &format!("key={URL_KEY}")), 404, "unknown_connection").await;
    let twice = format!("key={URL_KEY}&key={URL_KEY}");
    is_answered(&world, &at("harbour-odoo", &twice), 401, "ambiguous_signature").await;
    let deliveries = deliveries(&world, "odoo").await;
    assert_eq!(deliveries.iter().filter(|one| one["status"] == "applied").count(), 1);
    for one in deliveries {
        let id = one["id"].as_str().unwrap();
        let shown = world.get(&format!("/webhooks/deliveries/odoo/{id}")).await.to_string();
        assert!(!shown.contains(URL_KEY) && !shown.contains("key="), "{shown}");
    }
}

#[tokio::test]
async fn every_open_secret_that_is_a_connections_own_is_taken_at_its_url_by_every_such_provider() {
    let world = World::new().await;
    for provider in tillwatch_providers::ALL.iter().filter(|provider| provider.open_secret().is_some()) {
        let (name, id) = (provider.name(), format!("harbour-{}", provider.name().replace('_', "-")));
        let own = json!({"url_keys": [URL_KEY]});
        let kind = provider.sample_kinds()[0];
        let (headers, body) = provider.sample(kind, 1, world.now()).unwrap();
        let account = provider.claimed_account(&headers, &body);
        let accounts: Vec<_> = account.iter().map(String::as_str).collect();
        world.declare_with(&connection(&id, name, &accounts), &own).await;
        let mut headers = headers.clone();
        headers.remove(SUFFIX);
        headers.push(SUFFIX, format!("/{id}"));
        let sign = |key: &str| {
            let settings = Settings::with_url_keys([key]);
            signed(name, headers.clone(), body.clone(), world.now(), &settings)
        };
        is_answered(&world, &sign("another secret of a URL"), 401, "wrong_secret").await;
        is_answered(&world, &sign(URL_KEY), 200, "").await;
        let deliveries = deliveries(&world, name).await;
        let applied = deliveries.iter().find(|one| one["status"] == "applied");
        let applied = applied.unwrap_or_else(|| panic!("{name} takes effect: {deliveries:?}"));
        let key = signing_key(&world, name, applied).await;
        assert!(key.starts_with(&format!("{id}/")), "{name}: {key}");
    }
}

#[tokio::test]
async fn a_key_that_has_an_end_is_live_until_then_and_no_longer() {
    let world = harbour().await;
    let end = world.now() + jiff::SignedDuration::from_secs(100);
    let rotated = json!({"signing_keys": ["the-new-key", {"key": OWN_KEY, "until": end.to_string()}]});
    world.declare_with(&connection("harbour-square", "square", &[MERCHANT]), &rotated).await;
    let new = Settings::with_keys(["the-new-key"]).with_url(SQUARE_URL);
    is_answered(&world, &payment_of(&world, MERCHANT, "p1", &new), 200, "").await;
    is_answered(&world, &payment_of(&world, MERCHANT, "p2", &own_settings()), 200, "").await;
    world.pass(Duration::from_secs(100));
    is_answered(&world, &payment_of(&world, MERCHANT, "p3", &own_settings()), 401, "wrong_signature").await;
    is_answered(&world, &payment_of(&world, MERCHANT, "p4", &new), 200, "").await;
    let past = json!({"signing_keys": [{"key": OWN_KEY, "until": "2020-01-01T00:00:00Z"}]});
    world.declare_with(&connection("harbour-square", "square", &[MERCHANT]), &past).await;
    world.pass(Duration::from_secs(61));
    is_answered(&world, &payment_of(&world, MERCHANT, "p5", &own_settings()), 401, "wrong_signature").await;
}

#[tokio::test]
async fn a_changed_secret_of_a_connection_works_at_once_while_strangers_make_noise() {
    let world = harbour().await;
    is_answered(&world, &payment_of(&world, MERCHANT, "p0", &own_settings()), 200, "").await;
    world.pass(Duration::from_secs(5));
    let noise = Settings::with_keys(["a stranger's key"]).with_url(SQUARE_URL);
    for number in 0..50 {
        let id = format!("n{number}");
        is_answered(&world, &payment_of(&world, MERCHANT, &id, &noise), 401, "wrong_signature").await;
    }
    let new = json!({"signing_keys": ["the-new-key"]});
    world.declare_with(&connection("harbour-square", "square", &[MERCHANT]), &new).await;
    // What was read within the last second is fresh.
    world.pass(Duration::from_secs(1));
    let sent = Settings::with_keys(["the-new-key"]).with_url(SQUARE_URL);
    let mut with_new = payment_of(&world, MERCHANT, "p1", &sent);
    is_answered(&world, &with_new, 200, "").await;
    with_new.body.push(b' ');
    is_answered(&world, &with_new, 401, "wrong_signature").await;
    is_answered(&world, &payment_of(&world, MERCHANT, "p2", &own_settings()), 401, "wrong_signature").await;
}

#[tokio::test]
async fn a_secret_that_is_sealed_for_another_connection_or_damaged_is_our_fault_and_nobody_is_believed() {
    let world = harbour().await;
    let ring = world.stack().ports().webhook_vault.ring();
    let own = json!({"signing_keys": [OWN_KEY]}).to_string();
    let elsewhere = ring.seal("webhook bondi-square", &own.into());
    let harbour = connection("harbour-square", "square", &[MERCHANT]);
    world.connections().route(None, &harbour, Some(&elsewhere)).await.unwrap();
    world.pass(Duration::from_secs(61));
    is_answered(&world, &payment_of(&world, MERCHANT, "p1", &own_settings()), 503, "unavailable").await;
    is_answered(&world, &payment_of(&world, "M2", "p2", &settings("square")), 200, "").await;
}

#[tokio::test]
async fn an_id_of_another_tenant_under_ones_own_secret_changes_nothing_of_theirs() {
    let world = harbour().await;
    is_answered(&world, &payment_of(&world, "M2", "p1", &settings("square")), 200, "").await;
    world.work().await;
    world.pass(Duration::from_secs(60));
    // Harbour signs, as its own merchant, a payment that has the id of Bondi's.
    let body = square_payment("p1", "CANCELED", 1, world.now(), "theirs");
    let forged = signed("square", Headers::new(), body, world.now(), &own_settings());
    is_answered(&world, &forged, 200, "").await;
    let deliveries = deliveries(&world, "square").await;
    let parked = deliveries.iter().find(|one| one["status"] == "parked").expect("it is parked");
    assert!(parked["cause"].as_str().unwrap().contains("account"), "{parked}");
    let record = world.get("/records/payments/square/p1").await;
    assert_eq!((&record["status"], &record["amount"]["minor"]), (&json!("completed"), &json!(100)));
}

#[tokio::test]
async fn a_body_that_speaks_of_two_accounts_is_parked_where_ones_own_secret_proves_only_the_first() {
    let world = World::new().await;
    let own = json!({"signing_keys": [OWN_KEY]});
    world.declare_with(&connection("harbour-meta", "meta", &["1001"]), &own).await;
    world.declare(&connection("bondi-meta", "meta", &["2002"])).await;
    let (headers, body) = provider("meta").sample("message.delivered", 1, world.now()).unwrap();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["entry"][0]["id"] = json!("1001");
    let mut theirs = body["entry"][0].clone();
    theirs["id"] = json!("2002");
    theirs["changes"][0]["value"]["statuses"][0]["id"] = json!("wamid.theirs");
    body["entry"].as_array_mut().unwrap().push(theirs);
    let sent =
        signed("meta", headers, body.to_string().into_bytes(), world.now(), &Settings::with_keys([OWN_KEY]));
    is_answered(&world, &sent, 200, "").await;
    let deliveries = deliveries(&world, "meta").await;
    let mut statuses: Vec<_> = deliveries.iter().map(|one| one["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["applied", "parked"], "{deliveries:?}");
    assert_eq!(world.ask("GET", "/records/messages/meta/wamid.theirs").await.0, 404);
}

#[tokio::test]
async fn only_addresses_on_the_list_are_listened_to_where_there_is_one() {
    let world = World::new().await;
    let allowed = |networks: Value| json!({"signing_keys": ["square-key"], "notification_url": SQUARE_URL, "allowed_addresses": networks});
    world.secrets.put("square", Some(allowed(json!(["54.245.1.154/32"]))));
    let sent = |number| sample("square", "payment.updated", number, world.now(), &settings("square"));
    is_answered(&world, &sent(1), 403, "address_not_allowed").await;
    world.secrets.put("square", Some(allowed(json!(["54.245.1.154/32", "203.0.113.0/24"]))));
    world.pass(Duration::from_secs(61));
    is_answered(&world, &sent(2), 200, "").await;
    let deliveries = deliveries(&world, "square").await;
    let statuses: Vec<_> = deliveries.iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses.len(), 2, "{deliveries:?}");
    assert!(statuses.contains(&"rejected") && statuses.contains(&"applied"));
}

#[tokio::test]
async fn a_connections_own_list_of_addresses_holds_for_what_it_sends() {
    let world = World::new().await;
    let own = json!({"signing_keys": [OWN_KEY], "allowed_addresses": ["54.245.1.154/32"]});
    world.declare_with(&connection("harbour-square", "square", &[MERCHANT]), &own).await;
    let own = payment_of(&world, MERCHANT, "p1", &own_settings());
    is_answered(&world, &own, 403, "address_not_allowed").await;
    let anothers = payment_of(&world, "M2", "p2", &settings("square"));
    is_answered(&world, &anothers, 200, "").await;
}

#[tokio::test]
async fn a_flood_is_shed_and_counted_while_signed_requests_of_the_same_source_pass() {
    let world = World::new().await;
    let mut forged = sample("square", "payment.updated", 1, world.now(), &settings("square"));
    forged.body.push(b' ');
    let mut statuses = std::collections::BTreeMap::new();
    for number in 0..400 {
        *statuses.entry(world.post(&forged).await).or_insert(0) += 1;
        if number % 100 == 99 {
            let good = sample("square", "payment.updated", number, world.now(), &settings("square"));
            is_answered(&world, &good, 200, "").await;
        }
    }
    assert_eq!(statuses, [(401, 300), (429, 100)].into());
    world.turn(Duration::from_secs(61)).await;
    let figures = world.health("square").await;
    assert_eq!((&figures["rejected"], &figures["applied"]), (&json!(400), &json!(4)));
    assert_eq!(figures["rejected_by_cause"]["too_many"], json!(100));
    is_answered(&world, &forged, 401, "wrong_signature").await;
}

#[tokio::test]
async fn what_a_flooded_connections_own_key_proves_passes_too() {
    let world = harbour().await;
    let noise = Settings::with_keys(["a stranger's key"]).with_url(SQUARE_URL);
    for number in 0..350 {
        world.post(&payment_of(&world, MERCHANT, &format!("n{number}"), &noise)).await;
    }
    is_answered(&world, &payment_of(&world, MERCHANT, "p1", &own_settings()), 200, "").await;
}

#[tokio::test]
async fn connections_with_keys_of_their_own_are_taken_while_the_provider_has_none() {
    let world = harbour().await;
    let own = json!({"signing_keys": [OWN_KEY], "notification_url": SQUARE_URL});
    world.declare_with(&connection("harbour-square", "square", &[MERCHANT]), &own).await;
    world.secrets.put("square", None);
    world.pass(Duration::from_secs(61));
    is_answered(&world, &payment_of(&world, MERCHANT, "p1", &own_settings()), 200, "").await;
    is_answered(&world, &payment_of(&world, "M2", "p2", &settings("square")), 503, "unavailable").await;
    world
        .secrets
        .put("square", Some(json!({"signing_keys": ["square-key"], "notification_url": SQUARE_URL})));
    world.pass(Duration::from_secs(2));
    is_answered(&world, &payment_of(&world, "M2", "p2", &settings("square")), 200, "").await;
}
