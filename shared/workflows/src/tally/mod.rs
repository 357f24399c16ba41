//! Tallies: how each connection's webhooks go, hour by hour, whether they fell silent, and how well the objectives are kept.
//!
//! Nothing is counted while an event is processed. What arrived is read off the index that lists events by their time: once
//! soon after it came, and once more two hours after its hour ended, when nothing of it is on its way any more. What is
//! counted is kept beside large payloads, an hour or a day of all connections an object, and each object says itself up to
//! where it counts: one that is written twice is written the same.

mod addresses;
mod objectives;
mod span;
mod standing;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tillwatch_domain::rhythm::Rhythms;
use tillwatch_domain::span::{HOUR_MS, millis};
use tillwatch_domain::tally::{Tally, hour_of};
use tillwatch_platform::beats::Part;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::payloads::PayloadError;
use tillwatch_platform::queue::QueueError;
use tillwatch_platform::table::{Table, TableError};
use tokio::time::Instant;

use crate::agenda::AgendaError;
use crate::backlog::Backlog;
use crate::tokens::TokenRoster;
use crate::watch::{Roster, WatchError};

pub use addresses::Address;
pub use objectives::Objectives;
pub use span::Span;
pub use standing::{Sent, Silent, Standing};
pub use store::{Hour, TallyStore};

/// How often it is looked at.
pub const EVERY: Duration = Duration::from_mins(5);
/// No more often. A schedule is exact to a minute, so a look that comes somewhat early is one all the same.
const OFTEN: Duration = Duration::from_secs(EVERY.as_secs() / 2);
/// What arrived so lately may not be listed yet.
const LAG: Duration = Duration::from_mins(1);
/// So long after an hour's end nothing of it is on its way any more, but what still waits on the queue.
const SETTLED: Duration = Duration::from_hours(2);
/// How far back the first look goes: events are listed for thirty days.
const BEGINNING: Duration = Duration::from_hours(28 * 24);
/// At most so many hours are read at once, and only after one in which little came.
const MOST_HOURS: i64 = 24;
/// So much in one look is much.
const MUCH: u64 = 50_000;
/// A day in hours.
const DAY: i64 = 24;

