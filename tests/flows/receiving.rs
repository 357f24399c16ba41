//! What is believed, what is refused, and that neither is lost.

use std::time::Duration;

use serde_json::json;
use tillwatch_providers::{Headers, Settings};
use tillwatch_tests::sender::{Sent, json, large, provider, sample, signed};
use tillwatch_tests::world::{SQUARE_URL, World, settings};

/// Square's.
const SIGNATURE: &str = "x-square-hmacsha256-signature";

type Tamper = fn(&mut Sent);

async fn one_delivery(world: &World, provider: &str) -> serde_json::Value {
    world.work().await;
    let deliveries = world.deliveries(provider).await;
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    deliveries[0].clone()
}

#[tokio::test]
async fn a_signed_webhook_of_each_provider_is_accepted_and_takes_effect() {
    let world = World::new().await;
    for provider in tillwatch_providers::ALL {
        let kind = provider.sample_kinds()[0];
        let sent = sample(provider.name(), kind, 1, world.now(), &settings(provider.name()));
        assert_eq!(world.post(&sent).await, 200);
        let delivery = one_delivery(&world, provider.name()).await;
        assert_eq!((&delivery["status"], &delivery["type"]), (&json!("applied"), &json!(kind)));
    }
}

#[tokio::test]
async fn a_request_that_is_not_believed_is_answered_with_its_cause_and_kept_under_it() {
    let cases: [(&str, i64, Tamper); 7] = [
        ("wrong_signature", 401, |sent| sent.body.push(b' ')),
        ("wrong_signature", 401, |sent| sent.body = vec![0xff, 0xfe, 0x00]),
        ("missing_signature", 401, |sent| sent.headers = Headers::new()),
        ("malformed_signature", 401, |sent| sent.headers = Headers::from_iter([(SIGNATURE, "!")])),
        ("ambiguous_signature", 401, |sent| {
            let signature = sent.headers.get(SIGNATURE).unwrap().to_owned();
            sent.headers.push(SIGNATURE, signature);
        }),
        ("empty_body", 400, |sent| sent.body.clear()),
        ("body_too_large", 413, |sent| sent.body = vec![b' '; 5 * 1024 * 1024]),
    ];
    for (cause, status, tamper) in cases {
        let world = World::new().await;
        let mut sent = sample("square", "payment.updated", 1, world.now(), &settings("square"));
        tamper(&mut sent);
        let answer = world.send(&sent).await;
        assert_eq!(answer.status_code, status, "{cause}");
        assert_eq!(json(&answer)["type"], format!("urn:tillwatch:problem:{cause}"));
        let delivery = one_delivery(&world, "square").await;
        assert_eq!((&delivery["status"], &delivery["cause"]), (&json!("rejected"), &json!(cause)));
        let health = world.health("square").await;
        assert_eq!((&health["rejected_by_cause"][cause], &health["accepted"]), (&json!(1), &json!(0)));
        assert!(!format!("{answer:?}").contains("square-key"), "an answer holds no key");
    }
}

#[tokio::test]
async fn a_body_that_claims_to_be_base64_and_is_not_is_refused() {
    let world = World::new().await;
    let mut event = sample("square", "payment.updated", 1, world.now(), &settings("square")).event();
    event.is_base64_encoded = true;
    let answer = world.stack().http(event).await;
    assert_eq!(
        (answer.status_code, &json(&answer)["type"]),
        (400, &json!("urn:tillwatch:problem:unreadable_body"))
    );
}

#[tokio::test]
async fn a_signed_time_outside_the_tolerance_is_refused_in_both_directions() {
    let world = World::new().await;
    let minutes = |minutes: i64| world.now() + jiff::SignedDuration::from_mins(minutes);
    for (at, status, cause) in [
        (minutes(0), 200, ""),
        (minutes(-5), 200, ""),
        (minutes(5), 200, ""),
        (minutes(-6), 401, "stale_timestamp"),
        (minutes(6), 401, "future_timestamp"),
    ] {
        let (headers, body) = provider("stripe").sample("payment_intent.succeeded", 1, world.now()).unwrap();
        let answer = world.send(&signed("stripe", headers, body, at, &settings("stripe"))).await;
        assert_eq!(answer.status_code, status);
        if status != 200 {
            assert_eq!(json(&answer)["type"], format!("urn:tillwatch:problem:{cause}"));
        }
    }
}

