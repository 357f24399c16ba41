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

use crate::{Failure, Request, Settings, SettingsError, named};

/// How each provider's webhooks are signed, by the name that vectors give it. A provider may sign other things by other
/// schemes (Shopify its install callback and its app proxy): those are no webhooks.
const SCHEMES: &[(&str, &str)] =
    &[("square", "square-hmac-sha256"), ("shopify", "shopify-webhook"), ("stripe", "stripe-v1")];

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
    if !SCHEMES.contains(&(provider.name(), &vector.scheme)) {
        return Verdict::Unknown("scheme");
    }
    let secrets = std::iter::once(&vector.secret).chain(&vector.previous_secrets);
    let mut settings = Settings::with_keys(secrets.map(|secret| secret.expose_secret().to_owned()));
    if let Some(url) = &vector.url {
        settings = settings.with_url(url);
    }
    if let Some(seconds) = vector.tolerance {
        settings = settings.with_tolerance(seconds);
    }
    let headers = vector.headers.iter().map(|(name, value)| (name, value.as_str())).collect();
    let request = Request::new(headers, vector.body.clone().into_bytes());
    match request.check(provider, &settings, Timestamp::from_second(vector.now).unwrap_or_default()) {
        Ok(request) => Verdict::Accepted { key: request.key() },
        Err(unbelieved) => match unbelieved.failure {
            Failure::Rejected(cause) => Verdict::Rejected(cause),
            Failure::Misconfigured(error) => Verdict::Misconfigured(error),
        },
    }
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
            assert!(SCHEMES.iter().any(|(name, _)| *name == provider.name()), "{}", provider.name());
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
}
