//! Spans of time as they are kept: whole milliseconds.

use std::time::Duration;

/// A span in milliseconds; the largest number for one that is longer than any.
pub fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// An hour in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
