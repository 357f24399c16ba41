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

pub(crate) mod check;
mod parse;
pub(crate) mod reconcile;
mod sample;
pub(crate) mod subscriptions;
mod verify;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::{
    Failure, Headers, ParseError, Proof, Provider, Received, Request, Settings, SettingsError, Unverified,
};

const ABOUT: About = About {
    label: "Stripe",
    base_url: Some("https://api.stripe.com"),
    authentication: Authentication::Key,
    accounts: &["account"],
    places: &[],
    settings: &[
        Setting::optional("account", SettingKind::Text, "the connected account, `acct_…`; left out: our own"),
        Setting::optional("api_key", SettingKind::Secret, "a restricted key, `rk_…`"),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct Stripe;

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["stripe-v1"]
    }

    fn claimed_account(&self, _: &Headers, body: &[u8]) -> Option<String> {
        parse::account(body)
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &[verify::SIGNATURE, "user-agent"]
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
        verify::sign(settings, request.body(), now)
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
