//! Configurations that were interrupted, contradict each other or can't be opened: the next attempt mends them, and what is
//! wrong with one connection is no other's trouble.

use serde_json::{Value, json};
use tillwatch_domain::Connection;
use tillwatch_platform::connections::{Kind, SealedTokens};
use tillwatch_providers::Settings;
use tillwatch_tests::sender::sample;
use tillwatch_tests::world::{TOKEN, World, settings};

const MERCHANT: &str = "6SSW7HV8K2ST5";

async fn ask(world: &World, method: &str, path: &str, body: Value) -> (i64, Value) {
    world.ask_with(method, path, Some(TOKEN), Some(&body)).await
}

async fn put(world: &World, id: &str, providers: Value) -> Value {
    let body = json!({"id": id, "business": "group", "providers": providers});
    let (status, answer) = ask(world, "PUT", &format!("/config/locations/{id}"), body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn change_of<'a>(answer: &'a Value, what: &str) -> &'a Value {
    let changes = answer["changes"].as_array().unwrap();
    changes.iter().find(|change| change["what"] == what).unwrap_or(&Value::Null)
}

fn square() -> Value {
    json!({"merchant_id": MERCHANT, "access_token": "sq-token"})
}

async fn stored(world: &World, id: &str) -> Connection {
    world.connections().document(Kind::Connection, id).await.unwrap().expect("it is there").document
}

#[tokio::test]
async fn what_was_sealed_of_a_connection_that_was_never_made_is_written_over_and_not_believed() {
    let world = World::new().await;
    let connections = world.connections();
    let ports = world.stack().ports();
    let left = r#"{"access_token":"of nobody","refresh_token":"of nobody"}"#.to_owned().into();
    let sealed = ports.token_vault.ring().seal("token harbour-square", &left);
    connections
        .put_sealed_tokens("harbour-square", (Some(&sealed), None), &SealedTokens::default())
        .await
        .unwrap();
    let routes = json!({"signing_keys": ["a key of nobody's"]}).to_string().into();
    let sealed = ports.webhook_vault.ring().seal("webhook harbour-square", &routes);
    put(&world, "other", json!({"square": {"merchant_id": "M2", "access_token": "t"}})).await;
    let of = Connection {
        id: "harbour-square".into(),
        accounts: vec![MERCHANT.into()],
        ..stored(&world, "other-square").await
    };
    let own = connections.own_route("square", "harbour-square").await.unwrap();
    connections.route_over(&[], &of, Some(&sealed), &own).await.unwrap().expect("nobody else writes");
    let answer = put(&world, "harbour", json!({"square": square()})).await;
    assert_eq!(change_of(&answer, "connection harbour-square")["change"], "created");
    assert_eq!(world.get("/connections/harbour-square").await["sealed"], json!(["access_token"]));
    let url = settings("square").notification_url.unwrap();
    let nobodys = Settings::with_keys(["a key of nobody's"]).with_url(&url);
    assert_eq!(world.post(&sample("square", "payment.updated", 0, world.now(), &nobodys)).await, 401);
}

#[tokio::test]
async fn a_location_of_which_one_connection_is_refused_is_written_when_that_is_mended() {
    let world = World::new().await;
    put(&world, "harbour", json!({"square": square()})).await;
    let shopify = json!({"shop": "hill.myshopify.com", "access_token": "shop-token"});
    let body =
        json!({"id": "hill", "business": "group", "providers": {"square": square(), "shopify": shopify}});
    assert_eq!(ask(&world, "PUT", "/config/locations/hill", body).await.0, 409);
    put(&world, "hill", json!({"shopify": shopify})).await;
    assert_eq!(world.get("/connections/hill-shopify").await["state"], "enabled");
}

#[tokio::test]
async fn a_change_of_accounts_that_was_interrupted_is_undone_or_done_by_the_next_attempt() {
    let world = World::new().await;
    put(&world, "harbour", json!({"square": square()})).await;
    let connections = world.connections();
    let own = connections.own_route("square", "harbour-square").await.unwrap();
    let mut moved = stored(&world, "harbour-square").await;
    moved.accounts = vec!["M2".to_owned()];
    let former = [MERCHANT.to_owned()];
    connections.route_over(&former, &moved, None, &own).await.unwrap().expect("nobody else writes");
    assert_eq!(world.get("/connections/harbour-square").await["accounts"], json!([MERCHANT]));
    let answer = put(&world, "harbour", json!({"square": square()})).await;
    assert_eq!(change_of(&answer, "connection harbour-square")["change"], "changed");
    assert_eq!(connections.routes_now("square", "M2").await.unwrap(), []);
    assert_eq!(connections.routes_now("square", MERCHANT).await.unwrap().len(), 1);
    let again = put(&world, "harbour", json!({"square": square()})).await;
    assert_eq!(change_of(&again, "connection harbour-square")["change"], "unchanged");
}

#[tokio::test]
async fn a_writer_that_was_overtaken_starts_over() {
    let world = World::new().await;
    put(&world, "harbour", json!({"square": square()})).await;
    let (connections, of) = (world.connections(), stored(&world, "harbour-square").await);
    let read = connections.own_route("square", "harbour-square").await.unwrap();
    let first = connections.route_over(&[], &of, None, &read).await.unwrap();
    assert!(first.is_some());
    assert!(connections.route_over(&[], &of, None, &read).await.unwrap().is_none());
}

