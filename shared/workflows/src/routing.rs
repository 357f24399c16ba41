//! Which connection an event belongs to, and whether it may take effect there.
//!
//! The account is signed, or proved by a secret of its own; the place inside it is what the event says. What is read of a
//! connection is used for ten seconds: elsewhere a pause is seen that late at most, and a busy account costs one reading.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tillwatch_domain::connection::{self, UNASSIGNED};
use tillwatch_domain::{Connection, Event, Role, Routed, State};
use tillwatch_platform::connections::{Connections, Kind, Unknown, by_id};
use tillwatch_platform::table::{TableError, Written};
use tillwatch_providers::Provider;
use tokio::sync::Mutex;

/// How long what was read is used.
const KEPT: Duration = Duration::from_secs(10);
/// How many accounts are remembered.
const REMEMBERED: usize = 20_000;

/// Where an event belongs, and what may become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// It takes effect at this connection.
    Takes(String),
    /// It is kept at this connection until a pause is over.
    Holds(String, &'static str),
    /// It is recorded at this connection, which is in shadow.
    Shadows(String),
    /// No connection has its account.
    Unknown,
    /// It was proved with the secret of this connection, and its account is another's, or nobody's.
    AnotherAccount(String),
}

impl Home {
    /// The connection's id.
    pub fn connection(&self) -> Option<&str> {
        match self {
            Self::Takes(id) | Self::Holds(id, _) | Self::Shadows(id) | Self::AnotherAccount(id) => Some(id),
            Self::Unknown => None,
        }
    }
}

/// What is known of connections, and of pauses.
pub struct Routing {
    connections: Connections,
    unknown: Unknown,
    state: Mutex<Known>,
}

/// An account's connections, and when they were read.
type Read = (Arc<Vec<Routed>>, Timestamp);

#[derive(Default)]
struct Known {
    /// By provider and account.
    routes: HashMap<(String, String), Read>,
    pauses: HashMap<String, (bool, Timestamp)>,
    unknown: Option<(Unknown, Timestamp)>,
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).unsigned_abs() < KEPT
}

impl Routing {
    /// The connections of a deployment; `unknown` is what becomes of unknown accounts' events until the table says.
    pub fn new(connections: Connections, unknown: Unknown) -> Self {
        Self { connections, unknown, state: Mutex::default() }
    }

    /// The connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Forgets what was read, for something was changed here.
    pub async fn forget(&self) {
        *self.state.lock().await = Known::default();
    }

    /// Where an event belongs. `proved_by` is the connection whose own secret proved it, if one did. With `anew`, nothing
    /// that was read before is used: who sends a held event again does so because something has changed.
    pub async fn home(
        &self,
        event: &Event,
        proved_by: Option<&str>,
        anew: bool,
        now: Timestamp,
    ) -> Result<Home, TableError> {
        let (provider, account) = (&event.dedupe.provider, &event.dedupe.account);
        let mut routes = self.routes(provider, account, anew, now).await?;
        let is_among =
            |routes: &[Routed]| routes.iter().any(|route| Some(route.connection.as_str()) == proved_by);
        if let Some(id) = proved_by
            && !is_among(&routes)
        {
            let own = self.routes(provider, &by_id(id), anew, now).await?;
            let names_accounts = own.iter().any(|route| route.names_accounts);
            if names_accounts || !routes.is_empty() {
                // Its connection may be younger than what was read.
                routes = self.routes(provider, account, true, now).await?;
            }
            if !is_among(&routes) {
                if names_accounts || !routes.is_empty() {
                    return Ok(Home::AnotherAccount(id.to_owned()));
                }
                // The connection names no account, and its secret has proved the request: it is its own.
                routes = own;
            }
        }
        let module = tillwatch_providers::named(provider);
        if routes.is_empty() && module.is_some_and(|module| module.about().accounts.is_empty()) {
            // The URL's connection is the account.
            routes = self.routes(provider, &by_id(account), anew, now).await?;
        }
        if routes.is_empty() && !event.test && self.unknown(now).await? == Unknown::Auto {
            routes = self.automatic(provider, account, now).await?;
        }
        let place = event.changes.iter().find_map(|change| change.fields.location.as_deref());
        let own = routes.iter().find(|route| Some(route.connection.as_str()) == proved_by);
        let Some(route) = own.or_else(|| connection::choose(&routes, place)) else {
            return Ok(Home::Unknown);
        };
        let id = route.connection.clone();
        Ok(match (route.state, route.role) {
            (State::Paused, _) => Home::Holds(id, "its connection is paused"),
            (State::Disabled, _) => Home::Holds(id, "its connection is disabled"),
            _ if self.is_paused(provider, anew, now).await? => Home::Holds(id, "its provider is paused"),
            (State::Enabled, Role::Shadow) => Home::Shadows(id),
            (State::Enabled, _) => Home::Takes(id),
        })
    }

