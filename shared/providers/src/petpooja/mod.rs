//! PetPooja: what restaurants' tills say of orders, menus, stock and opening.
//!
//! Facts, from PetPooja's "Online Ordering API" 2.1.0 and from code of others that takes its callbacks:
//! - No signature is documented, so the URL's secret is the proof. A restaurant whose callbacks pass through something
//!   that can sign may have a signing key: then `x-petpooja-signature: sha256=<hex>` is HMAC-SHA256 over the body. A
//!   request with that header is judged by signing keys alone, and a connection that has a signing key of its own takes
//!   none without it.
//! - An order callback names the restaurant (`restID`), the order by the id that we gave it (`orderID`), and a code. It has
//!   no id of its own, no time and no amount: it is known by these three, and by its time where one is told.
//! - Codes are not in the order of an order's life (`5`, ready, comes before `4`, dispatched), so statuses are ordered by
//!   rank alone, a time or none: both kinds may come for one order. Cancelled is last.
//! - Menus and stock can go back to what they were, so they are ordered by time: their own, else that of arrival. Where
//!   they tell none each arrival is an event: to apply a state twice does no harm, to leave one out does.
//! - Each callback has a form of answer of its own, which says success in the body.
//! - A reason for cancelling is free text, names and numbers of riders are personal: none of them is kept.
//!
//! UNVERIFIED:
//! - Time-outs and retries: we take longer rather than hope that it comes again.
//! - Types vary among restaurants: a number may be a string, a flag `"No"`, `itemID` a list, an object or one id.
//! - A pushed menu names the restaurant by `menusharingcode`, which is said to be its `restID`, and by an internal
//!   `restaurantid`. The first of these counts; a connection may know both.
//! - The form and zone of `timestamp`: seconds or milliseconds since 1970, RFC 3339, or no offset. The last is UTC unless
//!   that is still to come: then it is India's time. One that can't be read, or is to come, counts as none.

mod answer;
mod body;
pub(crate) mod check;
mod moment;
mod parse;
mod sample;
mod verify;

use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::{
    Failure, Headers, OpenSecret, ParseError, Proof, Provider, Received, Reply, Request, Settings,
    SettingsError, Unverified,
};

const ABOUT: About = About {
    label: "PetPooja",
    base_url: None,
    authentication: Authentication::Key,
    accounts: &["restaurant_id", "menu_restaurant_id"],
    places: &[],
    settings: &[
        Setting::required(
            "restaurant_id",
            SettingKind::Text,
            "the restaurant's `restID`, its menu sharing code",
        ),
        Setting::optional(
            "menu_restaurant_id",
            SettingKind::Text,
            "what its menus call it, if that is another id",
        ),
        Setting::required("app_key", SettingKind::Secret, "PetPooja's `app_key` for us"),
        Setting::required("app_secret", SettingKind::Secret, "PetPooja's `app_secret` for us"),
        Setting::required("access_token", SettingKind::Secret, "PetPooja's `access_token` for us"),
        Setting::optional(
            "menu_url",
            SettingKind::Url,
            "where menus are fetched, `…/mapped_restaurant_menus`",
        ),
        Setting::optional("order_url", SettingKind::Url, "where orders are pushed, `…/save_order`"),
        Setting::optional(
            "status_url",
            SettingKind::Url,
            "where orders are cancelled, `…/update_order_status`",
        ),
        Setting::optional("udid", SettingKind::Text, "the device's id that pushed orders carry"),
        Setting::optional("device_type", SettingKind::Text, "its type").with_default("Web"),
        Setting::optional("restaurant_name", SettingKind::Text, "the name that pushed orders carry"),
        Setting::optional("restaurant_address", SettingKind::Text, "the address that pushed orders carry"),
        Setting::optional("restaurant_contact", SettingKind::Text, "the number that pushed orders carry"),
        Setting::optional("auto_accept", SettingKind::Flag, "accept orders without asking")
            .with_default("false"),
        Setting::optional("notify_customers", SettingKind::Flag, "tell customers of their order's status")
            .with_default("true"),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct PetPooja;

impl Provider for PetPooja {
    fn name(&self) -> &'static str {
        "petpooja"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["petpooja-url-secret", "petpooja-hmac-sha256"]
    }

    fn open_secret(&self) -> Option<OpenSecret> {
        Some(OpenSecret::Query)
    }

    fn paths(&self) -> &'static [&'static str] {
        parse::PATHS
    }

    fn claimed_account(&self, _: &Headers, body: &[u8]) -> Option<String> {
        body::restaurant(body)
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &[verify::SIGNATURE, "user-agent"]
    }

    // Nobody says that it comes again.
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

    fn accepted(&self, headers: &Headers, id: &str) -> Reply {
        answer::accepted(headers.route(parse::PATHS).rest, id)
    }

    fn sign(
        &self,
        settings: &Settings,
        request: &Request<Unverified>,
        now: Timestamp,
    ) -> Result<Headers, SettingsError> {
        verify::sign(settings, request, now)
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
