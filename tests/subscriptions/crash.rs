//! The process ends after a subscription was made and before it was kept.

use super::setting::{ALL, Setting};

#[tokio::test]
async fn what_was_made_and_not_kept_is_found_again_and_not_made_twice() {
    for (provider, count) in ALL {
        let mut setting = Setting::of(provider).await;
        // Google's is written down before it is made; what fails is to keep what Google said of it.
        let is_google = provider == "google_calendar";
        setting.world.faults.down(move |call| {
            let is_document = call.starts_with("table.PutItem") && call.contains(r#""U#"#);
            is_document && (!is_google || call.contains("res1"))
        });
        let path = format!("/subscriptions/ensure?connection={}", setting.id);
        let (status, _) = setting.world.ask("POST", &path).await;
        assert_eq!(status, 503, "{provider}");
        setting.world.faults.up();
        setting.world.restart().await;
        setting.ask("ensure").await;
        setting.is_sound(count);
        setting.fake.changes();
        setting.comes_to("ensure", "ok").await;
        assert_eq!(setting.fake.changes(), [""; 0], "{provider}");
    }
}

#[tokio::test]
async fn a_key_that_was_kept_and_not_handed_out_is_handed_out_later() {
    let mut setting = Setting::of("zettle").await;
    setting.world.faults.down(|call| call.starts_with("table.PutItem") && call.contains(r#""W#"#));
    let path = format!("/subscriptions/ensure?connection={}", setting.id);
    let (status, _) = setting.world.ask("POST", &path).await;
    assert_eq!(status, 503);
    setting.world.faults.up();
    setting.world.restart().await;
    setting.fake.changes();
    assert_eq!(setting.scheduled().await, (1, 0));
    assert_eq!(setting.fake.changes(), [""; 0]);
    let connection = setting.connection().await;
    let opened = setting.configurator().opened(&connection, setting.world.now()).await.unwrap();
    assert_eq!(opened.webhook.signing_keys[0].expose(), "zettle-signing-key-1");
}
