//! Twilio: messages by SMS and WhatsApp, those that come in and what becomes of those that were sent.
//!
//! Facts, from Twilio's libraries (`twilio-python` 9.13, `request_validator.py`; `twilio` 6.2 for Node, `webhooks.js`) and
//! documentation ("Webhooks security", "Webhook shared keys", "Track outbound message status"):
//! - A request proves itself by `x-twilio-signature`, by HMAC-SHA1 under the account's auth token: over the URL and, of a
//!   form, every name and value; of any other body over the URL alone, which holds the body's hash as `bodySHA256`; of a
//!   `GET` over the URL with its query. What none of these covers is refused.
//! - The URL is signed with its port or without, as it came and never normalised. A fragment is taken for no part of it
//!   (UNVERIFIED): it never gets here.
//! - Shared keys (a public beta): `x-twilio-webhooks-signature-settings` names the key and the algorithm. That header is not
//!   signed, so it chooses among `named_keys` and nothing else.
//! - Names and values are signed without anything between them. Whoever holds one signed request could cut its text into
//!   other parameters, so ids and statuses count only in their exact form.
//! - No time is sent or signed. A message's states are ordered by how far along it is, and the time of arrival stands for
//!   theirs; a message and a status are one event. `i-twilio-idempotency-token` is not signed: it is shown, no more.
//! - Twilio tries once, and again only where it could not connect. Whatever is not XML in an answer to a message that came
//!   in gives it a warning; of a status's answer it reads the status alone.
//! - Other webhooks (voice, JSON) are kept without changes; an array of JSON, as Event Streams send, is not read.

pub(crate) mod check;
mod parse;
mod sample;
pub(crate) mod subscriptions;
mod verify;

use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::{
    Failure, Headers, ParseError, Proof, Provider, Received, Reply, Request, Settings, SettingsError,
    Unverified,
};

pub(crate) use verify::{SHARED_KEY, claimed_key};

/// Markup that sends nothing back.
const NO_ANSWER: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#;

const ABOUT: About = About {
    label: "Twilio",
    base_url: Some("https://api.twilio.com"),
    authentication: Authentication::Basic,
    accounts: &["account_sid"],
    places: &["messaging_service_sid"],
    settings: &[
        Setting::required(
            "account_sid",
            SettingKind::Text,
            "the account, `AC…`; its auth token signs webhooks",
        ),
        Setting::optional("messaging_service_sid", SettingKind::Text, "the messaging service, `MG…`"),
        Setting::optional(
            "api_key",
            SettingKind::Text,
            "the API key, `SK…`; left out: the account and its token",
        ),
        Setting::optional("api_secret", SettingKind::Secret, "the API key's secret, or the auth token"),
        Setting::optional(
            "sender",
            SettingKind::Text,
            "whom messages come from: `+1555…` or `whatsapp:+1555…`",
        ),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct Twilio;

impl Provider for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["twilio-hmac-sha1", SHARED_KEY]
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &[verify::SIGNATURE, verify::SIGNED_BY, parse::TOKEN, "content-type", "user-agent"]
    }

    fn takes_get(&self) -> bool {
        true
    }

    fn takes_empty_body(&self, headers: &Headers) -> bool {
        headers.method() == "GET"
    }

    /// Of the 15 seconds that Twilio waits, for what is refused does not come again.
    fn patience(&self) -> Duration {
        Duration::from_secs(8)
    }

    fn claimed_account(&self, headers: &Headers, body: &[u8]) -> Option<String> {
        parse::account(headers, body)
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

    fn accepted(&self, _: &Headers, _: &str) -> Reply {
        Reply { status: 200, content_type: "text/xml", body: NO_ANSWER.to_owned() }
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
        include_bytes!("dictionary.txt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_xml_that_sends_nothing_back_and_does_not_name_our_id() {
        let reply = Twilio.accepted(&Headers::new(), "req_1");
        assert_eq!((reply.status, reply.content_type), (200, "text/xml"));
        assert!(reply.body.ends_with("<Response/>") && !reply.body.contains("req_1"));
    }

    #[test]
    fn only_a_get_comes_without_a_body() {
        assert!(Twilio.takes_empty_body(&Headers::from_iter([(crate::request::METHOD, "GET")])));
        assert!(!Twilio.takes_empty_body(&Headers::new()));
    }
}
