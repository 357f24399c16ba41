//! The watch: whether each connection works, found out by asking its provider, and told.
//!
//! What falls due is found by its time and sent as jobs (`agenda.rs`), a job's checks are made and taken in (`check.rs`,
//! `probe.rs`), and what is kept of a connection (`doing.rs`) is what everyone reads. Beside connections (`beside.rs`) the
//! providers' status pages (`page.rs`) and our own addresses (`endpoint.rs`) are watched. All of it may be repeated and may stop
//! anywhere: a check that was made and not written is made again.

pub mod beside;
mod check;
mod doing;
pub mod endpoint;
mod mail;
mod page;
pub mod probe;
mod reach;
pub mod survey;
mod sweep;
mod synthetic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tillwatch_domain::{Connection, State, span};
use tillwatch_platform::clock::Clock;
use tillwatch_platform::connections::Connections;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::Outbound;
use tillwatch_platform::payloads::PayloadError;
use tillwatch_platform::table::{Table, TableError};
use tillwatch_platform::vault::Vault;
use tillwatch_platform::watched::{NEVER_MS, Watched, spread};
use tillwatch_providers::checks;
use tokio::sync::Mutex;

use crate::agenda::{Agenda, AgendaError, Job};
use crate::configuration::Unconfigured;
use crate::credentials::Credentials;
use crate::reconcile::ReconcileError;
use crate::tally::TallyStore;
use crate::tokens::TokensError;

pub use beside::Beside;
pub use check::Checked;
pub(crate) use check::regular;
pub use doing::{Doing, ToldOfToken};
pub use endpoint::Endpoint;
pub use page::Page;
pub use reach::{REFERENCES, Reach};
pub use survey::{EndpointRow, Row, Survey, Surveys};
pub use synthetic::Synthetic;

/// A connection is checked for the first time within this.
const FIRST_WITHIN: u32 = 10_000;

/// No more often is a sign of life asked for: the schedule of one machine comes every other second.
const SIGNED: Duration = Duration::from_secs(50);

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
    /// The reconciliations' side of it.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// Where surveys are kept.
    #[error(transparent)]
    Payloads(#[from] PayloadError),
    /// What a connection's calls are made with can't be read.
    #[error(transparent)]
    Unconfigured(#[from] Unconfigured),
}

/// Who is watched, and when: what the schedule works with, and everyone who has something watched or asks how it does.
pub struct Roster {
    /// Connections.
    pub connections: Connections,
    /// How they do, and the queue of checks.
    pub agenda: Agenda,
    /// What is watched beside connections.
    pub beside: Beside,
    /// How all did when that was looked at last.
    pub surveys: Surveys,
    /// What was concluded of their webhooks.
    pub tallies: Arc<TallyStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The time between two checks of a connection, where its provider asks for no longer one.
    pub every: Duration,
    /// When a sign of life was last asked for, Unix milliseconds.
    pub signed_ms: AtomicI64,
}

/// What makes the checks.
pub struct Watch {
    /// Who is watched.
    pub roster: Arc<Roster>,
    /// How connections' tokens stand.
    pub tokens: Watched,
    /// Events: what became of our own synthetic webhooks.
    pub events: Table,
    /// What our own address is asked with.
    pub webhook_vault: Arc<Vault>,
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
        checks::of(provider).map(|way| self.every * way.seldom())
    }

    /// Has whoever makes checks give a sign of life, by a job of no connection: there may be none that is due for a day.
    pub async fn ask_for_a_sign(&self) -> Result<(), WatchError> {
        let now_ms = self.clock.now().as_millisecond();
        let signed_ms = self.signed_ms.load(Ordering::SeqCst);
        if (0..span::millis(SIGNED)).contains(&(now_ms - signed_ms)) {
            return Ok(());
        }
        let job = Job::due(Vec::new()).outgoing("none", Duration::ZERO);
        self.agenda.jobs.send(job).await.map_err(AgendaError::from)?;
        self.signed_ms.store(now_ms, Ordering::SeqCst);
        Ok(())
    }

    /// Has a connection checked soon, as it is now: it was made, changed, paused or enabled.
    pub async fn enrol(&self, connection: &Connection) -> Result<(), WatchError> {
        if checks::of(&connection.provider).is_none() {
            return Ok(());
        }
        let (id, provider) = (connection.id.as_str(), connection.provider.as_str());
        let kept = self.agenda.watched.get_or_new::<Doing>(id).await?;
        let enrolled = |doing: &mut Doing| {
            let now_ms = self.clock.now().as_millisecond();
            doing.describe(connection, now_ms);
            match connection.state {
                // After this moment, which may have been sent already.
                State::Enabled => now_ms + 1 + i64::from(spread(id) % FIRST_WITHIN),
                State::Paused | State::Disabled => NEVER_MS,
            }
        };
        self.agenda.change((id, provider), kept, enrolled).await?;
        Ok(())
    }
}
