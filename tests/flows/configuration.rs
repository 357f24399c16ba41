//! Configurations: what is said of locations is what their webhooks find, and nobody sees another's.

use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_providers::Settings;
use tillwatch_tests::sender::{Sent, sample, signed};
use tillwatch_tests::world::{TOKEN, World, settings};

const GROUP: &str = "token-of-the-harbour-group";
const OTHER: &str = "token-of-another-business";

async fn put(world: &World, path: &str, body: Value) -> Value {
    let (status, answer) = world.ask_with("PUT", path, Some(TOKEN), Some(&body)).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn post(world: &World, path: &str, body: Value) -> (i64, Value) {
    world.ask_with("POST", path, Some(TOKEN), Some(&body)).await
}

fn harbour() -> Value {
    json!({
        "id": "harbour", "business": "harbour-group", "name": "Harbour", "timezone": "Europe/Athens",
        "providers": {
            "square": {"merchant_id": "6SSW7HV8K2ST5", "location_id": "S8GWD5R9QB376", "access_token": "sq-token"},
            "shopify": {"shop": "sample-kitchen.myshopify.com"},
            "odoo": {"url": "https://odoo.example.com", "database": "d", "user_id": "2", "api_key": "odoo-api-key"},
        },
    })
}

fn change_of<'a>(answer: &'a Value, what: &str) -> &'a Value {
    let changes = answer["changes"].as_array().unwrap();
    changes.iter().find(|change| change["what"] == what).unwrap_or_else(|| panic!("{what}: {answer}"))
}

#[tokio::test]
async fn a_location_that_is_applied_is_found_by_its_webhooks_and_applying_it_again_changes_nothing() {
    let world = World::new().await;
    put(&world, "/config/mode", json!({"connections": "declared"})).await;
    let planned = put(&world, "/config/locations/harbour?dry_run=true", harbour()).await;
    assert_eq!(change_of(&planned, "connection harbour-square")["change"], "created");
    assert_eq!(world.ask("GET", "/connections/harbour-square").await.0, 404);
    let applied = put(&world, "/config/locations/harbour", harbour()).await;
    assert_eq!(change_of(&applied, "location harbour")["change"], "created");
    let again = put(&world, "/config/locations/harbour", harbour()).await;
    for change in again["changes"].as_array().unwrap() {
        assert_eq!(change["change"], "unchanged", "{change}");
    }
    // Number 0 is of the first of the sample's three places.
    for (provider, number, connection) in [("square", 0, "harbour-square"), ("shopify", 1, "harbour-shopify")]
    {
        let kind = tillwatch_tests::sender::provider(provider).sample_kinds()[0];
        let sent = sample(provider, kind, number, world.now(), &settings(provider));
        assert_eq!(world.post(&sent).await, 200);
        world.work().await;
        let delivery = world.deliveries(provider).await.remove(0);
        assert_eq!((&delivery["connection"], &delivery["status"]), (&json!(connection), &json!("applied")));
    }
}

#[tokio::test]
async fn a_url_secret_is_made_and_told_once_and_opens_that_connections_url_alone() {
    let world = World::new().await;
    let applied = put(&world, "/config/locations/harbour", harbour()).await;
    let url = change_of(&applied, "connection harbour-odoo")["webhook_url"].as_str().unwrap().to_owned();
    let again = put(&world, "/config/locations/harbour", harbour()).await;
    assert_eq!(change_of(&again, "connection harbour-odoo").get("webhook_url"), None);
    let (path, key) = url.split_once("?key=").unwrap();
    assert_eq!(path, "/webhooks/odoo/harbour-odoo");
    let send = |key: &str| {
        let own = Settings::with_url_keys([key]);
        sample("odoo", tillwatch_tests::sender::provider("odoo").sample_kinds()[0], 1, world.now(), &own)
    };
    assert_eq!(world.post(&send(&format!("{}x", &key[..key.len() - 1]))).await, 401);
    assert_eq!(world.post(&send(key)).await, 200);
    world.work().await;
    let all = world.deliveries("odoo").await;
    let delivery = all.iter().find(|delivery| delivery["status"] != "rejected").unwrap();
    assert_eq!((&delivery["connection"], &delivery["status"]), (&json!("harbour-odoo"), &json!("applied")));
}

