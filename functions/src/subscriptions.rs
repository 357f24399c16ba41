//! The subscriptions function: the schedule's event in, a look at the webhook subscriptions at all providers.

use std::time::Duration;

use serde::Serialize;
use tillwatch_platform::table::TableError;
use tillwatch_workflows::subscriptions::Keeper;

/// What is left of the function's time for the look that was begun last: a provider may be slow.
const LAST_WORDS: Duration = Duration::from_secs(45);

/// How many were looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// All that were subscribed to.
    pub looked_at: usize,
    /// Those that are not as they should be; the log and `tillwatch subscriptions list` say why.
    pub wrong: usize,
}

/// Looks after all subscriptions, as far as the time goes. Fails if the table does; then Lambda tries again.
pub async fn handle(keeper: &Keeper, left: Duration) -> Result<Looked, TableError> {
    let (looked_at, wrong) = Box::pin(keeper.scheduled(left.saturating_sub(LAST_WORDS))).await?;
    tracing::info!(looked_at, wrong, "webhook subscriptions were looked at");
    Ok(Looked { looked_at, wrong })
}
