//! A provider's settings: the secret's JSON object, in Secrets Manager or in the local file.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Seconds that a signed time may differ from ours, in both directions, unless the settings say otherwise. Stripe's
/// own libraries use the same.
const TOLERANCE_SECONDS: u32 = 300;

/// What verification needs to know. Debug output shows no key.
#[derive(Clone, Default, Deserialize)]
pub struct Settings {
    /// Live signing keys, the newest first. All are tried, so that a rotation needs no pause.
    #[serde(default)]
    signing_keys: Vec<SecretString>,
    /// The URL as the provider knows it, byte for byte. Square signs it.
    #[serde(default)]
    notification_url: Option<String>,
    /// Seconds that a signed time may differ from ours.
    #[serde(default)]
    tolerance_seconds: Option<u32>,
}

/// Settings that can't verify anything. Ours to mend, so requests are answered 503 and the provider retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No signing key, or only blank ones.
    #[error("no signing key is configured: put one into `signing_keys`")]
    NoKey,
    /// The provider signs its notification URL, and it is not configured.
    #[error(
        "no notification URL is configured: put it into `notification_url`, exactly as the provider knows it"
    )]
    NoUrl,
}

impl Settings {
    /// Settings with these keys, newest first.
    pub fn with_keys(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { signing_keys: keys.into_iter().map(|key| key.into().into()).collect(), ..Self::default() }
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

    /// The keys, newest first, blank ones left out: a blank key would make every signature forgeable.
    pub(crate) fn keys(&self) -> Result<Vec<&[u8]>, SettingsError> {
        let keys: Vec<_> = self
            .signing_keys
            .iter()
            .map(|key| key.expose_secret().as_bytes())
            .filter(|key| !key.trim_ascii().is_empty())
            .collect();
        if keys.is_empty() { Err(SettingsError::NoKey) } else { Ok(keys) }
    }

    /// The configured notification URL.
    pub(crate) fn url(&self) -> Result<&str, SettingsError> {
        self.notification_url.as_deref().filter(|url| !url.is_empty()).ok_or(SettingsError::NoUrl)
    }

    /// Seconds that a signed time may differ from ours.
    pub(crate) fn tolerance_seconds(&self) -> u32 {
        self.tolerance_seconds.unwrap_or(TOLERANCE_SECONDS)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("signing_keys", &self.signing_keys.len())
            .field("notification_url", &self.notification_url)
            .field("tolerance_seconds", &self.tolerance_seconds())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_keys_are_no_keys() {
        assert_eq!(Settings::with_keys(["", "  "]).keys(), Err(SettingsError::NoKey));
        assert_eq!(Settings::with_keys(["", "k"]).keys(), Ok(vec![b"k".as_slice()]));
    }

    #[test]
    fn debug_output_shows_no_key() {
        let text = format!("{:?}", Settings::with_keys(["hunter2"]));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
