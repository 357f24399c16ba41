//! What verification needs to know: a provider's settings, from its secret, and a connection's own, from the vault.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use tillwatch_domain::Cause;

use crate::fingerprint::Fingerprints;
use crate::{Failure, hmac};

/// Seconds that a signed time may differ from ours, in both directions, unless the settings say otherwise. Stripe's
/// own libraries use the same.
const TOLERANCE_SECONDS: u32 = 300;
/// A secret in a URL that is shorter could be guessed.
pub const SHORTEST_URL_KEY: usize = 16;

/// What verification needs to know. Debug output shows no key.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Live signing keys, the newest first. All are tried, so that a rotation needs no pause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<Key>,
    /// Signing keys by the names under which requests claim them: Twilio's shared keys. A request that names its key is
    /// judged by no other.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named_keys: BTreeMap<String, Key>,
    /// Live secrets of URLs, or tokens of channels, the newest first, for what is not signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub url_keys: Vec<Key>,
    /// The word that a provider repeats when it asks whether a URL is ours (Meta).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify_tokens: Vec<Key>,
    /// The URL as the provider knows it, byte for byte: `https://…/webhooks/square`. Square and Twilio sign it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_url: Option<String>,
    /// Seconds that a signed time may differ from ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance_seconds: Option<u32>,
    /// The networks that requests may come from, as `54.245.1.154/32`; empty: from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_addresses: Vec<String>,
    /// How fingerprints of open secrets are compared.
    #[serde(skip)]
    pub fingerprints: Fingerprints,
}

/// A secret, and when it stops being live. Written as the secret alone, or as `{"key": "…", "until": "2026-…Z"}`.
#[derive(Clone, Deserialize)]
#[serde(from = "WrittenKey")]
pub struct Key {
    secret: SecretString,
    until: Option<Timestamp>,
    own: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenKey {
    Alone(SecretString),
    Until {
        key: SecretString,
        #[serde(default)]
        until: Option<Timestamp>,
    },
}

impl From<WrittenKey> for Key {
    fn from(written: WrittenKey) -> Self {
        let (secret, until) = match written {
            WrittenKey::Alone(secret) => (secret, None),
            WrittenKey::Until { key, until } => (key, until),
        };
        Self { secret, until, own: false }
    }
}

/// Only for the vault, which seals what is written, and for the secret store.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Until<'a> {
            key: &'a str,
            until: Timestamp,
        }
        match self.until {
            None => self.secret.expose_secret().serialize(serializer),
            Some(until) => Until { key: self.secret.expose_secret(), until }.serialize(serializer),
        }
    }
}

impl Key {
    /// A key that is live until it is taken away.
    pub fn new(secret: impl Into<String>) -> Self {
        Self { secret: SecretString::from(secret.into()), until: None, own: false }
    }

    /// The same, live until then.
    #[must_use]
    pub fn until(self, until: Option<Timestamp>) -> Self {
        Self { until, ..self }
    }

    /// When it stops being live; none: when it is taken away.
    pub fn expires(&self) -> Option<Timestamp> {
        self.until
    }

    /// Its name: 8 hexadecimal digits that tell it from other keys and nothing else about it.
    pub fn id(&self) -> String {
        let tag = hmac::tag(b"tillwatch key id", &[self.secret.expose_secret().as_bytes()]);
        hex::encode(&tag[..4])
    }

    /// Whether it is live at that time. A blank one never is: it would make every signature forgeable.
    pub fn is_live(&self, now: Timestamp) -> bool {
        !self.secret.expose_secret().trim().is_empty() && self.until.is_none_or(|until| now < until)
    }

    /// The key as text, for signing and for a URL that is given out.
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// What proved a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The name of the secret; see [`Key::id`].
    pub key: String,
    /// Where it stands among the live ones, the newest being 0.
    pub position: usize,
    /// Whether it is the connection's own and not one of the provider's, which all its connections share.
    pub own: bool,
}

/// Settings that can't verify anything. Ours to mend, so requests are answered 503 and the provider retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No signing key, or only blank ones.
    #[error("no signing key is configured: put one into `signing_keys`")]
    NoKey,
    /// No secret for the URL, or only ones that could be guessed.
    #[error("no secret for the URL is configured: put one of 16 characters or more into `url_keys`")]
    NoUrlKey,
    /// No word for the provider's question whether the URL is ours.
    #[error("no verify token is configured: put one into `verify_tokens`")]
    NoVerifyToken,
    /// The provider signs its notification URL, and it is not configured.
    #[error(
        "no notification URL is configured: put it into `notification_url`, exactly as the provider knows it"
    )]
    NoUrl,
}