#[tokio::test]
async fn a_rotated_key_works_at_once_and_the_old_one_as_long_as_it_is_live() {
    let world = World::new().await;
    let old = settings("square");
    let new = Settings::with_keys(["new-key"]).with_url(SQUARE_URL);
    assert_eq!(world.post(&sample("square", "payment.updated", 1, world.now(), &old)).await, 200);
    world.secrets.put(
        "square",
        Some(json!({"signing_keys": ["new-key", "square-key"], "notification_url": SQUARE_URL})),
    );
    assert_eq!(world.post(&sample("square", "payment.updated", 2, world.now(), &new)).await, 200);
    assert_eq!(world.post(&sample("square", "payment.updated", 3, world.now(), &old)).await, 200);
    world.secrets.put("square", Some(json!({"signing_keys": ["new-key"], "notification_url": SQUARE_URL})));
    world.pass(Duration::from_secs(61));
    assert_eq!(world.post(&sample("square", "payment.updated", 4, world.now(), &old)).await, 401);
    assert_eq!(world.post(&sample("square", "payment.updated", 5, world.now(), &new)).await, 200);
}

#[tokio::test]
async fn settings_that_can_verify_nothing_are_our_fault_and_mending_them_needs_no_restart() {
    let world = World::new().await;
    let sent = sample("square", "payment.updated", 1, world.now(), &settings("square"));
    for broken in [
        None,
        Some(json!({})),
        Some(json!({"signing_keys": [""], "notification_url": SQUARE_URL})),
        Some(json!({"signing_keys": ["square-key"]})),
        Some(json!({"signing_keys": "square-key"})),
    ] {
        world.secrets.put("square", broken.clone());
        world.pass(Duration::from_secs(61));
        assert_eq!(world.post(&sent).await, 503, "{broken:?}");
    }
    world
        .secrets
        .put("square", Some(json!({"signing_keys": ["square-key"], "notification_url": SQUARE_URL})));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.post(&sent).await, 200);
}

#[tokio::test]
async fn a_store_or_queue_that_is_down_is_answered_503_and_leaves_nothing_half_done() {
    let world = World::new().await;
    let sent = sample("square", "payment.updated", 1, world.now(), &settings("square"));
    for port in ["secrets.read", "queue.send"] {
        world.faults.down(move |step| step == port);
        let answer = world.send(&sent).await;
        assert_eq!(answer.status_code, 503, "{port}");
        assert!(answer.headers.contains_key("retry-after"));
        world.faults.up();
    }
    world.work().await;
    assert!(world.deliveries("square").await.is_empty());
    world.pass(Duration::from_secs(5));
    assert_eq!(world.post(&sent).await, 200);
}

#[tokio::test]
async fn a_flood_of_bad_requests_is_capped_in_storage_and_counted_in_full() {
    let world = World::new().await;
    let mut bad = sample("square", "payment.updated", 1, world.now(), &settings("square"));
    bad.body.push(b' ');
    for _ in 0..200 {
        assert_eq!(world.post(&bad).await, 401);
    }
    let good = sample("square", "payment.updated", 2, world.now(), &settings("square"));
    assert_eq!(world.post(&good).await, 200);
    world.pass(Duration::from_secs(61));
    assert_eq!(world.post(&bad).await, 401);
    world.work().await;
    let health = world.health("square").await;
    assert_eq!((&health["rejected"], &health["applied"]), (&json!(201), &json!(1)));
    let kept = world.deliveries("square").await.iter().filter(|one| one["status"] == "rejected").count();
    assert_eq!(kept, 61);
}

#[tokio::test]
async fn a_body_of_four_mebibytes_arrives_whole_and_one_byte_more_does_not() {
    let world = World::new().await;
    let body = large(4 * 1024 * 1024);
    assert_eq!(body.len(), 4 * 1024 * 1024);
    let sent = signed("square", Headers::new(), body.clone(), world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 200);
    let delivery = one_delivery(&world, "square").await;
    assert_eq!(delivery["status"], "applied");
    let id = delivery["id"].as_str().unwrap();
    let shown = world.get(&format!("/webhooks/deliveries/square/{id}")).await;
    assert!(shown["body"].as_str().unwrap().as_bytes() == body, "the body came through byte for byte");
    let sent = signed("square", Headers::new(), large(4 * 1024 * 1024 + 1), world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 413);
}

#[tokio::test]
async fn a_payload_store_that_is_down_refuses_large_bodies_for_our_fault_and_takes_small_ones() {
    let world = World::new().await;
    world.faults.down(|step| step == "payloads.put");
    let sent = signed("square", Headers::new(), large(1_500_000), world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 503);
    let small = sample("square", "payment.updated", 1, world.now(), &settings("square"));
    assert_eq!(world.post(&small).await, 200);
}

#[tokio::test]
async fn an_unknown_provider_and_a_wrong_method_are_said_to_be_so() {
    let world = World::new().await;
    let (status, body) = world.ask("POST", "/webhooks/paypal").await;
    assert_eq!((status, &body["type"]), (404, &json!("urn:tillwatch:problem:unknown-provider")));
    assert!(body["detail"].as_str().unwrap().contains("square"));
    let (status, body) = world.ask("GET", "/webhooks/square").await;
    assert_eq!((status, &body["type"]), (405, &json!("urn:tillwatch:problem:method-not-allowed")));
}
