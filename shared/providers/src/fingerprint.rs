//! Fingerprints of secrets that a provider sends open, in a URL or a header: what is kept and compared in their stead.
//!
//! A fingerprint is HMAC-SHA256 under a key of our own, shortened to 16 bytes, so that whoever reads what is kept can
//! neither use the secret nor try guesses at it. It names its key, so that it is still compared rightly when the key
//! has been rotated.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretBox};
use subtle::ConstantTimeEq;

use crate::hmac;

/// The keys that fingerprints are made with, the newest first.
#[derive(Clone)]
pub struct Fingerprints(Arc<[(String, SecretBox<[u8; 32]>)]>);

impl Fingerprints {
    /// These keys by name, the newest first.
    pub fn new(keys: impl IntoIterator<Item = (String, [u8; 32])>) -> Self {
        Self(keys.into_iter().map(|(name, key)| (name, SecretBox::new(Box::new(key)))).collect())
    }

    /// The fingerprint of a secret: `<key's name>:<32 hexadecimal digits>`.
    pub fn of(&self, secret: &str) -> String {
        self.0.first().map(|(name, key)| made(name, key.expose_secret(), secret)).unwrap_or_default()
    }

    /// Whether the fingerprint is of that secret.
    pub(crate) fn is_of(&self, fingerprint: &str, secret: &str) -> bool {
        let name = fingerprint.rsplit_once(':').map_or("", |(name, _)| name);
        let key = self.0.iter().find(|(known, _)| known == name);
        key.is_some_and(|(name, key)| {
            let other = made(name, key.expose_secret(), secret);
            bool::from(other.as_bytes().ct_eq(fingerprint.as_bytes()))
        })
    }
}

fn made(name: &str, key: &[u8; 32], secret: &str) -> String {
    let tag = hmac::tag(key, &[b"tillwatch open secret\0", secret.as_bytes()]);
    format!("{name}:{}", hex::encode(&tag[..16]))
}

/// For trying things out and for tests: one key that everyone knows.
impl Default for Fingerprints {
    fn default() -> Self {
        Self::new([("none".to_owned(), [0; 32])])
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_one_secret_under_one_key_and_outlives_the_keys_rotation() {
        let old = Fingerprints::new([("k1".to_owned(), [1; 32])]);
        let both = Fingerprints::new([("k2".to_owned(), [2; 32]), ("k1".to_owned(), [1; 32])]);
        let kept = old.of("secret");
        assert!(kept.starts_with("k1:") && !kept.contains("secret"));
        assert!(both.is_of(&kept, "secret") && !both.is_of(&kept, "secreT"));
        assert!(both.of("secret").starts_with("k2:"));
        let other = Fingerprints::new([("k1".to_owned(), [3; 32])]);
        assert!(!other.is_of(&kept, "secret"));
        for broken in ["", "k1", "k1:", ":", "k3:00"] {
            assert!(!both.is_of(broken, "secret"), "{broken}");
        }
    }
}
