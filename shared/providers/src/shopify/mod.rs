//! Shopify: orders, refunds and the transactions that pay them, of online shops and their points of sale.
//!
//! Facts, from Shopify's libraries (`@shopify/shopify-api` 13.1) and developer documentation ("Verify deliveries",
//! "Ignore duplicates", "Webhook topics"):
//! - A request proves itself by `x-shopify-hmac-sha256`, over the body alone. The newer Events send the same headers
//!   without `x-`, and for a while both: then the newer counts. After a change of the client secret the old one may sign for an hour more.
//! - The topic and the shop are said only by headers, which are not signed; so are the ids of the delivery. An event is
//!   therefore known by its shop, its topic and the hash of its body, and a body that names its own resource
//!   (`admin_graphql_api_id`) must be of the topic's.
//! - No time is signed: replays are caught by the hash.
//! - Orders are ordered by `updated_at`; refunds and transactions are only ever added. Money of a refund that was pending goes
//!   out without an event of the refund's own: the order, which holds its refunds, tells of it. Captures of one authorization
//!   are parts of one payment.
//! - Ids exceed 2^53, amounts are decimal text in the currency beside them, and slashes in the body are escaped.

pub(crate) mod check;
pub(crate) mod connect;
mod headers;
mod parse;
pub(crate) mod reconcile;
mod sample;
pub(crate) mod subscriptions;
pub(crate) mod token;
mod verify;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::checks::{Subject, Unchecked};
use crate::{
    Failure, Headers, ParseError, Proof, Provider, Received, Request, Settings, SettingsError, Unverified,
};

const ABOUT: About = About {
    label: "Shopify",
    base_url: None,
    authentication: Authentication::Oauth,
    accounts: &["shop"],
    places: &["location_id"],
    settings: &[
        Setting::required("shop", SettingKind::Text, "the shop's domain: `example.myshopify.com`"),
        Setting::optional("location_id", SettingKind::Text, "Shopify's id of the location"),
        Setting::optional("access_token", SettingKind::Secret, "the shop's offline access token"),
        Setting::optional("refresh_token", SettingKind::Secret, "what the access token is renewed with"),
        Setting::optional("api_version", SettingKind::Text, "the API's version").with_default("2026-07"),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct Shopify;

/// The shop's domain: its token goes there and nowhere else.
fn shop<'a>(of: &Subject<'a>) -> Result<&'a str, Unchecked> {
    let shop = of.own("shop")?;
    if subscriptions::is_shop(shop) {
        Ok(shop)
    } else {
        Err(Unchecked::Senseless("shop", "is no domain such as example.myshopify.com"))
    }
}

impl Provider for Shopify {
    fn name(&self) -> &'static str {
        "shopify"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["shopify-webhook"]
    }

    fn claimed_account(&self, headers: &Headers, _: &[u8]) -> Option<String> {
        headers.get(headers::Family::of(headers).shop).map(|shop| shop.trim().to_owned())
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        headers::KEPT
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
        parse::parse(received.headers, received.body)
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
        serde_json::json!({"signing_keys": [key]})
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
