//! Prints what `/metrics` gives of a world in which every family has a series, for `.ci/monitoring` to hold docs/monitoring.md
//! to: connections in every state, quotas, tokens, webhooks, a status page, our own address, tallies and objectives.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_tests::front::{AUTHORITY, Front};
use tillwatch_tests::sender::signed;
use tillwatch_tests::server::{Reply, Server};
use tillwatch_tests::world::{TOKEN, World, settings};

#[expect(clippy::print_stdout, reason = "it prints")]
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let front = Front::start().await;
    let page = Server::start(|_| Reply::json(200, incident())).await;
    let reference = Server::start(|_| Reply::json(200, Value::Null)).await;
    let mut world = World::new().await;
    world.references = vec![reference.base];
    world.outbound.roots = AUTHORITY;
    world.outbound.whole = Duration::from_millis(300);
    world.beside.public_url = Some(front.base.clone());
    world.beside.pages.insert("square".to_owned(), format!("{}/api/v2/summary.json", page.base));
    world.restart().await;
    front.lead_to(world.stack());
    connect(&world).await;
    for minute in 0..12 {
        sell(&world, minute).await;
        world.turn(Duration::from_secs(50)).await;
        world.watch_for(Duration::from_secs(10)).await;
        world.stack().rolls_up().await;
        if minute % 5 == 4 {
            world.tally().await;
        }
    }
    world.pass(Duration::from_mins(1));
    world.watch().await;
    let Ok(exposition) = world.stack().scrape(Some(&format!("Bearer {TOKEN}"))).await else {
        panic!("an operator is answered")
    };
    print!("{}", exposition.collect::<String>());
}

/// A status page that tells of one.
fn incident() -> Value {
    let incident = json!({"name": "Elevated errors", "status": "investigating", "impact": "major"});
    json!({"status": {"indicator": "minor"}, "incidents": [incident]})
}

/// Declares a connection in each state.
async fn connect(world: &World) {
    let calls = AtomicU32::new(0);
    let loyverse = Server::start(move |request| match request.header("authorization") {
        _ if request.path == "/oauth/token" => Reply::json(
            200,
            json!({"access_token": "good", "refresh_token": "next", "token_type": "Bearer", "expires_in": 3_600}),
        ),
        "Bearer refused" => Reply::json(401, json!({"errors": [{"code": "UNAUTHORIZED", "details": "…"}]})),
        "Bearer broken" => Reply::json(502, Value::Null),
        _ => {
            let left = 300 - calls.fetch_add(1, Ordering::SeqCst);
            Reply::json(200, json!({"id": "m-up", "business_name": "Harbour"}))
                .header("x-ratelimit-limit", "300")
                .header("x-ratelimit-remaining", left.to_string())
        }
    });
    let loyverse = loyverse.await.base;
    let base = format!("{loyverse}/v1.0");
    let mut all = serde_json::to_value(settings("loyverse")).expect("settings are JSON");
    all["api"] = json!({"client_id": "application", "client_secret": "application-secret",
        "token_url": format!("{loyverse}/oauth/token")});
    world.secrets.put("loyverse", Some(all));
    for (id, token) in [("refused", "refused"), ("down", "broken"), ("paused", "good")] {
        let said = json!({"merchant_id": format!("m-{id}"), "access_token": token, "base_url": base});
        put(world, "loyverse", id, said).await;
    }
    world.do_with("POST", "/connections/loyverse-paused/pause", &json!({})).await;
    let square = Server::start(|_| {
        let scopes = ["MERCHANT_PROFILE_READ"];
        let told = json!({"scopes": scopes, "expires_at": "2026-12-20T00:00:00Z", "merchant_id": "m-up"});
        Reply::json(200, told)
    });
    let square = square.await.base;
    let pier = json!({"id": "pier", "business": "harbour", "providers": {
        "loyverse": {"merchant_id": "m-up", "access_token": "good", "refresh_token": "first", "base_url": base},
        "square": {"merchant_id": "m-up", "access_token": "good", "base_url": square},
    }});
    world.do_with("PUT", "/config/locations/pier", &pier).await;
    // Without a token nobody can tell.
    put(world, "square", "unknown", json!({"merchant_id": "m-unknown", "base_url": square})).await;
}

async fn put(world: &World, provider: &str, state: &str, mut said: Value) {
    let id = format!("{provider}-{state}");
    said["id"] = id.as_str().into();
    said["provider"] = provider.into();
    said["business"] = "harbour".into();
    world.do_with("PUT", &format!("/config/business-connections/{id}"), &said).await;
}

/// A payment at Square.
async fn sell(world: &World, number: u32) {
    let now = world.now().to_string();
    let payment = json!({"id": format!("p{number}"), "status": "COMPLETED", "created_at": now,
        "updated_at": now, "total_money": {"amount": 700, "currency": "USD"}});
    let body = json!({
        "merchant_id": "m-up", "type": "payment.updated", "event_id": format!("e{number}"), "created_at": now,
        "data": {"type": "payment", "id": format!("p{number}"), "object": {"payment": payment}},
    });
    let body = body.to_string().into_bytes();
    let sent = signed("square", tillwatch_providers::Headers::new(), body, world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 200, "a webhook is taken");
}
