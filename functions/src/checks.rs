//! The checks function: a batch of jobs in, the ids of those that must come again out. And the scheduler's, which sends them.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use serde::{Deserialize, Serialize};
use tillwatch_platform::beats::Part;
use tillwatch_workflows::reconcile::ReconcileRoster;
use tillwatch_workflows::tokens::TokenRoster;
use tillwatch_workflows::watch::{Roster, Watch, WatchError};

use crate::batch::Batch;

/// The schedule's event, as far as it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Tick {
    /// Whether what is watched is to be brought in line with what is configured, as it is every hour.
    #[serde(default)]
    pub sweep: bool,
}

/// How many were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Scheduled {
    /// Connections that fall due before the next call.
    pub due: usize,
    /// Tokens that are looked at before the next call.
    pub refreshes: usize,
    /// Connections that are reconciled before the next call.
    pub reconciliations: usize,
    /// Connections that were missed and are watched from now on.
    pub missed: usize,
}

/// Makes the checks of a batch of jobs, all at the same time. A job of which one check could not be made or kept comes
/// again; what of it was done is not due then.
pub async fn handle(watch: &Arc<Watch>, event: SqsEvent) -> SqsBatchResponse {
    let mut batch = Batch::default();
    for message in event.records {
        let id = message.message_id.unwrap_or_default();
        let text = message.body.unwrap_or_default();
        batch.begin_job(&id, &text, "checks", |connection, job| {
            let (watch, why, asked_ms) = (Arc::clone(watch), job.why, job.asked_ms);
            async move { watch.check(&connection, why, asked_ms).await }
        });
    }
    watch.roster.agenda.watched.beats().beat(Part::Checks, watch.roster.clock.now()).await;
    batch.ended().await
}

/// Sends what falls due and looks at how all do; and, where it `sweeps`, has looked after what was missed.
pub async fn schedule(
    roster: &Roster,
    tokens: &TokenRoster,
    reconciled: &ReconcileRoster,
    sweeps: bool,
) -> Result<Scheduled, WatchError> {
    let missed = if sweeps { roster.sweep(tokens, reconciled).await? } else { 0 };
    roster.ask_for_a_sign().await?;
    let due = roster.agenda.send_due().await?;
    let refreshes = tokens.agenda.send_due().await?;
    let reconciliations = reconciled.agenda.send_due().await?;
    if missed > 0 {
        tracing::info!(missed, "connections that nobody had watched are watched from now on");
    }
    roster.surveyed_anew().await?;
    roster.agenda.watched.beats().beat(Part::Scheduler, roster.clock.now()).await;
    Ok(Scheduled { due, refreshes, reconciliations, missed })
}
