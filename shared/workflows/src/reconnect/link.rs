//! A connection's link: made, found and taken back. There is one at a time.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tillwatch_domain::{Connection, State, span};
use tillwatch_platform::connections::{Kind, Stored};
use tillwatch_platform::table::Written;
use tillwatch_providers::checks::{Subject, Unchecked};
use tillwatch_providers::oauth::{self, Asked, Given};

use super::attempt::Attempt;
use super::{Reconnect, ReconnectError, digest, is_secret, secret};
use crate::configuration::CONTENTIONS;

/// How long a link holds, unless told.
pub const USUAL: Duration = Duration::from_hours(24);
/// How long it can: it may be sent by mail, and somebody may be away.
pub const LONGEST: Duration = Duration::from_hours(7 * 24);
/// How long it is kept beyond its end.
const KEPT: Duration = Duration::from_hours(24);

/// Who had a link made: whoever has the token of that mark, as long as that is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The business whose token it was; none: an operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business: Option<String>,
    /// The first digits of the token's digest.
    pub mark: String,
}

impl By {
    /// For the log.
    pub(super) fn name(&self) -> &str {
        self.business.as_deref().unwrap_or("operator")
    }
}

/// A link, as it is kept: nothing in it opens it. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The digest of its secret.
    pub(super) digest: String,
    /// The connection's provider and business when it was made: it is not for another's.
    pub(super) provider: String,
    pub(super) business: String,
    /// Who had it made.
    pub by: By,
    /// Where browsers reach us.
    pub(super) public_url: String,
    /// Until when it holds.
    pub(super) until_ms: i64,
    /// When somebody has signed in by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used_ms: Option<i64>,
    /// The sign-ins that were begun and have not come back, the oldest first.
    #[serde(default)]
    pub(super) attempts: Vec<Attempt>,
}

impl Link {
    /// Where the provider sends people back to.
    pub(super) fn redirect_uri(&self) -> String {
        format!("{}/connect/callback/{}", self.public_url, self.provider)
    }

    /// When it may be deleted, Unix seconds.
    pub(super) fn expires(&self) -> i64 {
        (self.until_ms + span::millis(KEPT)) / 1_000
    }
}

/// A link that holds, and whose it is.
#[derive(Debug, Clone)]
pub struct Found {
    /// The connection.
    pub connection: Connection,
    /// Its link.
    pub link: Link,
    /// The link's revision.
    pub(super) revision: i64,
}

/// A new link.
#[derive(Debug, Clone)]
pub struct Made {
    /// Whoever has it can sign in: told once, and kept nowhere.
    pub url: String,
    /// Until when it holds.
    pub until: Timestamp,
}

impl Reconnect {
    /// Makes a link for a connection, in the place of the one it has. `asked_at` is the address that this was asked at.
    pub async fn make(
        &self,
        connection: &Connection,
        by: By,
        asked_at: Option<&str>,
        lives: Duration,
    ) -> Result<Made, ReconnectError> {
        let Connection { id, provider, business, .. } = connection;
        let public_url = self.public_url.as_deref().or(asked_at);
        let public_url = public_url.filter(|url| is_for_browsers(url)).ok_or_else(|| {
            let why = "It is not known at which `https` address browsers reach Tillwatch: say it in TILLWATCH_PUBLIC_URL.";
            ReconnectError::Refused(why.to_owned())
        })?;
        if connection.state == State::Disabled {
            let why = format!("`{id}` is disabled: enable it first, `tillwatch connections enable {id}`.");
            return Err(ReconnectError::Refused(why));
        }
        let now = self.refresher.clock.now();
        let token = secret();
        let link = Link {
            digest: digest(&token),
            provider: provider.clone(),
            business: business.clone(),
            by,
            public_url: public_url.to_owned(),
            until_ms: now.as_millisecond() + span::millis(lives.min(LONGEST)),
            used_ms: None,
            attempts: Vec::new(),
        };
        self.try_to_begin(connection, &link).await?;
        let connections = &self.refresher.configuration.connections;
        connections.put_linked(&link.digest, id, link.expires()).await?;
        for _ in 0..CONTENTIONS {
            let before = connections.link::<Link>(id).await?;
            let over = before.as_ref().map(|stored| stored.revision);
            if connections.put_link(id, &link, over, link.expires()).await? == Written::No {
                continue;
            }
            if let Some(Stored { document, .. }) = before {
                connections.delete_linked(&document.digest).await?;
            }
            let until = Timestamp::from_millisecond(link.until_ms).unwrap_or(now);
            let (by, mark) = (link.by.name(), &link.by.mark);
            tracing::info!(connection = id, provider, business, by, mark, %until, "a link to sign in was made");
            return Ok(Made { url: format!("{public_url}/connect/{token}"), until });
        }
        Err(ReconnectError::Contended(id.clone()))
    }

