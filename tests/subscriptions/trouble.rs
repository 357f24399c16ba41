//! Providers that refuse, or do not answer as they should.

use std::time::Duration;

use serde_json::json;

use super::fake::Manner;
use super::setting::{ALL, Setting, api_of};

/// The problems that it comes to.
async fn problems(setting: &Setting, what: &str) -> Vec<String> {
    let all = setting.ask(what).await;
    let problem = |one: &serde_json::Value| one["problem"].as_str().unwrap_or_default().to_owned();
    assert!(all.iter().any(|one| one["status"] == "failed"), "{}: {all:?}", setting.provider);
    all.iter().map(problem).collect()
}

#[tokio::test]
async fn wrong_credentials_are_told_with_whose_they_are_and_what_to_do() {
    for (provider, count) in ALL {
        let setting = Setting::of(provider).await;
        let right = setting.said();
        let mut said = right.clone();
        for name in ["access_token", "api_key", "api_secret"] {
            if said.get(name).is_some() {
                said[name] = "wrong".into();
            }
        }
        setting.configure(said).await;
        if provider == "square" {
            setting.application(json!({"access_token": "wrong", "base_url": setting.fake.base}));
        }
        let problems = problems(&setting, "ensure").await;
        let whom = if provider == "square" { "the provider square" } else { &setting.id };
        let told = problems.iter().any(|problem| {
            problem.contains(whom)
                && problem.contains("refuses the credentials")
                && problem.contains("put a new")
        });
        assert!(told, "{provider}: {problems:?}");
        setting.configure(right).await;
        if provider == "square" {
            setting.application(json!({"access_token": "square-app-token", "base_url": setting.fake.base}));
        }
        setting.ask("ensure").await;
        setting.is_sound(count);
    }
}

#[tokio::test]
async fn missing_credentials_are_named_and_nobody_is_asked() {
    let setting = Setting::of("square").await;
    setting.application(json!({"base_url": setting.fake.base}));
    let told = problems(&setting, "ensure").await;
    assert!(told[0].contains("`api.access_token` is missing"), "{told:?}");
    let setting = Setting::of("zettle").await;
    let mut said = setting.said();
    said.as_object_mut().unwrap().remove("contact_email");
    setting.configure(said.clone()).await;
    // What was said before is kept until something else is said.
    said["contact_email"] = "nobody".into();
    setting.configure(said).await;
    let told = problems(&setting, "ensure").await;
    assert!(told[0].contains("contact_email"), "{told:?}");
    assert_eq!(setting.fake.changes(), [""; 0]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_as_it_should_is_told_and_all_is_well_when_it_does() {
    for (manner, expected) in [
        (Manner::Silent, "did not answer in time"),
        (Manner::Html, "not the provider's API"),
        (Manner::Huge, "answered more than it should"),
        (Manner::Broken, "not available (502)"),
        (Manner::Elsewhere, "sends us elsewhere (302)"),
    ] {
        for (provider, count) in ALL {
            // One of each kind of answer is enough to be waited for.
            if manner == Manner::Silent && provider != "shopify" {
                continue;
            }
            let change = |world: &mut tillwatch_tests::world::World| {
                world.outbound.whole = Duration::from_millis(500);
            };
            let setting = Setting::with(provider, api_of(provider), change).await;
            setting.fake.behave(manner.clone());
            let told = problems(&setting, "ensure").await;
            assert!(told.iter().all(|problem| problem.contains(expected)), "{provider} {manner:?}: {told:?}");
            setting.fake.behave(Manner::Well);
            setting.ask("ensure").await;
            setting.is_sound(count);
        }
    }
}

#[tokio::test]
async fn who_asks_to_be_left_alone_is_left_alone_for_as_long() {
    for (provider, count) in ALL {
        let setting = Setting::of(provider).await;
        setting.fake.behave(Manner::Limited(30));
        let told = problems(&setting, "ensure").await;
        assert!(told.iter().all(|problem| problem.contains("try again in 30 s")), "{provider}: {told:?}");
        setting.fake.behave(Manner::Well);
        setting.pass(Duration::from_secs(29));
        let told = problems(&setting, "ensure").await;
        assert!(told.iter().all(|problem| problem.contains("try again in 1 s")), "{provider}: {told:?}");
        setting.pass(Duration::from_secs(1));
        setting.ask("ensure").await;
        setting.is_sound(count);
    }
}

#[tokio::test]
async fn without_an_address_that_providers_reach_nothing_is_subscribed_to() {
    let change = |world: &mut tillwatch_tests::world::World| {
        world.public_url = "http://hooks.example.com".to_owned();
        world.outbound.allow_private = false;
    };
    let setting = Setting::with("shopify", api_of("shopify"), change).await;
    let told = problems(&setting, "ensure").await;
    assert!(told[0].contains("TILLWATCH_PUBLIC_URL"), "{told:?}");
}

#[tokio::test]
async fn a_base_url_that_is_near_is_not_called() {
    let change = |world: &mut tillwatch_tests::world::World| world.outbound.allow_private = false;
    let setting = Setting::with("shopify", api_of("shopify"), change).await;
    let told = problems(&setting, "ensure").await;
    assert!(told[0].contains("not called without HTTPS"), "{told:?}");
    let mut said = setting.said();
    said["base_url"] = setting.fake.base.replace("http://", "https://").into();
    setting.configure(said).await;
    let told = problems(&setting, "ensure").await;
    assert!(told[0].contains("not a public one"), "{told:?}");
}

#[tokio::test]
async fn a_connections_base_url_does_not_get_the_applications_token() {
    let setting = Setting::of("square").await;
    setting.application(json!({"access_token": "square-app-token", "base_url": "http://127.0.0.1:1"}));
    let mut said = setting.said();
    said["base_url"] = setting.fake.base.clone().into();
    setting.configure(said).await;
    let told = problems(&setting, "ensure").await;
    assert!(told[0].contains("127.0.0.1 takes no connection"), "{told:?}");
}