impl Settings {
    /// Settings with these signing keys, newest first.
    pub fn with_keys(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { signing_keys: keys.into_iter().map(Key::new).collect(), ..Self::default() }
    }

    /// Settings with these secrets of URLs, newest first.
    pub fn with_url_keys(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { url_keys: keys.into_iter().map(Key::new).collect(), ..Self::default() }
    }

    /// The same with a notification URL.
    #[must_use]
    pub fn with_url(self, url: impl Into<String>) -> Self {
        Self { notification_url: Some(url.into()), ..self }
    }

    /// The same with another tolerance for signed times, in seconds.
    #[must_use]
    pub fn with_tolerance(self, seconds: u32) -> Self {
        Self { tolerance_seconds: Some(seconds), ..self }
    }

    /// The provider's settings for one connection: its own keys before the provider's, and whatever else it says instead
    /// of what the provider's say.
    #[must_use]
    pub fn of_connection(&self, own: &Self) -> Self {
        let its_own = |key: &Key| Key { own: true, ..key.clone() };
        let merged =
            |own: &[Key], shared: &[Key]| own.iter().map(its_own).chain(shared.iter().cloned()).collect();
        let mut named_keys = self.named_keys.clone();
        named_keys.extend(own.named_keys.iter().map(|(name, key)| (name.clone(), its_own(key))));
        Self {
            signing_keys: merged(&own.signing_keys, &self.signing_keys),
            named_keys,
            url_keys: merged(&own.url_keys, &self.url_keys),
            verify_tokens: merged(&own.verify_tokens, &self.verify_tokens),
            notification_url: own.notification_url.clone().or_else(|| self.notification_url.clone()),
            tolerance_seconds: own.tolerance_seconds.or(self.tolerance_seconds),
            allowed_addresses: if own.allowed_addresses.is_empty() {
                self.allowed_addresses.clone()
            } else {
                own.allowed_addresses.clone()
            },
            fingerprints: self.fingerprints.clone(),
        }
    }

    /// The live signing keys, newest first.
    pub fn live_keys(&self, now: Timestamp) -> Result<Live<'_>, SettingsError> {
        Live::of(&self.signing_keys, now).ok_or(SettingsError::NoKey)
    }

    /// The signing key of that name, if there is one and it is live.
    pub fn live_named_key(&self, name: &str, now: Timestamp) -> Option<Live<'_>> {
        Live::of(std::slice::from_ref(self.named_keys.get(name)?), now)
    }

    /// Which live secret of the URL the request's fingerprint is of. `fingerprint` is what
    /// [`crate::Headers::only`] gives for [`crate::request::FINGERPRINT`].
    pub fn open_secret(&self, fingerprint: Result<&str, Cause>, now: Timestamp) -> Result<Proof, Failure> {
        let live = self.live_url_keys(now)?;
        let fingerprint = fingerprint.map_err(|cause| match cause {
            Cause::MissingSignature => Cause::MissingSecret,
            other => other,
        })?;
        let is_of = |key: &&Key| self.fingerprints.is_of(fingerprint, key.expose());
        let position = live.0.iter().position(is_of).ok_or(Cause::WrongSecret)?;
        Ok(live.proof(position))
    }

    /// The live secrets of the URL that can't be guessed, newest first.
    pub fn live_url_keys(&self, now: Timestamp) -> Result<Live<'_>, SettingsError> {
        let mut live = Live::of(&self.url_keys, now).ok_or(SettingsError::NoUrlKey)?;
        live.0.retain(|key| key.expose().len() >= SHORTEST_URL_KEY);
        if live.0.is_empty() { Err(SettingsError::NoUrlKey) } else { Ok(live) }
    }

    /// The live words for the question whether a URL is ours, newest first.
    pub fn live_verify_tokens(&self, now: Timestamp) -> Result<Live<'_>, SettingsError> {
        Live::of(&self.verify_tokens, now).ok_or(SettingsError::NoVerifyToken)
    }

    /// The configured notification URL.
    pub fn url(&self) -> Result<&str, SettingsError> {
        self.notification_url.as_deref().filter(|url| !url.is_empty()).ok_or(SettingsError::NoUrl)
    }

    /// Seconds that a signed time may differ from ours.
    pub(crate) fn tolerance_seconds(&self) -> u32 {
        self.tolerance_seconds.unwrap_or(TOLERANCE_SECONDS)
    }
}

/// Live secrets of one kind, newest first; at least one.
#[derive(Debug)]
pub struct Live<'a>(Vec<&'a Key>);

impl<'a> Live<'a> {
    fn of(keys: &'a [Key], now: Timestamp) -> Option<Self> {
        let live: Vec<_> = keys.iter().filter(|key| key.is_live(now)).collect();
        (!live.is_empty()).then_some(Self(live))
    }

