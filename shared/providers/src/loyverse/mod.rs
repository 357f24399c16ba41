//! Loyverse: receipts, stock levels and items of a point of sale.
//!
//! Facts, from Loyverse's developer documentation ("Webhooks", "Receipts", "Inventory", "Items"), in part as public
//! integrations quote it, and from its community forum:
//! - A webhook that was made with an OAuth token proves itself by `x-loyverse-signature`, the HMAC-SHA1 of the body under
//!   the app's client secret. One that was made with a personal access token is not signed: it is known by the secret in
//!   its URL. UNVERIFIED is whether the tag is written in hexadecimal digits or base64, for documentation and forum
//!   differ: both are taken, each in its one spelling. A request with a signature is judged by its signature wherever a
//!   client secret is configured; the secret of the URL does not make up for a wrong one.
//! - `merchant_id` is the account, `store_id` the place in it. A body holds several receipts, levels or items; none has
//!   an event id. Each is known by its own id and its `updated_at`, or where that is missing the body's `created_at`.
//! - A receipt is a sale, closed when it is written, or gives one back (`refund_for`); `cancelled_at` annuls either.
//!   Its number is unique within its merchant alone.
//! - Amounts are decimal numbers in major units, and no receipt names its currency: it is the merchant's.
//! - UNVERIFIED is the sign of what is given back: it is taken without.
//! - No time is signed: replays are caught by the ids.
//! - UNVERIFIED is a name `receipts.create`, which others have met: it is read as `receipts.update` is.

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
    Failure, Headers, OpenSecret, ParseError, Proof, Provider, Received, Request, Settings, SettingsError,
    Unverified,
};

const ABOUT: About = About {
    label: "Loyverse",
    base_url: Some("https://api.loyverse.com/v1.0"),
    authentication: Authentication::Oauth,
    accounts: &["merchant_id"],
    places: &["store_id"],
    settings: &[
        Setting::required("merchant_id", SettingKind::Text, "Loyverse's id of the merchant"),
        Setting::optional("store_id", SettingKind::Text, "Loyverse's id of the store"),
        Setting::optional(
            "currency",
            SettingKind::Text,
            "the merchant's currency, `EUR`: receipts do not name it",
        ),
        Setting::optional("access_token", SettingKind::Secret, "an OAuth or a personal access token"),
        Setting::optional("refresh_token", SettingKind::Secret, "what an OAuth token is renewed with"),
        Setting::optional("client_id", SettingKind::Text, "the OAuth app's id"),
        Setting::optional("client_secret", SettingKind::Secret, "the OAuth app's secret"),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct Loyverse;

impl Provider for Loyverse {
    fn name(&self) -> &'static str {
        "loyverse"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["loyverse-hmac-sha1"]
    }

    fn open_secret(&self) -> Option<OpenSecret> {
        Some(OpenSecret::Query)
    }

    fn claimed_account(&self, _: &Headers, body: &[u8]) -> Option<String> {
        parse::merchant(body)
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

    /// The secret of a URL: a client secret is Loyverse's to give out.
    fn fresh_settings(&self, key: &str, _: &str) -> serde_json::Value {
        serde_json::json!({"url_keys": [key]})
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
