//! Google Calendar: that a watched calendar has changed, not what has.
//!
//! Facts, from Google's guide ("Push notifications") and the discovery document of the Calendar API (`calendar.v3`):
//! - Nothing is signed. A request proves itself by `x-goog-channel-token`, the token that was given to `watch`; all that it
//!   says is in its headers, and it has no body. One that comes is not read.
//! - A channel is its account: whose token it is, is known by `x-goog-channel-id`. `x-goog-resource-id` is the calendar's,
//!   the same from channel to channel. `x-goog-resource-uri` is not kept: it holds the calendar's id, a mail address.
//! - `sync` says that a channel begins; `exists` that something changed; `not_exists` that the calendar is no longer.
//! - Message numbers grow, with gaps, but anew in each channel, and channels end after a week or so: a new one follows, and
//!   for a while both speak. So a calendar's states are ordered by when they arrived, and then by their number.
//! - Google tries again only after 500, 502, 503 and 504. Whatever else it hears is the end of that notification.

pub(crate) mod check;
pub(crate) mod connect;
mod parse;
mod sample;
pub(crate) mod subscriptions;
pub(crate) mod token;

use jiff::Timestamp;
use tillwatch_domain::{Cause, Event};

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::request::FINGERPRINT;
use crate::{
    Failure, Headers, OpenSecret, ParseError, Proof, Provider, Received, Request, Settings, SettingsError,
    Unverified,
};

/// The channel's token: a secret, and never kept.
const TOKEN: &str = "x-goog-channel-token";

const ABOUT: About = About {
    label: "Google Calendar",
    base_url: Some("https://www.googleapis.com"),
    authentication: Authentication::Oauth,
    accounts: &["channel_id", "previous_channel_id"],
    places: &[],
    settings: &[
        Setting::required("calendar_id", SettingKind::Text, "the calendar: `primary`, or its address"),
        Setting::optional(
            "channel_id",
            SettingKind::Text,
            "the channel that watches it, as given to `watch`",
        ),
        Setting::optional("previous_channel_id", SettingKind::Text, "the channel before, until it has ended"),
        Setting::optional("access_token", SettingKind::Secret, "the OAuth access token"),
        Setting::optional("refresh_token", SettingKind::Secret, "what the access token is renewed with"),
    ],
};

/// See the module's head.
#[derive(Debug)]
pub struct GoogleCalendar;

impl Provider for GoogleCalendar {
    fn name(&self) -> &'static str {
        "google_calendar"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["google-channel-token"]
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &[
            parse::CHANNEL,
            parse::NUMBER,
            parse::RESOURCE,
            parse::STATE,
            "x-goog-channel-expiration",
            "user-agent",
        ]
    }

    fn open_secret(&self) -> Option<OpenSecret> {
        Some(OpenSecret::Header(TOKEN))
    }

    fn takes_empty_body(&self, _: &Headers) -> bool {
        true
    }

    fn renews_accounts(&self) -> bool {
        true
    }

    fn claimed_account(&self, headers: &Headers, _: &[u8]) -> Option<String> {
        parse::only(headers, parse::CHANNEL).ok().map(str::to_owned)
    }

    fn verify(
        &self,
        request: &Request<Unverified>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Proof, Failure> {
        settings.open_secret(request.headers().only(FINGERPRINT), now)
    }

    fn parse(&self, received: Received<'_>) -> Result<Vec<Event>, ParseError> {
        parse::parse(received)
    }

    /// What may be right in a moment must come again: a channel speaks as soon as it is made, before it is known here. A
    /// token that is not its channel's stays wrong.
    fn status_of(&self, cause: Cause) -> u16 {
        match cause {
            Cause::UnknownConnection | Cause::TooMany => 503,
            other => other.status(),
        }
    }

    fn sign(
        &self,
        settings: &Settings,
        _: &Request<Unverified>,
        now: Timestamp,
    ) -> Result<Headers, SettingsError> {
        Ok(Headers::from_iter([(TOKEN, settings.live_url_keys(now)?.newest())]))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Fingerprints;

    const NEW: &str = "the channel's new token";
    const OLD: &str = "the channel's old token";

    fn arrived(headers: &Headers, body: &[u8]) -> Request<Unverified> {
        Request::arrived(&GoogleCalendar, headers, body.to_vec(), &Fingerprints::default())
    }

    fn verdict(tokens: &[&str]) -> Result<usize, Failure> {
        let headers = tokens.iter().map(|token| (TOKEN, *token)).collect();
        let settings = Settings::with_url_keys([NEW, OLD]);
        let checked = arrived(&headers, b"").check(&GoogleCalendar, &settings, Timestamp::UNIX_EPOCH);
        checked.map(|request| request.proof().position).map_err(|unbelieved| unbelieved.failure)
    }

    #[test]
    fn every_vector_gets_its_verdict() {
        let vectors = crate::vectors::of("google_calendar");
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let verdict = crate::vectors::judge(&vector);
            assert_eq!(verdict.is_accepted(), vector.valid, "{}: {verdict}", vector.id);
        }
    }

    #[test]
    fn a_request_is_believed_by_each_live_token_and_by_nothing_else() {
        assert_eq!((verdict(&[NEW]), verdict(&[OLD])), (Ok(0), Ok(1)));
        assert_eq!(verdict(&["the channel's new toke"]), Err(Cause::WrongSecret.into()));
        assert_eq!(verdict(&[]), Err(Cause::MissingSecret.into()));
        assert_eq!(verdict(&[NEW, NEW]), Err(Cause::AmbiguousSignature.into()));
    }

    #[test]
    fn without_a_token_of_ours_nobody_is_believed() {
        let headers = Headers::from_iter([(TOKEN, "short")]);
        for settings in [
            Settings::default(),
            Settings::with_keys(["a signing key is no token"]),
            Settings::with_url_keys(["short"]),
        ] {
            let checked = arrived(&headers, b"").check(&GoogleCalendar, &settings, Timestamp::UNIX_EPOCH);
            assert_eq!(checked.unwrap_err().failure, SettingsError::NoUrlKey.into());
        }
    }

    #[test]
    fn what_is_signed_here_is_believed() {
        let settings = Settings::with_url_keys([NEW, OLD]);
        let request = Request::new(Headers::new(), vec![]);
        let signed = GoogleCalendar.sign(&settings, &request, Timestamp::UNIX_EPOCH).unwrap();
        let checked = arrived(&signed, b"").check(&GoogleCalendar, &settings, Timestamp::UNIX_EPOCH);
        assert_eq!(checked.unwrap().proof().position, 0);
    }

    #[test]
    fn neither_the_token_nor_the_calendars_address_is_kept() {
        let uri = "https://www.googleapis.com/calendar/v3/calendars/guest@example.com/events";
        let request = arrived(&Headers::from_iter([(TOKEN, NEW), ("x-goog-resource-uri", uri)]), b"");
        let kept = format!("{request:?}");
        assert!(!kept.contains(NEW) && !kept.contains("guest@"), "{kept}");
    }

    #[test]
    fn a_channel_that_is_not_known_yet_is_asked_to_come_again_and_a_wrong_token_is_not() {
        let status = |cause| GoogleCalendar.status_of(cause);
        assert_eq!((status(Cause::UnknownConnection), status(Cause::TooMany)), (503, 503));
        assert_eq!((status(Cause::WrongSecret), status(Cause::MissingSecret)), (401, 401));
    }
}