    /// The newest as text.
    pub fn newest(&self) -> &'a str {
        self.0[0].expose()
    }

    /// Whether any is the connection's own; see [`Proof::own`].
    pub(crate) fn has_own(&self) -> bool {
        self.0.iter().any(|key| key.own)
    }

    /// Which of them this is true of, if of any.
    pub fn proved_by(&self, matches: impl Fn(&[u8]) -> bool) -> Option<Proof> {
        let position = self.0.iter().position(|key| matches(key.expose().as_bytes()))?;
        Some(self.proof(position))
    }

    fn proof(&self, position: usize) -> Proof {
        let key = self.0[position];
        Proof { key: key.id(), position, own: key.own }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("until", &self.until).finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("signing_keys", &self.signing_keys.len())
            .field("named_keys", &self.named_keys.len())
            .field("url_keys", &self.url_keys.len())
            .field("verify_tokens", &self.verify_tokens.len())
            .field("notification_url", &self.notification_url)
            .field("tolerance_seconds", &self.tolerance_seconds())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn blank_keys_are_no_keys_and_short_ones_are_none_for_a_url() {
        assert_eq!(Settings::with_keys(["", "  "]).live_keys(at(0)).unwrap_err(), SettingsError::NoKey);
        assert_eq!(Settings::with_keys(["", "k"]).live_keys(at(0)).unwrap().newest(), "k");
        let short = Settings::with_url_keys(["123456789012345"]);
        assert_eq!(short.live_url_keys(at(0)).unwrap_err(), SettingsError::NoUrlKey);
    }

    #[test]
    fn a_key_is_written_alone_or_with_its_end_and_is_live_until_then() {
        let text = r#"{"signing_keys":["new",{"key":"old","until":"1970-01-01T00:01:40Z"}]}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        let live = |second| settings.live_keys(at(second)).unwrap().0.len();
        assert_eq!((live(99), live(100)), (2, 1));
        assert_eq!(serde_json::to_string(&settings).unwrap(), text);
    }

    #[test]
    fn a_connections_keys_come_first_and_are_known_as_its_own() {
        let provider = Settings::with_keys(["shared"]).with_url("https://a").with_tolerance(9);
        let merged = provider.of_connection(&Settings::with_keys(["own"]));
        let proof = |secret: &[u8]| merged.live_keys(at(0)).unwrap().proved_by(|key| key == secret).unwrap();
        assert!(proof(b"own").own && proof(b"own").position == 0);
        assert!(!proof(b"shared").own && proof(b"shared").position == 1);
        assert!(merged.live_keys(at(0)).unwrap().has_own() && !provider.live_keys(at(0)).unwrap().has_own());
        assert_eq!((merged.url().unwrap(), merged.tolerance_seconds()), ("https://a", 9));
    }

    #[test]
    fn a_named_key_is_found_by_its_name_alone_and_a_connections_own_comes_before_the_providers() {
        let named = |text: &str| serde_json::from_str::<Settings>(text).unwrap();
        let provider =
            named(r#"{"named_keys":{"a":"shared a","b":{"key":"shared b","until":"1970-01-01T00:01:40Z"}}}"#);
        let merged = provider.of_connection(&named(r#"{"named_keys":{"a":"own a"}}"#));
        let key = |name, second| merged.live_named_key(name, at(second)).map(|live| live.newest().to_owned());
        assert_eq!(key("a", 0).as_deref(), Some("own a"));
        assert_eq!((key("b", 99).as_deref(), key("b", 100), key("c", 0)), (Some("shared b"), None, None));
        let proof = |name| merged.live_named_key(name, at(0)).unwrap().proved_by(|_| true).unwrap();
        assert!(proof("a").own && !proof("b").own);
    }

    #[test]
    fn an_open_secret_is_known_by_its_fingerprint() {
        let settings = Settings::with_url_keys(["a secret of a URL", "its predecessor's"]);
        let known = |secret: &str| settings.open_secret(Ok(&settings.fingerprints.of(secret)), at(0));
        assert_eq!(known("its predecessor's").unwrap().position, 1);
        assert_eq!(known("a secret of a URl"), Err(Cause::WrongSecret.into()));
        let missing = settings.open_secret(Err(Cause::MissingSignature), at(0));
        assert_eq!(missing, Err(Cause::MissingSecret.into()));
    }

    #[test]
    fn debug_output_shows_no_key() {
        let mut settings = Settings::with_keys(["hunter2"]);
        settings.named_keys.insert("a".to_owned(), Key::new("hunter2"));
        let text = format!("{settings:?} {:?}", settings.signing_keys);
        assert!(!text.contains("hunter2"), "{text}");
    }
}
