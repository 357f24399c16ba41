//! The jobs function: the schedule's event in, and steps of replays until there are none to take or time runs out.

use std::time::Duration;

use tillwatch_workflows::replay::{ReplayError, Replays};
use tokio::time::Instant;

/// What is left of the function's time when no further step is begun. A step takes ten seconds and what its last calls
/// take; one that does not end in time is taken again.
const LAST_STEP: Duration = Duration::from_secs(15);

/// Takes the steps that there are. The next minute brings another call.
pub async fn handle(replays: &Replays, deadline: Instant) -> Result<(), ReplayError> {
    replays.run(deadline.checked_sub(LAST_STEP).unwrap_or(deadline)).await
}
