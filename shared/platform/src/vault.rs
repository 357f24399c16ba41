//! The vault: what seals a connection's secrets and tokens, so that who reads the table reads none of them.
//!
//! A sealed text is `<key's name>:<base64 of nonce and ciphertext>`, by XChaCha20-Poly1305 with a random nonce, and bound to
//! what it is of (a connection's id and a purpose): moved to another connection it does not open. The key ring is a
//! secret of its own, a JSON object `{"current": "k1", "k1": "64 random characters"}`. The current key seals, all of them
//! open; what an older one sealed is sealed anew when it is written next, or by `tillwatch vault reseal`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::entropy;
use crate::secrets::{Secrets, SecretsError};
use crate::table::Written;

const NONCE: usize = 24;
/// A key's text that is shorter could be guessed.
const SHORTEST: usize = 32;
/// How long a ring is used without being read again when it does not know a key.
const FRESH: Duration = Duration::from_secs(10);

/// Why the vault could not do it. Ours to mend. Never shows what was sealed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// The secret store.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// There is no ring.
    #[error(
        "there is no vault key: the secret {0} is missing or empty. `tillwatch vault new-ring` makes one"
    )]
    NoRing(String),
    /// There is something else.
    #[error(
        "the vault's key ring {0} is not usable: it must be a JSON object such as {{\"current\": \"k1\", \"k1\": \"at least 32 random characters\"}}"
    )]
    BadRing(String),
    /// The key that sealed it is not on the ring any more.
    #[error("it was sealed with the key `{0}`, which is not on the ring")]
    UnknownKey(String),
    /// It was altered, moved from elsewhere, or is nothing that the vault sealed.
    #[error("it does not open: it was altered, or sealed for something else")]
    Damaged,
}

/// The keys of one vault, the current one first.
#[derive(Clone)]
pub struct KeyRing(Vec<(String, SecretString)>);

