//! Tests of subscriptions, with this program listening.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::fake::Fake;
use super::setting::{ALL, Setting, api_of};

#[tokio::test]
async fn a_test_passes_where_we_are_reached() {
    for (provider, _) in ALL {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let setting = Setting::with(provider, api_of(provider), |world| world.public_url = url).await;
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(tillwatch::http::serve(listener, Arc::clone(setting.world.stack()), stopping));
        let untested = setting.ask("test").await;
        assert!(untested.iter().all(|one| one["test"]["passed"] == false), "{untested:?}");
        setting.ask("ensure").await;
        let tested = setting.ask("test").await;
        assert!(tested.iter().all(|one| one["test"]["passed"] == true), "{provider}: {tested:?}");
    }
}

#[tokio::test]
async fn a_test_fails_where_something_else_answers() {
    for provider in ["shopify", "meta"] {
        let other = Fake::start(api_of("square")).await;
        let setting =
            Setting::with(provider, api_of(provider), |world| world.public_url = other.base.clone()).await;
        setting.ask("ensure").await;
        other.behave(super::fake::Manner::Html);
        let tested = setting.ask("test").await;
        assert!(tested.iter().all(|one| one["test"]["passed"] == false), "{provider}: {tested:?}");
        let details: Vec<_> = tested.iter().map(|one| one["test"]["detail"].to_string()).collect();
        let said = details
            .iter()
            .any(|detail| detail.contains("is not this program") || detail.contains("otherwise"));
        assert!(said, "{details:?}");
    }
}
