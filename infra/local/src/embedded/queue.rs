//! A durable queue with SQS's semantics on a SQLite file: at least once, a visibility time-out, delays, receive counts,
//! dead letters, 14 days of retention.
//!
//! A message is a row of `message`, small because it changes with every reception, and a row of `content`, which never
//! does. It is `hidden` (delayed, or received and not deleted) until it is `due`, or it waits in line.
//!
//! The line is fair, as SQS's is: each group has a lane, and a message gets its turn when it lines up: one after the
//! last of its lane, and never before what has been served. So messages of different groups alternate, however many
//! of one group came first; and whoever receives just takes the lowest turns.
//!
//! Every statement finds its rows by an index, whatever the backlog; `tests` hold it to that.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};
use tillwatch_platform::queue::{Gauge, MAX_MESSAGE, Outgoing, Queue, QueueError};
use tokio::sync::watch;

use super::Now;
use super::writer::{Lost, Store, Writer};

const MAX_DELAY: Duration = Duration::from_mins(15);
const MAX_VISIBILITY: Duration = Duration::from_hours(12);
const MAX_BATCH: usize = 10;
const RETENTION: Duration = Duration::from_hours(14 * 24);
/// How many messages that fell due, or expired, one reception sees to: more than it can take, and still a short while.
const UPKEEP: usize = 100;
/// How long a waiting poller trusts its computed sleep: the clock may be set, or the machine wake up.
const LONGEST_NAP: Duration = Duration::from_secs(1);
/// When the next message of a queue is visible that has none.
const NEVER: i64 = i64::MAX;

/// What a queue is called, and what becomes of messages that nobody manages to handle.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Its name in the file.
    pub name: &'static str,
    /// Where messages go that were received too often; none: they stay until they are deleted or expire.
    pub dead_letters: Option<DeadLetters>,
}

/// A redrive policy.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetters {
    /// The queue they go to: one of those opened together.
    pub queue: &'static str,
    /// After how many receptions.
    pub after: u32,
}

/// A message as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The same at each reception, and no other message's.
    pub id: String,
    /// What deletes it, until it is received again.
    pub receipt: String,
    /// The text as sent.
    pub body: String,
    /// The group as sent.
    pub group: String,
    /// How often it was received, dead letters' earlier life included; this time counts.
    pub receive_count: u32,
    /// When it was sent: Unix milliseconds.
    pub sent_ms: i64,
    /// When it was first received: Unix milliseconds.
    pub first_received_ms: i64,
}

/// One queue of a file. Clones are the same queue.
#[derive(Clone)]
pub struct SqliteQueue {
    writer: Arc<Writer<Messages>>,
    /// Which of the file's queues.
    index: usize,
    /// When its next message is visible: Unix milliseconds, or [`NEVER`].
    visible: watch::Receiver<i64>,
    now: Now,
}

impl SqliteQueue {
    /// Opens the file and the queues in it, and makes what is not there.
    pub fn open<const N: usize>(path: &Path, rules: [Rules; N], now: &Now) -> Result<[Self; N], QueueError> {
        let failed = |cause: String| QueueError { action: "be opened", cause };
        let messages =
            Messages::open(path, &rules, now.clone()).map_err(|error| failed(error.to_string()))?;
        let visible: Vec<_> = messages.queues.iter().map(|queue| queue.visible.subscribe()).collect();
        let writer = Writer::start("queue", messages).map_err(|error| failed(error.to_string()))?;
        let writer = Arc::new(writer);
        Ok(std::array::from_fn(|index| Self {
            writer: writer.clone(),
            index,
            visible: visible[index].clone(),
            now: now.clone(),
        }))
    }

    /// Takes up to `max` messages (at most ten) and hides them for `visibility` (at most 12 hours). None are there:
    /// returns at once, with none.
    pub async fn receive(&self, max: usize, visibility: Duration) -> Result<Vec<Received>, QueueError> {
        within(visibility, MAX_VISIBILITY, "receive messages")?;
        let max = max.min(MAX_BATCH);
        self.run("receive messages", move |messages, queue| messages.receive(queue, max, visibility)).await
    }

    /// Deletes the messages received with these receipts. One that was received again since, or deleted, stays as
    /// it is.
    pub async fn delete(&self, receipts: &[impl AsRef<str>]) -> Result<(), QueueError> {
        let receipts: Result<Vec<_>, _> =
            receipts.iter().map(|receipt| Receipt::parse(receipt.as_ref(), "delete messages")).collect();
        let receipts = receipts?;
        self.run("delete messages", move |messages, queue| {
            receipts.iter().try_for_each(|receipt| messages.delete(queue, *receipt))
        })
        .await
    }

    /// Returns as soon as there may be something to receive. Another receiver may still be quicker.
    pub async fn wait_for_messages(&self) {
        let mut visible = self.visible.clone();
        loop {
            let wait = visible.borrow_and_update().saturating_sub((self.now)());
            let Some(wait) = u64::try_from(wait).ok().filter(|&wait| wait > 0) else { return };
            let nap = Duration::from_millis(wait).min(LONGEST_NAP);
            // An end of the channel is the writing thread's: receiving says so.
            if let Ok(Err(_)) = tokio::time::timeout(nap, visible.changed()).await {
                return;
            }
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Messages, &Line) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let index = self.index;
        let failed = |cause| QueueError { action, cause };
        self.writer
            .run(move |messages| work(messages, &messages.queues[index]))
            .await
            .map_err(|lost: Lost| failed(lost.to_string()))?
            .map_err(|error| failed(error.to_string()))
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn send(&self, message: Outgoing) -> Result<(), QueueError> {
        const ACTION: &str = "send a message";
        within(message.delay, MAX_DELAY, ACTION)?;
        if message.body.len() > MAX_MESSAGE {
            let cause = format!("it has {} bytes, and may have {MAX_MESSAGE}", message.body.len());
            return Err(QueueError { action: ACTION, cause });
        }
        self.run(ACTION, move |messages, queue| messages.send(queue, &message)).await
    }

    async fn change_visibility(&self, receipt: &str, delay: Duration) -> Result<(), QueueError> {
        const ACTION: &str = "change a visibility time-out";
        within(delay, MAX_VISIBILITY, ACTION)?;
        let receipt = Receipt::parse(receipt, ACTION)?;
        self.run(ACTION, move |messages, queue| messages.change_visibility(queue, receipt, delay)).await
    }

    async fn gauge(&self) -> Result<Gauge, QueueError> {
        self.run("be counted", Messages::gauge).await
    }
}

fn within(delay: Duration, most: Duration, action: &'static str) -> Result<(), QueueError> {
    if delay <= most {
        return Ok(());
    }
    Err(QueueError { action, cause: format!("{delay:?} is longer than the {most:?} that a queue allows") })
}

/// One reception of a message: `id.receives`.
#[derive(Debug, Clone, Copy)]
struct Receipt {
    id: i64,
    receives: u32,
}

impl Receipt {
    fn parse(text: &str, action: &'static str) -> Result<Self, QueueError> {
        text.split_once('.')
            .and_then(|(id, receives)| Some(Self { id: id.parse().ok()?, receives: receives.parse().ok()? }))
            .ok_or_else(|| QueueError { action, cause: format!("{text:?} is no receipt") })
    }
}

#[cfg(test)]
mod tests;
