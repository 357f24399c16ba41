//! The watch: whether each connection works, found out by asking its provider, and told.
//!
//! What falls due is found by its time and sent as jobs (`agenda.rs`), a job's checks are made and taken in (`check.rs`,
//! `probe.rs`), and what is kept of a connection (`doing.rs`) is what everyone reads. All of it may be repeated and may stop
//! anywhere: a check that was made and not written is made again.

mod check;
mod doing;
pub mod probe;
mod reach;
pub mod survey;
mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tillwatch_domain::Connection;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::connections::Connections;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::Outbound;
use tillwatch_platform::payloads::PayloadError;
use tillwatch_platform::table::{TableError, Written};
use tillwatch_platform::watched::{Kept, NEVER_MS, spread};
use tillwatch_providers::checks;
use tokio::sync::Mutex;

use crate::agenda::{Agenda, AgendaError};
use crate::configuration::Unconfigured;
use crate::credentials::Credentials;
use crate::tokens::TokensError;

pub use check::Checked;
pub use doing::{Doing, ToldOfToken};
pub use reach::{REFERENCES, Reach};
pub use survey::{Row, Survey, Surveys};

/// How often a document is read again because somebody else wrote it first.
const CONTENTIONS: u32 = 5;
/// A connection is checked for the first time within this.
const FIRST_WITHIN: u32 = 10_000;

/// The time between two checks of a connection, by default.
pub const EVERY: Duration = Duration::from_mins(5);

/// Why something of the watch could not be done. Ours, and tried again.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The table or the queue, where something was to be sent.
    #[error(transparent)]
    Agenda(#[from] AgendaError),
    /// The tokens' side of it.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Where surveys are kept.
    #[error(transparent)]
    Payloads(#[from] PayloadError),
    /// What a connection's calls are made with can't be read.
    #[error(transparent)]
    Unconfigured(#[from] Unconfigured),
    /// Others kept writing the same.
    #[error("how {0} does was written by others each of {CONTENTIONS} times")]
    Contended(String),
}

/// Who is watched, and when: what the schedule works with, and everyone who has something watched or asks how it does.
pub struct Roster {
    /// Connections.
    pub connections: Connections,
    /// How they do, and the queue of checks.
    pub agenda: Agenda,
    /// How all did when that was looked at last.
    pub surveys: Surveys,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The time between two checks of a connection, where its provider asks for no longer one.
    pub every: Duration,
}

/// What makes the checks.
pub struct Watch {
    /// Who is watched.
    pub roster: Arc<Roster>,
    /// What calls are made with.
    pub credentials: Credentials,
    /// The way out.
    pub outbound: Arc<Outbound>,
    /// Whether anything is to be reached from here.
    pub reach: Reach,
    /// Where metrics go.
    pub metrics: Arc<Metrics>,
    /// When others of a provider's connections were asked because one began to fail, Unix milliseconds.
    pub asked_peers: Mutex<BTreeMap<String, i64>>,
}

impl Roster {
    /// How long it is between two checks of a provider's connections; none, if they are not checked.
    pub fn interval(&self, provider: &str) -> Option<Duration> {
        checks::of(provider).map(|checks| self.every * checks.seldom())
    }

    /// Has a connection checked soon, as it is now: it was made, changed, paused or enabled.
    pub async fn enrol(&self, connection: &Connection) -> Result<(), WatchError> {
        if checks::of(&connection.provider).is_none() {
            return Ok(());
        }
        let id = &connection.id;
        for _ in 0..CONTENTIONS {
            let kept = self.agenda.watched.get::<Doing>(id).await?;
            let over = kept.as_ref().map(|kept| kept.revision);
            let mut document = kept.map(|kept| kept.document).unwrap_or_default();
            document.describe(connection);
            let now_ms = self.clock.now().as_millisecond();
            let due_ms = if connection.state == tillwatch_domain::State::Enabled {
                // After this moment, which may have been sent already.
                now_ms + 1 + i64::from(spread(id) % FIRST_WITHIN)
            } else {
                NEVER_MS
            };
            let (provider, id) = (connection.provider.clone(), id.clone());
            let new = Kept { id, provider, document, due_ms, revision: 0 };
            if self.agenda.watched.put(&new, over).await? == Written::Yes {
                return Ok(self.agenda.send_soon(&new.provider, &new.id, due_ms).await?);
            }
        }
        Err(WatchError::Contended(id.clone()))
    }
}
