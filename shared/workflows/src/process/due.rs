//! Due events: what waits in the table for its next attempt, and is sent through the queue again when its time has come.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::Outcome;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::queue::{Outgoing, Queue, QueueError};
use tillwatch_platform::table::{EventItem, Table, TableError, Written};
use tokio::task::JoinSet;

use crate::envelope::{Envelope, Message, Payload, Verdict};

/// For how long a sweep that sends a due event again keeps others from doing the same.
const CLAIM_MS: i64 = 10 * 60_000;
/// How many due events a sweep looks for at once, of each provider and shard.
const PAGE: i32 = 100;
/// How many are sent again at the same time.
const AT_ONCE: usize = 16;
/// How long a sweep goes on, of the thirty seconds that the function has: an outage leaves many.
const SWEEP: Duration = Duration::from_secs(18);

/// Why due events could not be sent again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreleased {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Sends failed events whose time has come through the queue again, until there are none, or time is up. One that can't
/// be sent keeps no other from it; the first error is told in the end.
pub(super) async fn release(
    table: &Table,
    queue: &Arc<dyn Queue>,
    clock: &Arc<dyn Clock>,
) -> Result<(), Unreleased> {
    let started = clock.now();
    let mut trouble = None;
    for provider in tillwatch_providers::ALL {
        loop {
            let now = clock.now();
            let due = match table.due(provider.name(), now.as_millisecond(), PAGE).await {
                Ok(due) => due,
                Err(error) => {
                    trouble.get_or_insert(Unreleased::Table(error));
                    break;
                }
            };
            let (mut sent, mut sending) = (0, JoinSet::new());
            for id in due {
                if sending.len() >= AT_ONCE {
                    sent += settle(sending.join_next().await, &mut trouble);
                }
                let (table, queue) = (table.clone(), Arc::clone(queue));
                sending.spawn(async move { release_one(&table, &*queue, &id, now).await });
            }
            while !sending.is_empty() {
                sent += settle(sending.join_next().await, &mut trouble);
            }
            let is_late = clock.now().duration_since(started).unsigned_abs() >= SWEEP;
            if sent == 0 || is_late {
                break;
            }
        }
    }
    trouble.map_or(Ok(()), Err)
}

type Done = Option<Result<Result<usize, Unreleased>, tokio::task::JoinError>>;

fn settle(done: Done, trouble: &mut Option<Unreleased>) -> usize {
    match done {
        Some(Ok(Ok(sent))) => sent,
        Some(Ok(Err(error))) => {
            trouble.get_or_insert(error);
            0
        }
        // A panic of one is reported by the panic hook, and the others go on.
        Some(Err(_)) | None => 0,
    }
}

async fn release_one(
    table: &Table,
    queue: &dyn Queue,
    id: &str,
    now: Timestamp,
) -> Result<usize, Unreleased> {
    let now_ms = now.as_millisecond();
    let Some(event) = table.event(id, true, now).await? else { return Ok(0) };
    // The index may be a moment behind: another sweep has it, or it has an outcome.
    if event.outcome != Outcome::Failed || event.due_ms.is_none_or(|due| due > now_ms) {
        return Ok(0);
    }
    if table.claim_due(&event, now_ms + CLAIM_MS).await? == Written::No {
        return Ok(0);
    }
    send(queue, &event, event.attempts, false).await?;
    Ok(1)
}

/// Sends a kept event through the queue once more because an operator, or a replay, asks for it.
pub(crate) async fn send_again(queue: &dyn Queue, event: &EventItem) -> Result<(), QueueError> {
    send(queue, event, 0, true).await
}

/// Sends a kept event through the queue once more, as the request that it came in.
async fn send(queue: &dyn Queue, event: &EventItem, attempts: u32, again: bool) -> Result<(), QueueError> {
    let refused = |cause: &str| QueueError { action: "send an event again", cause: cause.to_owned() };
    let envelope = Envelope {
        id: event.request_id.clone().try_into().map_err(|_| refused("it has no request id"))?,
        provider: event.provider.clone(),
        received_ms: event.received_ms,
        verdict: Verdict::Accepted(event.key.clone().ok_or_else(|| refused("it was never verified"))?),
        size: event.size,
        connection: event.connection.clone(),
        source: event.source.clone(),
        payload: Payload::from_table(&event.payload),
        attempts,
        kept: event.id == event.request_id,
        again,
    };
    let message = Message::Request(envelope);
    let outgoing =
        Outgoing { body: message.to_text(), group: message.group().to_owned(), delay: Duration::ZERO };
    queue.send(outgoing).await
}
