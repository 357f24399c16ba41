//! A durable queue with SQS's semantics on a SQLite file: at least once, a visibility time-out, delays, receive counts,
//! dead letters, fair among groups. But for one: SQS deletes after 14 days, and here nothing goes because it is old. A laptop
//! may be closed for weeks, and what was accepted must come to its end. [`messages`] has the tables and how they are used.

mod messages;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tillwatch_platform::queue::{Gauge, MAX_MESSAGE, Outgoing, Queue, QueueError};
use tokio::sync::watch;

use self::messages::{Line, Messages, Receipt};
use super::Now;
use super::writer::{Lost, Writer};

/// SQS's limits.
const MAX_DELAY: Duration = Duration::from_mins(15);
const MAX_VISIBILITY: Duration = Duration::from_hours(12);
const MAX_BATCH: usize = 10;
/// How long a waiting poller trusts its computed sleep: the clock may be set, or the machine wake up.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// What a queue is called, and what becomes of messages that nobody manages to handle.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Its name in the file.
    pub name: &'static str,
    /// Where messages go that were received too often or waited for too long; none: they stay until they are deleted.
    pub dead_letters: Option<DeadLetters>,
}

/// A redrive policy.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetters {
    /// The queue of the same file that they go to.
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
    name: &'static str,
    /// Which of the file's queues.
    index: usize,
    /// When its next message is visible, in Unix milliseconds: past, future, or the end of time.
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
            name: rules[index].name,
            index,
            visible: visible[index].clone(),
            now: now.clone(),
        }))
    }

    /// Takes up to `max` messages (at most ten) and hides them for `visibility` (at most 12 hours). None are there:
    /// returns at once, with none.
    pub async fn receive(&self, max: usize, visibility: Duration) -> Result<Vec<Received>, QueueError> {
        const ACTION: &str = "receive messages";
        within(visibility, MAX_VISIBILITY, ACTION)?;
        let max = max.min(MAX_BATCH);
        self.run(ACTION, move |messages, queue| messages.receive(queue, max, visibility)).await
    }

    /// Deletes the messages received with these receipts. One that was received again since, or deleted, stays as
    /// it is.
    pub async fn delete(&self, receipts: &[impl AsRef<str>]) -> Result<(), QueueError> {
        const ACTION: &str = "delete messages";
        let receipts: Vec<_> =
            receipts.iter().map(|text| receipt(text.as_ref(), ACTION)).collect::<Result<_, _>>()?;
        self.run(ACTION, move |messages, queue| {
            receipts.iter().try_for_each(|receipt| messages.delete(queue, *receipt))
        })
        .await
    }

    /// Makes every message visible that was received and not deleted. For a start after a kill: whoever had received
    /// them is gone, and nobody need wait for their time-outs.
    pub async fn release(&self) -> Result<(), QueueError> {
        self.run("make messages visible", Messages::release).await
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
    fn name(&self) -> &str {
        self.name
    }

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
        let receipt = self::receipt(receipt, ACTION)?;
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

fn receipt(text: &str, action: &'static str) -> Result<Receipt, QueueError> {
    text.parse().map_err(|_| QueueError { action, cause: format!("{text:?} is no receipt") })
}
