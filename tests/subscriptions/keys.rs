//! What proves the webhooks of a subscription is known as soon as it is made.

use std::time::Duration;

use tillwatch_providers::{Headers, Settings, request};
use tillwatch_tests::sender::{Sent, provider, sample, signed};
use tillwatch_tests::world::settings;

use super::providers::Stripe;
use super::setting::Setting;

/// A sample as the provider sends it now.
fn sent(setting: &Setting, key: &str, number: u64) -> Sent {
    let name = setting.provider;
    let url = settings(name).notification_url.unwrap_or_default();
    let keys = Settings::with_keys([key]).with_url(url);
    let kind = provider(name).sample_kinds()[0];
    let mut sent = sample(name, kind, number, setting.world.now(), &keys);
    if name != "square" {
        sent.headers.push(request::SUFFIX, format!("/{}", setting.id));
    }
    sent
}

async fn status(setting: &Setting, key: &str, number: u64) -> i64 {
    // What was read before is a minute old at most.
    setting.pass(Duration::from_secs(61));
    setting.world.post(&sent(setting, key, number)).await
}

fn key(setting: &Setting) -> String {
    setting.fake.api(|api| api.key()).unwrap()
}

#[tokio::test]
async fn the_key_of_a_new_subscription_is_believed_and_the_one_before_it_for_three_days() {
    for provider in ["square", "zettle", "stripe"] {
        let setting = Setting::of(provider).await;
        setting.comes_to("ensure", "created").await;
        let old = key(&setting);
        assert_eq!(status(&setting, &old, 1).await, 200, "{provider}");
        assert_eq!(status(&setting, "some other key", 2).await, 401, "{provider}");
        setting.fake.api(|api| api.delete());
        setting.scheduled().await;
        let new = key(&setting);
        assert_ne!(old, new, "{provider}");
        assert_eq!(status(&setting, &new, 3).await, 200, "{provider}");
        assert_eq!(status(&setting, &old, 4).await, 200, "{provider}");
        setting.pass(Duration::from_secs(3 * 24 * 3_600));
        assert_eq!(status(&setting, &old, 5).await, 401, "{provider}");
        assert_eq!(status(&setting, &new, 6).await, 200, "{provider}");
    }
}

#[tokio::test]
async fn a_subscription_that_is_found_at_square_brings_its_key() {
    let setting = Setting::of("square").await;
    setting.comes_to("ensure", "created").await;
    // Everything that was kept is lost.
    let connections = setting.configurator().connections;
    let kind = tillwatch_platform::connections::Kind::Subscription;
    connections.delete_document(kind, "provider:square").await.unwrap();
    setting
        .application(serde_json::json!({"access_token": "square-app-token", "base_url": setting.fake.base}));
    setting.fake.changes();
    setting.comes_to("ensure", "ok").await;
    assert_eq!(setting.fake.changes(), [""; 0]);
    assert_eq!(status(&setting, &key(&setting), 1).await, 200);
}

#[tokio::test]
async fn an_endpoint_that_someone_made_by_hand_is_left_alone_and_its_key_asked_for() {
    let url = "https://hooks.example.com/webhooks/stripe/harbour-stripe";
    let setting = Setting::with("stripe", Box::new(Stripe::with_endpoint(url)), |_| {}).await;
    setting.world.secrets.put("stripe", Some(serde_json::json!({})));
    let all = setting.ask("ensure").await;
    let problem = all[0]["problem"].as_str().unwrap();
    assert!(problem.contains("made elsewhere") && problem.contains("signing key"), "{problem}");
    assert_eq!(setting.fake.changes(), [""; 0]);
    // With a key in the provider's secret it is taken over.
    setting.application(serde_json::json!({}));
    setting.ask("ensure").await;
    assert_eq!(setting.fake.changes(), [""; 0]);
    setting.is_sound(1);
}

#[tokio::test]
async fn an_unsigned_webhook_gets_a_secret_in_its_url_which_opens_that_url_alone() {
    let setting = Setting::of("loyverse").await;
    setting.world.secrets.put("loyverse", Some(serde_json::json!({})));
    setting.comes_to("ensure", "created").await;
    let (_, url) = setting.fake.api(|api| api.sending()).remove(0);
    let (path, secret) = url.split_once("?key=").unwrap();
    assert!(path.ends_with("/webhooks/loyverse/harbour-loyverse") && secret.len() >= 32, "{path}");
    let post = async |secret: &str| {
        let name = "loyverse";
        let kind = provider(name).sample_kinds()[0];
        let (mut headers, body) = provider(name).sample(kind, 1, setting.world.now()).unwrap();
        headers.push(request::SUFFIX, "/harbour-loyverse");
        setting
            .world
            .post(&signed(name, headers, body, setting.world.now(), &Settings::with_url_keys([secret])))
            .await
    };
    assert_eq!(post(secret).await, 200);
    assert_eq!(post("a secret that someone made up").await, 401);
    let text = format!("{:?}", setting.kept().await);
    assert!(!text.contains(secret), "{text}");
}

#[tokio::test]
async fn a_channels_first_message_is_believed() {
    let setting = Setting::of("google_calendar").await;
    setting.world.secrets.put("google_calendar", Some(serde_json::json!({})));
    setting.comes_to("ensure", "created").await;
    let connection = setting.connection().await;
    let opened = setting.configurator().opened(&connection, setting.world.now()).await.unwrap();
    let token = opened.webhook.url_keys[0].expose().to_owned();
    let headers = Headers::from_iter([
        ("x-goog-channel-id", connection.accounts[0].as_str()),
        ("x-goog-channel-token", &token),
        ("x-goog-resource-state", "sync"),
        ("x-goog-resource-id", "res1"),
        ("x-goog-message-number", "1"),
        (request::SUFFIX, "/harbour-google-calendar"),
    ]);
    let sent = Sent { provider: "google_calendar".into(), headers, body: vec![] };
    assert_eq!(setting.world.post(&sent).await, 200);
}
