//! From nothing to all that is wanted, and no further.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tillwatch_platform::secrets::Secrets as _;
use tillwatch_workflows::configuration::resolve;

use super::setting::{ALL, Setting};

#[tokio::test]
async fn what_is_missing_is_made_and_asked_again_nothing_changes() {
    for (provider, count) in ALL {
        let setting = Setting::of(provider).await;
        setting.comes_to("ensure", "created").await;
        setting.is_sound(count);
        assert!(!setting.fake.changes().is_empty(), "{provider}");
        setting.comes_to("ensure", "ok").await;
        setting.comes_to("repair", "ok").await;
        assert_eq!(setting.scheduled().await.1, 0, "{provider}");
        assert_eq!(setting.fake.changes(), [""; 0], "{provider}");
        setting.is_sound(count);
    }
}

#[tokio::test]
async fn looking_changes_nothing_and_leaves_nothing_behind() {
    for (provider, _) in ALL {
        let setting = Setting::of(provider).await;
        let all = setting.ask("list").await;
        let told = all.iter().all(|one| one["problem"].as_str().unwrap().contains("subscriptions ensure"));
        assert!(told, "{all:?}");
        assert_eq!((setting.fake.changes(), setting.kept().await), (vec![], None), "{provider}");
        // Nor is anything subscribed to that nobody asked for.
        assert_eq!(setting.statuses("repair").await, vec!["none"; all.len()], "{provider}");
        assert_eq!(setting.scheduled().await, (0, 0));
        assert_eq!(setting.fake.changes(), [""; 0], "{provider}");
    }
}

#[tokio::test]
async fn what_is_kept_is_told_without_asking_anyone() {
    let setting = Setting::of("shopify").await;
    setting.comes_to("ensure", "created").await;
    setting.fake.behave(super::fake::Manner::Broken);
    let body = setting.world.get("/subscriptions?provider=shopify").await;
    let one = &body["subscriptions"][0];
    assert_eq!((one["id"].as_str(), one["status"].as_str()), (Some("harbour-shopify"), Some("created")));
    let topics: Vec<_> = one["subscriptions"].as_array().unwrap().iter().map(|item| &item["key"]).collect();
    assert!(topics.contains(&&json!("ORDERS_CREATE")) && topics.len() == 7, "{topics:?}");
}

#[tokio::test]
async fn the_events_that_are_subscribed_to_can_be_said() {
    let setting = Setting::of("shopify").await;
    let mut said = setting.said();
    said["events"] = "orders/create, products/update".into();
    setting.configure(said).await;
    setting.comes_to("ensure", "created").await;
    let topics: Vec<_> = setting.fake.api(|api| api.sending()).into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["ORDERS_CREATE", "PRODUCTS_UPDATE"]);
}

#[tokio::test]
async fn connections_share_the_applications_subscription_and_its_key_is_the_providers() {
    let setting = Setting::of("square").await;
    setting.comes_to("ensure", "created").await;
    // One that is configured later needs no other.
    let said = serde_json::from_value(json!({"id": "beach-square", "merchant_id": "M2"})).unwrap();
    let (square, none) = (tillwatch_providers::catalogue::of("square"), std::collections::BTreeMap::new());
    let square = square.unwrap();
    let resolved = resolve(square, ("group", Some("beach")), &said, &none);
    setting.configurator().put_connection(&resolved, false, setting.world.now()).await.unwrap();
    setting.fake.changes();
    setting.comes_to("ensure", "ok").await;
    assert_eq!(setting.fake.changes(), [""; 0]);
    let secret = setting.world.secrets.read("square").await.unwrap().unwrap();
    let secret: Value = serde_json::from_str(secret.expose_secret()).unwrap();
    assert_eq!(secret["signing_keys"], json!(["square-signature-key-1", "square-key"]));
    assert_eq!(secret["api"]["access_token"], "square-app-token");
}

#[tokio::test]
async fn what_can_not_be_asked_for_is_said() {
    let setting = Setting::of("square").await;
    let refused = async |method, path| -> (i64, Value) { setting.world.ask(method, path).await };
    for (method, path, status, expected) in [
        ("POST", "/subscriptions/ensure?provider=odoo", 404, "by hand"),
        ("POST", "/subscriptions/ensure?provider=nobody", 404, "nobody"),
        ("POST", "/subscriptions/ensure?connection=nobody", 404, "nobody"),
        ("POST", "/subscriptions/ensure?connection=harbour-square&provider=meta", 404, "square"),
        ("GET", "/subscriptions?live=perhaps", 400, "live"),
        ("GET", "/subscriptions/ensure", 405, "POST"),
        ("POST", "/subscriptions/ensure?connektion=x", 400, "connektion"),
    ] {
        let (got, body) = refused(method, path).await;
        let detail = body["detail"].as_str().unwrap();
        assert!(got == status && detail.contains(expected), "{path}: {got} {detail}");
    }
}
