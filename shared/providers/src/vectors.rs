//! Signature vectors: requests whose verdict was decided elsewhere, and the verdict that they get here.
//!
//! The file is a JSON list; see [`Vector`] for an entry. The test suite judges the vectors that official libraries made,
//! and `tillwatch verify --vectors` those of any file.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tillwatch_domain::Cause;

use crate::request::{METHOD, QUERY};
use crate::{Failure, Headers, Key, Request, Settings, SettingsError, named};

/// A request, what it is to be checked with, and the verdict it must get.
#[derive(Clone, Deserialize)]
pub struct Vector {
    /// Its name in the list.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// How it is signed.
    pub scheme: String,
    secret: SecretString,
    #[serde(default)]
    previous_secrets: Vec<SecretString>,
    #[serde(default = "post")]
    method: String,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: String,
    /// The clock to check under, in seconds since 1970. Where no time is signed it does not matter.
    #[serde(default)]
    now: i64,
    tolerance: Option<u32>,
    /// Whether it must be accepted.
    pub valid: bool,
}

/// What was made of a vector. Displayed as `accepted`, `rejected wrong_signature`, `unknown scheme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Believed.
    Accepted {
        /// Which secret signed it: 0 is `secret`, the others are `previous_secrets`.
        key: usize,
    },
    /// Not believed.
    Rejected(Cause),
    /// Not judged: there is no such `provider` or `scheme` here.
    Unknown(&'static str),
    /// Not judged: no secret, or no URL where the provider signs it.
    Misconfigured(SettingsError),
}

impl Verdict {
    /// Whether the request was believed.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { .. } => f.write_str("accepted"),
            Self::Rejected(cause) => write!(f, "rejected {}", cause.name()),
            Self::Unknown(what) => write!(f, "unknown {what}"),
            Self::Misconfigured(_) => f.write_str("rejected misconfigured"),
        }
    }
}

/// Checks a vector's request as if it had arrived.
pub fn judge(vector: &Vector) -> Verdict {
    let Some(provider) = named(&vector.provider) else { return Verdict::Unknown("provider") };
    if !provider.schemes().contains(&vector.scheme.as_str()) {
        return Verdict::Unknown("scheme");
    }
    let secrets = std::iter::once(&vector.secret).chain(&vector.previous_secrets);
    let keys: Vec<_> = secrets.map(|secret| Key::new(secret.expose_secret())).collect();
    let mut settings = Settings {
        signing_keys: keys.clone(),
        url_keys: keys.clone(),
        verify_tokens: keys,
        ..Settings::default()
    };
    if let Some(url) = &vector.url {
        settings = settings.with_url(url);
    }
    if let Some(seconds) = vector.tolerance {
        settings = settings.with_tolerance(seconds);
    }
    let mut headers: Headers = vector.headers.iter().map(|(name, value)| (name, value.as_str())).collect();
    if vector.scheme == crate::twilio::SHARED_KEY {
        let named = crate::twilio::claimed_key(&headers).zip(settings.signing_keys.first().cloned());
        settings.named_keys.extend(named.map(|(name, key)| (name.to_owned(), key)));
    }
    if vector.method != "POST" {
        headers.push(METHOD, vector.method.as_str());
    }
    if let Some((_, query)) = vector.url.as_deref().and_then(|url| url.split_once('?')) {
        headers.push(QUERY, query);
    }
    // The secrets are those of whoever the request is for, not ones that several accounts share.
    let settings = Settings::default().of_connection(&settings);
    let body = vector.body.clone().into_bytes();
    let request = Request::arrived(provider, &headers, body, &settings.fingerprints);
    let now = Timestamp::from_second(vector.now).unwrap_or_default();
    let failure = match provider.handshake(&request, &settings, now) {
        Some(Ok(_)) => return Verdict::Accepted { key: 0 },
        Some(Err(failure)) => failure,
        None => match request.check(provider, &settings, now) {
            Ok(request) => return Verdict::Accepted { key: request.proof().position },
            Err(unbelieved) => unbelieved.failure,
        },
    };
    match failure {
        Failure::Rejected(cause) => Verdict::Rejected(cause),
        Failure::Misconfigured(error) => Verdict::Misconfigured(error),
    }
}

/// A provider's vectors of the test suite.
#[cfg(test)]
pub(crate) fn of(provider: &str) -> Vec<Vector> {
    let all = include_str!("../../../tests/vectors/signatures.json");
    let all: Vec<Vector> = serde_json::from_str(all).unwrap();
    all.into_iter().filter(|vector| vector.provider == provider).collect()
}

fn post() -> String {
    "POST".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(vector: &str) -> String {
        judge(&serde_json::from_str(vector).unwrap()).to_string()
    }

    #[test]
    fn every_provider_has_a_scheme() {
        for provider in crate::ALL {
            assert!(!provider.schemes().is_empty(), "{}", provider.name());
        }
    }

    #[test]
    fn what_is_not_known_here_is_never_accepted() {
        let vector = r#"{"id":"v","provider":"P","scheme":"S","secret":"k","body":"{}","valid":true}"#;
        assert_eq!(judged(vector), "unknown provider");
        assert_eq!(judged(&vector.replace('P', "shopify")), "unknown scheme");
        assert_eq!(judged(&vector.replace('P', "stripe").replace('S', "shopify-webhook")), "unknown scheme");
    }

    #[test]
    fn a_verdict_is_said_in_one_line() {
        let vector = r#"{"id":"v","provider":"square","scheme":"square-hmac-sha256","secret":"k","body":"{}","valid":false}"#;
        assert_eq!(judged(vector), "rejected misconfigured");
        let with_url = vector.replace("\"body\"", "\"url\":\"https://example.com/\",\"body\"");
        assert_eq!(judged(&with_url), "rejected missing_signature");
    }

    #[test]
    fn a_vectors_secrets_are_those_of_the_account_that_it_is_for() {
        let vector = r#"{"id":"v","provider":"zettle","scheme":"zettle-hmac-sha256","secret":"k","headers":{"X-iZettle-Signature":"076d84529ea164dd648319d8d809425f27abb73727523f0aceed0cf425cbb73d"},"body":"{\"organizationUuid\":\"O\",\"timestamp\":\"2021-04-19T13:23:31.378548Z\",\"payload\":\"{}\"}","valid":true}"#;
        assert_eq!(judged(vector), "accepted", "the payload does not say whose it is");
    }
}
