//! Square: payments, refunds and orders of a point of sale.
//!
//! Facts, from Square's SDKs and developer documentation ("Validate webhooks", "Webhook events"):
//! - A request proves itself by `x-square-hmacsha256-signature`, over the subscription's notification URL and the body.
//!   The older `x-square-signature` (HMAC-SHA1) proves nothing here.
//! - `event_id` is the idempotency key; `merchant_id` is the account. Both are signed.
//! - States are ordered by `updated_at`, and of one time by `version`, which refunds and orders made through the API carry.
//! - No time is signed: replays are caught by the event's id alone.

mod parse;
mod sample;
mod verify;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::{Failure, Headers, ParseError, Provider, Request, Settings, SettingsError, Unverified};

/// See the module's head.
#[derive(Debug)]
pub struct Square;

impl Provider for Square {
    fn name(&self) -> &'static str {
        "square"
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
        _: Timestamp,
    ) -> Result<usize, Failure> {
        verify::verify(request, settings)
    }

    fn parse(&self, _: &Headers, body: &[u8]) -> Result<Vec<Event>, ParseError> {
        parse::parse(body)
    }

    fn sign(&self, settings: &Settings, body: &[u8], _: Timestamp) -> Result<Headers, SettingsError> {
        verify::sign(settings, body)
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
