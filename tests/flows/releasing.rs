//! Rejected requests are released once their cause is mended, and never without being judged.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tillwatch_providers::Settings;
use tillwatch_tests::sender::{Sent, sample, signed};
use tillwatch_tests::world::{World, settings};

/// What the provider signs with after its key was changed there and not here.
fn new_settings() -> Settings {
    serde_json::from_value(json!({"signing_keys": ["new-stripe-key"]})).unwrap()
}

fn payment(world: &World, number: u64) -> Sent {
    sample("stripe", "payment_intent.succeeded", number, world.now(), &new_settings())
}

async fn rejected(world: &World, provider: &str) -> Vec<Value> {
    let page = world.get(&format!("/webhooks/deliveries/{provider}?status=rejected")).await;
    page["deliveries"].as_array().unwrap().clone()
}

async fn release(world: &World, provider: &str, id: &Value) -> (i64, Value) {
    world.ask("POST", &format!("/webhooks/release/{provider}/{}", id.as_str().unwrap())).await
}

/// Three requests of a key that was not put in, and one of the same key that was too old when it came; then it is put in.
async fn mended() -> World {
    let world = World::new().await;
    for number in 0..3 {
        assert_eq!(world.post(&payment(&world, number)).await, 401);
    }
    world.pass(Duration::from_secs(1));
    let fresh = payment(&world, 9);
    let old = world.now() - SignedDuration::from_hours(1);
    let headers = fresh.headers.iter().filter(|(name, _)| *name != "stripe-signature").collect();
    let stale = signed("stripe", headers, fresh.body, old, &new_settings());
    assert_eq!(world.post(&stale).await, 401);
    world.work().await;
    assert_eq!(rejected(&world, "stripe").await.len(), 4);
    world.secrets.put("stripe", Some(json!({"signing_keys": ["new-stripe-key"]})));
    world.pass(Duration::from_hours(2));
    world
}

#[tokio::test]
async fn a_request_whose_secret_was_missing_takes_effect_when_it_is_released_and_only_once() {
    let world = mended().await;
    let one = rejected(&world, "stripe").await.pop().unwrap();
    let (status, answer) = release(&world, "stripe", &one["id"]).await;
    assert_eq!((status, &answer["status"]), (202, &json!("queued")));
    assert_eq!(release(&world, "stripe", &one["id"]).await.0, 202, "the second does no harm");
    world.work().await;
    let health = world.health("stripe").await;
    assert_eq!(
        (&health["applied"], &health["rejected"], &health["received"]),
        (&json!(1), &json!(3), &json!(4))
    );
    let (status, problem) = release(&world, "stripe", &one["id"]).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:tillwatch:problem:not-releasable")));
    assert!(problem["detail"].as_str().unwrap().contains("it is applied"), "{problem}");
    let shown = world.get(&format!("/webhooks/deliveries/stripe/{}", one["id"].as_str().unwrap())).await;
    assert_eq!((&shown["status"], &shown["received_at"]), (&json!("applied"), &one["received_at"]));
}

#[tokio::test]
async fn a_replay_releases_all_that_is_believed_now_and_what_was_stale_stays() {
    let world = mended().await;
    let body = json!({"id": "mended", "status": ["rejected"], "providers": ["stripe"]});
    let plan = world.do_with("POST", "/replays/plan", &body).await;
    assert_eq!((&plan["would_send"], &plan["would_skip"]), (&json!(3), &json!({"still_rejected": 1})));
    world.do_with("POST", "/replays", &body).await;
    world.replay().await;
    let done = world.get("/replays/mended").await;
    assert_eq!((&done["released"], &done["skipped"]), (&json!(3), &json!({"still_rejected": 1})));
    let left = rejected(&world, "stripe").await;
    assert_eq!(left.len(), 1);
    let (status, problem) = release(&world, "stripe", &left[0]["id"]).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:tillwatch:problem:still-rejected")));
    assert!(problem["detail"].as_str().unwrap().starts_with("stale_timestamp: "), "{problem}");
    let health = world.health("stripe").await;
    assert_eq!((&health["applied"], &health["rejected"]), (&json!(3), &json!(1)));
}

#[tokio::test]
async fn what_is_not_believed_now_either_is_not_released_and_says_why() {
    let world = World::new().await;
    let forged = sample(
        "square",
        "payment.updated",
        1,
        world.now(),
        &Settings::with_keys(["forger's"]).with_url("https://x"),
    );
    assert_eq!(world.post(&forged).await, 401);
    world.work().await;
    let before = rejected(&world, "square").await;
    let (status, problem) = release(&world, "square", &before[0]["id"]).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().starts_with("wrong_signature: "), "{problem}");
    world.work().await;
    assert_eq!(rejected(&world, "square").await, before);
    assert_eq!(world.health("square").await["applied"], 0);
}

#[tokio::test]
async fn a_request_that_was_not_kept_says_so() {
    let world = World::new().await;
    let mut large = sample("square", "payment.updated", 1, world.now(), &settings("square"));
    large.body = tillwatch_tests::sender::large(200_000);
    assert_eq!(world.post(&large).await, 401);
    world.work().await;
    let kept = rejected(&world, "square").await;
    let (status, problem) = release(&world, "square", &kept[0]["id"]).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("were not kept"), "{problem}");
}

#[tokio::test]
async fn an_open_secret_is_compared_by_its_fingerprint_though_the_ring_has_been_rotated_since() {
    let world = World::new().await;
    let theirs = Settings::with_url_keys(["the-url-key-that-was-given-out"]);
    let sent = sample("petpooja", "order-status", 1, world.now(), &theirs);
    assert!((400..500).contains(&world.post(&sent).await));
    world.work().await;
    let kept = rejected(&world, "petpooja").await;
    let shown =
        world.get(&format!("/webhooks/deliveries/petpooja/{}", kept[0]["id"].as_str().unwrap())).await;
    assert!(!shown.to_string().contains("the-url-key-that-was-given-out"), "{shown}");
    assert!(
        shown["headers"].as_array().unwrap().iter().all(|one| !one[0].as_str().unwrap().starts_with(':'))
    );
    let (status, _) = world.ask("POST", "/vault/webhooks/rotate").await;
    assert_eq!(status, 200);
    world.secrets.put("petpooja", Some(json!({"url_keys": ["the-url-key-that-was-given-out"]})));
    world.pass(Duration::from_secs(60));
    assert_eq!(release(&world, "petpooja", &kept[0]["id"]).await.0, 202);
    world.work().await;
    assert!(rejected(&world, "petpooja").await.is_empty());
}

#[tokio::test]
async fn who_came_from_an_address_that_was_not_allowed_is_released_when_all_of_its_network_is() {
    let world = World::new().await;
    let with = |networks: Value| json!({"signing_keys": ["new-stripe-key"], "allowed_addresses": networks});
    world.secrets.put("stripe", Some(with(json!(["198.51.100.0/24"]))));
    assert_eq!(world.post(&payment(&world, 1)).await, 403);
    world.work().await;
    let kept = rejected(&world, "stripe").await;
    for (networks, status) in
        [(json!(["198.51.100.0/24"]), 409), (json!(["203.0.113.7"]), 409), (json!(["203.0.113.0/24"]), 202)]
    {
        world.secrets.put("stripe", Some(with(networks.clone())));
        world.pass(Duration::from_secs(60));
        assert_eq!(release(&world, "stripe", &kept[0]["id"]).await.0, status, "{networks}");
    }
}
