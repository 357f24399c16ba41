//! The refreshes function: a batch of jobs in, the ids of those that must come again out.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use tillwatch_platform::beats::Part;
use tillwatch_workflows::tokens::{Recovery, Refresher};

use crate::batch::Batch;

/// Looks at the tokens of a batch of jobs, all at the same time, and keeps those that could not be kept before. A job of
/// which one could not be done comes again; what of it was done is not due then, or was tried since it was asked for.
pub async fn handle(refresher: &Arc<Refresher>, event: SqsEvent) -> SqsBatchResponse {
    let mut batch = Batch::default();
    for message in event.records {
        let id = message.message_id.unwrap_or_default();
        let text = message.body.unwrap_or_default();
        if let Some(recovery) = Recovery::read(&text) {
            let (refresher, connection) = (Arc::clone(refresher), recovery.recover.clone());
            batch.begin(&id, connection, async move { refresher.recover(&recovery).await });
            continue;
        }
        batch.begin_job(&id, &text, "refreshes", |connection, job| {
            let (refresher, why, asked_ms) = (Arc::clone(refresher), job.why, job.asked_ms);
            async move { refresher.refresh(&connection, why, asked_ms).await }
        });
    }
    refresher.roster.agenda.watched.beats().beat(Part::Refreshes, refresher.clock.now()).await;
    batch.ended().await
}
