//! One opening of a link: somebody is sent to the provider's page, with a state that comes back, a verifier that stays here,
//! and a cookie that says which browser it was.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tillwatch_domain::span;
use tillwatch_platform::connections::Stored;
use tillwatch_platform::table::Written;
use tillwatch_providers::checks::Subject;
use tillwatch_providers::oauth::{self, Asked, Callback};

use super::link::Link;
use super::{Ending, Found, Reconnect, ReconnectError, digest, fits, is_secret, secret};
use crate::configuration::CONTENTIONS;

/// How long somebody may take at the provider's page.
const LIVES: Duration = Duration::from_hours(1);
/// How many of a link wait to come back: who looks through mail opens links before people do.
const MOST: usize = 5;

/// What is kept of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// The digest of what is secret in its state.
    state: String,
    /// The digest of its cookie.
    browser: String,
    /// The verifier, sealed; none, where there is no PKCE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verifier: Option<String>,
    /// Until when it may come back, Unix milliseconds.
    until_ms: i64,
}

/// An attempt that came back, and will not again.
pub(super) struct Taken {
    /// Its verifier; none, where there is no PKCE.
    pub(super) verifier: Option<SecretString>,
}

/// Where somebody is sent, and the cookie that goes with it.
#[derive(Debug)]
pub struct Begun {
    /// The provider's page.
    pub page: String,
    /// The cookie's name.
    pub cookie: String,
    /// Its value.
    pub browser: String,
    /// How long it is kept.
    pub lives: Duration,
}

/// What comes back, of a link that holds.
#[derive(Debug)]
pub struct Returned {
    /// The link, and whose it is.
    pub found: Found,
    /// What is secret in the state.
    state: String,
}

impl Returned {
    /// The name of the cookie that must come with it.
    pub fn cookie(&self) -> String {
        cookie_of(&self.state)
    }

    /// Whether that is the browser in which it was begun; none, if nothing was.
    pub fn is_of(&self, browser: &str, now_ms: i64) -> Option<bool> {
        let attempt = self.found.link.attempt(&self.state, now_ms)?;
        Some(is_secret(browser) && fits(&attempt.browser, browser))
    }

    pub(super) fn state(&self) -> &str {
        &self.state
    }
}

/// Each attempt has a cookie of its own: two links in one browser must not take each other's.
fn cookie_of(state: &str) -> String {
    format!("__Host-tillwatch-{}", &digest(state)[..8])
}

/// What a verifier is sealed for.
fn sealed_for(connection: &str, state: &str) -> String {
    format!("sign-in {connection} {}", digest(state))
}

impl Link {
    /// The attempt of that state, if it may still come back.
    fn attempt(&self, state: &str, now_ms: i64) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| fits(&attempt.state, state) && now_ms < attempt.until_ms)
    }
}

