//! What is kept of tallies, and where: one object each (`objects.rs`).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tillwatch_domain::rhythm::Rhythms;
use tillwatch_domain::span::{self, HOUR_MS};
use tillwatch_domain::tally::Tally;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::payloads::{PayloadError, Payloads};
use tokio::sync::Mutex;

use super::{Objectives, Standing};
use crate::objects;

/// One hour of all connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    /// The moment up to which it is counted, Unix milliseconds.
    #[serde(rename = "t")]
    pub through_ms: i64,
    /// What was counted.
    #[serde(rename = "c")]
    pub tally: Tally,
}

impl Hour {
    /// One of which nothing is counted yet.
    pub(super) fn begun(hour: i64) -> Self {
        Self { through_ms: hour * HOUR_MS, ..Self::default() }
    }
}

/// Where tallies, and what is concluded from them, are kept.
pub struct TallyStore {
    payloads: Arc<dyn Payloads>,
    clock: Arc<dyn Clock>,
    read: Mutex<Read>,
}

/// What was read last, or written here.
#[derive(Default)]
struct Read {
    rhythms: Option<Rhythms>,
    concluded: Option<(Arc<Standing>, Arc<Objectives>)>,
    /// When the latter were read.
    at: Timestamp,
}

/// For so long what was read is not read again.
const READ: Duration = Duration::from_mins(1);

const RHYTHMS: &str = "figures/rhythms";
const STANDING: &str = "figures/standing";
const OBJECTIVES: &str = "figures/objectives";

fn hour_name(hour: i64) -> String {
    format!("figures/hour-{hour}")
}

fn day_name(day: i64) -> String {
    format!("figures/day-{day}")
}

impl TallyStore {
    /// Beside large payloads.
    pub fn new(payloads: Arc<dyn Payloads>, clock: Arc<dyn Clock>) -> Self {
        Self { payloads, clock, read: Mutex::default() }
    }

    /// What was counted of an hour; none, if nothing was.
    pub async fn hour(&self, hour: i64) -> Result<Option<Hour>, PayloadError> {
        self.document(&hour_name(hour)).await
    }

    pub(super) async fn put_hour(&self, hour: i64, kept: &Hour) -> Result<(), PayloadError> {
        // Nothing at all is what there is where there is nothing. What was there before and is no more can only be a rejected
        // request that was released since.
        if kept.tally.0.is_empty() {
            return Ok(());
        }
        self.put_document(&hour_name(hour), kept).await
    }

    /// What was counted of a UTC day, in days since 1970, for good; none, if it was not yet.
    pub async fn day(&self, day: i64) -> Result<Option<Tally>, PayloadError> {
        self.document(&day_name(day)).await
    }

    /// Puts the hours of a day together.
    pub(super) async fn put_day(&self, day: i64, hours: Range<i64>) -> Result<(), PayloadError> {
        let mut sum = Tally::default();
        for (_, tally) in self.hours(hours.collect()).await? {
            sum.merge(&tally);
        }
        self.put_document(&day_name(day), &sum).await
    }

    pub(super) async fn rhythms(&self) -> Result<Option<Rhythms>, PayloadError> {
        if let Some(rhythms) = &self.read.lock().await.rhythms {
            return Ok(Some(rhythms.clone()));
        }
        let bytes = objects::read_bytes(&*self.payloads, RHYTHMS, self.clock.now()).await?;
        Ok(bytes.and_then(|bytes| Rhythms::read(&bytes)))
    }

    pub(super) async fn put_rhythms(&self, rhythms: Rhythms) -> Result<(), PayloadError> {
        objects::write_bytes(&*self.payloads, RHYTHMS, &rhythms.to_bytes(), self.clock.now()).await?;
        self.read.lock().await.rhythms = Some(rhythms);
        Ok(())
    }

    /// What was concluded last, wherever that was; none, if nothing was yet.
    pub(super) async fn standing_now(&self) -> Result<Option<Standing>, PayloadError> {
        self.document(STANDING).await
    }

    pub(super) async fn objectives_now(&self) -> Result<Option<Objectives>, PayloadError> {
        self.document(OBJECTIVES).await
    }

    /// Keeps what is concluded.
    pub(super) async fn conclude(
        &self,
        standing: Standing,
        objectives: Objectives,
    ) -> Result<(), PayloadError> {
        self.put_document(OBJECTIVES, &objectives).await?;
        self.put_document(STANDING, &standing).await?;
        let mut read = self.read.lock().await;
        read.concluded = Some((Arc::new(standing), Arc::new(objectives)));
        read.at = self.clock.now();
        Ok(())
    }

    /// What was concluded of connections, and how objectives are kept: a minute older at most than it is where it is kept.
    pub async fn concluded(&self) -> Result<(Arc<Standing>, Arc<Objectives>), PayloadError> {
        let now = self.clock.now();
        let mut read = self.read.lock().await;
        let is_fresh = (0..span::millis(READ)).contains(&(now.as_millisecond() - read.at.as_millisecond()));
        if let (true, Some((standing, objectives))) = (is_fresh, &read.concluded) {
            return Ok((Arc::clone(standing), Arc::clone(objectives)));
        }
        let standing = Arc::new(self.standing_now().await?.unwrap_or_default());
        let objectives = Arc::new(self.objectives_now().await?.unwrap_or_default());
        read.concluded = Some((Arc::clone(&standing), Arc::clone(&objectives)));
        read.at = now;
        Ok((standing, objectives))
    }

    async fn document<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, PayloadError> {
        objects::read(&*self.payloads, name, self.clock.now()).await
    }

    async fn put_document<T: Serialize>(&self, name: &str, document: &T) -> Result<(), PayloadError> {
        objects::write(&*self.payloads, name, document, self.clock.now()).await
    }
}
