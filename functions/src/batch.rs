//! Batches of a queue's messages: the parts of each done at the same time, and the answer that names those to come again.

use std::collections::BTreeSet;
use std::fmt::Display;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse};
use tillwatch_workflows::agenda::Job;
use tokio::task::JoinSet;

/// The parts of a batch's messages that are being done.
#[derive(Default)]
pub(crate) struct Batch(JoinSet<Option<String>>);

impl Batch {
    /// Begins a part of a message, for this connection. In a task of its own, so that a panic ends it and nothing else.
    pub(crate) fn begin<T: Send + 'static, E: Display + Send + 'static>(
        &mut self,
        message: &str,
        connection: String,
        part: impl Future<Output = Result<T, E>> + Send + 'static,
    ) {
        let message = message.to_owned();
        self.0.spawn(async move {
            let error = match tokio::spawn(part).await {
                Ok(Ok(_)) => return None,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it panicked".to_owned(),
            };
            tracing::error!(connection, error, "a connection could not be looked after; it is tried again");
            Some(message)
        });
    }

    /// Begins all of a job, a part for each of its connections. What is no job is let go.
    pub(crate) fn begin_job<T: Send + 'static, E: Display + Send + 'static, P>(
        &mut self,
        message: &str,
        text: &str,
        queue: &str,
        part: impl Fn(String, &Job) -> P,
    ) where
        P: Future<Output = Result<T, E>> + Send + 'static,
    {
        let Some(job) = Job::read(text) else {
            tracing::error!(message, "what is on the queue of {queue} is no job; it is let go");
            return;
        };
        for connection in &job.ids {
            self.begin(message, connection.clone(), part(connection.clone(), &job));
        }
    }

    /// Waits until all have ended. A message comes again of which any part failed.
    pub(crate) async fn ended(self) -> SqsBatchResponse {
        let failed: BTreeSet<String> = self.0.join_all().await.into_iter().flatten().collect();
        to_come_again(failed)
    }
}

/// The answer that names the messages that must come again.
pub(crate) fn to_come_again(ids: impl IntoIterator<Item = String>) -> SqsBatchResponse {
    let failure = |id| {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id;
        failure
    };
    let mut answer = SqsBatchResponse::default();
    answer.batch_item_failures = ids.into_iter().map(failure).collect();
    answer
}
