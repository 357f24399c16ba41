//! The refreshes function: a batch of jobs in, the ids of those that must come again out.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use tillwatch_workflows::agenda::Job;
use tillwatch_workflows::tokens::{Recovery, Refresher};
use tokio::task::JoinSet;

/// Looks at the tokens of a batch of jobs, all at the same time, and keeps those that could not be kept before. A job of
/// which one could not be done comes again; what of it was done is not due then, or was tried since it was asked for.
pub async fn handle(refresher: &Arc<Refresher>, event: SqsEvent) -> SqsBatchResponse {
    let mut work = JoinSet::new();
    for message in event.records {
        let id = message.message_id.unwrap_or_default();
        let text = message.body.unwrap_or_default();
        if let Some(recovery) = Recovery::read(&text) {
            let refresher = Arc::clone(refresher);
            work.spawn(async move {
                let error = refresher.recover(&recovery).await.err()?;
                tracing::error!(connection = recovery.recover, %error, "tokens could not be kept yet");
                Some(id)
            });
            continue;
        }
        let Some(job) = Job::read(&text) else {
            tracing::error!(message = id, "what is on the queue of refreshes is no job; it is let go");
            continue;
        };
        for connection in job.ids {
            let (refresher, message) = (Arc::clone(refresher), id.clone());
            work.spawn(async move {
                // A task of its own, so that a panic ends this refresh and nothing else.
                let refresh = tokio::spawn({
                    let connection = connection.clone();
                    async move { refresher.refresh(&connection, job.why, job.asked_ms).await }
                });
                let error = match refresh.await {
                    Ok(Ok(_)) => return None,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "it panicked".to_owned(),
                };
                tracing::error!(connection, error, "a token could not be looked at; it is tried again");
                Some(message)
            });
        }
    }
    crate::checks::failed(work.join_all().await.into_iter().flatten())
}
