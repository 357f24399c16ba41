//! What waits on the queues of events, and for how long.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tillwatch_platform::queue::{Gauge, Queue, QueueError};
use tillwatch_platform::watcher::CloudWatch;

/// The queues of events.
#[derive(Clone)]
pub struct Backlog {
    /// The queue of events.
    pub events: Arc<dyn Queue>,
    /// The queue of dead letters.
    pub dead_letters: Arc<dyn Queue>,
    /// Where SQS's own word on the oldest message is found, and the queue's name; none where the queue tells itself.
    pub watcher: Option<(CloudWatch, String)>,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Events.
    pub events: Gauge,
    /// Messages given up by the queue and not parked yet.
    pub dead_letters: Gauge,
}

impl Backlog {
    /// What waits now, with the age of the oldest event where that is known.
    pub async fn waiting(&self, now: Timestamp) -> Result<Waiting, QueueError> {
        let mut events = self.events.gauge().await?;
        let dead_letters = self.dead_letters.gauge().await?;
        if let (None, Some((watcher, queue))) = (events.oldest_age, &self.watcher) {
            events.oldest_age = watcher.oldest_message_age(queue, now).await;
        }
        Ok(Waiting { events, dead_letters })
    }

    /// For how long the oldest event has waited; none, if none waits or nobody knows.
    pub async fn oldest_age(&self, now: Timestamp) -> Result<Option<Duration>, QueueError> {
        Ok(self.waiting(now).await?.events.oldest_age)
    }
}
