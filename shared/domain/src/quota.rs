//! What is left of a provider's limits, kept from check to check, and when it will be used up if it goes on so.

use serde::{Deserialize, Serialize};

/// One limit, and how much of it is left, as an answer told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Which of the provider's limits.
    pub name: String,
    /// How many calls, or points, or per cent are left.
    pub remaining: u64,
    /// Of how many; none: not told.
    pub limit: Option<u64>,
    /// Seconds until it is whole again; none: not told.
    pub resets_in: Option<u64>,
}

impl Quota {
    /// How much of it is used up, in per cent; none where the limit is not told.
    pub fn used_percent(&self) -> Option<u64> {
        used_percent(self.remaining, self.limit)
    }
}

fn used_percent(remaining: u64, limit: Option<u64>) -> Option<u64> {
    let limit = limit.filter(|limit| *limit > 0)?;
    Some((limit - remaining.min(limit)) * 100 / limit)
}

/// A limit that is kept, with where it began to be used. Times are Unix milliseconds. Stored under one-letter names: a
/// connection's health should fit one write unit of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    /// Which of the provider's limits.
    #[serde(rename = "n")]
    pub name: String,
    /// How many are left.
    #[serde(rename = "r")]
    pub remaining: u64,
    /// Of how many; none: not told.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// When it is whole again; none: not told.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub resets_ms: Option<i64>,
    /// When it was told.
    #[serde(rename = "a")]
    pub at_ms: i64,
    /// When it was whole last, as far as was seen, and how many there were.
    #[serde(rename = "f")]
    began: (i64, u64),
}

/// How many limits of one connection are kept: the fullest.
const MOST: usize = 4;
/// How long one is kept that is told of no more.
const KEPT_MS: i64 = 24 * 3_600_000;
/// Over less time nothing is forecast, nor for later.
const SHORTEST_MS: i64 = 60_000;
const LATEST_MS: i64 = 7 * 24 * 3_600_000;

impl Tracked {
    fn of(quota: Quota, now_ms: i64) -> Self {
        let resets_in = quota.resets_in.and_then(|seconds| i64::try_from(seconds).ok());
        Self {
            resets_ms: resets_in.map(|seconds| now_ms.saturating_add(seconds.saturating_mul(1_000))),
            remaining: quota.remaining,
            limit: quota.limit,
            at_ms: now_ms,
            began: (now_ms, quota.remaining),
            name: quota.name,
        }
    }

    /// How much of it is used up, in per cent; none where the limit is not told.
    pub fn used_percent(&self) -> Option<u64> {
        used_percent(self.remaining, self.limit)
    }

    /// When none will be left, if it goes on as it has since it was whole; none, if that is not before it is whole again,
    /// or within a week.
    pub fn exhausted_ms(&self) -> Option<i64> {
        if self.remaining == 0 {
            return Some(self.at_ms);
        }
        let (began_ms, whole) = self.began;
        let (took_ms, used) = (self.at_ms - began_ms, whole.checked_sub(self.remaining)?);
        if took_ms < SHORTEST_MS || used == 0 {
            return None;
        }
        let left_ms = i128::from(took_ms) * i128::from(self.remaining) / i128::from(used);
        let left_ms = i64::try_from(left_ms).ok().filter(|left_ms| *left_ms <= LATEST_MS)?;
        let ends = self.at_ms + left_ms;
        self.resets_ms.is_none_or(|resets| ends < resets).then_some(ends)
    }
}

/// Takes in what was told now.
pub fn track(kept: &mut Vec<Tracked>, told: Vec<Quota>, now_ms: i64) {
    for quota in told {
        let mut new = Tracked::of(quota, now_ms);
        match kept.iter_mut().find(|known| known.name == new.name) {
            Some(known) => {
                // More than before: it was made whole in between.
                if new.remaining <= known.remaining && new.limit == known.limit {
                    new.began = known.began;
                }
                *known = new;
            }
            None => kept.push(new),
        }
    }
    kept.retain(|known| now_ms - known.at_ms <= KEPT_MS);
    kept.sort_by_key(|known| std::cmp::Reverse(known.used_percent().unwrap_or(0)));
    kept.truncate(MOST);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn told(remaining: u64, resets_in: Option<u64>) -> Vec<Quota> {
        vec![Quota { name: "calls".to_owned(), remaining, limit: Some(1_000), resets_in }]
    }

    #[test]
    fn what_is_used_at_one_pace_ends_when_that_pace_says() {
        let mut kept = Vec::new();
        track(&mut kept, told(1_000, None), 0);
        assert_eq!(kept[0].exhausted_ms(), None);
        track(&mut kept, told(900, None), 10 * MINUTE);
        track(&mut kept, told(800, None), 20 * MINUTE);
        assert_eq!(kept[0].exhausted_ms(), Some(100 * MINUTE));
        assert_eq!(kept[0].used_percent(), Some(20));
    }

    #[test]
    fn what_is_whole_again_before_is_not_used_up() {
        let mut kept = Vec::new();
        track(&mut kept, told(1_000, Some(3_600)), 0);
        track(&mut kept, told(900, Some(3_000)), 10 * MINUTE);
        assert_eq!(kept[0].exhausted_ms(), None);
        track(&mut kept, told(100, Some(2_400)), 20 * MINUTE);
        assert_eq!(kept[0].exhausted_ms(), Some(22 * MINUTE + 13_333));
        // Whole again: what was before says nothing of now.
        track(&mut kept, told(990, Some(3_600)), 60 * MINUTE);
        assert_eq!(kept[0].exhausted_ms(), None);
        track(&mut kept, told(0, Some(60)), 70 * MINUTE);
        assert_eq!(kept[0].exhausted_ms(), Some(70 * MINUTE));
    }

    #[test]
    fn only_the_fullest_are_kept_and_what_is_told_no_more_goes() {
        let mut kept = Vec::new();
        let quota =
            |nth: u64| Quota { name: nth.to_string(), remaining: nth, limit: Some(10), resets_in: None };
        track(&mut kept, (0..8).map(quota).collect(), 0);
        let names: Vec<_> = kept.iter().map(|quota| quota.name.as_str()).collect();
        assert_eq!(names, ["0", "1", "2", "3"]);
        track(&mut kept, vec![quota(9)], KEPT_MS + 1);
        assert_eq!(kept.len(), 1);
    }

    #[test]
    fn an_endless_number_overflows_nothing() {
        let mut kept = Vec::new();
        let quota = |remaining| Quota {
            name: "n".into(),
            remaining,
            limit: Some(u64::MAX / 200),
            resets_in: Some(u64::MAX),
        };
        track(&mut kept, vec![quota(u64::MAX / 200)], 0);
        track(&mut kept, vec![quota(u64::MAX / 200 - 1)], MINUTE);
        assert_eq!(kept[0].exhausted_ms(), None);
    }
}