#[tokio::test]
async fn a_connections_own_key_is_rotated_with_overlap_and_events_say_which_key_matched() {
    let world = World::new().await;
    put(&world, "/config/locations/harbour", harbour()).await;
    let path = "/connections/harbour-square/rotate-secret";
    let square = |key: &str, number: u64| {
        let own = Settings::with_keys([key]).with_url(settings("square").notification_url.unwrap());
        sample("square", "payment.updated", number, world.now(), &own)
    };
    for key in ["first-own-key", "second-own-key", "third-own-key"] {
        let body = json!({"key": key, "overlap_seconds": 3_600});
        let (status, answer) = post(&world, path, body).await;
        assert_eq!((status, answer.get("issued")), (200, None), "{answer}");
        world.pass(Duration::from_secs(60));
    }
    let (_, view) = world.ask("GET", "/connections/harbour-square").await;
    assert_eq!(view["keys"].as_array().unwrap().len(), 3);
    for (number, key) in [(0, "first-own-key"), (3, "second-own-key"), (6, "third-own-key")] {
        assert_eq!(world.post(&square(key, number)).await, 200, "{key}");
    }
    world.work().await;
    let id = world.deliveries("square").await[0]["id"].as_str().unwrap().to_owned();
    let shown = world.get(&format!("/webhooks/deliveries/square/{id}")).await;
    assert!(shown["signing_key"].as_str().unwrap().starts_with("harbour-square/"), "{shown}");
    world.pass(Duration::from_secs(3_600));
    assert_eq!(world.post(&square("first-own-key", 9)).await, 401);
    assert_eq!(world.post(&square("second-own-key", 12)).await, 401);
    assert_eq!(world.post(&square("third-own-key", 15)).await, 200);
}

#[tokio::test]
async fn a_providers_key_is_rotated_with_overlap_in_the_secret_store() {
    let world = World::new().await;
    let (status, answer) =
        post(&world, "/providers/square/rotate-secret", json!({"key": "new-key", "overlap_seconds": 60}))
            .await;
    assert_eq!(status, 200, "{answer}");
    let url = settings("square").notification_url.unwrap();
    let square = |key: &str, number: u64| {
        let shared = Settings::with_keys([key]).with_url(&url);
        sample("square", "payment.updated", number, world.now(), &shared)
    };
    assert_eq!(world.post(&square("new-key", 1)).await, 200);
    assert_eq!(world.post(&square("square-key", 2)).await, 200);
    world.pass(Duration::from_secs(61));
    assert_eq!(world.post(&square("square-key", 3)).await, 401);
    assert_eq!(world.post(&square("new-key", 4)).await, 200);
    let (status, _) = post(&world, "/providers/square/rotate-secret", json!({})).await;
    assert_eq!(status, 422, "Square makes its own keys");
}

#[tokio::test]
async fn a_ring_is_rotated_and_what_it_sealed_is_sealed_anew() {
    let world = World::new().await;
    let mut location = harbour();
    location["providers"]["square"]["signing_key"] = "own-key-of-the-harbour".into();
    put(&world, "/config/locations/harbour", location).await;
    for (ring, sealed) in [("webhooks", 2), ("tokens", 2)] {
        let (status, answer) = post(&world, &format!("/vault/{ring}/rotate"), json!({})).await;
        assert_eq!((status, &answer["key"]), (200, &json!("k2")));
        let (_, answer) = post(&world, &format!("/vault/{ring}/reseal"), json!({})).await;
        assert_eq!((&answer["resealed"], &answer["next"]), (&json!(sealed), &Value::Null), "{ring}");
        let (_, answer) = post(&world, &format!("/vault/{ring}/reseal"), json!({})).await;
        assert_eq!(answer["resealed"], 0);
    }
    let (_, tested) = post(&world, "/connections/harbour-square/test", json!({})).await;
    assert_eq!(tested["ok"], true, "{tested}");
}

