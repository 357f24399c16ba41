//! Stripe: payments, refunds and checkouts.
//!
//! Facts, from Stripe's libraries (`stripe-python` 16.1, `_webhook.py`) and documentation ("Verify webhook signatures",
//! "Event object", "Supported currencies"):
//! - A request proves itself by `stripe-signature: t=SECONDS,v1=HEX[,v1=HEX…]`, over the time, a full stop and the body.
//!   While a secret is rolled there is a `v1` of each; any right one is enough. `v0` proves nothing.
//! - The signed time must be near ours. Stripe's libraries refuse only the past; here the tolerance holds on both sides.
//! - `id` is the idempotency key. `account` is there when the event is of a connected account, else it is our own.
//! - Objects carry no version: their states are ordered by the event's `created`, in whole seconds, and within a second
//!   by how far along they are. A payment intent and its charges tell of one payment.
//! - Before API version 2025-03-31 a charge's `amount_refunded` counts what a capture left of it, too ("Basil changelog").
//! - Amounts count Stripe's minor units, which are not always ISO's; currencies are written in lower case.

mod parse;
mod sample;
mod verify;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::{Failure, Headers, ParseError, Provider, Request, Settings, SettingsError, Unverified};

/// See the module's head.
#[derive(Debug)]
pub struct Stripe;

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &[verify::SIGNATURE, "user-agent"]
    }

    fn verify(
        &self,
        request: &Request<Unverified>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<usize, Failure> {
        verify::verify(request, settings, now)
    }

    fn parse(&self, _: &Headers, body: &[u8]) -> Result<Vec<Event>, ParseError> {
        parse::parse(body)
    }

    fn sign(&self, settings: &Settings, body: &[u8], now: Timestamp) -> Result<Headers, SettingsError> {
        verify::sign(settings, body, now)
    }

    fn fresh_settings(&self, key: &str, _: &str) -> serde_json::Value {
        serde_json::json!({"signing_keys": [format!("whsec_{key}")]})
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