    /// That the provider's page and the exchange can be made, so that it is an operator who hears what is missing and not a
    /// merchant.
    async fn try_to_begin(&self, connection: &Connection, link: &Link) -> Result<(), ReconnectError> {
        let provider = connection.provider.as_str();
        let Some(module) = oauth::of(provider) else {
            let why =
                format!("Tokens of {provider} are made by hand there: put a new one into the configuration.");
            return Err(ReconnectError::Refused(why));
        };
        let now = self.refresher.clock.now();
        let shared = self.refresher.credentials.shared(provider, now).await?;
        let own = self.refresher.credentials.own(connection, now).await?;
        let of = Subject { own: &own, shared: &shared };
        let redirect_uri = link.redirect_uri();
        let proof = module.takes_challenge(&of).then_some("-");
        let asked = Asked { state: "-", redirect_uri: &redirect_uri, challenge: proof };
        let given = Given { code: "-", redirect_uri: &redirect_uri, verifier: proof };
        let tried = module.page(&of, &asked).and_then(|_| module.exchange(&of, &given));
        tried.map(|_| ()).map_err(|unset| {
            ReconnectError::Refused(match unset {
                Unchecked::Missing(name) => {
                    format!("`{name}` is missing: put it under `api` into the secret of {provider}.")
                }
                Unchecked::Senseless(name, why) => format!("`{name}` of the connection {why}."),
            })
        })
    }

    /// Takes a connection's link back; whether there was one that held.
    pub async fn revoke(&self, connection: &Connection, by: &By) -> Result<bool, ReconnectError> {
        let Connection { id, provider, business, .. } = connection;
        let connections = &self.refresher.configuration.connections;
        let Some(Stored { document: link, .. }) = connections.link::<Link>(id).await? else {
            return Ok(false);
        };
        connections.delete_link(id).await?;
        connections.delete_linked(&link.digest).await?;
        let (by, mark) = (by.name(), &by.mark);
        tracing::info!(connection = id, provider, business, by, mark, "a link to sign in was taken back");
        Ok(link.used_ms.is_none() && self.refresher.clock.now().as_millisecond() < link.until_ms)
    }

    /// The link of that secret, if it holds. What was used still does, and says so.
    pub async fn opened(&self, token: &str) -> Result<Option<Found>, ReconnectError> {
        if !is_secret(token) {
            return Ok(None);
        }
        self.found(&digest(token)).await
    }

    /// The link of that digest, if it holds.
    pub(super) async fn found(&self, digest: &str) -> Result<Option<Found>, ReconnectError> {
        let connections = &self.refresher.configuration.connections;
        let Some(id) = connections.linked(digest).await? else { return Ok(None) };
        let Some(Stored { document: link, revision }) = connections.link::<Link>(&id).await? else {
            return Ok(None);
        };
        let Some(stored) = connections.document::<Connection>(Kind::Connection, &id).await? else {
            return Ok(None);
        };
        let connection = stored.document;
        let holds = link.digest == digest
            && self.refresher.clock.now().as_millisecond() < link.until_ms
            && connection.provider == link.provider
            && connection.business == link.business
            && connection.state != State::Disabled;
        Ok(holds.then_some(Found { connection, link, revision }))
    }
}

/// Whether browsers keep a cookie that is sent there: by HTTPS, or on this machine.
fn is_for_browsers(url: &str) -> bool {
    let is_here = |rest: &str| {
        let name = rest.split([':', '/']).next().unwrap_or_default();
        ["localhost", "127.0.0.1"].contains(&name)
    };
    url.starts_with("https://") || url.strip_prefix("http://").is_some_and(is_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_for_browsers_if_they_keep_cookies_of_it() {
        for url in ["https://hooks.example.com", "http://localhost:8080", "http://127.0.0.1:8080"] {
            assert!(is_for_browsers(url), "{url}");
        }
        for url in ["http://hooks.example.com", "http://localhost.evil.example", "ftp://localhost", ""] {
            assert!(!is_for_browsers(url), "{url}");
        }
    }
}
