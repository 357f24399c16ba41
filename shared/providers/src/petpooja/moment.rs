//! Times of whatever form.

use jiff::{SignedDuration, Timestamp};

use crate::json::Reader;

/// How far a till's clock may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// From here on a count is of milliseconds: as seconds it would be the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;
/// The first count that is taken for a time, in 2001: what is smaller is none.
const FIRST: i64 = 1_000_000_000;

/// The time that a text tells, if it tells one that is not still to come.
pub(super) fn read(text: &str, arrived: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    let count: Option<i64> = text.parse().ok();
    let readings = match count {
        Some(MILLISECONDS..) => [count.and_then(|count| Timestamp::from_millisecond(count).ok()), None, None],
        Some(FIRST..) => [count.and_then(|count| Timestamp::from_second(count).ok()), None, None],
        Some(_) => [None; 3],
        None => {
            let reader = Reader { kind: "petpooja" };
            // India's is the later offset, so it is the earlier time.
            ["", "Z", "+05:30"].map(|zone| reader.time("timestamp", &format!("{text}{zone}")).ok())
        }
    };
    readings.into_iter().flatten().find(|at| at.duration_since(arrived) <= AHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        read(text, "2026-01-01T10:00:00Z".parse().unwrap()).map(|at| at.to_string())
    }

    #[test]
    fn a_time_is_read_in_every_form() {
        for text in [
            "1767261599",
            "1767261599000",
            "2026-01-01T09:59:59Z",
            "2026-01-01T15:29:59+05:30",
            "2026-01-01 09:59:59",
            " 2026-01-01T09:59:59 ",
        ] {
            assert_eq!(told(text).as_deref(), Some("2026-01-01T09:59:59Z"), "{text}");
        }
    }

    #[test]
    fn a_time_without_an_offset_that_would_be_to_come_is_indias() {
        assert_eq!(told("2026-01-01 15:29:59").as_deref(), Some("2026-01-01T09:59:59Z"));
    }

    #[test]
    fn a_clock_may_be_a_little_ahead_and_no_more() {
        assert_eq!(told("2026-01-01T10:05:00Z").as_deref(), Some("2026-01-01T10:05:00Z"));
        assert_eq!(told("2026-01-01T10:05:01Z"), None);
        assert_eq!(told("2026-01-01 15:36:00"), None);
    }

    #[test]
    fn what_is_no_time_tells_none() {
        for text in
            ["", "now", "0", "-1", "20260101", "01/01/2026", "9223372036854775807", "2300-01-01T00:00:00Z"]
        {
            assert_eq!(told(text), None, "{text}");
        }
    }
}