    async fn routes(
        &self,
        provider: &str,
        account: &str,
        anew: bool,
        now: Timestamp,
    ) -> Result<Arc<Vec<Routed>>, TableError> {
        let key = (provider.to_owned(), account.to_owned());
        if let Some((routes, at)) = self.state.lock().await.routes.get(&key)
            && !anew
            && is_fresh(*at, now)
        {
            return Ok(Arc::clone(routes));
        }
        let routes = if anew {
            self.connections.routes_now(provider, account).await?
        } else {
            self.connections.routes(provider, account).await?
        };
        let routes = Arc::new(routes);
        let mut state = self.state.lock().await;
        if state.routes.len() >= REMEMBERED {
            state.routes.clear();
        }
        state.routes.insert(key, (Arc::clone(&routes), now));
        Ok(routes)
    }

    async fn is_paused(&self, provider: &str, anew: bool, now: Timestamp) -> Result<bool, TableError> {
        if let Some((paused, at)) = self.state.lock().await.pauses.get(provider)
            && !anew
            && is_fresh(*at, now)
        {
            return Ok(*paused);
        }
        let paused = self.connections.paused_since(provider).await?.is_some();
        self.state.lock().await.pauses.insert(provider.to_owned(), (paused, now));
        Ok(paused)
    }

    async fn unknown(&self, now: Timestamp) -> Result<Unknown, TableError> {
        if let Some((unknown, at)) = self.state.lock().await.unknown
            && is_fresh(at, now)
        {
            return Ok(unknown);
        }
        let unknown = self.connections.unknown().await?.unwrap_or(self.unknown);
        self.state.lock().await.unknown = Some((unknown, now));
        Ok(unknown)
    }

    /// The connection of an account that nobody has configured. Accounts that replace each other have one together: what
    /// the last one's events said is the next one's to change.
    async fn automatic(
        &self,
        provider: &str,
        account: &str,
        now: Timestamp,
    ) -> Result<Arc<Vec<Routed>>, TableError> {
        let renewed = tillwatch_providers::named(provider).is_some_and(Provider::renews_accounts);
        let account = if renewed { "" } else { account };
        if renewed {
            let known = self.routes(provider, account, false, now).await?;
            if !known.is_empty() {
                return Ok(known);
            }
        }
        let made = Arc::new(Vec::from_iter(self.made(provider, account).await?));
        self.state.lock().await.routes.remove(&(provider.to_owned(), account.to_owned()));
        Ok(made)
    }

    /// Makes the connection of an account. Whoever does so at the same time makes the same one. None, if a configuration has
    /// one of that id: what becomes of that one's accounts is said there.
    async fn made(&self, provider: &str, account: &str) -> Result<Option<Routed>, TableError> {
        let connection = Connection {
            id: automatic_id(provider, account),
            provider: provider.to_owned(),
            business: UNASSIGNED.to_owned(),
            location: None,
            accounts: vec![account.to_owned()],
            place: None,
            state: State::Enabled,
            role: Role::Primary,
            settings: std::collections::BTreeMap::new(),
            sealed: std::collections::BTreeSet::new(),
            configured: None,
            automatic: true,
        };
        let id = &connection.id;
        // The document comes first: without a route to it the next event comes here again, and without the document nobody
        // would know of the connection.
        let written =
            self.connections.put_document(Kind::Connection, id, provider, &connection, None).await?;
        let connection = if written == Written::Yes {
            tracing::info!(connection = id, provider, "an account's first event made its connection");
            connection
        } else {
            let stored = self.connections.document::<Connection>(Kind::Connection, id).await?;
            let stored = stored.map(|stored| stored.document);
            match stored.filter(|stored| stored.automatic && stored.accounts == connection.accounts) {
                Some(stored) => stored,
                None => return Ok(None),
            }
        };
        self.connections.route(None, &connection, None).await?;
        Ok(Some(Routed {
            names_accounts: connection.names_accounts(),
            connection: connection.id,
            business: connection.business,
            state: connection.state,
            role: connection.role,
            place: connection.place,
        }))
    }
}

/// The id of the connection that an account's first event makes.
fn automatic_id(provider: &str, account: &str) -> String {
    let provider = provider.replace('_', "-");
    if account.is_empty() {
        return provider;
    }
    if connection::is_id(account) && account.ends_with(&format!("-{provider}")) {
        return account.to_owned();
    }
    format!("{provider}-{}", hex::encode(&Sha256::digest(account)[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_connection_that_is_made_is_one() {
        for account in ["6SSW7HV8K2ST5", "", "sample.myshopify.com", "ü/#"] {
            assert!(connection::is_id(&automatic_id("google_calendar", account)), "{account}");
        }
        assert_ne!(automatic_id("square", "a"), automatic_id("square", "b"));
        assert_eq!(automatic_id("odoo", "harbour-odoo"), "harbour-odoo");
    }
}
