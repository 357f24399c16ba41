//! A world with one connection, whose provider is a server on this machine.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tillwatch::stack::CONNECTIONS_TABLE;
use tillwatch_domain::Connection;
use tillwatch_platform::connections::{Connections, Kind};
use tillwatch_providers::catalogue;
use tillwatch_tests::sender;
use tillwatch_tests::world::{World, settings};
use tillwatch_workflows::configuration::{Configurator, resolve};
use tillwatch_workflows::subscriptions::Subscribed;

use super::fake::{Api, Fake};
use super::providers::{Google, Loyverse, Meta, Shopify, Square, Stripe, Twilio, Zettle};

/// Every provider that has an API to subscribe with, and how many subscriptions it must come to.
pub(super) const ALL: [(&str, usize); 8] = [
    ("square", 1),
    ("shopify", 7),
    ("zettle", 1),
    ("loyverse", 3),
    ("stripe", 1),
    ("twilio", 1),
    ("meta", 4),
    ("google_calendar", 1),
];

/// What must not be seen in any answer.
const SECRETS: [&str; 10] = [
    "square-app-token",
    "shopify-token",
    "zettle-token",
    "loyverse-token",
    "rk_test",
    "twilio-secret",
    "app-secret",
    "meta-token",
    "google-token",
    "signing-key",
];

pub(super) struct Setting {
    pub(super) world: World,
    pub(super) fake: Fake,
    pub(super) provider: &'static str,
    pub(super) id: String,
}

impl Setting {
    pub(super) async fn of(provider: &'static str) -> Self {
        Self::with(provider, api_of(provider), |_| {}).await
    }

    /// The same at this API, in a world that is changed first.
    pub(super) async fn with(
        provider: &'static str,
        api: Box<dyn Api>,
        change: impl FnOnce(&mut World),
    ) -> Self {
        let fake = Fake::start(api).await;
        let mut world = World::new().await;
        world.outbound.whole = Duration::from_secs(5);
        change(&mut world);
        world.restart().await;
        let setting = Self { world, fake, provider, id: format!("harbour-{}", provider.replace('_', "-")) };
        setting.fake.api(|api| api.tick(setting.world.now()));
        setting.configure(setting.said()).await;
        setting.application(setting.app());
        setting
    }

    /// What is said of the connection.
    pub(super) fn said(&self) -> Value {
        let base = &self.fake.base;
        let account = account(self.provider);
        match self.provider {
            "square" => json!({"merchant_id": account}),
            "shopify" => json!({
                "shop": "harbour.myshopify.com", "access_token": "shopify-token", "base_url": base,
            }),
            "zettle" => json!({
                "organization_uuid": account, "access_token": "zettle-token", "base_url": base,
                "contact_email": "operations@example.com",
            }),
            "loyverse" => json!({
                "merchant_id": account, "access_token": "loyverse-token", "base_url": format!("{base}/v1.0"),
            }),
            "stripe" => json!({"api_key": "rk_test", "base_url": base}),
            "twilio" => json!({
                "account_sid": "AC1", "api_key": "SK1", "api_secret": "twilio-secret",
                "sender": "+15550001111", "base_url": base,
            }),
            "meta" => json!({
                "business_account_id": "waba1", "ad_account_id": "77", "access_token": "meta-token",
                "base_url": base,
            }),
            _ => json!({
                "calendar_id": "guests@example.com", "access_token": "google-token", "base_url": base,
            }),
        }
    }

    /// What the provider's secret holds for its API.
    fn app(&self) -> Value {
        let base = &self.fake.base;
        match self.provider {
            "square" => json!({"access_token": "square-app-token", "base_url": base}),
            "meta" => json!({"app_id": "123", "app_secret": "app-secret", "base_url": base}),
            _ => json!({}),
        }
    }

    pub(super) fn application(&self, api: Value) {
        let mut secret = serde_json::to_value(settings(self.provider)).unwrap();
        secret["api"] = api;
        self.world.secrets.put(self.provider, Some(secret));
    }

