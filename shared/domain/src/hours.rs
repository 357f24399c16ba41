//! When a location is open.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span as Duration, Timestamp};

use crate::location::{HoursMode, OpeningHours, Span, Weekday};

/// Minutes of a day.
pub const DAY: u32 = 24 * 60;
/// An hour is looked at so often: offsets of time zones are multiples of a quarter.
const QUARTERS: i64 = 4;

/// `HH:MM` in minutes, up to `24:00`; none, if it is no such time.
pub fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| match text.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
        }
        _ => None,
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours <= 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// Whether it is open for some part of an hour, in hours since 1970.
pub fn is_open_in(hours: &OpeningHours, zone: &TimeZone, hour: i64) -> bool {
    (0..QUARTERS).any(|quarter| {
        let second = hour * 3_600 + quarter * 3_600 / QUARTERS;
        Timestamp::from_second(second).is_ok_and(|at| is_open_at(hours, zone.to_datetime(at)))
    })
}

/// Whether it is open at that moment of its own clock.
fn is_open_at(hours: &OpeningHours, at: DateTime) -> bool {
    match hours.mode {
        HoursMode::Always => return true,
        HoursMode::Closed => return false,
        HoursMode::Weekly => {}
    }
    let now = u32::from(at.hour().unsigned_abs()) * 60 + u32::from(at.minute().unsigned_abs());
    let is_in = |span: &Span, now: u32| {
        let (Some(open), Some(close)) = (minute(&span.open), minute(&span.close)) else { return false };
        // One that closes before it opens goes on into the next day.
        let close = if close < open { close + DAY } else { close };
        (open..close).contains(&now)
    };
    let yesterday = at.checked_sub(Duration::new().days(1)).ok();
    let overnight =
        yesterday.is_some_and(|before| of_day(hours, before).iter().any(|span| is_in(span, now + DAY)));
    overnight || of_day(hours, at).iter().any(|span| is_in(span, now))
}

/// The hours of that day.
fn of_day(hours: &OpeningHours, at: DateTime) -> &[Span] {
    if let Some(exception) = hours.exceptions.get(&at.date().to_string()) {
        return exception;
    }
    let day = usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0);
    hours.days.get(&Weekday::ALL[day]).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Open from nine to five, on Fridays until two, and closed on Sundays and on Christmas.
    fn hours() -> OpeningHours {
        let text = r#"{"mode":"weekly","monday":[{"open":"09:00","close":"17:00"}],
            "friday":[{"open":"18:30","close":"02:00"}],"sunday":[],
            "exceptions":{"2026-12-28":[],"2026-12-27":[{"open":"10:00","close":"24:00"}]}}"#;
        serde_json::from_str(text).unwrap()
    }

    fn is_open(zone: &TimeZone, at: &str) -> bool {
        let at = at.parse::<DateTime>().unwrap();
        let hour = zone.to_timestamp(at).unwrap().as_second().div_euclid(3_600);
        is_open_in(&hours(), zone, hour)
    }

    #[test]
    fn a_day_is_open_between_its_times_and_the_night_belongs_to_the_day_before() {
        let utc = &TimeZone::UTC;
        for (at, open) in [
            ("2026-11-30T08:59", false),
            ("2026-11-30T09:00", true),
            ("2026-11-30T16:59", true),
            ("2026-11-30T17:00", false),
            ("2026-12-04T18:10", true),
            ("2026-12-04T17:59", false),
            ("2026-12-05T01:30", true),
            ("2026-12-05T02:00", false),
            ("2026-12-06T12:00", false),
        ] {
            assert_eq!(is_open(utc, at), open, "{at}");
        }
    }

    #[test]
    fn a_date_that_differs_differs_from_its_weekday() {
        let utc = &TimeZone::UTC;
        assert!(is_open(utc, "2026-12-21T12:00") && !is_open(utc, "2026-12-28T12:00"));
        assert!(is_open(utc, "2026-12-27T23:59"), "a Sunday that is open");
    }

    #[test]
    fn it_is_the_locations_own_clock_that_counts() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert!(is_open(&zone, "2026-11-30T09:00"));
        let in_utc = "2026-11-30T07:00".parse::<DateTime>().unwrap();
        let hour = TimeZone::UTC.to_timestamp(in_utc).unwrap().as_second() / 3_600;
        assert!(is_open_in(&hours(), &zone, hour));
        assert!(!is_open_in(&hours(), &TimeZone::UTC, hour));
    }

    #[test]
    fn day_and_night_and_not_at_all_are_what_they_say() {
        let of = |mode| OpeningHours { mode, ..hours() };
        assert!(is_open_in(&of(HoursMode::Always), &TimeZone::UTC, 3));
        assert!(!is_open_in(&of(HoursMode::Closed), &TimeZone::UTC, 498_730));
    }
}
