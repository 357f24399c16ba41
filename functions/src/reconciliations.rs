//! The reconciliations function: a batch of jobs in, the ids of those that must come again out.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use tillwatch_workflows::reconcile::Reconciler;

use crate::batch::Batch;

/// Makes the runs of a batch of jobs, all at the same time. A job of which one could not be made or kept comes again; what of
/// it was done is not due then.
pub async fn handle(reconciler: &Arc<Reconciler>, event: SqsEvent) -> SqsBatchResponse {
    let mut batch = Batch::default();
    for message in event.records {
        let id = message.message_id.unwrap_or_default();
        let text = message.body.unwrap_or_default();
        batch.begin_job(&id, &text, "reconciliations", |connection, _| {
            let reconciler = Arc::clone(reconciler);
            async move { reconciler.reconcile(&connection).await }
        });
    }
    batch.ended().await
}
