//! Silence: a source that normally sends at this time of the week, and does not.
//!
//! It is judged against the source's own weeks: what the very same hours brought in each of the last four. Only when every
//! week that is known brought some, and all together enough for chance to be no explanation, is a silence one. A shop that is
//! closed now, a connection that is young, a source that never sent much: of these nothing is said.

use jiff::Timestamp;
use jiff::tz::TimeZone;
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

/// The clock that a source's week goes by. Where clocks are changed, what came at ten o'clock comes at ten o'clock, and that is
/// another hour of UTC.
#[derive(Debug, Clone, Copy)]
pub enum Week<'a> {
    /// One that is never changed.
    Utc,
    /// Its place's.
    Of(&'a TimeZone),
    /// Nobody knows which: it may have been changed by an hour to either side.
    Unknown,
}

impl Week<'_> {
    /// The same hour so many weeks before.
    fn before(self, hour: i64, weeks: i64) -> i64 {
        let then = hour - weeks * WEEK_HOURS;
        match self {
            Self::Of(zone) => then + (offset(zone, hour) - offset(zone, then)).div_euclid(3_600),
            Self::Utc | Self::Unknown => then,
        }
    }

    /// How many hours it may be off.
    fn shifts(self) -> std::ops::RangeInclusive<i64> {
        match self {
            Self::Utc | Self::Of(_) => 0..=0,
            Self::Unknown => -1..=1,
        }
    }
}

/// How many seconds a zone is ahead of UTC in an hour.
fn offset(zone: &TimeZone, hour: i64) -> i64 {
    Timestamp::from_second(hour * 3_600).map_or(0, |at| zone.to_offset(at).seconds().into())
}

/// Judges a source that sent last at `last_ms`. `count` is how many came in an hour (hours since 1970), if there is a
/// record of it; `is_open` whether the source's place is open in an hour, and so may be expected to send; `week` the clock by
/// which an hour is the same as one of another week.
pub fn judge(
    now_ms: i64,
    last_ms: Option<i64>,
    week: Week<'_>,
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
    let shifted = |weeks: i64, shift: i64| {
        let of = |hour: &i64| count(week.before(*hour, weeks) + shift);
        silent.iter().try_fold(0_u32, |sum, hour| Some(sum.saturating_add(of(hour)?)))
    };
    let of_week = |weeks: i64| week.shifts().filter_map(|shift| shifted(weeks, shift)).min();
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
        let silent_for = |hours: i64| judge(at(NOW), Some(at(NOW - hours - 1)), Week::Utc, lively, open);
        assert_eq!(silent_for(0), Silence::Normal);
        assert_eq!(silent_for(2), Silence::Normal);
        let since_ms = at(NOW - 4);
        assert_eq!(silent_for(3), Silence::Silent { since_ms, expected: 12, least: 12, weeks: 4 });
    }

    #[test]
    fn at_night_nothing_is_missing_and_in_the_morning_soon_is() {
        let midnight = NOW - NOW.rem_euclid(24);
        let last = Some(at(midnight - 3));
        assert_eq!(judge(at(midnight + 9), last, Week::Utc, lively, open), Silence::Normal);
        assert_eq!(judge(at(midnight + 11), last, Week::Utc, lively, open), Silence::Normal);
        assert!(matches!(judge(at(midnight + 12), last, Week::Utc, lively, open), Silence::Silent { .. }));
    }

    #[test]
    fn a_place_that_is_closed_now_is_not_missed() {
        assert_eq!(judge(at(NOW), Some(at(NOW - 30)), Week::Utc, lively, |_| false), Silence::Normal);
        let opened = |hour: i64| hour >= NOW - 2;
        assert_eq!(
            judge(at(NOW), Some(at(NOW - 30)), Week::Utc, lively, opened),
            Silence::Normal,
            "two hours are too few"
        );
    }

    #[test]
    fn a_week_that_was_silent_too_makes_a_silence_normal() {
        let holiday = |hour: i64| {
            if NOW - hour > 2 * WEEK_HOURS && NOW - hour < 3 * WEEK_HOURS { Some(0) } else { lively(hour) }
        };
        assert_eq!(judge(at(NOW), Some(at(NOW - 10)), Week::Utc, holiday, open), Silence::Normal);
    }

    #[test]
    fn of_what_is_young_or_never_sent_nothing_is_said() {
        let young = |hour: i64| (NOW - hour < 3 * WEEK_HOURS).then(|| lively(hour)).flatten();
        assert_eq!(judge(at(NOW), Some(at(NOW - 10)), Week::Utc, young, open), Silence::TooLittleKnown);
        assert_eq!(judge(at(NOW), None, Week::Utc, lively, open), Silence::TooLittleKnown);
        let rare = |_: i64| Some(0);
        assert_eq!(judge(at(NOW), Some(at(NOW - 100)), Week::Utc, rare, open), Silence::Normal);
    }

    /// Europe/Berlin, whatever data of time zones there are.
    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    /// What a shop in Berlin sends that sells between 9 and 22 of its own clock, so many times four an hour.
    fn in_berlin(zone: &TimeZone, times: u32) -> impl Fn(i64) -> Option<u32> {
        move |hour| lively(hour + offset(zone, hour) / 3_600).map(|count| count * times)
    }

    /// Midnight UTC of the Mondays after the clocks were changed in March and in October 2026, in hours since 1970.
    const CHANGED: [i64; 2] = [493_008, 498_048];

    #[test]
    fn after_the_clocks_are_changed_nobody_is_missed_who_opens_and_closes_by_them() {
        let berlin = TimeZone::posix(BERLIN).unwrap();
        let count = in_berlin(&berlin, 3);
        for monday in CHANGED {
            let judged = |hour: i64, week| {
                let last = (monday - 24..monday + hour).rev().find(|hour| count(*hour) > Some(0));
                judge(at(monday + hour), last.map(at), week, &count, open)
            };
            for hour in 0..24 {
                assert_eq!(judged(hour, Week::Of(&berlin)), Silence::Normal, "{monday}, {hour} o'clock");
                assert_eq!(judged(hour, Week::Unknown), Silence::Normal, "{monday}, {hour} o'clock");
            }
            assert!((0..24).any(|hour| judged(hour, Week::Utc) != Silence::Normal), "{monday}");
        }
    }

    #[test]
    fn after_the_clocks_are_changed_who_does_not_open_is_missed_by_noon() {
        let berlin = TimeZone::posix(BERLIN).unwrap();
        let count = in_berlin(&berlin, 1);
        for monday in CHANGED {
            let noon = monday + 12 - offset(&berlin, monday) / 3_600;
            let evening = (monday - 24..monday).rev().find(|hour| count(*hour) > Some(0)).map(at);
            for week in [Week::Of(&berlin), Week::Unknown] {
                let judged = |hour| judge(at(hour), evening, week, &count, open);
                assert_eq!(judged(noon - 1), Silence::Normal, "{monday}");
                assert!(matches!(judged(noon), Silence::Silent { expected: 12, .. }), "{monday}");
            }
        }
    }

    #[test]
    fn a_source_that_stopped_long_ago_is_judged_by_the_last_two_weeks() {
        let found = judge(at(NOW), Some(at(NOW - 100 * WEEK_HOURS)), Week::Utc, lively, open);
        assert!(matches!(found, Silence::Silent { expected: 700..800, .. }), "{found:?}");
    }
}
