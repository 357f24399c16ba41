//! Lambda's event source of SQS, as far as it is played here: batches as functions take them, and what of them is deleted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use tillwatch_platform::queue::QueueError;

use super::{Polled, Received};

/// Jobs of checks or refreshes that are handed over at once, as in the template.
const JOBS_BATCH: usize = 1;

/// A batch as the event source hands it over.
pub(super) fn batch_of(batch: &[Received], queue: &str) -> SqsEvent {
    let mut event = SqsEvent::default();
    event.records = batch.iter().map(|received| message(received, queue)).collect();
    event
}

/// Takes one job of a queue; how many it was.
pub(super) async fn job<H: Future<Output = SqsBatchResponse>>(
    queue: &Arc<dyn Polled>,
    visibility: Duration,
    handle: impl FnOnce(SqsEvent) -> H,
) -> Result<usize, QueueError> {
    let batch = queue.receive(JOBS_BATCH, visibility).await?;
    if batch.is_empty() {
        return Ok(0);
    }
    let answer = handle(batch_of(&batch, queue.name())).await;
    done(queue, batch, answer).await
}

/// Deletes those of a batch that did not fail, as the event source does; how many messages it was.
pub(super) async fn done(
    queue: &Arc<dyn Polled>,
    batch: Vec<Received>,
    answer: SqsBatchResponse,
) -> Result<usize, QueueError> {
    let failed: Vec<_> =
        answer.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
    let count = batch.len();
    let done = batch.into_iter().filter(|received| !failed.contains(&received.id.as_str()));
    let done: Vec<_> = done.map(|received| received.receipt).collect();
    if !done.is_empty() {
        queue.delete(done).await?;
    }
    Ok(count)
}

fn message(received: &Received, queue: &str) -> SqsMessage {
    let mut message = SqsMessage::default();
    message.message_id = Some(received.id.clone());
    message.receipt_handle = Some(received.receipt.clone());
    message.body = Some(received.body.clone());
    message.attributes =
        HashMap::from([("ApproximateReceiveCount".to_owned(), received.receive_count.to_string())]);
    message.event_source_arn = Some(format!("arn:aws:sqs:local:000000000000:{queue}"));
    message
}