impl KeyRing {
    /// A ring from its secret's text; `name` is for errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, VaultError> {
        let bad = || VaultError::BadRing(name.to_owned());
        let mut keys: std::collections::BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|_| bad())?;
        let current = keys.remove("current").ok_or_else(bad)?;
        let first = keys.remove(&current).ok_or_else(bad)?;
        let all: Vec<_> = std::iter::once((current, first)).chain(keys).collect();
        let fits = |(name, text): &(String, String)| text.len() >= SHORTEST && !name.contains(':');
        if !all.iter().all(fits) {
            return Err(bad());
        }
        Ok(Self(all.into_iter().map(|(name, text)| (name, text.into())).collect()))
    }

    /// The text of a new ring with one random key.
    pub fn generate() -> String {
        serde_json::json!({"current": "k1", "k1": hex::encode(entropy::bytes::<32>())}).to_string()
    }

    /// The same ring's text with a new key that is the current one from now on.
    pub fn rotated(name: &str, text: &str) -> Result<String, VaultError> {
        let ring = Self::parse(name, text)?;
        let numbers = ring.0.iter().filter_map(|(name, _)| name.strip_prefix('k')?.parse::<u32>().ok());
        let new = format!("k{}", numbers.max().unwrap_or(0) + 1);
        let mut keys: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|_| VaultError::BadRing(name.to_owned()))?;
        keys.insert(new.clone(), hex::encode(entropy::bytes::<32>()).into());
        keys.insert("current".to_owned(), new.into());
        Ok(serde_json::Value::Object(keys).to_string())
    }

    fn derived(text: &SecretString, purpose: &str) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(text.expose_secret().as_bytes());
        let mut mac = mac.expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Keys for fingerprints of open secrets, by name, the current one first. Others than those that seal.
    pub fn fingerprint_keys(&self) -> Vec<(String, [u8; 32])> {
        let derived = |text| Self::derived(text, "tillwatch fingerprints, version 1");
        self.0.iter().map(|(name, text)| (name.clone(), derived(text))).collect()
    }

    fn cipher(text: &SecretString) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Self::derived(text, "tillwatch vault, version 1").into())
    }

    /// Seals a text for `of`, which it opens for alone.
    pub fn seal(&self, of: &str, plain: &SecretString) -> String {
        let (name, text) = &self.0[0];
        let nonce = entropy::bytes::<NONCE>();
        let payload = Payload { msg: plain.expose_secret().as_bytes(), aad: of.as_bytes() };
        let sealed = Self::cipher(text)
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a secret is far shorter than what the cipher takes");
        format!("{name}:{}", BASE64_STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what was sealed for `of`.
    pub fn open(&self, of: &str, sealed: &str) -> Result<SecretString, VaultError> {
        let (name, data) = sealed.split_once(':').ok_or(VaultError::Damaged)?;
        let key = self.0.iter().find(|(known, _)| known == name);
        let (_, text) = key.ok_or_else(|| VaultError::UnknownKey(name.to_owned()))?;
        let data = BASE64_STANDARD.decode(data).map_err(|_| VaultError::Damaged)?;
        let (nonce, data) = data.split_first_chunk::<NONCE>().ok_or(VaultError::Damaged)?;
        let payload = Payload { msg: data, aad: of.as_bytes() };
        let plain = Self::cipher(text).decrypt(&XNonce::from(*nonce), payload);
        let plain = plain.ok().and_then(|plain| String::from_utf8(plain).ok());
        plain.map(SecretString::from).ok_or(VaultError::Damaged)
    }

    /// Whether the current key sealed it.
    pub fn is_current(&self, sealed: &str) -> bool {
        sealed.split_once(':').is_some_and(|(name, _)| name == self.0[0].0)
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A vault whose ring is in the secret store.
pub struct Vault {
    secrets: Arc<dyn Secrets>,
    name: String,
    ring: Mutex<(Arc<KeyRing>, Timestamp)>,
}

impl Vault {
    /// Opens the vault whose ring is the secret of this name. Without a ring nothing starts.
    pub async fn open(secrets: Arc<dyn Secrets>, name: String, now: Timestamp) -> Result<Self, VaultError> {
        let ring = Self::read(&*secrets, &name).await?;
        Ok(Self { secrets, name, ring: Mutex::new((Arc::new(ring), now)) })
    }

    async fn read(secrets: &dyn Secrets, name: &str) -> Result<KeyRing, VaultError> {
        let secret = secrets.read(name).await?;
        let secret = secret.ok_or_else(|| VaultError::NoRing(name.to_owned()))?;
        KeyRing::parse(name, secret.expose_secret())
    }

    fn known(&self) -> (Arc<KeyRing>, Timestamp) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The ring as it was read last.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.known().0
    }

    /// The ring, read anew: before sealing, so that a key that was rotated out is not used.
    pub async fn fresh_ring(&self, now: Timestamp) -> Result<Arc<KeyRing>, VaultError> {
        let (ring, at) = self.known();
        if now.duration_since(at).unsigned_abs() < FRESH {
            return Ok(ring);
        }
        self.ring_now(now).await
    }

    /// The ring as it is at this moment: for who must know that an older key seals nothing any more.
    pub async fn ring_now(&self, now: Timestamp) -> Result<Arc<KeyRing>, VaultError> {
        let ring = Arc::new(Self::read(&*self.secrets, &self.name).await?);
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = (Arc::clone(&ring), now);
        Ok(ring)
    }

    /// Puts a new key on the ring, with which everything is sealed from now on; its name.
    pub async fn rotate(&self, now: Timestamp) -> Result<String, VaultError> {
        loop {
            let read = self.secrets.read(&self.name).await?;
            let read = read.ok_or_else(|| VaultError::NoRing(self.name.clone()))?;
            let text = KeyRing::rotated(&self.name, read.expose_secret())?;
            let ring = KeyRing::parse(&self.name, &text)?;
            let name = ring.0[0].0.clone();
            // Two at once would make two keys of one name, and lose what the first has sealed.
            if self.secrets.write(&self.name, &text.into(), Some(&read)).await? == Written::Yes {
                *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = (Arc::new(ring), now);
                return Ok(name);
            }
        }
    }

    /// Opens what was sealed for `of`. A key that the ring does not know has it read again, now and then.
    pub async fn open_sealed(
        &self,
        of: &str,
        sealed: &str,
        now: Timestamp,
    ) -> Result<SecretString, VaultError> {
        match self.ring().open(of, sealed) {
            Err(VaultError::UnknownKey(_)) => self.fresh_ring(now).await?.open(of, sealed),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(text: &str) -> KeyRing {
        KeyRing::parse("ring", text).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_what_it_was_sealed_for_and_nothing_else() {
        let ring = ring(&KeyRing::generate());
        let sealed = ring.seal("harbour-square webhook", &"s3cret".to_owned().into());
        assert!(!sealed.contains("s3cret"));
        assert_ne!(sealed, ring.seal("harbour-square webhook", &"s3cret".to_owned().into()));
        assert_eq!(ring.open("harbour-square webhook", &sealed).unwrap().expose_secret(), "s3cret");
        assert!(matches!(ring.open("bondi-square webhook", &sealed), Err(VaultError::Damaged)));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(ring.open("harbour-square webhook", &damaged).is_err(), "{at}");
        }
    }

    #[test]
    fn after_a_rotation_the_old_key_opens_and_the_new_one_seals() {
        let first = KeyRing::generate();
        let old = ring(&first).seal("c", &"s".to_owned().into());
        let rotated = KeyRing::rotated("ring", &first).unwrap();
        let both = ring(&rotated);
        assert_eq!(both.open("c", &old).unwrap().expose_secret(), "s");
        let new = both.seal("c", &"s".to_owned().into());
        assert!(new.starts_with("k2:") && both.is_current(&new) && !both.is_current(&old));
        assert!(matches!(ring(&first).open("c", &new), Err(VaultError::UnknownKey(_))));
        assert!(KeyRing::rotated("ring", &rotated).unwrap().contains("k3"));
    }

    #[test]
    fn a_ring_without_a_usable_current_key_is_refused_and_shown_to_nobody() {
        for text in ["", "[]", "{}", r#"{"current":"k1"}"#, r#"{"current":"k1","k1":"short"}"#] {
            let error = KeyRing::parse("ring", text).unwrap_err().to_string();
            assert!(error.contains("ring") && !error.contains("short\""), "{error}");
        }
        let text = KeyRing::generate();
        let key = ring(&text);
        assert_eq!(format!("{key:?}"), r#"["k1"]"#);
    }
}
