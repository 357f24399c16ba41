//! Figures: what one written item adds to the counts of its minute.
//!
//! Counts are differences between an item's old and new image, so they are right whatever happens to an event later:
//! when a parked one is released and applied, its minute loses one parked and gains one applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Origin, Outcome};
use crate::rejection::Cause;

/// Upper bounds, in milliseconds, of the buckets that processing times are counted in; the last bucket has none.
pub const LATENCY_BOUNDS_MS: [i64; 14] =
    [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 600_000, 3_600_000, 86_400_000];

/// What figures need to know of an event or a rejected request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What became of it.
    pub outcome: Outcome,
    /// Why, if it was rejected.
    pub cause: Option<Cause>,
    /// When it arrived, Unix milliseconds.
    pub received_ms: i64,
    /// When it took its outcome, Unix milliseconds.
    pub processed_ms: Option<i64>,
    /// How often processing was tried.
    pub attempts: u32,
    /// How many requests it stands for: one, but for the sum of those rejected above the cap.
    pub count: i64,
    /// What brought it. How webhooks go is told by webhooks alone.
    pub origin: Origin,
}

/// Amounts to add, by the figure's name. Zeros are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deltas(BTreeMap<String, i64>);

impl Deltas {
    /// Adds to one figure.
    pub fn add(&mut self, name: impl Into<String>, amount: i64) {
        let name = name.into();
        let sum = self.0.get(&name).copied().unwrap_or(0) + amount;
        if sum == 0 {
            self.0.remove(&name);
        } else {
            self.0.insert(name, sum);
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            self.add(name.clone(), *amount);
        }
    }

    /// The same amounts, to be taken away.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self(self.0.iter().map(|(name, amount)| (name.clone(), -amount)).collect())
    }

    /// One figure.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Whether nothing is to be added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The figure that counts an outcome.
pub fn outcome_figure(outcome: Outcome) -> String {
    format!("outcome_{}", outcome.name())
}

/// The figure that counts a cause of rejection.
pub fn cause_figure(cause: Cause) -> String {
    format!("cause_{}", cause.name())
}

/// The figure that counts the processing times of bucket `index` of [`LATENCY_BOUNDS_MS`].
pub fn latency_figure(index: usize) -> String {
    format!("latency_{index}")
}

/// Events that no webhook brought, and that were fetched from the provider.
pub const RECONCILED: &str = "reconciled";
/// Distinct events and rejected requests that arrived.
pub const RECEIVED: &str = "received";
/// The sum of processing times in milliseconds, of events whose outcome is final.
pub const LATENCY_SUM_MS: &str = "latency_sum_ms";

/// Attempts at processing beyond the first of each event.
pub const RETRIES: &str = "retries";

/// All that ever arrived: as [`RECEIVED`], but nothing is ever taken from it. What was rejected and is released, or
/// could not be read and is tried again, becomes an event that arrives once more.
pub const ARRIVED: &str = "arrived";
/// Those of [`ARRIVED`] that were rejected then.
pub const ARRIVED_REJECTED: &str = "arrived_rejected";
/// The sum of processing times up to the first final outcome, in milliseconds. Nothing is ever taken from it.
pub const TOOK_SUM_MS: &str = "took_sum_ms";

/// The figure that counts the processing times up to the first final outcome, of bucket `index` of [`LATENCY_BOUNDS_MS`]. Nothing
/// is ever taken from it.
pub fn took_figure(index: usize) -> String {
    format!("took_{index}")
}

/// How long it took from its arrival to its final outcome, in milliseconds; none, if it has none.
fn took(item: &Counted) -> Option<i64> {
    let processed_ms = item.processed_ms.filter(|_| item.outcome.is_final())?;
    Some((processed_ms - item.received_ms).max(0))
}

fn bucket(took_ms: i64) -> usize {
    LATENCY_BOUNDS_MS.partition_point(|bound| *bound < took_ms)
}

/// What an item adds to the counts that only ever grow, when it is written over what it was before. The others are right at every
/// moment, and so go down too: whoever takes one that does for a counter takes each fall for a new beginning.
pub fn grown(old: Option<&Counted>, new: &Counted) -> Deltas {
    let mut deltas = Deltas::default();
    if new.origin != Origin::Webhook {
        return deltas;
    }
    if old.is_none() {
        deltas.add(ARRIVED, new.count);
        if new.outcome == Outcome::Rejected {
            deltas.add(ARRIVED_REJECTED, new.count);
        }
    }
    if let (Some(took_ms), None) = (took(new), old.and_then(took)) {
        deltas.add(took_figure(bucket(took_ms)), 1);
        deltas.add(TOOK_SUM_MS, took_ms);
    }
    deltas
}

