//! PayPal Zettle: purchases, refunds, products and stock of a point of sale.
//!
//! Facts, from Zettle's API documentation (Pusher API: "Create subscriptions", "Event payloads"; Purchase API) and
//! Shopware's PayPal plug-in:
//! - A request proves itself by `x-izettle-signature`, in hexadecimal digits, over two fields of the body's JSON: the
//!   time, a full stop and the payload. The payload is a text that holds JSON once more; it is signed as it reads when
//!   the body's JSON has been undone, once.
//! - Nothing else in the body is signed: neither the event's name, nor its ids, nor the organisation. So an event is
//!   known by the hash of what is signed; the organisation is the one that the payload names, or else that of the key's
//!   owner; and what an event says is decided by its name and its payload together. A payload that is plainly another
//!   event's is an error. The payloads of `ProductCreated` and `ProductDeleted` look the same: there the name decides,
//!   the first time that the payload comes.
//! - No time is checked, as none is documented: replays are caught by the hash.
//! - While a subscription is made, before its key is known, `TestMessage` comes, whose payload is no text and can't be
//!   verified. It is answered and not kept: without an answer there is no subscription.
//! - Amounts count minor units. A refund is a purchase of less than nothing. A purchase never changes, and names no place.
//!   UNVERIFIED is by which names a webhook's refund tells what it refunds: those of the Purchase API are read, too.
//! - Times are written with and without a colon in the offset, or in milliseconds since 1970.
//! - The locations of stock are Zettle's own (store, bin, sold), no shops: they are no places of connections.
//! - After three days without a 2xx Zettle deletes the subscription.

pub(crate) mod check;
pub(crate) mod connect;
mod envelope;
mod parse;
pub(crate) mod reconcile;
mod sample;
mod shape;
pub(crate) mod subscriptions;
pub(crate) mod token;
mod verify;

use jiff::Timestamp;
use tillwatch_domain::Event;

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::{
    Failure, Headers, ParseError, Proof, Provider, Received, Reply, Request, Settings, SettingsError,
    Unverified,
};

const ABOUT: About = About {
    label: "PayPal Zettle",
    base_url: Some("https://purchase.izettle.com"),
    authentication: Authentication::Oauth,
    accounts: &["organization_uuid"],
    places: &[],
    settings: &[
        Setting::required("organization_uuid", SettingKind::Text, "Zettle's id of the organisation"),
        Setting::optional("client_id", SettingKind::Text, "the app's id"),
        Setting::optional("client_secret", SettingKind::Secret, "the app's secret"),
        Setting::optional("refresh_token", SettingKind::Secret, "what the access token is renewed with"),
        Setting::optional(
            "api_key",
            SettingKind::Secret,
            "the merchant's API key, instead of a refresh token",
        ),
        Setting::optional("access_token", SettingKind::Secret, "an access token of the organisation"),
        Setting::optional(
            "contact_email",
            SettingKind::Text,
            "whom Zettle writes to when its webhooks don't arrive",
        ),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct Zettle;

impl Provider for Zettle {
    fn name(&self) -> &'static str {
        "zettle"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["zettle-hmac-sha256"]
    }

    fn claimed_account(&self, _: &Headers, body: &[u8]) -> Option<String> {
        envelope::claimed(body)
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &[verify::SIGNATURE, "user-agent"]
    }

    fn handshake(
        &self,
        request: &Request<Unverified>,
        _: &Settings,
        _: Timestamp,
    ) -> Option<Result<Reply, Failure>> {
        envelope::is_test(request.body()).then(|| Ok(Reply::json("{}")))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &[u8]) -> Option<Result<Reply, Failure>> {
        let request = Request::new(Headers::new(), body.to_vec());
        Zettle.handshake(&request, &Settings::default(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_test_message_is_answered_without_a_key_or_a_signature_whatever_its_payload_is() {
        for payload in [r#"{"data":"payload"}"#, r#""{\"data\":\"payload\"}""#, "null"] {
            let body = format!(
                r#"{{"eventName":"TestMessage","organizationUuid":"ef64c5e2","messageId":"0f674460","payload":{payload}}}"#
            );
            assert_eq!(answer(body.as_bytes()).unwrap().unwrap().status, 200, "{payload}");
        }
    }

    #[test]
    fn nothing_but_a_test_message_is_answered_before_it_is_verified() {
        for body in [
            r#"{"eventName":"PurchaseCreated","payload":"TestMessage"}"#,
            r#"{"eventName":"TestMessage","eventName":"PurchaseCreated"}"#,
            r#"{"payload":{"eventName":"TestMessage"}}"#,
            r#"[{"eventName":"TestMessage"}]"#,
            "TestMessage",
            "",
        ] {
            assert_eq!(answer(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn what_is_too_large_for_a_test_message_is_none() {
        let body = |more: usize| format!(r#"{{"eventName":"TestMessage","payload":"{}"}}"#, "x".repeat(more));
        assert!(answer(body(1_000).as_bytes()).is_some());
        assert_eq!(answer(body(envelope::LARGEST_TEST).as_bytes()), None);
    }
}