#[tokio::test]
async fn a_pause_outlasts_what_is_said_of_other_things() {
    let world = World::new().await;
    let state = async || world.get("/connections/harbour-square").await["state"].clone();
    put(&world, "harbour", json!({"square": square()})).await;
    assert_eq!(ask(&world, "POST", "/connections/harbour-square/pause", json!({})).await.0, 200);
    let said = json!({"provider": "stripe", "api_key": "rk"});
    assert_eq!(ask(&world, "POST", "/pos-integration/harbour", said).await.0, 200);
    assert_eq!(state().await, "paused");
    put(&world, "harbour", json!({"square": square()})).await;
    assert_eq!(state().await, "paused");
    let mut said = square();
    said["state"] = "disabled".into();
    put(&world, "harbour", json!({"square": said})).await;
    assert_eq!(state().await, "disabled");
    put(&world, "harbour", json!({"square": square()})).await;
    assert_eq!(state().await, "enabled");
    put(&world, "harbour", json!({})).await;
    assert_eq!(state().await, "disabled");
    put(&world, "harbour", json!({"square": square()})).await;
    assert_eq!(state().await, "enabled");
}

#[tokio::test]
async fn a_connection_that_leaves_its_location_is_disabled_and_one_that_moved_is_not() {
    let world = World::new().await;
    let with = |id: &str, merchant: &str| json!({"square": {"id": id, "merchant_id": merchant, "access_token": "t"}});
    put(&world, "harbour", with("first", "M1")).await;
    let answer = put(&world, "harbour", with("second", "M2")).await;
    assert_eq!(change_of(&answer, "connection first")["change"], "disabled");
    assert_eq!(world.get("/connections/first").await["state"], "disabled");
    put(&world, "hill", with("second", "M2")).await;
    put(&world, "harbour", json!({})).await;
    let moved = world.get("/connections/second").await;
    assert_eq!((&moved["state"], &moved["location"]), (&json!("enabled"), &json!("hill")));
}

#[tokio::test]
async fn a_connection_whose_secrets_do_not_open_hides_no_other_and_can_be_disabled() {
    let world = World::new().await;
    put(&world, "harbour", json!({"square": square()})).await;
    put(&world, "hill", json!({"square": {"merchant_id": "M2", "access_token": "t"}})).await;
    let connections = world.connections();
    let sealed = connections.sealed_tokens("harbour-square").await.unwrap();
    connections.put_sealed_tokens("harbour-square", (Some("k9:damaged"), None), &sealed).await.unwrap();
    let list = world.get("/connections").await;
    let problems: Vec<_> =
        list["connections"].as_array().unwrap().iter().map(|one| one["secrets_problem"].is_null()).collect();
    assert_eq!(problems, [false, true], "{list}");
    assert_eq!(ask(&world, "POST", "/connections/harbour-square/disable", json!({})).await.0, 200);
    assert_eq!(ask(&world, "POST", "/vault/tokens/rotate", json!({})).await.0, 200);
    let (status, resealed) = ask(&world, "POST", "/vault/tokens/reseal", json!({})).await;
    assert_eq!((status, &resealed["resealed"]), (200, &json!(1)), "{resealed}");
    assert_eq!(resealed["unopenable"], json!(["harbour-square"]));
}

#[tokio::test]
async fn what_is_too_long_or_misspelt_is_refused_before_anything_is_written() {
    let world = World::new().await;
    let long = "a".repeat(3_000);
    for path in [format!("/connections/{long}"), format!("/pos-config/{long}/square")] {
        assert_eq!(world.ask("GET", &path).await.0, 404);
    }
    let location = |providers: Value, options: Value| json!({"id": "harbour", "business": "group", "providers": providers, "options": options});
    for body in [
        location(json!({"square": {"merchant_id": long, "access_token": "t"}}), json!({})),
        location(json!({"square": {"merchant_id": "M", "access_token": "t".repeat(70_000)}}), json!({})),
        location(json!({"square": square()}), json!({"note": "n".repeat(400_000)})),
    ] {
        let (status, answer) = ask(&world, "PUT", "/config/locations/harbour", body).await;
        assert_eq!(status, 422, "{answer}");
    }
    for (path, body) in [
        (
            "/config/business-connections/group-stripe",
            json!({"business": "group", "provider": "stripe", "api_kye": "rk_live"}),
        ),
        (
            "/config/business-connections/other",
            json!({"business": "group", "provider": "stripe", "api_key": "rk_live"}),
        ),
        ("/config/providers/square", json!({"acces_token": "t"})),
        ("/config/providers/square", json!({"access_token": "t"})),
    ] {
        let (status, answer) = ask(&world, "PUT", path, body.clone()).await;
        assert!(status == 422 && !answer.to_string().contains("rk_live"), "{body}: {answer}");
    }
    assert_eq!(world.get("/connections").await["connections"], json!([]));
    let nobodys =
        Settings::with_keys(["a key of nobody's"]).with_url(settings("square").notification_url.unwrap());
    let mut sent = sample("square", "payment.updated", 0, world.now(), &nobodys);
    sent.headers.push(":suffix", format!("/{long}"));
    assert_eq!(world.post(&sent).await, 404);
}
