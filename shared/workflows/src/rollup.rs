//! Rollup: the table's stream, added up into the figures of each minute, hour and day.
//!
//! A batch is repeated after a failure, in whole or in halves. Each counter remembers the last change of the stream's
//! shard that it has counted, and within a shard the stream is in order, so a change is counted once however often its
//! batch comes.

use std::collections::BTreeMap;

use tillwatch_domain::figures::{Counted, Deltas, grown, of};
use tillwatch_platform::table::{Counter, Period, Table, TableError, Written};

/// One change of an event's item, from the stream. One of `old` and `new` is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamChange {
    /// Its place in its shard: decimal digits that rise.
    pub sequence: String,
    /// The provider's name.
    pub provider: String,
    /// The item before; none, if it is new.
    pub old: Option<Counted>,
    /// The item after; none, if it was taken away because it had become something else.
    pub new: Option<Counted>,
}

impl StreamChange {
    /// What it adds to the figures of such spans, and when. A released event keeps the time of its first arrival, so old and new
    /// lie in one minute; should they not, each is counted where it lies.
    pub(crate) fn adds(&self, period: Period) -> impl Iterator<Item = (i64, Deltas)> {
        let old = self.old.iter().map(|old| (old.received_ms, of(old).negated()));
        let new = self.new.iter().map(|new| (new.received_ms, of(new)));
        // Counters are told of the day alone.
        let new_of_day = self.new.iter().filter(move |_| period == Period::Day);
        let grown = new_of_day.map(|new| (new.received_ms, grown(self.old.as_ref(), new)));
        old.chain(new).chain(grown)
    }
}

/// Counts a batch of one shard, in the stream's order.
pub async fn roll_up(table: &Table, shard: &str, changes: &[StreamChange]) -> Result<(), TableError> {
    let mut counters = BTreeMap::<Counter, Vec<(&str, Deltas)>>::new();
    for change in changes {
        for period in Period::ALL {
            for (at_ms, deltas) in change.adds(period) {
                let counter = Counter {
                    provider: change.provider.clone(),
                    period,
                    starts_ms: period.start_of(at_ms),
                    shard: shard.to_owned(),
                };
                let parts = counters.entry(counter).or_default();
                match parts.last_mut() {
                    Some((sequence, sum)) if *sequence == change.sequence => sum.merge(&deltas),
                    _ => parts.push((&change.sequence, deltas)),
                }
            }
        }
    }
    for (counter, parts) in &counters {
        add_up(table, counter, parts).await?;
    }
    Ok(())
}

async fn add_up(table: &Table, counter: &Counter, parts: &[(&str, Deltas)]) -> Result<(), TableError> {
    let mut rest = parts;
    while let (Some((first, _)), Some((last, _))) = (rest.first(), rest.last()) {
        let mut sum = Deltas::default();
        for (_, deltas) in rest {
            sum.merge(deltas);
        }
        if table.add_figures(counter, &sum, first, last).await? == Written::Yes {
            return Ok(());
        }
        // A part of the batch was counted before: only what came after it is left.
        let done = table.counted_up_to(counter).await?.unwrap_or_default();
        let left = rest.partition_point(|(sequence, _)| !is_after(sequence, &done));
        if left == 0 {
            // Nobody else counts this shard, so the counter refused for something that it does not know.
            return Err(TableError::contradiction("add up figures"));
        }
        rest = &rest[left..];
    }
    Ok(())
}

fn is_after(sequence: &str, counted: &str) -> bool {
    let sequence = sequence.trim_start_matches('0');
    (sequence.len(), sequence) > (counted.len(), counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_compare_as_numbers() {
        assert!(is_after("1000", "999"));
        assert!(is_after("0001000", "999"));
        assert!(!is_after("999", "999"));
        assert!(is_after("1", ""));
    }
}
