//! Tokens, refreshed before they end, by one worker at a time, and none lost that a provider gave.
//!
//! The state that decides (`domain::token`) is written together with the sealed tokens, in one item: what is about to be used
//! before it is, and what came of it with what came. Beside it stands what everyone may see (`standing.rs`), by the time at
//! which the next refresh is due; it is derived, and whoever finds it behind brings it up.

mod recovery;
mod refresh;
mod sign_in;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use tillwatch_domain::Connection;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::Outbound;
use tillwatch_platform::table::TableError;
use tillwatch_platform::watched::{NEVER_MS, Watched, spread};

use crate::agenda::{Agenda, AgendaError, millis};
use crate::configuration::{Configurator, Unconfigured};
use crate::credentials::Credentials;

pub use recovery::Recovery;
pub use refresh::Refreshed;
pub use sign_in::SignedIn;
pub(crate) use sign_in::fingerprint;
pub use standing::TokenStanding;

/// The first look at a token comes when its first check has told of it, and within this of one another.
const FIRST_LOOK: Duration = Duration::from_secs(20);
const FIRST_WITHIN: u32 = 10_000;

/// However long a token lives, it is looked at as often: what was noted by a clock that was ahead does not hold for longer.
pub(crate) const LOOKED_AT: Duration = Duration::from_hours(24);

/// Why something of tokens could not be done. Ours, and tried again.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The table or the queue, where something was to be sent.
    #[error(transparent)]
    Agenda(#[from] AgendaError),
    /// A connection can't be read or written.
    #[error(transparent)]
    Unconfigured(#[from] Unconfigured),
    /// Somebody else has written the tokens meanwhile.
    #[error("the tokens of {0} were written by somebody else meanwhile")]
    Contended(String),
}

/// Whose tokens are looked after, and when.
pub struct TokenRoster {
    /// How they stand, and the queue of refreshes.
    pub agenda: Agenda,
}

/// What refreshes tokens.
pub struct Refresher {
    /// Whose.
    pub roster: Arc<TokenRoster>,
    /// Connections and their tokens.
    pub configuration: Configurator,
    /// What calls are made with.
    pub credentials: Credentials,
    /// How connections do: checks tell when a token ends.
    pub doing: Watched,
    /// The way out.
    pub outbound: Arc<Outbound>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics go.
    pub metrics: Arc<Metrics>,
}

impl TokenRoster {
    /// Has a connection's token looked after, as it is now: it was made, changed or enabled.
    pub async fn enrol(&self, connection: &Connection) -> Result<(), TokensError> {
        if tillwatch_providers::tokens::of(&connection.provider).is_none() {
            return Ok(());
        }
        let now = self.agenda.clock.now();
        let due_ms = if standing::is_kept_alive(connection) {
            millis(now, FIRST_LOOK) + i64::from(spread(&connection.id) % FIRST_WITHIN)
        } else {
            NEVER_MS
        };
        self.note(connection, due_ms, |_| {}).await
    }

    /// Writes down how a connection's token stands, and when it is looked at next.
    async fn note(
        &self,
        connection: &Connection,
        due_ms: i64,
        change: impl Fn(&mut TokenStanding),
    ) -> Result<(), TokensError> {
        let Connection { id, provider, .. } = connection;
        // By a clock that is put back, it is not due for long.
        let latest_ms = millis(self.agenda.clock.now(), LOOKED_AT);
        let due_ms = if due_ms == NEVER_MS { due_ms } else { due_ms.min(latest_ms) };
        let kept = self.agenda.watched.get::<TokenStanding>(id).await?;
        let noted = |standing: &mut TokenStanding| {
            standing.describe(connection);
            change(standing);
            due_ms
        };
        self.agenda.change((id, provider), kept, noted).await?;
        Ok(())
    }
}
