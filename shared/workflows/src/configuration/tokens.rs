//! A connection's tokens: sealed together with what configurations said of those that were refreshed since, and beside them
//! how their refreshing stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tillwatch_domain::token::Token;
use tillwatch_platform::connections::SealedTokens;
use tillwatch_platform::vault::VaultError;

use super::store::{Configurator, Unconfigured};

/// What a connection's tokens are sealed for.
fn tokens_for(connection: &str) -> String {
    format!("token {connection}")
}

/// What comes before a token's name where it says what a configuration said.
const SAID: &str = "said:";

/// What a provider calls the token that calls are made with, and the one that it is refreshed with.
pub const ACCESS: &str = "access_token";
/// What a provider calls the token that it is refreshed with.
pub const REFRESH: &str = "refresh_token";

/// Tokens by name.
pub type Tokens = BTreeMap<String, SecretString>;

/// A connection's tokens, opened: not to be kept.
#[derive(Debug, Clone, Default)]
pub struct OpenedTokens {
    /// The tokens.
    pub tokens: Tokens,
    /// How their refreshing stands; none, if nobody has refreshed them.
    pub state: Option<Token>,
    /// Of tokens that were refreshed, digests of what a configuration said: the file that says it still has not changed.
    said: BTreeMap<String, SecretString>,
    /// As they were sealed.
    pub(super) kept: SealedTokens,
}