impl Reconnect {
    /// Begins an attempt.
    pub async fn begin(&self, mut found: Found) -> Result<Result<Begun, Ending>, ReconnectError> {
        let id = found.connection.id.clone();
        let configuration = &self.refresher.configuration;
        for _ in 0..CONTENTIONS {
            let Found { connection, link, revision } = &mut found;
            if link.used_ms.is_some() {
                return Ok(Err(Ending::Used));
            }
            let Some(module) = oauth::of(&connection.provider) else { return Ok(Err(Ending::Ended)) };
            let now = self.refresher.clock.now();
            let (state, browser, verifier) = (secret(), secret(), secret());
            let shared = self.refresher.credentials.shared(&connection.provider, now).await?;
            let own = self.refresher.credentials.own(connection, now).await?;
            let of = Subject { own: &own, shared: &shared };
            let verifier = module.takes_challenge(&of).then_some(verifier);
            let challenge = verifier.as_deref().map(oauth::challenge);
            // The link is found by its digest, which opens nothing.
            let sent = format!("{}.{state}", link.digest);
            let redirect_uri = link.redirect_uri();
            let asked = Asked { state: &sent, redirect_uri: &redirect_uri, challenge: challenge.as_deref() };
            let page = match module.page(&of, &asked) {
                Ok(page) => page,
                Err(unset) => {
                    tracing::error!(connection = id, error = %unset, "nobody can sign in any more");
                    return Ok(Err(Ending::Ours));
                }
            };
            let verifier = match verifier {
                None => None,
                Some(verifier) => {
                    let ring = configuration.token_vault.fresh_ring(now).await?;
                    Some(ring.seal(&sealed_for(&id, &state), &SecretString::from(verifier)))
                }
            };
            let now_ms = now.as_millisecond();
            let until_ms = (now_ms + span::millis(LIVES)).min(link.until_ms);
            link.attempts.retain(|attempt| now_ms < attempt.until_ms);
            while link.attempts.len() >= MOST {
                link.attempts.remove(0);
            }
            let attempt = Attempt { state: digest(&state), browser: digest(&browser), verifier, until_ms };
            link.attempts.push(attempt);
            let put = configuration.connections.put_link(&id, link, Some(*revision), link.expires());
            if put.await? == Written::Yes {
                let lives = Duration::from_millis(u64::try_from(until_ms - now_ms).unwrap_or(0));
                return Ok(Ok(Begun { page, cookie: cookie_of(&state), browser, lives }));
            }
            let digest = found.link.digest.clone();
            let Some(again) = self.found(&digest).await? else { return Ok(Err(Ending::Ended)) };
            found = again;
        }
        Err(ReconnectError::Contended(id))
    }

    /// Of which link that comes back; none, if it is none that holds, or was begun at another provider.
    pub async fn returned(
        &self,
        provider: &str,
        callback: &Callback,
    ) -> Result<Option<Returned>, ReconnectError> {
        let parts = callback.get("state").and_then(|state| state.split_once('.'));
        let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some((digest, state)) = parts.filter(|(digest, state)| is_digest(digest) && is_secret(state))
        else {
            return Ok(None);
        };
        let found = self.found(digest).await?;
        let found = found.filter(|found| found.connection.provider == provider);
        Ok(found.map(|found| Returned { found, state: state.to_owned() }))
    }

    /// Takes an attempt, which comes back once; and with it all others of the link, for one is enough. None, if it was taken
    /// already.
    pub(super) async fn take(
        &self,
        connection: &str,
        link: &Link,
        state: &str,
    ) -> Result<Option<Taken>, ReconnectError> {
        let configuration = &self.refresher.configuration;
        for _ in 0..CONTENTIONS {
            let now = self.refresher.clock.now();
            let stored = configuration.connections.link::<Link>(connection).await?;
            let Some(Stored { document: mut present, revision }) = stored else { return Ok(None) };
            let is_same = present.digest == link.digest && present.used_ms.is_none();
            let attempt = present.attempt(state, now.as_millisecond()).filter(|_| is_same);
            let Some(verifier) = attempt.map(|attempt| attempt.verifier.clone()) else { return Ok(None) };
            present.attempts.clear();
            let expires = present.expires();
            let put = configuration.connections.put_link(connection, &present, Some(revision), expires);
            if put.await? == Written::No {
                continue;
            }
            let verifier = match verifier {
                None => None,
                Some(sealed) => {
                    let of = sealed_for(connection, state);
                    Some(configuration.token_vault.open_sealed(&of, &sealed, now).await?)
                }
            };
            return Ok(Some(Taken { verifier }));
        }
        Err(ReconnectError::Contended(connection.to_owned()))
    }

    /// Says that somebody has signed in by a link: it opens no other attempt.
    pub(super) async fn used(&self, connection: &str, link: &Link) -> Result<(), ReconnectError> {
        let connections = &self.refresher.configuration.connections;
        for _ in 0..CONTENTIONS {
            let stored = connections.link::<Link>(connection).await?;
            let Some(Stored { document: mut present, revision }) = stored else { return Ok(()) };
            if present.digest != link.digest {
                return Ok(());
            }
            present.used_ms = Some(self.refresher.clock.now().as_millisecond());
            present.attempts.clear();
            let put = connections.put_link(connection, &present, Some(revision), present.expires());
            if put.await? == Written::Yes {
                return Ok(());
            }
        }
        Err(ReconnectError::Contended(connection.to_owned()))
    }
}
