//! The reconciliations function: a batch of jobs in, the ids of those that must come again out.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use tillwatch_workflows::agenda::Job;
use tillwatch_workflows::reconcile::Reconciler;

use crate::batch::Batch;

/// Makes the runs of a batch of jobs, all at the same time. A job of which one could not be made or kept comes again; what of
/// it was done is not due then.
pub async fn handle(reconciler: &Arc<Reconciler>, event: SqsEvent) -> SqsBatchResponse {
    let mut batch = Batch::default();
    for message in event.records {
        let id = message.message_id.unwrap_or_default();
        let Some(job) = message.body.as_deref().and_then(Job::read) else {
            tracing::error!(message = id, "what is on the queue of reconciliations is no job; it is let go");
            continue;
        };
        for connection in job.ids {
            let (reconciler, whose) = (Arc::clone(reconciler), connection.clone());
            batch.begin(&id, connection, async move { reconciler.reconcile(&whose).await });
        }
    }
    batch.ended().await
}
