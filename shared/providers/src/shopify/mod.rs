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

mod headers;
mod parse;
mod sample;
mod verify;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::{Failure, Headers, ParseError, Provider, Request, Settings, SettingsError, Unverified};

/// See the module's head.
#[derive(Debug)]
pub struct Shopify;

impl Provider for Shopify {
    fn name(&self) -> &'static str {
        "shopify"
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        headers::KEPT
    }

    fn verify(
        &self,
        request: &Request<Unverified>,
        settings: &Settings,
        _: Timestamp,
    ) -> Result<usize, Failure> {
        verify::verify(request, settings)
    }

    fn parse(&self, headers: &Headers, body: &[u8]) -> Result<Vec<Event>, ParseError> {
        parse::parse(headers, body)
    }

    fn sign(&self, settings: &Settings, body: &[u8], _: Timestamp) -> Result<Headers, SettingsError> {
        verify::sign(settings, body)
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
