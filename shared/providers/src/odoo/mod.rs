//! Odoo: orders of its point of sale, products and stock.
//!
//! Facts, from Odoo's source (`ir.actions.server` of 17 to 19, `pos.order`) and its documentation ("Automation rules",
//! "Webhooks"):
//! - Nothing is signed. The URL's secret is the only proof, so a connection should have one of its own.
//! - A call is made for one record, after its transaction, waits for one second and is never made again. Its answer is
//!   not read.
//! - The body names the record by `_model` and `_id`, and holds whichever fields the rule selects. No field names the
//!   database: the account is the connection that the URL names.
//! - There is no event id. Several calls of one transaction carry one `write_date`, for that is the transaction's own
//!   time, and may say different things: `draft`, then `paid`. So an event is known by `_model`, `_id`, `write_date` and
//!   the body's hash.
//! - Times are UTC and say no offset. `false` stands for nothing in every field that is no flag.
//! - Amounts are floats in major units; their currency is an id, which only Odoo can look up. They are read as decimal
//!   text and rounded to six decimals, the most that a currency of Odoo's has, for what a float holds beyond is noise.
//! - A refund is an order of its own, with a negative total. Its name ends in ` REFUND`, where nobody has translated it.
//! - States are ordered by `write_date`, and of one time by their rank.
//!
//! UNVERIFIED: releases and modules may send a link to a record as its id or as `[id, "name"]`, and times with
//! microseconds; each is read.

pub(crate) mod check;
mod decimal;
mod field;
mod parse;
pub(crate) mod reconcile;
mod sample;
mod verify;

use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::{
    Failure, Headers, OpenSecret, ParseError, Proof, Provider, Received, Request, Settings, SettingsError,
    Unverified,
};

const ABOUT: About = About {
    label: "Odoo",
    base_url: None,
    authentication: Authentication::Key,
    accounts: &[],
    places: &["config_id"],
    settings: &[
        Setting::required("url", SettingKind::Url, "the database's address: `https://example.odoo.com`"),
        Setting::optional("database", SettingKind::Text, "its name, where the address holds several"),
        Setting::optional("login", SettingKind::Text, "the API key's user, whom Odoo up to 18 asks for"),
        Setting::optional("user_id", SettingKind::Number, "Odoo's id of that user"),
        Setting::optional("api_key", SettingKind::Secret, "an API key of that user"),
        Setting::optional("company_id", SettingKind::Number, "Odoo's id of the company"),
        Setting::optional(
            "partner_id",
            SettingKind::Number,
            "whom orders are made out to that name no customer",
        ),
        Setting::optional("config_id", SettingKind::Text, "Odoo's id of the point of sale"),
        Setting::optional("currency", SettingKind::Text, "the currency of amounts that come without one"),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct Odoo;

impl Provider for Odoo {
    fn name(&self) -> &'static str {
        "odoo"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["odoo-url-secret"]
    }

    fn open_secret(&self) -> Option<OpenSecret> {
        Some(OpenSecret::Query)
    }

    fn claimed_account(&self, _: &Headers, _: &[u8]) -> Option<String> {
        None
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &["user-agent"]
    }

    // Odoo leaves after a second, whatever comes, and never comes back. What it has sent is still worth keeping.
    fn patience(&self) -> Duration {
        Duration::from_secs(8)
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
        parse::parse(received)
    }

    fn sign(
        &self,
        settings: &Settings,
        _: &Request<Unverified>,
        now: Timestamp,
    ) -> Result<Headers, SettingsError> {
        verify::sign(settings, now)
    }

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
