//! The processor: a batch of messages in, the ids of those that must come again out.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use tillwatch_platform::queue::Queue;
use tillwatch_workflows::process::{Disposition, Incoming, Processed, Processor};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::batch::to_come_again;

/// What the processor function works with.
pub struct Handler {
    /// What is done with a message.
    pub processor: Arc<Processor>,
    /// The queue of events.
    pub events: Arc<dyn Queue>,
    /// The queue of dead letters.
    pub dead_letters: Arc<dyn Queue>,
}

/// What is left of the function's time for putting messages back.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Handler {
    /// Processes a batch. Messages succeed and fail alone: by an error, by a panic, or because time ran out.
    pub async fn handle(&self, event: SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let mut work = JoinSet::new();
        let mut messages = Vec::new();
        for message in event.records {
            let is_dead_letter = message.event_source_arn.as_deref().and_then(|arn| arn.rsplit(':').next())
                == Some(self.dead_letters.name());
            let incoming = incoming(&message, is_dead_letter);
            let (processor, index) = (Arc::clone(&self.processor), messages.len());
            messages.push((message, incoming.clone()));
            work.spawn(async move {
                // A task of its own, so that a panic ends this message's attempt and nothing else.
                let attempt = tokio::spawn({
                    let (processor, incoming) = (Arc::clone(&processor), incoming.clone());
                    async move { processor.process(&incoming).await }
                });
                let abort = attempt.abort_handle();
                let processed = match tokio::time::timeout_at(deadline - LAST_WORDS, attempt).await {
                    Ok(Ok(processed)) => processed,
                    Ok(Err(_)) => processor.after_panic(&incoming).await,
                    Err(_) => {
                        abort.abort();
                        tracing::warn!(message = incoming.message_id, "time ran out; the message goes back");
                        Processed { disposition: Disposition::Again(Duration::ZERO), reports: vec![] }
                    }
                };
                (index, processed)
            });
        }
        let (mut reports, mut failures) = (Vec::new(), Vec::new());
        while let Some(done) = work.join_next().await {
            let Ok((index, processed)) = done else { continue };
            reports.extend(processed.reports);
            if let Disposition::Again(wait) = processed.disposition {
                failures.push((index, wait));
            } else {
                messages[index].1.message_id.clear();
            }
        }
        self.processor.measure(&reports);
        for (index, wait) in failures {
            self.put_back(&messages[index].0, messages[index].1.is_dead_letter, wait).await;
        }
        let ids = messages.into_iter().map(|(_, incoming)| incoming.message_id);
        to_come_again(ids.filter(|id| !id.is_empty()))
    }

    /// Sets when the message is seen again. If that fails it is seen again all the same, when its time-out ends.
    async fn put_back(&self, message: &SqsMessage, is_dead_letter: bool, wait: Duration) {
        let source = if is_dead_letter { &self.dead_letters } else { &self.events };
        if let Some(receipt) = &message.receipt_handle
            && let Err(error) = source.change_visibility(receipt, wait).await
        {
            tracing::warn!(%error, "a message could not be put back and waits for its time-out");
        }
    }
}

fn incoming(message: &SqsMessage, is_dead_letter: bool) -> Incoming {
    let count = message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
    Incoming {
        message_id: message.message_id.clone().unwrap_or_default(),
        body: message.body.clone().unwrap_or_default(),
        receive_count: count.unwrap_or(1),
        is_dead_letter,
    }
}
