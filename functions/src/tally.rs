//! The tally function: every five minutes it looks at how each connection's webhooks go.

use std::time::Duration;

use serde::Serialize;
use tillwatch_workflows::tally::{Looked, Tallies, TallyError};
use tokio::time::Instant;

/// What is left of an invocation for what is under way when its time is nearly over.
const RESERVE: Duration = Duration::from_secs(20);

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Events and rejected requests that were gone through.
    pub events: u64,
    /// Connections that are silent.
    pub silent: usize,
    /// Whether the next look goes on where this one had to stop.
    pub more: bool,
}

/// Looks at what came since the last time. What is not done by `until` is left for the next time.
pub async fn handle(tallies: &Tallies, until: Instant) -> Result<Told, TallyError> {
    let left = until.saturating_duration_since(Instant::now());
    let enough = until.checked_sub(RESERVE.min(left / 2)).unwrap_or(until);
    let Looked { events, silent, more } = tallies.look(enough).await?;
    Ok(Told { events, silent, more })
}
