//! Meta: WhatsApp messages by the Cloud API, and changes of ads.
//!
//! Facts, from Meta's SDK (`WhatsApp-Nodejs-SDK`) and documentation ("Graph API webhooks: getting started", "WhatsApp
//! Business webhooks: messages", "Ads webhooks"):
//! - A request proves itself by `x-hub-signature-256: sha256=HEX`, over the body as it came, `\u` escapes and all. The older
//!   `x-hub-signature` (SHA-1) proves nothing here. All accounts of an app share its secret.
//! - Before the first webhook Meta asks by `GET` whether the URL is ours: it sends a word that both know, and wants its
//!   challenge back, and 403 if the word is another.
//! - An envelope holds up to 1,000 entries, an entry is of one account, and each may bring several changes. Nothing has an
//!   event's id. Of WhatsApp a message's id, and its status, make the event itself; of everything else its account, time,
//!   field and the change's exact JSON.
//! - WhatsApp's statuses come in any order, several in one second: how far along a message is decides, and not the time.
//! - An ad's change says that something changed, and of which object; only the page on `with_issues_ad_objects` shows a
//!   value. What `id` other fields carry is UNVERIFIED: a change without one is the ad account's. Whether an ad account is
//!   written with `act_` before it is not said either: it counts without.
//! - `time` is in seconds; some objects are known to write milliseconds, which are told by their size.
//! - What the dashboard's test button sends is of the account `0` (UNVERIFIED): no account has that id.
//! - Whatever is not answered 200 comes again: for 36 hours, of WhatsApp up to 7 days.

mod ads;
pub(crate) mod check;
pub(crate) mod connect;
mod handshake;
mod parse;
mod sample;
pub(crate) mod subscriptions;
pub(crate) mod token;
mod verify;
mod whatsapp;

use jiff::Timestamp;
use tillwatch_domain::{Cause, Event};

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::checks::{Subject, Unchecked};
use crate::{
    Failure, Headers, MOST_CLAIMED, ParseError, Proof, Provider, Received, Reply, Request, Settings,
    SettingsError, Unverified, hmac,
};

const ABOUT: About = About {
    label: "Meta",
    base_url: Some("https://graph.facebook.com"),
    authentication: Authentication::Oauth,
    accounts: &["business_account_id", "ad_account_id"],
    places: &["phone_number_id"],
    settings: &[
        Setting::optional("business_account_id", SettingKind::Text, "the WhatsApp Business account"),
        Setting::optional("phone_number_id", SettingKind::Text, "Meta's id of the WhatsApp number"),
        Setting::optional("ad_account_id", SettingKind::Text, "the ad account, without `act_`"),
        Setting::optional("access_token", SettingKind::Secret, "the system user's token, or a person's"),
        Setting::optional("app_id", SettingKind::Text, "the app"),
        Setting::optional("app_secret", SettingKind::Secret, "the app's secret, to renew the token with"),
        Setting::optional("api_version", SettingKind::Text, "the API's version").with_default("v25.0"),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct Meta;

/// The version of the API that is spoken.
fn version<'a>(of: &Subject<'a>) -> Result<&'a str, Unchecked> {
    let version = of.own.get("api_version").unwrap_or(subscriptions::VERSION);
    if subscriptions::is_version(version) {
        Ok(version)
    } else {
        Err(Unchecked::Senseless("api_version", "is no version such as v25.0"))
    }
}

impl Provider for Meta {
    fn name(&self) -> &'static str {
        "meta"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["meta-sha256", "meta-handshake"]
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &[verify::SIGNATURE, "user-agent"]
    }

    fn takes_get(&self) -> bool {
        true
    }

    fn claimed_account(&self, _: &Headers, body: &[u8]) -> Option<String> {
        parse::accounts(body, 1).pop()
    }

    fn claimed_accounts(&self, _: &Headers, body: &[u8]) -> Vec<String> {
        parse::accounts(body, MOST_CLAIMED)
    }

    fn handshake(
        &self,
        request: &Request<Unverified>,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Result<Reply, Failure>> {
        (request.headers().method() == "GET").then(|| handshake::answer(request, settings, now))
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

    /// Meta wants 403 of a word that is not ours, or that is not there.
    fn status_of(&self, cause: Cause) -> u16 {
        match cause {
            Cause::WrongSecret | Cause::MissingSecret => 403,
            other => other.status(),
        }
    }

    fn sign(
        &self,
        settings: &Settings,
        request: &Request<Unverified>,
        now: Timestamp,
    ) -> Result<Headers, SettingsError> {
        verify::sign(settings, request.body(), now)
    }

    /// The word travels in a URL, so it must tell nothing of the key.
    fn fresh_settings(&self, key: &str, _: &str) -> serde_json::Value {
        let word = hex::encode(&hmac::tag(key.as_bytes(), &[b"meta verify token"])[..16]);
        serde_json::json!({"signing_keys": [key], "verify_tokens": [word]})
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

    #[test]
    fn a_fresh_word_is_not_the_key_and_each_key_has_its_own() {
        let word = |key: &str| Meta.fresh_settings(key, "")["verify_tokens"][0].as_str().unwrap().to_owned();
        assert_eq!(word("a").len(), 32);
        assert_ne!(word("a"), word("b"));
    }

    #[test]
    fn a_wrong_word_is_answered_403_and_a_wrong_signature_401() {
        assert_eq!(Meta.status_of(Cause::WrongSecret), 403);
        assert_eq!(Meta.status_of(Cause::WrongSignature), 401);
    }
}
