//! How webhooks are going, from the figures: nothing here reads events.

use std::collections::BTreeMap;

use serde::Serialize;
use tillwatch_domain::figures::{
    Deltas, LATENCY_BOUNDS_MS, LATENCY_SUM_MS, RECEIVED, RECONCILED, RETRIES, cause_figure, latency_figure,
    outcome_figure,
};
use tillwatch_domain::span::millis;
use tillwatch_domain::{Cause, Outcome, threshold};
use tillwatch_platform::table::Period;
use utoipa::ToSchema;

use super::{Console, Pending, Problem, Query, rfc3339};
use crate::process::UNKNOWN_PROVIDER;

/// How webhooks are going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// The figures are of what arrived from then on …
    pub from: String,
    /// … until then.
    pub to: String,
    /// What waits on the queue, of all providers.
    pub pending: Pending,
    /// By provider.
    pub providers: BTreeMap<String, ProviderHealth>,
}

/// How one provider's webhooks are going. Each event counts once, however often it was delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProviderHealth {
    /// Distinct events, and rejected requests.
    pub received: i64,
    /// Distinct events whose request was verified.
    pub accepted: i64,
    /// Requests that were not believed.
    pub rejected: i64,
    /// The same by cause.
    pub rejected_by_cause: BTreeMap<&'static str, i64>,
    /// Events that took a final effect: applied, superseded or ignored.
    pub processed: i64,
    /// Of these, events that changed a record.
    pub applied: i64,
    /// Of these, events that came after a newer state.
    pub superseded: i64,
    /// Of these, events of a type that is not modelled, and tests.
    pub ignored: i64,
    /// Events of connections in shadow: recorded, without effect.
    pub shadowed: i64,
    /// Events of an account that no connection is known of.
    pub unknown_connection: i64,
    /// Events held back by a pause.
    pub held: i64,
    /// Events that wait for another attempt, in hours rather than minutes.
    pub failed: i64,
    /// Events that wait for an operator.
    pub parked: i64,
    /// Attempts at processing beyond the first of each event.
    pub retries: i64,
    /// How many of a thousand of the events that came to an end took effect, and were not given up; null, if none did.
    pub success_per_mille: Option<i64>,
    /// Events that no webhook brought, and that were fetched from the provider: none of the others.
    pub reconciled: i64,
    /// From arrival to final effect.
    pub processing_time: ProcessingTimes,
    /// The minute in which something arrived last, within the span.
    pub last_received_at: Option<String>,
}

/// Times from arrival to final effect, in milliseconds. Percentiles are the upper bounds of the buckets they lie in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProcessingTimes {
    /// How many events were timed.
    pub count: i64,
    /// Their mean.
    pub mean_ms: Option<i64>,
    /// Half took no longer.
    pub p50_ms: Option<i64>,
    /// All but one in a hundred took no longer.
    pub p99_ms: Option<i64>,
    /// How many took longer than five seconds.
    pub late: i64,
}

impl ProviderHealth {
    pub(super) fn of(figures: &Deltas) -> Self {
        let outcome = |outcome| figures.get(&outcome_figure(outcome));
        let rejected = outcome(Outcome::Rejected);
        let (applied, superseded, ignored) =
            (outcome(Outcome::Applied), outcome(Outcome::Superseded), outcome(Outcome::Ignored));
        let shadowed = outcome(Outcome::Shadowed);
        let received = figures.get(RECEIVED);
        let processed = applied + superseded + ignored + shadowed;
        let (failed, parked) = (outcome(Outcome::Failed), outcome(Outcome::Parked));
        let ended = processed + failed + parked;
        Self {
            received,
            accepted: received - rejected,
            rejected,
            rejected_by_cause: Cause::ALL
                .into_iter()
                .map(|cause| (cause.name(), figures.get(&cause_figure(cause))))
                .filter(|(_, count)| *count != 0)
                .collect(),
            processed,
            applied,
            superseded,
            ignored,
            shadowed,
            unknown_connection: outcome(Outcome::UnknownConnection),
            held: outcome(Outcome::Held),
            failed,
            parked,
            retries: figures.get(RETRIES),
            success_per_mille: (ended > 0).then(|| processed * 1_000 / ended),
            reconciled: figures.get(RECONCILED),
            processing_time: ProcessingTimes::of(figures),
            last_received_at: None,
        }
    }
}

