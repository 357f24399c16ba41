//! The operators' API: who may use it, what it lists, and that its description is true.

use std::time::Duration;

use serde_json::json;
use tillwatch_tests::pages::Pages;
use tillwatch_tests::sender::{sample, signed};
use tillwatch_tests::world::{World, settings};

/// Whether a path is one that something is done by.
fn method(path: &str) -> &'static str {
    let done_by = ["retry", "release", "cancel", "plan", "pause", "resume"];
    if done_by.iter().any(|word| path.contains(word)) { "POST" } else { "GET" }
}

const PATHS: [&str; 14] = [
    "/webhooks/logs",
    "/webhooks/release/square/req_00000000000000000000000000000000",
    "/replays",
    "/replays/plan",
    "/replays/one",
    "/replays/one/cancel",
    "/connections/one/pause",
    "/connections/one/resume",
    "/providers/square/pause",
    "/webhooks/health",
    "/webhooks/deliveries/square",
    "/webhooks/deliveries/square/evt_00000000000000000000000000000000",
    "/webhooks/retry/square/evt_00000000000000000000000000000000",
    "/records/payments/square/p1",
];

#[tokio::test]
async fn nothing_is_told_without_a_token_or_with_a_wrong_one() {
    let world = World::new().await;
    for path in PATHS {
        let method = method(path);
        for token in
            [None, Some(""), Some("operator-token-of-the-test"), Some("operator-token-of-the-tests2")]
        {
            let (status, body) = world.ask_as(method, path, token).await;
            assert_eq!(
                (status, &body["type"]),
                (401, &json!("urn:tillwatch:problem:unauthorized")),
                "{path}"
            );
        }
    }
    let (status, _) = world.ask_as("GET", "/openapi.json", None).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn without_a_configured_token_nobody_is_let_in() {
    let world = World::new().await;
    for broken in [None, Some(json!({})), Some(json!({"tokens": []})), Some(json!({"tokens": ["", "short"]}))]
    {
        world.secrets.put("console", broken);
        for token in ["", "short", "undefined"] {
            assert_eq!(world.ask_as("GET", "/webhooks/health", Some(token)).await.0, 503);
        }
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_and_how_to_mend_it() {
    let world = World::new().await;
    for (query, says) in [
        ("status=done", "`status` is one of applied"),
        ("stats=applied", "`stats` is not known here"),
        ("limit=0", "`limit` is a whole number from 1 to 500"),
        ("limit=many", "`limit` is a whole number"),
        ("from=yesterday", "`from` is a time such as"),
        ("cursor=%21", "`cursor` is not one that a page gave"),
        ("limit=1&limit=2", "`limit` is given twice"),
        ("type=%zz", "`type` is not percent-encoded rightly"),
    ] {
        let (status, body) = world.ask("GET", &format!("/webhooks/deliveries/square?{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert!(body["detail"].as_str().unwrap().contains(says), "{query}: {body}");
    }
    assert_eq!(world.ask("DELETE", "/webhooks/health").await.0, 405);
    assert_eq!(world.ask("GET", "/webhooks/deliveries/paypal").await.0, 404);
    assert_eq!(world.ask("GET", "/webhooks/deliveries/square/nonsense").await.0, 404);
    assert_eq!(world.ask("GET", "/records/invoices/square/1").await.0, 404);
    assert_eq!(world.ask("GET", "/records/payments/square/none").await.0, 404);
    assert_eq!(world.ask("GET", "/nothing").await.0, 404);
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused_as_described_on_every_path() {
    let world = World::new().await;
    for path in PATHS {
        let method = method(path);
        let (status, body) = world.ask(method, &format!("{path}?limit=1&limit=2")).await;
        assert_eq!((status, &body["type"]), (400, &json!("urn:tillwatch:problem:bad-parameter")), "{path}");
    }
}

#[tokio::test]
async fn pages_hold_every_delivery_once_newest_first_across_days() {
    let world = World::new().await;
    for number in 0..60 {
        let sent = sample("square", "payment.updated", number, world.now(), &settings("square"));
        assert_eq!(world.post(&sent).await, 200);
        world.work().await;
        world.pass(Duration::from_secs(3 * 3_600));
    }
    let mut pages = Pages::of("/webhooks/deliveries/square?limit=7");
    while let Some(path) = pages.wanted() {
        pages.read(&world.get(&path).await);
    }
    let of_all = |field: &str| -> Vec<_> {
        pages.deliveries.iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
    };
    let (mut ids, times) = (of_all("id"), of_all("received_at"));
    assert_eq!(ids.len(), 60);
    assert!(times.is_sorted_by(|one, next| one >= next));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 60);
}

#[tokio::test]
async fn filters_by_status_type_and_time_find_what_they_name() {
    let world = World::new().await;
    let count = async |query: &str| {
        let page = world.get(&format!("/webhooks/deliveries/square?{query}")).await;
        page["deliveries"].as_array().unwrap().len()
    };
    for number in 0..10 {
        let kind = if number % 2 == 0 { "payment.updated" } else { "refund.created" };
        let mut sent = sample("square", kind, number, world.now(), &settings("square"));
        if number == 9 {
            sent.body.push(b' ');
        }
        world.post(&sent).await;
        world.pass(Duration::from_secs(60));
    }
    world.work().await;
    assert_eq!(count("status=applied").await, 9);
    assert_eq!(count("status=rejected").await, 1);
    assert_eq!(count("type=refund.created").await, 4);
    assert_eq!(count("type=refund.created&status=applied").await, 4);
    assert_eq!(count("from=2026-11-23T23:05:00Z").await, 5);
    assert_eq!(count("to=2026-11-23T23:05:00Z").await, 5);
    assert_eq!(count("from=2026-11-23T23:02:00Z&to=2026-11-23T23:04:00Z").await, 2);
}

#[tokio::test]
async fn the_deliveries_of_all_providers_come_in_one_list_newest_first() {
    let world = World::new().await;
    for number in 0..20 {
        for (provider, kind) in [("square", "payment.updated"), ("stripe", "payment_intent.succeeded")] {
            let mut sent = sample(provider, kind, number, world.now(), &settings(provider));
            if number % 5 == 0 {
                sent.body.push(b' ');
            }
            world.post(&sent).await;
            world.pass(Duration::from_secs(number * 1_000));
        }
    }
    world.work().await;
    for (query, count) in [
        ("", 40),
        ("&provider=stripe", 20),
        ("&status=rejected", 8),
        ("&cause=wrong_signature", 8),
        ("&cause=wrong", 0),
        ("&connection=nobody", 0),
        ("&type=payment.updated", 16),
    ] {
        let mut pages = Pages::of(format!("/webhooks/logs?limit=7{query}"));
        while let Some(path) = pages.wanted() {
            pages.read(&world.get(&path).await);
        }
        let of_all = |field: &str| -> Vec<_> {
            pages.deliveries.iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
        };
        let (mut ids, times) = (of_all("id"), of_all("received_at"));
        assert_eq!(ids.len(), count, "{query}");
        assert!(times.is_sorted_by(|one, next| one >= next), "{query}: {times:?}");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "{query}");
    }
    assert_eq!(world.ask("GET", "/webhooks/logs?provider=paypal").await.0, 404);
}

#[tokio::test]
async fn a_delivery_is_shown_with_its_request_and_what_it_did() {
    let world = World::new().await;
    let sent = sample("square", "payment.updated", 1, world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 200);
    world.pass(Duration::from_millis(30));
    world.work().await;
    let id = world.deliveries("square").await[0]["id"].as_str().unwrap().to_owned();
    let shown = world.get(&format!("/webhooks/deliveries/square/{id}")).await;
    assert_eq!(shown["body"].as_str().unwrap().as_bytes(), sent.body);
    assert_eq!(shown["headers"][0][0], "x-square-hmacsha256-signature");
    assert_eq!((&shown["signing_key"], &shown["source"]), (&json!("77deb694"), &json!("203.0.113.0")));
    assert_eq!((&shown["method"], &shown["raw_path"]), (&json!("POST"), &json!("/webhooks/square")));
    assert_eq!((&shown["processing_ms"], &shown["attempts"]), (&json!(30), &json!(1)));
    let record = &shown["records"][0];
    assert_eq!((&record["effect"], &record["status_to"]), (&json!("applied"), &json!("completed")));
    let record = world.get(record["path"].as_str().unwrap()).await;
    assert_eq!(record["history"][0]["event"].as_str(), Some(id.as_str()));
}

#[tokio::test]
async fn amounts_come_through_exactly_and_so_do_ids_beyond_two_to_the_53rd() {
    let world = World::new().await;
    let body = include_str!("../fixtures/shopify/refunds-create.json");
    let headers =
        [("x-shopify-topic", "refunds/create"), ("x-shopify-shop-domain", "test-shop.myshopify.com")];
    let sent =
        signed("shopify", headers.into_iter().collect(), body.into(), world.now(), &settings("shopify"));
    assert_eq!(world.post(&sent).await, 200);
    world.work().await;
    let record = world.get("/records/refunds/shopify/890088186047892319").await;
    assert_eq!(
        (&record["amount"]["value"], &record["amount"]["currency"]),
        (&json!("155.575"), &json!("JPY"))
    );
    assert_eq!(record["order_id"], "820982911946154508");
}

#[test]
fn the_published_description_is_the_one_that_is_served() {
    let published = include_str!("../../docs/openapi.json");
    let served = tillwatch_workflows::console::openapi();
    assert!(
        published.trim() == served.trim(),
        "docs/openapi.json is not what is served: write the answer of GET /openapi.json over it"
    );
}