/// Why it could not be looked at. Ours, and tried again.
#[derive(Debug, thiserror::Error)]
pub enum TallyError {
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Where tallies are kept.
    #[error(transparent)]
    Payloads(#[from] PayloadError),
    /// How all do can't be told.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// How tokens stand can't be told.
    #[error(transparent)]
    Agenda(#[from] AgendaError),
    /// The queue does not say what waits.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What makes tallies, and what tells them.
pub struct Tallies {
    /// Events.
    pub table: Table,
    /// Where tallies are kept.
    pub store: Arc<TallyStore>,
    /// Who is watched.
    pub roster: Arc<Roster>,
    /// Whose tokens are looked after.
    pub tokens: Arc<TokenRoster>,
    /// What has arrived and is not listed yet.
    pub backlog: Backlog,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics go.
    pub metrics: Arc<Metrics>,
}

/// What a look came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looked {
    /// Events and rejected requests that were gone through.
    pub events: u64,
    /// Connections that are silent.
    pub silent: usize,
    /// Whether there was more than the time was enough for.
    pub more: bool,
}

impl Tallies {
    /// Looks at what came since the last time, unless that was a moment ago. What is not done by `until` is left for the
    /// next time.
    pub async fn look(&self, until: Instant) -> Result<Looked, TallyError> {
        let now = self.clock.now();
        let now_ms = now.as_millisecond();
        let mut standing = self.store.standing_now().await?.unwrap_or_default();
        if (0..millis(OFTEN)).contains(&(now_ms - standing.at_ms)) {
            return Ok(Looked { silent: standing.silent(), ..Looked::default() });
        }
        let survey = self.roster.surveyed(EVERY).await?;
        let providers = self.providers().await?;
        let beginning_ms = (now_ms - millis(BEGINNING)).div_euclid(DAY * HOUR_MS) * DAY * HOUR_MS;
        let mut looked = Looked::default();
        let mut rhythms = self.store.rhythms().await?.unwrap_or_else(|| Rhythms::from(hour_of(beginning_ms)));
        let waits = self.backlog.oldest_age(now).await?.unwrap_or_default();
        let Ends { settled_ms, to_ms } = Ends::at(now_ms, waits);
        if waits >= SETTLED {
            tracing::warn!(?waits, "webhooks are not tallied beyond the oldest that waits on the queue");
        }
        self.settle(&providers, &mut rhythms, settled_ms, until, &mut looked).await?;
        let recent = self.count_recent(&providers, &rhythms, to_ms, until, &mut looked).await?;
        if standing.days_through == 0 {
            standing.days_through = hour_of(beginning_ms) / DAY;
        }
        self.close_days(&mut standing, rhythms.through()).await?;
        if looked.more {
            tracing::warn!(events = looked.events, "tallies are behind: they go on with the next look");
        } else {
            standing.connections = self.judged(&rhythms, &recent, to_ms, &survey).await?;
        }
        standing.at_ms = now_ms;
        looked.silent = standing.silent();
        let objectives = self.sampled(&survey, &standing).await?;
        self.store.conclude(standing, objectives).await?;
        self.tell_addresses(&survey);
        self.table.beats().beat(Part::Tally, now).await;
        Ok(looked)
    }

    /// Providers to which there are connections.
    async fn providers(&self) -> Result<Vec<&'static str>, TallyError> {
        let mut providers = Vec::new();
        for provider in tillwatch_providers::ALL {
            if self.roster.is_used(provider.name()).await? {
                providers.push(provider.name());
            }
        }
        Ok(providers)
    }

    /// What arrived in `[from, to)`, by hour.
    async fn arrived(
        &self,
        providers: &[&str],
        (from_ms, to_ms): (i64, i64),
        looked: &mut Looked,
    ) -> Result<BTreeMap<i64, Tally>, TallyError> {
        let mut hours: BTreeMap<i64, Tally> = BTreeMap::new();
        for provider in providers {
            let count = self.table.arrived(provider, from_ms, to_ms, |event| {
                if let Some(connection) = &event.connection {
                    let tally = hours.entry(hour_of(event.received_ms)).or_default();
                    tally.add(connection, &event.kind, &event.counted());
                }
            });
            looked.events += count.await?;
        }
        Ok(hours)
    }

    /// Counts hours for good of which nothing is on its way any more.
    async fn settle(
        &self,
        providers: &[&str],
        rhythms: &mut Rhythms,
        settled_ms: i64,
        until: Instant,
        looked: &mut Looked,
    ) -> Result<(), TallyError> {
        let end = hour_of(settled_ms);
        let (mut pace, began) = (Pace::default(), rhythms.through());
        while rhythms.through() < end {
            if Instant::now() >= until {
                looked.more = true;
                break;
            }
            let from = rhythms.through();
            let to = end.min(from + pace.hours);
            let before = looked.events;
            let span_ms = (from * HOUR_MS, to * HOUR_MS);
            let mut hours = self.arrived(providers, span_ms, looked).await?;
            pace.went(looked.events - before);
            for hour in from..to {
                let tally = hours.remove(&hour).unwrap_or_default();
                let sent = tally.0.iter().filter_map(|(connection, webhooks)| {
                    Some((connection.as_str(), webhooks.believed(), webhooks.last_ms?))
                });
                rhythms.push(sent);
                self.store.put_hour(hour, &Hour { through_ms: (hour + 1) * HOUR_MS, tally }).await?;
            }
        }
        if rhythms.through() > began {
            self.store.put_rhythms(rhythms.clone()).await?;
        }
        Ok(())
    }

    /// Counts what came since in hours that are not settled; these hours.
    async fn count_recent(
        &self,
        providers: &[&str],
        rhythms: &Rhythms,
        to_ms: i64,
        until: Instant,
        looked: &mut Looked,
    ) -> Result<BTreeMap<i64, Tally>, TallyError> {
        let mut recent = BTreeMap::new();
        for hour in rhythms.through()..=hour_of(to_ms) {
            let mut kept = self.store.hour(hour).await?.unwrap_or_else(|| Hour::begun(hour));
            let end_ms = to_ms.min((hour + 1) * HOUR_MS);
            if kept.through_ms < end_ms {
                if looked.more || Instant::now() >= until {
                    looked.more = true;
                    break;
                }
                let span_ms = (kept.through_ms, end_ms);
                for tally in self.arrived(providers, span_ms, looked).await?.values() {
                    kept.tally.merge(tally);
                }
                kept.through_ms = end_ms;
                self.store.put_hour(hour, &kept).await?;
            }
            recent.insert(hour, kept.tally);
        }
        Ok(recent)
    }

    /// Puts the hours of days together that are settled.
    async fn close_days(&self, standing: &mut Standing, settled: i64) -> Result<(), TallyError> {
        while (standing.days_through + 1) * DAY <= settled {
            let hours = standing.days_through * DAY..(standing.days_through + 1) * DAY;
            self.store.put_day(standing.days_through, hours).await?;
            standing.days_through += 1;
        }
        Ok(())
    }
}

/// The moments up to which is counted, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    /// For good.
    settled_ms: i64,
    /// For now.
    to_ms: i64,
}

impl Ends {
    /// Nothing is counted from when the oldest message was sent that waits on the queue: what came then is not listed before it
    /// was processed, and would be missed.
    fn at(now_ms: i64, waits: Duration) -> Self {
        let to_ms = now_ms - millis(LAG) - millis(waits);
        Self { settled_ms: to_ms.min(now_ms - millis(SETTLED)), to_ms }
    }
}

/// How many hours are read at once: more when little came in the last.
struct Pace {
    hours: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { hours: 1 }
    }
}

impl Pace {
    fn went(&mut self, events: u64) {
        self.hours = if events >= MUCH { 1 } else { (self.hours * 2).min(MOST_HOURS) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_come_off_the_queue_is_not_counted_past() {
        let now_ms = 1_795_474_800_000;
        let ends = |waits| {
            let Ends { settled_ms, to_ms } = Ends::at(now_ms, waits);
            ((now_ms - settled_ms) / 60_000, (now_ms - to_ms) / 60_000)
        };
        assert_eq!(ends(Duration::ZERO), (120, 1));
        assert_eq!(ends(Duration::from_mins(40)), (120, 41));
        assert_eq!(ends(Duration::from_hours(9)), (541, 541));
    }

    #[test]
    fn a_look_that_a_schedule_makes_a_minute_early_is_not_dropped() {
        assert!(EVERY >= OFTEN + Duration::from_mins(1));
    }
}
