//! The webhook settings that connections have of their own, cached: one look-up when a connection's webhook comes first,
//! none for a minute after it. What an attacker makes up is remembered for moments only, in bounded room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tillwatch_platform::connections::{By, Connections, WebhookRoute};
use tillwatch_platform::table::TableError;
use tillwatch_platform::vault::{Vault, VaultError};
use tillwatch_providers::{Fingerprints, Settings};
use tokio::sync::Mutex;

/// How long a connection's settings are used without being read again.
const KEPT: Duration = Duration::from_mins(1);
/// How long it is believed that there is no such connection.
const ABSENT: Duration = Duration::from_secs(2);
/// How long a reading is fresh enough to settle a verdict.
const FRESH: Duration = Duration::from_secs(1);
/// How many look-ups are remembered. A webhook function of 256 MB holds them in a tenth of that.
const REMEMBERED: usize = 20_000;

/// The settings of one connection's webhooks.
#[derive(Debug, Clone)]
pub struct Own {
    /// The connection's id.
    pub connection: String,
    /// The accounts that its secrets may speak for.
    pub accounts: Vec<String>,
    /// Its settings.
    pub settings: Settings,
}

/// Why a connection's settings are not to be had. Ours: the sender is asked to come again.
#[derive(Debug, thiserror::Error)]
pub enum NoOwnSettings {
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The vault.
    #[error("the webhook secrets of the connection {0} can't be opened: {1}")]
    Vault(String, VaultError),
    /// What was sealed is not what is sealed here.
    #[error("the webhook secrets of the connection {0} are not settings")]
    Malformed(String),
}

/// What a connection's webhook settings are sealed for.
pub fn sealed_for(connection: &str) -> String {
    format!("webhook {connection}")
}

/// One provider's connections, as far as their webhooks go.
pub struct OwnSettings {
    connections: Connections,
    vault: Arc<Vault>,
    provider: &'static str,
    fingerprints: Fingerprints,
    known: Mutex<HashMap<By, Found>>,
}

/// What was found, when, and at which of the changes that this process knows of.
type Found = (Arc<Vec<Own>>, Timestamp, u64);

impl OwnSettings {
    /// A cache over the table of connections.
    pub fn new(connections: Connections, vault: Arc<Vault>, provider: &'static str) -> Self {
        let fingerprints = Fingerprints::new(vault.ring().fingerprint_keys());
        Self { connections, vault, provider, fingerprints, known: Mutex::default() }
    }

    /// Opens the connection to the table before the first webhook needs it.
    pub async fn warm(&self) {
        self.connections.warm().await;
    }

    /// What fingerprints of open secrets are made with.
    pub fn fingerprints(&self) -> &Fingerprints {
        &self.fingerprints
    }

    /// The same with the keys that the ring has now.
    pub async fn fresh_fingerprints(&self, now: Timestamp) -> Result<Fingerprints, VaultError> {
        Ok(Fingerprints::new(self.vault.fresh_ring(now).await?.fingerprint_keys()))
    }

    /// The connections found by that, at most a minute old; with `anew`, at most a second. What was changed in this process
    /// is seen at once.
    pub async fn of(&self, by: &By, anew: bool, now: Timestamp) -> Result<Arc<Vec<Own>>, NoOwnSettings> {
        let changes = self.connections.changes();
        if let Some((own, at, read)) = self.known.lock().await.get(by)
            && *read == changes
        {
            let kept = if anew {
                FRESH
            } else if own.is_empty() {
                ABSENT
            } else {
                KEPT
            };
            if now.duration_since(*at).unsigned_abs() < kept {
                return Ok(Arc::clone(own));
            }
        }
        // Without the lock: a slow answer must keep nobody else's webhook waiting.
        let mut own = Vec::new();
        for route in self.connections.webhook_routes(self.provider, by).await? {
            own.push(self.opened(route, now).await?);
        }
        let own = Arc::new(own);
        let mut known = self.known.lock().await;
        if known.len() >= REMEMBERED && !known.contains_key(by) {
            known.retain(|_, (own, at, _)| {
                let kept = if own.is_empty() { ABSENT } else { KEPT };
                now.duration_since(*at).unsigned_abs() < kept
            });
            if known.len() >= REMEMBERED {
                known.clear();
            }
        }
        known.insert(by.clone(), (Arc::clone(&own), now, changes));
        Ok(own)
    }

    /// What was sealed for that by who shares the ring; none, if it does not open.
    pub async fn opened_for(&self, of: &str, sealed: &str, now: Timestamp) -> Option<SecretString> {
        self.vault.open_sealed(of, sealed, now).await.ok()
    }

    async fn opened(&self, route: WebhookRoute, now: Timestamp) -> Result<Own, NoOwnSettings> {
        let WebhookRoute { connection, accounts, sealed } = route;
        let settings = match sealed {
            None => Settings::default(),
            Some(sealed) => {
                let opened = self.vault.open_sealed(&sealed_for(&connection), &sealed, now).await;
                let opened = opened.map_err(|error| NoOwnSettings::Vault(connection.clone(), error))?;
                serde_json::from_str(opened.expose_secret())
                    .map_err(|_| NoOwnSettings::Malformed(connection.clone()))?
            }
        };
        Ok(Own { connection, accounts, settings })
    }
}
