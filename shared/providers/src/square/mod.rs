//! Square: payments, refunds and orders of a point of sale.
//!
//! Facts, from Square's SDKs and developer documentation ("Validate webhooks", "Webhook events"):
//! - A request proves itself by `x-square-hmacsha256-signature`, over the subscription's notification URL and the body.
//!   The older `x-square-signature` (HMAC-SHA1) proves nothing here.
//! - `event_id` is the idempotency key; `merchant_id` is the account. Both are signed.
//! - States are ordered by `updated_at`, and of one time by `version`, which refunds and orders made through the API carry.
//! - No time is signed: replays are caught by the event's id alone.

pub(crate) mod check;
pub(crate) mod connect;
mod parse;
pub(crate) mod reconcile;
mod sample;
pub(crate) mod subscriptions;
pub(crate) mod token;
mod verify;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::{
    Failure, Headers, ParseError, Proof, Provider, Received, Request, Settings, SettingsError, Unverified,
};

const ABOUT: About = About {
    label: "Square",
    base_url: Some("https://connect.squareup.com"),
    authentication: Authentication::Oauth,
    accounts: &["merchant_id"],
    places: &["location_id"],
    settings: &[
        Setting::required("merchant_id", SettingKind::Text, "Square's id of the merchant"),
        Setting::optional("location_id", SettingKind::Text, "Square's id of the location"),
        Setting::optional("access_token", SettingKind::Secret, "the merchant's OAuth access token"),
        Setting::optional("refresh_token", SettingKind::Secret, "what the access token is renewed with"),
        Setting::optional("environment", SettingKind::Text, "`production` or `sandbox`")
            .with_default("production"),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct Square;

/// Where an environment is reached.
fn host(environment: Option<&str>) -> &'static str {
    match environment {
        Some("sandbox") => "https://connect.squareupsandbox.com",
        _ => "https://connect.squareup.com",
    }
}

impl Provider for Square {
    fn name(&self) -> &'static str {
        "square"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["square-hmac-sha256"]
    }

    fn claimed_account(&self, _: &Headers, body: &[u8]) -> Option<String> {
        parse::merchant(body)
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &[
            verify::SIGNATURE,
            "square-environment",
            "square-initial-delivery-timestamp",
            "square-retry-number",
            "square-retry-reason",
            "user-agent",
        ]
    }

    fn verify(
        &self,
        request: &Request<Unverified>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Proof, Failure> {
        verify::verify(request, settings, now)
    }

    fn parse(&self, received: Received<'_>) -> Result<Vec<Event>, ParseError> {
        parse::parse(received.body)
    }

    fn sign(
        &self,
        settings: &Settings,
        request: &Request<Unverified>,
        now: Timestamp,
    ) -> Result<Headers, SettingsError> {
        verify::sign(settings, request, now)
    }

    fn fresh_settings(&self, key: &str, url: &str) -> serde_json::Value {
        serde_json::json!({"signing_keys": [key], "notification_url": url})
    }

    fn sample_kinds(&self) -> &'static [&'static str] {
        sample::KINDS
    }

    fn sample(&self, kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
        sample::sample(kind, number, at)
    }

    fn dictionary(&self) -> &'static [u8] {
        include_bytes!("dictionary.json")
    }
}