impl ProcessingTimes {
    fn of(figures: &Deltas) -> Self {
        let buckets: Vec<i64> =
            (0..=LATENCY_BOUNDS_MS.len()).map(|index| figures.get(&latency_figure(index))).collect();
        let count: i64 = buckets.iter().sum();
        if count == 0 {
            return Self::default();
        }
        let percentile = |percent: i64| {
            let rank = (count * percent + 99) / 100;
            let mut below = 0;
            let index = buckets.iter().position(|bucket| {
                below += bucket;
                below >= rank
            });
            index.and_then(|index| LATENCY_BOUNDS_MS.get(index)).copied()
        };
        Self {
            count,
            mean_ms: Some(figures.get(LATENCY_SUM_MS) / count),
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            late: buckets.iter().skip(in_time()).sum(),
        }
    }
}

/// How many buckets hold times that are not late.
fn in_time() -> usize {
    LATENCY_BOUNDS_MS.partition_point(|bound| *bound <= millis(threshold::PAYMENT))
}

impl Console {
    pub(super) async fn health(&self, query: &Query) -> Result<Health, Problem> {
        query.only(&["hours"])?;
        let hours = query.number("hours", 24, 720)?;
        let now_ms = self.clock.now().as_millisecond();
        // Longer spans are told in whole hours or days: a month of minutes would be 43,200 items, of each shard.
        let period = match hours {
            ..=3 => Period::Minute,
            4..=72 => Period::Hour,
            _ => Period::Day,
        };
        let from_ms = period.start_of(now_ms - hours * 3_600_000);
        let names = tillwatch_providers::ALL.iter().map(|provider| provider.name()).chain([UNKNOWN_PROVIDER]);
        let mut providers = BTreeMap::new();
        for name in names {
            let spans = self.table.figures(name, period, from_ms, now_ms + 60_000).await?;
            if spans.is_empty() && name == UNKNOWN_PROVIDER {
                continue;
            }
            let mut sum = Deltas::default();
            for (_, figures) in &spans {
                sum.merge(figures);
            }
            let last = self.last_received(name, period, &spans).await?;
            let health = ProviderHealth { last_received_at: last.map(rfc3339), ..ProviderHealth::of(&sum) };
            providers.insert(name.to_owned(), health);
        }
        Ok(Health { from: rfc3339(from_ms), to: rfc3339(now_ms), pending: self.pending().await?, providers })
    }
}

impl Console {
    /// The latest minute in which something arrived: found in the latest day's hours, and that hour's minutes.
    async fn last_received(
        &self,
        provider: &str,
        period: Period,
        spans: &[(i64, Deltas)],
    ) -> Result<Option<i64>, Problem> {
        let latest = |spans: &[(i64, Deltas)]| {
            spans.iter().rev().find(|(_, figures)| figures.get(RECEIVED) > 0).map(|(starts_ms, _)| *starts_ms)
        };
        let mut last = latest(spans);
        let finer = match period {
            Period::Minute => &[][..],
            Period::Hour => &[(Period::Hour, Period::Minute)],
            Period::Day => &[(Period::Day, Period::Hour), (Period::Hour, Period::Minute)],
        };
        for (coarse, fine) in finer {
            let Some(from_ms) = last else { break };
            let spans = self.table.figures(provider, *fine, from_ms, from_ms + coarse.length_ms()).await?;
            // Days are kept longer than what is finer.
            let Some(found) = latest(&spans) else { break };
            last = Some(found);
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_bounds_of_their_buckets() {
        let mut figures = Deltas::default();
        figures.add(latency_figure(1), 60);
        figures.add(latency_figure(3), 39);
        figures.add(latency_figure(14), 1);
        figures.add(LATENCY_SUM_MS, 5_000);
        let times = ProcessingTimes::of(&figures);
        assert_eq!((times.count, times.mean_ms), (100, Some(50)));
        assert_eq!((times.p50_ms, times.p99_ms, times.late), (Some(25), Some(100), 1));
    }

    #[test]
    fn what_took_longer_than_a_payment_may_is_late() {
        assert_eq!(LATENCY_BOUNDS_MS[in_time() - 1], millis(threshold::PAYMENT), "a bucket ends there");
        let late = |index| {
            let mut figures = Deltas::default();
            figures.add(latency_figure(index), 1);
            ProcessingTimes::of(&figures).late
        };
        assert_eq!([in_time() - 1, in_time(), LATENCY_BOUNDS_MS.len()].map(late), [0, 1, 1]);
    }
}
