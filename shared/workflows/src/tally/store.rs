//! What is kept of tallies, and where: one object each (`objects.rs`).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::{DeserializeOwned, DeserializeSeed as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tillwatch_domain::rhythm::Rhythms;
use tillwatch_domain::span::{self, HOUR_MS};
use tillwatch_domain::tally::{Each, Tally, Webhooks};
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

/// What one object is of: an hour since 1970, as [`Hour`], or a UTC day since 1970 for good, as a [`Tally`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Hour,
    Day,
}

impl Of {
    fn name(self, nth: i64) -> String {
        match self {
            Self::Hour => format!("figures/hour-{nth}"),
            Self::Day => format!("figures/day-{nth}"),
        }
    }

    /// Reads one, connection by connection.
    pub(super) fn read<W, T>(self, bytes: &[u8], each: Each<W, T>) -> serde_json::Result<()>
    where
        W: FnMut(&str) -> bool,
        T: FnMut(&str, Webhooks),
    {
        let tally = match self {
            Self::Hour => serde_json::from_slice::<Unread<'_>>(bytes)?.tally.get().as_bytes(),
            Self::Day => bytes,
        };
        each.deserialize(&mut serde_json::Deserializer::from_slice(tally))
    }
}

/// An [`Hour`] whose tally is not read yet.
#[derive(Deserialize)]
struct Unread<'a> {
    #[serde(rename = "c", borrow)]
    tally: &'a RawValue,
}

impl TallyStore {
    /// Beside large payloads.
    pub fn new(payloads: Arc<dyn Payloads>, clock: Arc<dyn Clock>) -> Self {
        Self { payloads, clock, read: Mutex::default() }
    }

    /// What was counted of an hour; none, if nothing was.
    pub async fn hour(&self, hour: i64) -> Result<Option<Hour>, PayloadError> {
        self.document(&Of::Hour.name(hour)).await
    }

    pub(super) async fn put_hour(&self, hour: i64, kept: &Hour) -> Result<(), PayloadError> {
        // Nothing at all is what there is where there is nothing. What was there before and is no more can only be a rejected
        // request that was released since.
        if kept.tally.0.is_empty() {
            return Ok(());
        }
        self.put_document(&Of::Hour.name(hour), kept).await
    }

    /// What is kept of an hour or a day, as it is kept; none, if nothing is.
    pub(super) async fn packed(&self, of: Of, nth: i64) -> Result<Option<Vec<u8>>, PayloadError> {
        self.payloads.get(&of.name(nth), self.clock.now()).await
    }

    /// Puts the hours of a day together.
    pub(super) async fn put_day(&self, day: i64, hours: Range<i64>) -> Result<(), PayloadError> {
        let sum = self.together(hours.collect()).await?;
        self.put_document(&Of::Day.name(day), &sum).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_hour_and_of_a_day_only_who_is_wanted_is_read() {
        let webhooks = |last_ms| Webhooks { last_ms: Some(last_ms), ..Webhooks::default() };
        let tally = Tally([("a".to_owned(), webhooks(1)), ("b".to_owned(), webhooks(2))].into());
        let hour = serde_json::to_vec(&Hour { through_ms: 7, tally: tally.clone() }).unwrap();
        for (of, bytes) in [(Of::Hour, hour), (Of::Day, serde_json::to_vec(&tally).unwrap())] {
            let mut found = Vec::new();
            let take = |id: &str, webhooks: Webhooks| found.push((id.to_owned(), webhooks.last_ms));
            of.read(&bytes, Each { is_wanted: |id: &str| id == "b", take }).unwrap();
            assert_eq!(found, [("b".to_owned(), Some(2))], "{of:?}");
            let each = Each { is_wanted: |_: &str| true, take: |_: &str, _| {} };
            assert!(of.read(b"{\"c\":{\"a\":", each).is_err());
        }
    }
}