#[tokio::test]
async fn what_contradicts_what_is_there_or_makes_no_sense_is_refused_and_changes_nothing() {
    let world = World::new().await;
    put(&world, "/config/locations/harbour", harbour()).await;
    let mut twin = harbour();
    twin["id"] = "bondi".into();
    let (status, answer) = world.ask_with("PUT", "/config/locations/bondi", Some(TOKEN), Some(&twin)).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("harbour-"), "{answer}");
    for (path, body) in [
        ("/config/locations/harbour", json!({"id": "another", "business": "b"})),
        ("/config/locations/harbour", json!({"id": "harbour", "business": "b", "providers": {"pigeon": {}}})),
        ("/config/mode", json!({"connections": "sometimes"})),
        ("/config/providers/square", json!({"access_token": "s"})),
    ] {
        let (status, answer) = world.ask_with("PUT", path, Some(TOKEN), Some(&body)).await;
        assert_eq!(status, 422, "{path}: {answer}");
    }
    let broken = world.ask_with("PUT", "/config/locations/harbour", Some(TOKEN), Some(&json!([1]))).await;
    assert_eq!(broken.0, 400);
    let (_, page) = world.ask("GET", "/connections?location=harbour").await;
    assert_eq!(page["connections"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_connection_that_goes_from_its_location_is_disabled_and_its_events_wait() {
    let world = World::new().await;
    put(&world, "/config/locations/harbour", harbour()).await;
    let mut without = harbour();
    without["providers"].as_object_mut().unwrap().remove("square");
    let changes = put(&world, "/config/locations/harbour", without).await;
    assert_eq!(change_of(&changes, "connection harbour-square")["change"], "disabled");
    let sent = sample("square", "payment.updated", 0, world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 200);
    world.work().await;
    let delivery = &world.deliveries("square").await[0];
    assert_eq!(
        (&delivery["status"], &delivery["cause"]),
        (&json!("held"), &json!("its connection is disabled"))
    );
}

#[tokio::test]
async fn the_configuration_is_read_back_as_it_was_said_without_its_secrets() {
    let world = World::new().await;
    put(&world, "/config/businesses/harbour-group", json!({"name": "Harbour Group"})).await;
    put(&world, "/config/providers/square", json!({"environment": "sandbox"})).await;
    put(&world, "/config/locations/harbour", harbour()).await;
    let said = json!({"business": "harbour-group", "provider": "stripe", "api_key": "rk_live_secret"});
    put(&world, "/config/business-connections/harbour-group-stripe", said).await;
    let (_, page) = world.ask("GET", "/config").await;
    assert_eq!(page["businesses"]["harbour-group"]["name"], "Harbour Group");
    assert_eq!(page["providers"]["square"]["environment"], "sandbox");
    let location = &page["locations"][0];
    assert_eq!(location["providers"]["square"]["merchant_id"], "6SSW7HV8K2ST5");
    assert_eq!(location["sealed"]["square"], json!(["access_token"]));
    assert_eq!(page["connections"][0]["sealed"], json!(["api_key"]));
    let text = page.to_string();
    for secret in ["sq-token", "rk_live_secret", "odoo-api-key"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let merged = world.get("/pos-config/harbour/square").await;
    assert_eq!(merged["settings"]["environment"], "sandbox");
    assert_eq!(merged["settings"]["sync_menu"], "false");
}

/// Sends a payment of each place of Square's sample merchant.
async fn send_of_each_place(world: &World) {
    for number in 0..3 {
        let sent: Sent = sample("square", "payment.updated", number, world.now(), &settings("square"));
        assert_eq!(world.post(&sent).await, 200);
    }
    world.work().await;
}

#[tokio::test]
async fn no_business_sees_anothers_anything() {
    let world = World::new().await;
    world.secrets.put(
        "console",
        Some(json!({"tokens": [TOKEN], "businesses": {"harbour-group": [GROUP], "other-group": [OTHER]}})),
    );
    put(&world, "/config/locations/harbour", harbour()).await;
    let other = json!({
        "id": "bondi", "business": "other-group",
        "providers": {"square": {"merchant_id": "6SSW7HV8K2ST5", "location_id": "NAQ1FHV6ZJ8YV", "access_token": "t"}},
    });
    put(&world, "/config/locations/bondi", other).await;
    send_of_each_place(&world).await;
    let get = async |path: &str, token: &str| world.ask_as("GET", path, Some(token)).await;
    let own = world.deliveries("square").await;
    let of = |connection: &str| {
        own.iter().find(|delivery| delivery["connection"] == connection).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (harbours, bondis) = (of("harbour-square"), of("bondi-square"));
    let payment = world.get(&format!("/webhooks/deliveries/square/{bondis}")).await["records"][0]["path"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        format!("/webhooks/deliveries/square/{bondis}"),
        "/connections/bondi-square".to_owned(),
        "/pos-config/bondi/square".to_owned(),
        "/pos-integration/bondi/status".to_owned(),
        payment.clone(),
    ] {
        assert_eq!(get(&path, GROUP).await.0, 404, "{path}");
        assert_eq!(get(&path, OTHER).await.0, 200, "{path}");
    }
    for path in [
        format!("/webhooks/retry/square/{bondis}"),
        "/connections/bondi-square/test".to_owned(),
        "/connections/bondi-square/rotate-secret".to_owned(),
        "/connections/bondi-square/disable".to_owned(),
        "/pos-integration/bondi".to_owned(),
        "/pos-integration/bondi/test".to_owned(),
        "/pos-integration/bondi/square/rotate-secret".to_owned(),
    ] {
        let body = json!({"provider": "square", "key": "a-key-of-the-attackers"});
        let (status, answer) = world.ask_with("POST", &path, Some(GROUP), Some(&body)).await;
        assert_eq!(status, 404, "{path}: {answer}");
    }
    for (method, path) in [
        ("PUT", "/config/locations/harbour"),
        ("PUT", "/config/locations/bondi"),
        ("PUT", "/config/businesses/other-group"),
        ("PUT", "/config/providers/square"),
        ("PUT", "/config/mode"),
        ("POST", "/providers/square/rotate-secret"),
        ("POST", "/vault/tokens/rotate"),
        ("GET", "/webhooks/health"),
    ] {
        let (status, answer) = world.ask_with(method, path, Some(GROUP), Some(&harbour())).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
    for (path, list) in [
        ("/connections", "connections"),
        ("/config", "locations"),
        ("/webhooks/deliveries/square", "deliveries"),
    ] {
        let (status, page) = get(path, GROUP).await;
        assert_eq!(status, 200, "{path}");
        let text = page[list].to_string();
        assert!(
            text.contains("harbour") && !text.contains("bondi") && !text.contains(&bondis),
            "{path}: {text}"
        );
    }
    assert_eq!(get(&format!("/webhooks/deliveries/square/{harbours}"), GROUP).await.0, 200);
    assert_eq!(get("/connections", "no-such-token-anywhere").await.0, 401);
}

#[tokio::test]
async fn no_business_takes_anothers_connection_or_account_to_itself() {
    let world = World::new().await;
    world.secrets.put(
        "console",
        Some(json!({"tokens": [TOKEN], "businesses": {"harbour-group": [GROUP], "other-group": [OTHER]}})),
    );
    put(&world, "/config/locations/harbour", harbour()).await;
    put(
        &world,
        "/config/locations/bondi",
        json!({"id": "bondi", "business": "other-group", "providers": {}}),
    )
    .await;
    let before = world.get("/connections/harbour-square").await;
    let (merchant, place) = ("6SSW7HV8K2ST5", "S8GWD5R9QB376");
    for said in [
        json!({"provider": "square", "id": "harbour-square", "merchant_id": merchant, "location_id": place}),
        json!({"provider": "square", "id": "harbour-square", "merchant_id": "another"}),
        json!({"provider": "square", "merchant_id": merchant, "location_id": "another place", "signing_key": "own"}),
        json!({"provider": "square", "merchant_id": merchant}),
    ] {
        for path in ["/pos-integration/bondi", "/pos-integration/bondi?dry_run=true"] {
            let (status, answer) = world.ask_with("POST", path, Some(OTHER), Some(&said)).await;
            assert_eq!(status, 409, "{path} {said}: {answer}");
            assert!(!answer.to_string().contains("harbour-group"), "{answer}");
        }
    }
    assert_eq!(world.get("/connections/harbour-square").await, before);
    assert_eq!(world.ask("GET", "/connections/bondi-square").await.0, 404);
    // What is its own it may change. Which account is its own is not for it to say.
    let said = json!({"provider": "square", "merchant_id": merchant, "location_id": place, "sync_menu": true, "access_token": "t"});
    let (status, answer) = world.ask_with("POST", "/pos-integration/harbour", Some(GROUP), Some(&said)).await;
    assert_eq!(status, 200, "{answer}");
    for said in [
        json!({"provider": "square", "merchant_id": "nobodys", "access_token": "t"}),
        json!({"provider": "stripe", "api_key": "k"}),
    ] {
        let (status, answer) =
            world.ask_with("POST", "/pos-integration/bondi", Some(OTHER), Some(&said)).await;
        assert_eq!(status, 409, "{said}: {answer}");
    }
    let said = json!({"provider": "odoo", "url": "https://bondi.odoo.example.com"});
    let (status, answer) = world.ask_with("POST", "/pos-integration/bondi", Some(OTHER), Some(&said)).await;
    assert_eq!(status, 200, "its URL is its account: {answer}");
    let bondis = json!({
        "id": "bondi", "business": "other-group",
        "providers": {"square": {"merchant_id": merchant, "location_id": "NAQ1FHV6ZJ8YV"}},
    });
    put(&world, "/config/locations/bondi", bondis).await;
    let path = "/connections/bondi-square/rotate-secret";
    let new = json!({"key": "a key to forge the harbour's events with"});
    assert_eq!(world.ask_with("POST", path, Some(OTHER), Some(&new)).await.0, 409);
    assert_eq!(world.ask_with("POST", path, Some(TOKEN), Some(&new)).await.0, 200);
}

#[tokio::test]
async fn an_account_goes_to_another_location_once_its_former_connection_is_disabled() {
    let world = World::new().await;
    put(&world, "/config/mode", json!({"connections": "declared"})).await;
    put(&world, "/config/locations/harbour", harbour()).await;
    let mut renamed = harbour();
    renamed["id"] = "marina".into();
    renamed["providers"] = json!({"square": renamed["providers"]["square"]});
    let put_renamed =
        async || world.ask_with("PUT", "/config/locations/marina", Some(TOKEN), Some(&renamed)).await;
    let (status, answer) = put_renamed().await;
    assert!(status == 409 && answer.to_string().contains("disable `harbour-square` first"), "{answer}");
    let (status, _) = post(&world, "/connections/harbour-square/disable", json!({})).await;
    assert_eq!(status, 200);
    let sent = |number| sample("square", "payment.updated", number, world.now(), &settings("square"));
    assert_eq!(world.post(&sent(0)).await, 200);
    world.work().await;
    assert_eq!(world.deliveries("square").await[0]["status"], "held");
    let (status, answer) = put_renamed().await;
    assert_eq!(status, 200, "{answer}");
    // Number 3 is of the same place.
    assert_eq!(world.post(&sent(3)).await, 200);
    world.work().await;
    let of_connection = async |id: &str| {
        let mut all = world.deliveries("square").await;
        all.retain(|delivery| delivery["connection"] == id);
        all
    };
    assert_eq!(of_connection("marina-square").await[0]["status"], "applied");
    // Both can't be enabled.
    let (status, answer) = post(&world, "/connections/harbour-square/enable", json!({})).await;
    assert_eq!(status, 409, "{answer}");
    let held = of_connection("harbour-square").await.remove(0);
    let path = format!("/webhooks/retry/square/{}", held["id"].as_str().unwrap());
    assert_eq!(post(&world, &path, json!({})).await.0, 202);
    world.work().await;
    let moved = of_connection("marina-square").await;
    assert!(moved.len() == 2 && moved.iter().all(|delivery| delivery["status"] == "applied"), "{moved:?}");
}

#[tokio::test]
async fn of_many_rotations_at_once_none_is_lost() {
    let world = World::new().await;
    put(&world, "/config/locations/harbour", harbour()).await;
    for path in ["/connections/harbour-square/rotate-secret", "/providers/square/rotate-secret"] {
        let rotate = async |number: usize| {
            let key = format!("key {number} of {path}");
            let (status, answer) = post(&world, path, json!({"key": key})).await;
            assert_eq!(status, 200, "{answer}");
            key
        };
        let keys = tokio::join!(rotate(1), rotate(2), rotate(3), rotate(4), rotate(5), rotate(6));
        for key in [keys.0, keys.1, keys.2, keys.3, keys.4, keys.5] {
            let own = Settings::with_keys([key.as_str()])
                .with_url(settings("square").notification_url.as_deref().unwrap());
            let sent = sample("square", "payment.updated", 0, world.now(), &own);
            assert_eq!(world.post(&sent).await, 200, "{key}");
        }
    }
}

#[tokio::test]
async fn of_many_who_write_one_location_at_once_all_are_answered_and_one_is_the_last() {
    let world = World::new().await;
    put(&world, "/config/locations/harbour", harbour()).await;
    let write = async |number: u32| {
        let mut location = harbour();
        location["name"] = format!("Harbour {number}").into();
        location["providers"]["odoo"]["api_key"] = format!("odoo-api-key {number}").into();
        if number.is_multiple_of(2) {
            location["providers"].as_object_mut().unwrap().remove("shopify");
        }
        put(&world, "/config/locations/harbour", location).await
    };
    tokio::join!(write(1), write(2), write(3), write(4), write(5), write(6));
    write(8).await;
    assert_eq!(world.get("/config").await["locations"][0]["name"], "Harbour 8");
    for (connection, state) in [("harbour-odoo", "enabled"), ("harbour-shopify", "disabled")] {
        assert_eq!(world.get(&format!("/connections/{connection}")).await["state"], state, "{connection}");
    }
}

#[tokio::test]
async fn of_integrations_that_are_put_into_a_location_at_once_none_is_lost() {
    let world = World::new().await;
    put(&world, "/config/locations/harbour", harbour()).await;
    let integrate = async |said: Value| {
        let (status, answer) = post(&world, "/pos-integration/harbour", said).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let answers = tokio::join!(
        integrate(json!({"provider": "stripe", "api_key": "rk_live_secret"})),
        integrate(json!({"provider": "loyverse", "merchant_id": "m1", "access_token": "lv-token"})),
        integrate(json!({
            "provider": "petpooja", "restaurant_id": "r1", "app_key": "a", "app_secret": "s", "access_token": "t",
        })),
    );
    assert!(change_of(&answers.2, "connection harbour-petpooja")["webhook_url"].is_string(), "{}", answers.2);
    let page = world.get("/config").await;
    let said: Vec<_> = page["locations"][0]["providers"].as_object().unwrap().keys().collect();
    assert_eq!(said, ["loyverse", "odoo", "petpooja", "shopify", "square", "stripe"]);
    for provider in said {
        assert_eq!(
            world.get(&format!("/connections/harbour-{provider}")).await["state"],
            "enabled",
            "{provider}"
        );
    }
}

#[tokio::test]
async fn a_connections_new_key_is_believed_at_once_however_much_noise_there_is() {
    let world = World::new().await;
    put(&world, "/config/locations/harbour", harbour()).await;
    let with = |key: &str| {
        let own =
            Settings::with_keys([key]).with_url(settings("square").notification_url.as_deref().unwrap());
        sample("square", "payment.updated", 0, world.now(), &own)
    };
    for number in 0..5 {
        for _ in 0..10 {
            assert_eq!(world.post(&with("noise")).await, 401);
        }
        let key = format!("key {number}");
        let (status, answer) =
            post(&world, "/connections/harbour-square/rotate-secret", json!({"key": key})).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(world.post(&with(&key)).await, 200);
    }
}

#[tokio::test]
async fn a_webhook_sent_to_a_connections_own_url_is_believed_with_its_own_key_alone_where_it_has_one() {
    let world = World::new().await;
    let mut location = harbour();
    location["providers"]["square"]["signing_key"] = "own-key-of-the-harbour".into();
    put(&world, "/config/locations/harbour", location).await;
    let url = settings("square").notification_url.unwrap();
    let (headers, body) =
        tillwatch_tests::sender::provider("square").sample("payment.updated", 0, world.now()).unwrap();
    let mut at_path = headers.clone();
    at_path.push(":suffix", "/harbour-square");
    let own = Settings::with_keys(["own-key-of-the-harbour"]).with_url(&url);
    let sent = signed("square", at_path.clone(), body.clone(), world.now(), &own);
    assert_eq!(world.post(&sent).await, 200);
    let other = Settings::with_keys(["a key of nobody's"]).with_url(&url);
    let sent = signed("square", at_path, body.clone(), world.now(), &other);
    assert_eq!(world.post(&sent).await, 401);
    let mut nowhere = headers;
    nowhere.push(":suffix", "/no-such-connection");
    let sent = signed("square", nowhere, body, world.now(), &other);
    assert_eq!(world.post(&sent).await, 404);
}