impl OpenedTokens {
    /// Of what a configuration says, that which is new: neither what there is, nor what it said before a refresh.
    pub(super) fn new_of(&self, said: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let is_known = |name: &String, value: &String| {
            let is = |kept: Option<&SecretString>, value: &str| {
                kept.is_some_and(|kept| kept.expose_secret() == value)
            };
            is(self.tokens.get(name), value) || is(self.said.get(name), &digest(value))
        };
        let new = said.iter().filter(|(name, value)| !is_known(name, value));
        new.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Takes over what a configuration says anew. How their refreshing stood says nothing of others than those that were
    /// refreshed, and all of these.
    pub(super) fn say(&mut self, new: &BTreeMap<String, String>) {
        for (name, value) in new {
            self.tokens.insert(name.clone(), value.clone().into());
            self.said.remove(name);
        }
        let refreshed_with: &[&str] =
            if self.tokens.contains_key(REFRESH) { &[REFRESH] } else { &[ACCESS, "api_key"] };
        if refreshed_with.iter().any(|name| new.contains_key(*name)) {
            self.state = None;
        }
    }

    /// Those that are refreshed, and that they are refreshed with.
    pub fn refreshed(&self) -> Tokens {
        let is_one = |(name, _): &(&String, &SecretString)| [ACCESS, REFRESH].contains(&name.as_str());
        self.tokens.iter().filter(is_one).map(|(name, token)| (name.clone(), token.clone())).collect()
    }

    /// Takes over tokens that a provider gave in the place of these.
    pub fn refresh(&mut self, fresh: Tokens) {
        for (name, token) in fresh {
            if let Some(before) = self.tokens.insert(name.clone(), token)
                && !self.said.contains_key(&name)
            {
                self.said.insert(name, digest(before.expose_secret()).into());
            }
        }
    }

    /// Takes over tokens that a provider gave to somebody who signed in anew: what they are refreshed with is theirs alone.
    pub fn sign_in(&mut self, fresh: Tokens) {
        if !fresh.contains_key(REFRESH)
            && let Some(before) = self.tokens.remove(REFRESH)
        {
            self.said.entry(REFRESH.to_owned()).or_insert_with(|| digest(before.expose_secret()).into());
        }
        self.refresh(fresh);
    }

    /// As they are sealed.
    pub(super) fn sealed(&self) -> Option<&str> {
        self.kept.sealed.as_deref()
    }
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

impl Configurator {
    /// A connection's tokens, opened, as they are now.
    pub async fn tokens(&self, id: &str, now: Timestamp) -> Result<OpenedTokens, Unconfigured> {
        let kept = self.connections.sealed_tokens(id).await?;
        let Some(sealed) = &kept.sealed else { return Ok(OpenedTokens { kept, ..OpenedTokens::default() }) };
        let opened = self.open_tokens(id, sealed, now).await?;
        let state = kept.state.as_deref().and_then(|state| serde_json::from_str(state).ok());
        Ok(OpenedTokens { state, kept, ..opened })
    }

    /// Opens what was sealed of a connection's tokens.
    pub async fn open_tokens(
        &self,
        id: &str,
        sealed: &str,
        now: Timestamp,
    ) -> Result<OpenedTokens, Unconfigured> {
        let text = self.token_vault.open_sealed(&tokens_for(id), sealed, now).await?;
        let all: Tokens = serde_json::from_str(text.expose_secret()).map_err(|_| VaultError::Damaged)?;
        let (mut tokens, mut said) = (Tokens::new(), BTreeMap::new());
        for (name, token) in all {
            match name.strip_prefix(SAID) {
                Some(name) => said.insert(name.to_owned(), token),
                None => tokens.insert(name, token),
            };
        }
        Ok(OpenedTokens { tokens, said, ..OpenedTokens::default() })
    }

    /// Seals tokens for a connection.
    pub async fn seal_tokens(
        &self,
        id: &str,
        tokens: &OpenedTokens,
        now: Timestamp,
    ) -> Result<String, Unconfigured> {
        let plain: BTreeMap<_, _> = tokens
            .tokens
            .iter()
            .map(|(name, token)| (name.clone(), token.expose_secret()))
            .chain(tokens.said.iter().map(|(name, said)| (format!("{SAID}{name}"), said.expose_secret())))
            .collect();
        let plain = serde_json::to_string(&plain).unwrap_or_default();
        let ring = match self.token_vault.fresh_ring(now).await {
            Ok(ring) => ring,
            Err(error) => {
                // What is known of the ring will do: new tokens must not be lost because it can't be read now.
                tracing::warn!(%error, "the vault's ring can't be read anew");
                self.token_vault.ring()
            }
        };
        Ok(ring.seal(&tokens_for(id), &plain.into()))
    }

    /// What is kept of tokens that can't be opened, to be written over.
    pub(super) async fn unopened_tokens(&self, id: &str) -> Result<OpenedTokens, Unconfigured> {
        let kept = self.connections.sealed_tokens(id).await?;
        Ok(OpenedTokens { kept, ..OpenedTokens::default() })
    }

    /// Writes tokens, and how their refreshing stands, over what was read; `Contended` if somebody else has written them
    /// since.
    pub async fn put_tokens(
        &self,
        id: &str,
        tokens: &OpenedTokens,
        now: Timestamp,
    ) -> Result<OpenedTokens, Unconfigured> {
        let sealed = self.seal_tokens(id, tokens, now).await?;
        let sealed = (!tokens.tokens.is_empty()).then_some(sealed);
        let state = tokens.state.as_ref().and_then(|state| serde_json::to_string(state).ok());
        let new = (sealed.as_deref(), state.as_deref());
        let kept = self.connections.put_sealed_tokens(id, new, &tokens.kept).await?;
        let kept = kept.ok_or(Unconfigured::Contended)?;
        Ok(OpenedTokens { kept, ..tokens.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_file_that_still_says_what_was_refreshed_since_says_nothing_new() {
        let mut tokens = OpenedTokens::default();
        tokens.say(&said(&[("access_token", "a0"), ("refresh_token", "r0")]));
        for generation in 1..4 {
            let name = |name: &str| (name.to_owned(), SecretString::from(format!("{name}{generation}")));
            tokens.refresh([name("access_token"), name("refresh_token")].into());
            assert_eq!(tokens.new_of(&said(&[("access_token", "a0"), ("refresh_token", "r0")])), said(&[]));
        }
        // What was signed in for anew is new, and then the old is new again: somebody has put it back.
        let new = said(&[("refresh_token", "r9")]);
        assert_eq!(tokens.new_of(&new), new);
        tokens.say(&new);
        assert_eq!(tokens.new_of(&new), said(&[]));
        assert_eq!(tokens.new_of(&said(&[("refresh_token", "r0")])), said(&[("refresh_token", "r0")]));
    }

    #[test]
    fn who_signs_in_anew_leaves_nothing_of_the_old_tokens_and_the_file_that_says_them_puts_none_back() {
        let old = said(&[("access_token", "a0"), ("refresh_token", "r0"), ("api_key", "k")]);
        let mut tokens = OpenedTokens::default();
        tokens.say(&old);
        tokens.sign_in([(ACCESS.to_owned(), SecretString::from("a1"))].into());
        assert_eq!(tokens.tokens.keys().collect::<Vec<_>>(), ["access_token", "api_key"]);
        assert_eq!(tokens.new_of(&old), said(&[]));
        tokens.sign_in([(REFRESH.to_owned(), SecretString::from("r2"))].into());
        assert_eq!(tokens.new_of(&old), said(&[]));
        assert_eq!(tokens.tokens[REFRESH].expose_secret(), "r2");
    }
}
