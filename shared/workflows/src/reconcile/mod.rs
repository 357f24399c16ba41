//! Reconciliation: what a provider lists is compared with what has arrived, and what never came is fetched.
//!
//! A run lists a part of the past (`run.rs`), tells what of it is missing (`missing.rs`) and puts that on the queue of events as
//! a webhook would have been, marked. How far that has come stands in one document a connection (`standing.rs`), which moves on
//! when all was listed and all that was missing is durable. All of it may be repeated and may stop anywhere: what was put on
//! the queue twice is one event by its id, and what was counted is remembered by that id, too.

mod missing;
mod run;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use tillwatch_domain::{Connection, Role, State};
use tillwatch_platform::clock::Clock;
use tillwatch_platform::connections::Connections;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::Outbound;
use tillwatch_platform::payloads::{PayloadError, Payloads};
use tillwatch_platform::queue::QueueError;
use tillwatch_platform::table::{Table, TableError};
use tillwatch_platform::watched::NEVER_MS;
use tillwatch_providers::reconcile;

use crate::agenda::{Agenda, AgendaError};
use crate::backlog::Backlog;
use crate::configuration::Unconfigured;
use crate::credentials::Credentials;
use crate::watch::regular;

pub use run::Ran;
pub use standing::{Asked, Reconciliation};

/// The time between two runs of a connection, by default.
pub const EVERY: Duration = Duration::from_hours(1);
/// How far back a run may be asked to begin, and how far one goes back by itself after a pause.
pub const FURTHEST: Duration = Duration::from_hours(7 * 24);
/// What changed so recently is left for the next run: its webhook may be on its way, and its list behind.
pub const SETTLES: Duration = Duration::from_mins(10);

/// Why something could not be reconciled. Ours, and tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The table or the queue, where something was to be sent.
    #[error(transparent)]
    Agenda(#[from] AgendaError),
    /// The queue of events.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Where large payloads are kept.
    #[error(transparent)]
    Payloads(#[from] PayloadError),
    /// What a connection's calls are made with can't be read.
    #[error(transparent)]
    Unconfigured(#[from] Unconfigured),
}

/// Who is reconciled, and when.
pub struct ReconcileRoster {
    /// How far each has come, and the queue of runs.
    pub agenda: Agenda,
    /// The time between two runs of a connection.
    pub every: Duration,
}

/// What makes the runs.
pub struct Reconciler {
    /// Who is reconciled.
    pub roster: Arc<ReconcileRoster>,
    /// Connections.
    pub connections: Connections,
    /// What calls are made with.
    pub credentials: Credentials,
    /// The way out.
    pub outbound: Arc<Outbound>,
    /// Events and records: what has arrived.
    pub table: Table,
    /// The queue of events, for what has not, and how long what waits on it has waited.
    pub backlog: Backlog,
    /// Payloads too large for a message.
    pub payloads: Arc<dyn Payloads>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics go.
    pub metrics: Arc<Metrics>,
}

/// Whether a connection's events take effect here, so that what is missing of them can be told.
pub(crate) fn is_reconciled(connection: &Connection) -> bool {
    connection.state == State::Enabled && connection.role != Role::Shadow
}

impl ReconcileRoster {
    /// Has a connection reconciled from now on, as it is now: it was made, changed, paused or enabled. Of a new one nothing
    /// is listed that changed before.
    pub async fn enrol(&self, connection: &Connection) -> Result<(), ReconcileError> {
        if reconcile::of(&connection.provider).is_none() {
            return Ok(());
        }
        let (id, provider) = (connection.id.as_str(), connection.provider.as_str());
        let now = self.agenda.clock.now();
        let kept = self.agenda.watched.get::<Reconciliation>(id).await?;
        let enrolled = |standing: &mut Reconciliation| {
            standing.describe(connection, now.as_millisecond());
            if is_reconciled(connection) { regular(id, now, self.every) } else { NEVER_MS }
        };
        self.agenda.change((id, provider), kept, enrolled).await?;
        Ok(())
    }

    /// Has a connection reconciled at once: what is due by itself, or, where that is said, a part of the past.
    pub async fn ask(
        &self,
        connection: &Connection,
        part: Option<(i64, i64)>,
    ) -> Result<i64, ReconcileError> {
        let (id, provider) = (connection.id.as_str(), connection.provider.as_str());
        let now_ms = self.agenda.clock.now().as_millisecond();
        let kept = self.agenda.watched.get::<Reconciliation>(id).await?;
        let asked = |standing: &mut Reconciliation| {
            standing.describe(connection, now_ms);
            if let Some((from_ms, to_ms)) = part {
                standing.asked = Some(Asked { from_ms, to_ms });
            }
            now_ms
        };
        self.agenda.change((id, provider), kept, asked).await?;
        Ok(now_ms)
    }
}