/// What an item stands for in the minute and on the day in which it was received.
pub fn of(item: &Counted) -> Deltas {
    let mut deltas = Deltas::default();
    if item.origin == Origin::Synthetic {
        return deltas;
    }
    if item.origin == Origin::Reconciled {
        deltas.add(RECONCILED, item.count);
        deltas.add(format!("{RECONCILED}_{}", item.outcome.name()), item.count);
        return deltas;
    }
    deltas.add(RECEIVED, item.count);
    deltas.add(outcome_figure(item.outcome), item.count);
    if let Some(cause) = item.cause {
        deltas.add(cause_figure(cause), item.count);
    }
    deltas.add(RETRIES, i64::from(item.attempts.saturating_sub(1)));
    if let Some(took_ms) = took(item) {
        deltas.add(latency_figure(bucket(took_ms)), 1);
        deltas.add(LATENCY_SUM_MS, took_ms);
    }
    deltas
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(old: Option<&Counted>, new: &Counted) -> Deltas {
        let mut deltas = of(new);
        if let Some(old) = old {
            deltas.merge(&of(old).negated());
        }
        deltas
    }

    fn counted(outcome: Outcome, processed_ms: Option<i64>) -> Counted {
        Counted {
            outcome,
            cause: None,
            received_ms: 1_000,
            processed_ms,
            attempts: 1,
            count: 1,
            origin: Origin::Webhook,
        }
    }

    #[test]
    fn a_new_event_counts_once_with_its_time() {
        let deltas = step(None, &counted(Outcome::Applied, Some(1_030)));
        let expected = [("latency_2", 1), ("latency_sum_ms", 30), ("outcome_applied", 1), ("received", 1)];
        assert_eq!(deltas.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_released_event_moves_from_one_outcome_to_the_other_and_is_not_received_again() {
        let deltas =
            step(Some(&counted(Outcome::Parked, Some(1_500))), &counted(Outcome::Applied, Some(9_000)));
        assert_eq!(
            (deltas.get("received"), deltas.get("outcome_parked"), deltas.get("outcome_applied")),
            (0, -1, 1)
        );
    }

    #[test]
    fn an_event_that_was_tried_three_times_was_tried_again_twice() {
        let event = Counted { attempts: 3, ..counted(Outcome::Applied, Some(1_030)) };
        assert_eq!(of(&event).get(RETRIES), 2);
    }

    #[test]
    fn what_was_sent_to_prove_the_way_is_in_no_figure() {
        let ours = Counted { origin: Origin::Synthetic, ..counted(Outcome::Ignored, Some(1_030)) };
        assert!(of(&ours).is_empty());
    }

    #[test]
    fn what_no_webhook_brought_is_counted_apart() {
        let fetched = Counted { origin: Origin::Reconciled, ..counted(Outcome::Applied, Some(1_030)) };
        let deltas = step(None, &fetched);
        assert_eq!(deltas.iter().collect::<Vec<_>>(), [("reconciled", 1), ("reconciled_applied", 1)]);
    }

    #[test]
    fn a_write_that_changes_nothing_counts_nothing() {
        let event = counted(Outcome::Applied, Some(1_030));
        assert!(step(Some(&event), &event).is_empty());
    }

    #[test]
    fn what_only_grows_is_counted_once_and_never_taken_away() {
        let rejected = counted(Outcome::Rejected, None);
        assert_eq!(
            grown(None, &rejected).iter().collect::<Vec<_>>(),
            [("arrived", 1), ("arrived_rejected", 1)]
        );
        let parked = counted(Outcome::Parked, Some(1_500));
        assert_eq!(grown(None, &parked).iter().collect::<Vec<_>>(), [("arrived", 1)]);
        let released = counted(Outcome::Applied, Some(1_030));
        let took = [("took_2", 1), ("took_sum_ms", 30)];
        assert_eq!(grown(Some(&parked), &released).iter().collect::<Vec<_>>(), took);
        // It is done anew, and late.
        assert!(grown(Some(&released), &counted(Outcome::Applied, Some(9_000))).is_empty());
        let ours = Counted { origin: Origin::Synthetic, ..released.clone() };
        assert!(grown(None, &ours).is_empty());
        for old in [None, Some(&rejected), Some(&parked), Some(&released)] {
            for new in [&rejected, &parked, &released] {
                assert!(grown(old, new).iter().all(|(_, amount)| amount > 0), "{old:?} {new:?}");
            }
        }
    }

    #[test]
    fn the_sum_of_those_shed_counts_each() {
        let shed =
            Counted { cause: Some(Cause::WrongSignature), count: 41, ..counted(Outcome::Rejected, None) };
        let deltas = step(None, &shed);
        assert_eq!((deltas.get("outcome_rejected"), deltas.get("cause_wrong_signature")), (41, 41));
    }
}
