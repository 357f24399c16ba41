//! Silence: a source that normally sends at this time of the week, and does not.
//!
//! It is judged against the source's own weeks: what the very same hours brought in each of the last four. Only when every
//! week that is known brought some, and all together enough for chance to be no explanation, is a silence one. A shop that is
//! closed now, a connection that is young, a source that never sent much: of these nothing is said.

use serde::{Deserialize, Serialize};

use crate::span::HOUR_MS;

const WEEK_HOURS: i64 = 7 * 24;
/// How many weeks are looked at, and of how many there must be a record.
const WEEKS: i64 = 4;
const KNOWN: u32 = 3;
/// So many must each week have brought in the hours that are silent now.
const EACH: u32 = 3;
/// And so many on average: where nine are expected, none comes by chance once in eight thousand times.
const AVERAGE: u32 = 9;
/// No silence is looked at that is longer: what has not sent for that long has stopped, and was told of before.
const LONGEST_HOURS: i64 = 14 * 24;

/// What can be said of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Silence {
    /// Nothing is missing.
    Normal,
    /// There is too little to go by.
    TooLittleKnown,
    /// It does not send, and normally would.
    Silent {
        /// When it sent last, Unix milliseconds.
        since_ms: i64,
        /// How many it sends in these hours, on average.
        expected: u32,
        /// How many it sent in the week that brought least.
        least: u32,
        /// How many weeks say so.
        weeks: u32,
    },
}

/// Judges a source that sent last at `last_ms`. `count` is how many came in an hour (hours since 1970), if there is a
/// record of it; `is_open` whether the source's place is open in an hour, and so may be expected to send.
pub fn judge(
    now_ms: i64,
    last_ms: Option<i64>,
    count: impl Fn(i64) -> Option<u32>,
    is_open: impl Fn(i64) -> bool,
) -> Silence {
    let Some(last_ms) = last_ms else { return Silence::TooLittleKnown };
    // Whole hours: the one of the last event is not silent, the present one is not over.
    let (last, now) = (last_ms.div_euclid(HOUR_MS), now_ms.div_euclid(HOUR_MS));
    let silent: Vec<i64> = (last + 1..now).rev().take_while(|hour| now - hour <= LONGEST_HOURS).collect();
    let silent: Vec<i64> = silent.into_iter().filter(|hour| is_open(*hour)).collect();
    if silent.is_empty() {
        return Silence::Normal;
    }
    let of_week = |week: i64| -> Option<u32> {
        silent.iter().try_fold(0_u32, |sum, hour| Some(sum.saturating_add(count(hour - week * WEEK_HOURS)?)))
    };
    let weeks: Vec<u32> = (1..=WEEKS).filter_map(of_week).collect();
    let known = u32::try_from(weeks.len()).unwrap_or(0);
    if known < KNOWN {
        return Silence::TooLittleKnown;
    }
    let fewest = weeks.iter().copied().min().unwrap_or(0);
    let expected = weeks.iter().fold(0_u32, |sum, week| sum.saturating_add(*week)) / known;
    if fewest >= EACH && expected >= AVERAGE {
        Silence::Silent { since_ms: last_ms, expected, least: fewest, weeks: known }
    } else {
        Silence::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Wednesday, 14:00, in hours since 1970.
    const NOW: i64 = 498_734;

    fn at(hour: i64) -> i64 {
        hour * HOUR_MS + 1
    }

    /// A shop that sells four an hour between 9 and 22 o'clock, and has done so for a year.
    #[expect(clippy::unnecessary_wraps, reason = "the shape that is asked for")]
    fn lively(hour: i64) -> Option<u32> {
        Some(if (9..22).contains(&hour.rem_euclid(24)) { 4 } else { 0 })
    }

    fn open(_: i64) -> bool {
        true
    }

    #[test]
    fn a_lively_shop_that_falls_silent_is_noticed_when_nine_are_missing() {
        let silent_for = |hours: i64| judge(at(NOW), Some(at(NOW - hours - 1)), lively, open);
        assert_eq!(silent_for(0), Silence::Normal);
        assert_eq!(silent_for(2), Silence::Normal);
        let since_ms = at(NOW - 4);
        assert_eq!(silent_for(3), Silence::Silent { since_ms, expected: 12, least: 12, weeks: 4 });
    }

    #[test]
    fn at_night_nothing_is_missing_and_in_the_morning_soon_is() {
        let midnight = NOW - NOW.rem_euclid(24);
        let last = Some(at(midnight - 3));
        assert_eq!(judge(at(midnight + 9), last, lively, open), Silence::Normal);
        assert_eq!(judge(at(midnight + 11), last, lively, open), Silence::Normal);
        assert!(matches!(judge(at(midnight + 12), last, lively, open), Silence::Silent { .. }));
    }

    #[test]
    fn a_place_that_is_closed_now_is_not_missed() {
        assert_eq!(judge(at(NOW), Some(at(NOW - 30)), lively, |_| false), Silence::Normal);
        let opened = |hour: i64| hour >= NOW - 2;
        assert_eq!(
            judge(at(NOW), Some(at(NOW - 30)), lively, opened),
            Silence::Normal,
            "two hours are too few"
        );
    }

    #[test]
    fn a_week_that_was_silent_too_makes_a_silence_normal() {
        let holiday = |hour: i64| {
            if NOW - hour > 2 * WEEK_HOURS && NOW - hour < 3 * WEEK_HOURS { Some(0) } else { lively(hour) }
        };
        assert_eq!(judge(at(NOW), Some(at(NOW - 10)), holiday, open), Silence::Normal);
    }

    #[test]
    fn of_what_is_young_or_never_sent_nothing_is_said() {
        let young = |hour: i64| (NOW - hour < 3 * WEEK_HOURS).then(|| lively(hour)).flatten();
        assert_eq!(judge(at(NOW), Some(at(NOW - 10)), young, open), Silence::TooLittleKnown);
        assert_eq!(judge(at(NOW), None, lively, open), Silence::TooLittleKnown);
        let rare = |_: i64| Some(0);
        assert_eq!(judge(at(NOW), Some(at(NOW - 100)), rare, open), Silence::Normal);
    }

    #[test]
    fn a_source_that_stopped_long_ago_is_judged_by_the_last_two_weeks() {
        let found = judge(at(NOW), Some(at(NOW - 100 * WEEK_HOURS)), lively, open);
        assert!(matches!(found, Silence::Silent { expected: 700..800, .. }), "{found:?}");
    }
}
