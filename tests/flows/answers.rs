//! What each provider is answered, in its own form.

use serde_json::{Value, json};
use tillwatch_providers::request::{METHOD, QUERY, SUFFIX};
use tillwatch_providers::{ALL, Headers, Settings};
use tillwatch_tests::connected::connection;
use tillwatch_tests::sender::{Sent, content_type, json, provider, sample, signed, text};
use tillwatch_tests::world::{World, settings};

fn sent(provider: &str, headers: Headers, body: &str) -> Sent {
    Sent { provider: provider.to_owned(), headers, body: body.as_bytes().to_vec() }
}

/// Without what it is proved by.
fn unproved(provider_name: &str, world: &World) -> Sent {
    let (headers, body) =
        provider(provider_name).sample(provider(provider_name).sample_kinds()[0], 1, world.now()).unwrap();
    Sent { provider: provider_name.to_owned(), headers, body }
}

#[tokio::test]
async fn each_callback_of_petpoojas_is_answered_with_the_fields_that_it_looks_for() {
    let world = World::new().await;
    for (path, field, value) in [
        ("order-status", "success", json!("1")),
        ("menu-update", "success", json!("1")),
        ("item-stock", "code", json!("200")),
        ("inventory-update", "status", json!("success")),
        ("store-status-update", "http_code", json!(200)),
    ] {
        let (_, body) = provider("petpooja").sample(path, 1, world.now()).unwrap();
        for suffix in [format!("/{path}"), format!("/harbour-petpooja/{path}")] {
            let headers = Headers::from_iter([(SUFFIX, suffix)]);
            let sent = signed("petpooja", headers, body.clone(), world.now(), &settings("petpooja"));
            let answer = world.send(&sent).await;
            assert_eq!((answer.status_code, content_type(&answer)), (200, "application/json"), "{path}");
            assert_eq!(json(&answer)[field], value, "{path}");
        }
    }
    // Opening hours are asked for, and of a restaurant nothing is known: it is open.
    let headers = Headers::from_iter([(SUFFIX, "/store-status")]);
    let body = br#"{"restID":"hrb4x9wq"}"#.to_vec();
    let sent = signed("petpooja", headers, body, world.now(), &settings("petpooja"));
    assert_eq!(json(&world.send(&sent).await)["store_status"], "1");
}

#[tokio::test]
async fn twilio_is_answered_in_xml_that_sends_nothing_back() {
    let world = World::new().await;
    for kind in ["message.delivered", "message.received"] {
        let answer = world.send(&sample("twilio", kind, 1, world.now(), &settings("twilio"))).await;
        assert_eq!((answer.status_code, content_type(&answer)), (200, "text/xml"));
        assert!(text(&answer).ends_with("<Response/>"), "{}", text(&answer));
    }
}

#[tokio::test]
async fn a_webhook_of_twilios_that_comes_by_get_takes_effect_too() {
    let world = World::new().await;
    let (_, body) = provider("twilio").sample("message.delivered", 1, world.now()).unwrap();
    let query = String::from_utf8(body).unwrap();
    let headers = Headers::from_iter([(METHOD, "GET"), (QUERY, &*query)]);
    let sent = signed("twilio", headers, Vec::new(), world.now(), &settings("twilio"));
    assert_eq!(world.post(&sent).await, 200);
    world.work().await;
    assert_eq!(world.deliveries("twilio").await[0]["status"], "applied");
}

/// Meta's question whether a URL is ours.
fn question(word: &str, suffix: &str) -> Sent {
    let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={word}");
    let headers = [(METHOD, "GET"), (QUERY, &*query), (SUFFIX, suffix)];
    sent("meta", headers.into_iter().filter(|(_, value)| !value.is_empty()).collect(), "")
}

#[tokio::test]
async fn meta_gets_its_challenge_back_for_the_right_word_and_403_for_any_other_and_neither_word_is_kept() {
    let world = World::new().await;
    let token = settings("meta").verify_tokens[0].expose().to_owned();
    let answer = world.send(&question(&token, "")).await;
    assert_eq!((answer.status_code, content_type(&answer)), (200, "text/plain"));
    assert_eq!(text(&answer), "1158201444");
    for wrong in ["", "another", &token[1..], &token.to_uppercase()] {
        assert_eq!(world.post(&question(wrong, "")).await, 403, "{wrong}");
    }
    world.work().await;
    let deliveries = world.deliveries("meta").await;
    assert_eq!(deliveries.len(), 4, "the right question is no delivery: {deliveries:?}");
    for one in deliveries {
        let id = one["id"].as_str().unwrap();
        let shown = world.get(&format!("/webhooks/deliveries/meta/{id}")).await;
        assert_eq!(shown["status"], "rejected");
        assert!(!shown.to_string().contains("hub."), "{shown}");
    }
}