    pub(super) fn configurator(&self) -> Configurator {
        let ports = self.world.stack().ports();
        Configurator {
            connections: Connections::in_process(ports.table.clone(), CONNECTIONS_TABLE.to_owned()),
            webhook_vault: ports.webhook_vault.clone(),
            token_vault: ports.token_vault.clone(),
            secrets: ports.secrets.clone(),
            secrets_prefix: String::new(),
        }
    }

    pub(super) async fn configure(&self, said: Value) {
        let said = serde_json::from_value(said).unwrap();
        let provider = catalogue::of(self.provider).unwrap();
        let resolved = resolve(provider, ("group", Some("harbour")), &said, &BTreeMap::new());
        assert_eq!(resolved.connection.id, self.id);
        self.configurator().put_connection(&resolved, false, self.world.now()).await.unwrap();
    }

    pub(super) async fn connection(&self) -> Connection {
        let connections = self.configurator().connections;
        connections.document(Kind::Connection, &self.id).await.unwrap().unwrap().document
    }

    /// What is kept of the connection's own subscriptions, or of those that it shares.
    pub(super) async fn kept(&self) -> Option<Subscribed> {
        let shared = format!("provider:{}", self.provider);
        let id = if self.provider == "square" { &shared } else { &self.id };
        let connections = self.configurator().connections;
        connections.document(Kind::Subscription, id).await.unwrap().map(|stored| stored.document)
    }

    /// Has something done for the connection; one entry for what it shares and one for its own, if it needs both.
    pub(super) async fn ask(&self, what: &str) -> Vec<Value> {
        let (method, path) = match what {
            "list" => ("GET", "/subscriptions?live=true&".to_owned()),
            _ => ("POST", format!("/subscriptions/{what}?")),
        };
        let (status, body) = self.world.ask(method, &format!("{path}connection={}", self.id)).await;
        assert_eq!(status, 200, "{what}: {body}");
        let text = body.to_string();
        assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
        let all = body["subscriptions"].as_array().unwrap().clone();
        assert!(!all.is_empty(), "{what} of {}", self.provider);
        all
    }

    /// The same, and the statuses that it came to.
    pub(super) async fn statuses(&self, what: &str) -> Vec<String> {
        self.ask(what).await.iter().map(|one| one["status"].as_str().unwrap().to_owned()).collect()
    }

    /// That it is done and comes to this status.
    pub(super) async fn comes_to(&self, what: &str, status: &str) {
        let all = self.ask(what).await;
        let is_it = all.iter().all(|one| one["status"] == status && one["problem"].is_null());
        assert!(is_it, "{what} of {} is not {status}: {all:?}", self.provider);
    }

    /// What the schedule does.
    pub(super) async fn scheduled(&self) -> (usize, usize) {
        self.world.stack().look_after_subscriptions(Duration::from_mins(10)).await.unwrap()
    }

    /// That the provider sends all that it must to where it must, and nothing twice.
    pub(super) fn is_sound(&self, count: usize) {
        let sending = self.fake.api(|api| api.sending());
        let ours = format!("{}/webhooks/{}", self.world.public_url, self.provider);
        let right = sending.iter().all(|(_, url)| url.is_empty() || url.starts_with(&ours));
        assert!(sending.len() == count && right, "{}: {sending:?}", self.provider);
    }

    /// Lets time pass, here and at the provider.
    pub(super) fn pass(&self, span: Duration) {
        self.world.pass(span);
        self.fake.api(|api| api.tick(self.world.now()));
    }
}

pub(super) fn api_of(provider: &str) -> Box<dyn Api> {
    match provider {
        "square" => Box::<Square>::default(),
        "shopify" => Box::<Shopify>::default(),
        "zettle" => Box::<Zettle>::default(),
        "loyverse" => Box::<Loyverse>::default(),
        "stripe" => Box::<Stripe>::default(),
        "twilio" => Box::<Twilio>::default(),
        "meta" => Box::<Meta>::default(),
        _ => Box::<Google>::default(),
    }
}

/// The account that the provider's samples are of.
fn account(provider: &str) -> String {
    let provider = sender::provider(provider);
    let kind = provider.sample_kinds()[0];
    let at = jiff::Timestamp::UNIX_EPOCH;
    let (headers, body) = provider.sample(kind, 1, at).unwrap();
    provider.claimed_account(&headers, &body).unwrap_or_default()
}
