//! What waits on the queues, and for how long.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join;
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
    /// Where SQS's own word on the oldest message is found; none where queues tell it themselves.
    pub watcher: Option<CloudWatch>,
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
        let (events, dead_letters) = try_join(self.of(&*self.events, now), self.dead_letters.gauge()).await?;
        Ok(Waiting { events, dead_letters })
    }

    /// How full any queue is, with the age of its oldest message where that is known.
    pub async fn of(&self, queue: &dyn Queue, now: Timestamp) -> Result<Gauge, QueueError> {
        let mut gauge = queue.gauge().await?;
        if let (None, Some(watcher)) = (gauge.oldest_age, &self.watcher) {
            gauge.oldest_age = watcher.oldest_message_age(queue.name(), now).await;
        }
        Ok(gauge)
    }

    /// For how long the oldest event has waited; none, if none waits or nobody knows.
    pub async fn oldest_age(&self, now: Timestamp) -> Result<Option<Duration>, QueueError> {
        Ok(self.of(&*self.events, now).await?.oldest_age)
    }
}