#[tokio::test]
async fn a_connections_own_word_is_known_at_its_own_url() {
    let world = World::new().await;
    let own = json!({"verify_tokens": ["harbours-own-word"]});
    world.declare_with(&connection("harbour-meta", "meta", &["102290129340398"]), &own).await;
    assert_eq!(world.post(&question("harbours-own-word", "/harbour-meta")).await, 200);
    assert_eq!(world.post(&question("harbours-own-word", "")).await, 403);
    assert_eq!(world.post(&question("harbours-own-words", "/harbour-meta")).await, 403);
}

#[tokio::test]
async fn a_trial_of_zettles_is_answered_before_there_is_any_key_and_not_kept() {
    let world = World::new().await;
    let trial = r#"{"organizationUuid":"ef64c5e2","messageUuid":"0f674460","eventName":"TestMessage","payload":{"data":"payload"}}"#;
    for secret in [None, Some(json!({})), Some(json!({"signing_keys": ["a-key"]}))] {
        world.secrets.put("zettle", secret.clone());
        world.pass(std::time::Duration::from_secs(61));
        for suffix in ["/", "/harbour-zettle"] {
            let headers = Headers::from_iter([(SUFFIX, suffix)]);
            let answer = world.send(&sent("zettle", headers, trial)).await;
            assert_eq!((answer.status_code, text(&answer)), (200, "{}"), "{secret:?}");
        }
    }
    world.work().await;
    assert_eq!(world.deliveries("zettle").await, [] as [Value; 0]);
}

#[tokio::test]
async fn google_is_asked_to_come_again_where_the_channel_may_yet_be_known_and_nowhere_else() {
    let world = World::new().await;
    let google = |suffix: &str, settings: &Settings| {
        let (mut headers, body) = provider("google_calendar").sample("exists", 1, world.now()).unwrap();
        headers.push(SUFFIX, suffix);
        signed("google_calendar", headers, body, world.now(), settings)
    };
    let stranger = Settings::with_url_keys(["a token of nobody's channel"]);
    let answer = world.send(&google("/harbour-calendar", &stranger)).await;
    assert_eq!(answer.status_code, 503, "no such connection is known yet");
    assert_eq!(json(&answer)["type"], "urn:tillwatch:problem:unknown_connection");
    let own = json!({"url_keys": ["the token of harbour's channel"]});
    world.declare_with(&connection("harbour-calendar", "google_calendar", &[]), &own).await;
    world.pass(std::time::Duration::from_secs(2));
    assert_eq!(world.post(&google("/harbour-calendar", &stranger)).await, 401, "a wrong token stays wrong");
    let own = Settings::with_url_keys(["the token of harbour's channel"]);
    assert_eq!(world.post(&google("/harbour-calendar", &own)).await, 200);
    assert_eq!(world.post(&unproved("google_calendar", &world)).await, 401);
}

#[tokio::test]
async fn every_provider_is_told_of_a_request_that_is_not_proved_by_its_cause() {
    let world = World::new().await;
    for provider in ALL {
        let answer = world.send(&unproved(provider.name(), &world)).await;
        let missing = if settings(provider.name()).signing_keys.is_empty() { "secret" } else { "signature" };
        assert_eq!(answer.status_code, 401, "{}", provider.name());
        let expected = format!("urn:tillwatch:problem:missing_{missing}");
        assert_eq!(json(&answer)["type"], expected, "{}", provider.name());
        assert_eq!(content_type(&answer), "application/problem+json", "{}", provider.name());
    }
    world.work().await;
    for provider in ALL {
        let deliveries = world.deliveries(provider.name()).await;
        assert_eq!(deliveries.len(), 1, "{}", provider.name());
        assert_eq!(deliveries[0]["status"], "rejected", "{}", provider.name());
    }
}

#[tokio::test]
async fn every_sample_of_every_provider_takes_effect_or_is_ignored_once_however_often_it_comes() {
    let world = World::new().await;
    let mut expected = std::collections::BTreeMap::<&str, usize>::new();
    for provider in ALL {
        for kind in provider.sample_kinds() {
            let sent = sample(provider.name(), kind, 1, world.now(), &settings(provider.name()));
            for _ in 0..3 {
                assert_eq!(world.post(&sent).await, 200, "{} {kind}", provider.name());
            }
            *expected.entry(provider.name()).or_default() += sent.event_ids().len();
        }
    }
    world.work().await;
    for (provider, count) in expected {
        let deliveries = world.deliveries(provider).await;
        let statuses: Vec<_> = deliveries.iter().map(|one| one["status"].as_str().unwrap()).collect();
        assert_eq!(statuses.len(), count, "{provider}: {deliveries:?}");
        let is_done = |status: &&str| ["applied", "superseded", "ignored"].contains(status);
        assert!(statuses.iter().all(is_done) && statuses.contains(&"applied"), "{provider}: {statuses:?}");
        let figures = world.health(provider).await;
        assert_eq!((&figures["received"], &figures["parked"]), (&json!(count), &json!(0)), "{provider}");
    }
}
