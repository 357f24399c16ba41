//! Google's channels: made anew before they end.

use std::time::Duration;

use tillwatch_providers::{Headers, Settings, request};
use tillwatch_tests::sender::{Sent, provider};

use super::fake::Manner;
use super::setting::Setting;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A setting without a token that all channels share: each gets its own.
async fn calendar() -> Setting {
    let setting = Setting::of("google_calendar").await;
    setting.world.secrets.put("google_calendar", Some(serde_json::json!({})));
    setting
}

fn live(setting: &Setting) -> Vec<String> {
    setting.fake.api(|api| api.sending()).into_iter().map(|(id, _)| id).collect()
}

/// What becomes of a message of that channel.
async fn message(setting: &Setting, channel: &str, number: &str) -> i64 {
    setting.pass(Duration::from_secs(61));
    let connection = setting.connection().await;
    let opened = setting.configurator().opened(&connection, setting.world.now()).await.unwrap();
    let token = Settings::with_url_keys([opened.webhook.url_keys[0].expose()]);
    let mut headers = Headers::from_iter([
        ("x-goog-channel-id", channel),
        ("x-goog-resource-state", "exists"),
        ("x-goog-resource-id", "res1"),
        ("x-goog-message-number", number),
        (request::SUFFIX, "/harbour-google-calendar"),
    ]);
    let google = provider("google_calendar");
    let signed =
        google.sign(&token, &tillwatch_providers::Request::new(headers.clone(), vec![]), setting.world.now());
    for (name, value) in signed.unwrap().iter() {
        headers.push(name, value);
    }
    setting.world.post(&Sent { provider: "google_calendar".into(), headers, body: vec![] }).await
}

#[tokio::test]
async fn a_channel_is_replaced_in_its_last_day_and_both_are_believed_meanwhile() {
    let setting = calendar().await;
    setting.comes_to("ensure", "created").await;
    let old = live(&setting);
    setting.pass(DAY * 5);
    setting.scheduled().await;
    assert_eq!(live(&setting), old, "it is left alone while it has more than a day");
    setting.pass(DAY + Duration::from_secs(60));
    assert_eq!(setting.scheduled().await, (1, 0));
    let new = live(&setting);
    assert!(new.len() == 1 && new != old, "{old:?} {new:?}");
    assert_eq!(setting.connection().await.accounts, [new[0].as_str(), old[0].as_str()]);
    // What the old one said before it was stopped may still come.
    assert_eq!(message(&setting, &old[0], "7").await, 200);
    assert_eq!(message(&setting, &new[0], "2").await, 200);
    assert_eq!(message(&setting, "a channel of someone's", "2").await, 403);
    // The same configuration again takes nothing away from it.
    setting.configure(setting.said()).await;
    assert_eq!(setting.connection().await.accounts[0], new[0]);
    let ends = setting.kept().await.unwrap().items[0].expires_at.unwrap();
    assert!(ends.duration_since(setting.world.now()).as_hours() > 160);
}

#[tokio::test]
async fn a_channel_that_has_ended_is_replaced() {
    let setting = calendar().await;
    setting.comes_to("ensure", "created").await;
    setting.pass(DAY * 8);
    assert_eq!(live(&setting), [""; 0]);
    assert_eq!(setting.scheduled().await, (1, 0));
    assert_eq!(live(&setting).len(), 1);
    let noticed = setting.kept().await.unwrap().noticed.unwrap();
    assert!(noticed.repaired && noticed.what.contains("has ended"), "{noticed:?}");
}

#[tokio::test]
async fn while_none_can_be_made_the_old_one_stays_known() {
    let setting = calendar().await;
    setting.comes_to("ensure", "created").await;
    let old = live(&setting);
    setting.pass(DAY * 6 + Duration::from_secs(60));
    setting.fake.behave(Manner::Broken);
    for _ in 0..3 {
        assert_eq!(setting.scheduled().await, (1, 1));
        assert_eq!(message(&setting, &old[0], "7").await, 200);
    }
    setting.fake.behave(Manner::Well);
    assert_eq!(setting.scheduled().await, (1, 0));
    assert!(live(&setting).len() == 1 && live(&setting) != old);
}

#[tokio::test]
async fn an_old_channel_that_could_not_be_stopped_is_stopped_later() {
    let setting = calendar().await;
    setting.comes_to("ensure", "created").await;
    let mut kept = setting.kept().await.unwrap();
    // As if a channel had been made before and its stop had failed.
    let connections = setting.configurator().connections;
    let kind = tillwatch_platform::connections::Kind::Subscription;
    kept.retiring
        .push(tillwatch_providers::subscriptions::Kept { id: "gone".into(), ..kept.items[0].clone() });
    let stored = connections.document::<serde_json::Value>(kind, &setting.id).await.unwrap().unwrap();
    connections
        .put_document(kind, &setting.id, "google_calendar", &kept, Some(stored.revision))
        .await
        .unwrap();
    setting.fake.changes();
    setting.scheduled().await;
    assert_eq!(setting.fake.changes(), ["POST /calendar/v3/channels/stop"]);
    assert!(setting.kept().await.unwrap().retiring.is_empty());
}
