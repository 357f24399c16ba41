//! A gap: what a provider says has happened and no webhook told of, counted once each, however often it is found.
//!
//! What is found is remembered by its event's id for as long as it may be found again: lists overlap, and a worker that ends
//! in between is followed by one that begins anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::span::HOUR_MS;

/// How far back is told by the hour.
const HOURS: i64 = 7 * 24;
/// How many of what was found are remembered at most: the latest to have changed. Of more than that, one that is found again
/// would be counted again; it would take effect no second time.
const REMEMBERED: usize = 2_000;

/// What was missing, by when it was found. Stored under one-letter names: a connection that misses nothing has an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// By the hour since 1970 in which it was found.
    #[serde(rename = "h", skip_serializing_if = "BTreeMap::is_empty")]
    hours: BTreeMap<i64, Hour>,
    /// All that ever was.
    #[serde(rename = "n", skip_serializing_if = "is_zero")]
    ever: u64,
    /// What may be found again, by its id, and when it changed.
    #[serde(rename = "f", skip_serializing_if = "BTreeMap::is_empty")]
    found: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Hour {
    #[serde(rename = "n")]
    count: u32,
    /// When the oldest of them changed.
    #[serde(rename = "o")]
    oldest_ms: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Gap {
    /// Takes in what was found missing now: ids, and when each changed. How many of them were not known to be.
    pub fn find<'a>(&mut self, missing: impl IntoIterator<Item = (&'a str, i64)>, now_ms: i64) -> u32 {
        let mut new = 0;
        for (id, changed_ms) in missing {
            if self.found.insert(id.to_owned(), changed_ms).is_some() {
                continue;
            }
            new += 1;
            self.ever = self.ever.saturating_add(1);
            let fresh = Hour { count: 0, oldest_ms: changed_ms };
            let hour = self.hours.entry(now_ms.div_euclid(HOUR_MS)).or_insert(fresh);
            hour.count = hour.count.saturating_add(1);
            hour.oldest_ms = hour.oldest_ms.min(changed_ms);
        }
        let oldest_hour = now_ms.div_euclid(HOUR_MS) - HOURS;
        self.hours.retain(|hour, _| *hour > oldest_hour);
        if self.found.len() > REMEMBERED {
            let mut times: Vec<i64> = self.found.values().copied().collect();
            times.sort_unstable();
            let first = times[times.len() - REMEMBERED];
            self.found.retain(|_, changed_ms| *changed_ms >= first);
        }
        new
    }

    /// Forgets which ones they were that changed before then: they are not listed again.
    pub fn forget_before(&mut self, then_ms: i64) {
        self.found.retain(|_, changed_ms| *changed_ms >= then_ms);
    }

    /// How many were found within so many hours, the present one included.
    pub fn within(&self, hours: i64, now_ms: i64) -> u32 {
        self.since(hours, now_ms).map(|hour| hour.count).fold(0, u32::saturating_add)
    }

    /// When the oldest changed of those that were found within so many hours, Unix milliseconds.
    pub fn oldest_ms(&self, hours: i64, now_ms: i64) -> Option<i64> {
        self.since(hours, now_ms).map(|hour| hour.oldest_ms).min()
    }

    /// How many there ever were.
    pub fn ever(&self) -> u64 {
        self.ever
    }

    fn since(&self, hours: i64, now_ms: i64) -> impl Iterator<Item = &Hour> {
        let first = now_ms.div_euclid(HOUR_MS) - hours + 1;
        self.hours.range(first..).map(|(_, hour)| hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_474_800_000;

    #[test]
    fn what_is_found_again_is_counted_once() {
        let mut gap = Gap::default();
        assert_eq!(gap.find([("a", NOW_MS - 5), ("b", NOW_MS - 9)], NOW_MS), 2);
        assert_eq!(gap.find([("a", NOW_MS - 5), ("c", NOW_MS - 1)], NOW_MS + HOUR_MS), 1);
        assert_eq!((gap.ever(), gap.within(24, NOW_MS + HOUR_MS)), (3, 3));
        assert_eq!(gap.within(1, NOW_MS + HOUR_MS), 1);
        assert_eq!(gap.oldest_ms(24, NOW_MS + HOUR_MS), Some(NOW_MS - 9));
    }

    #[test]
    fn what_is_found_twice_at_once_is_counted_once() {
        let mut gap = Gap::default();
        assert_eq!(gap.find([("a", NOW_MS), ("a", NOW_MS)], NOW_MS), 1);
    }

    #[test]
    fn what_was_found_a_week_ago_is_told_of_no_more_but_in_the_sum_of_all() {
        let mut gap = Gap::default();
        gap.find([("a", NOW_MS)], NOW_MS);
        let later = NOW_MS + HOURS * HOUR_MS;
        gap.find([("b", later)], later);
        assert_eq!((gap.within(HOURS, later), gap.hours.len(), gap.ever()), (1, 1, 2));
    }

    #[test]
    fn what_is_not_listed_again_is_not_remembered() {
        let mut gap = Gap::default();
        gap.find([("a", NOW_MS - 10), ("b", NOW_MS)], NOW_MS);
        gap.forget_before(NOW_MS);
        assert_eq!(gap.found.len(), 1);
        let many: Vec<String> = (0..3_000).map(|nth| format!("{nth:04}")).collect();
        gap.find(many.iter().zip(NOW_MS..).map(|(id, at_ms)| (id.as_str(), at_ms)), NOW_MS);
        assert!(gap.found.len() <= REMEMBERED + 1, "{}", gap.found.len());
        assert!(gap.found.contains_key("2999") && !gap.found.contains_key("0000"));
    }

    #[test]
    fn a_gap_that_is_none_takes_no_room() {
        assert_eq!(serde_json::to_string(&Gap::default()).unwrap(), "{}");
        let mut gap = Gap::default();
        gap.find([("a", NOW_MS)], NOW_MS);
        let text = serde_json::to_string(&gap).unwrap();
        assert_eq!(serde_json::from_str::<Gap>(&text).unwrap(), gap);
    }
}
