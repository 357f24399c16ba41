//! Google Calendar's headers, a line each: a notification has no body.
#![no_main]

use jiff::Timestamp;
use tillwatch_providers::google_calendar::GoogleCalendar;
use tillwatch_providers::{Headers, Provider as _, Received};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let headers: Headers = text.lines().filter_map(|line| line.split_once(": ")).collect();
    let received = Received { headers: &headers, body: &[], at: Timestamp::UNIX_EPOCH };
    assert_eq!(
        GoogleCalendar.parse(received),
        GoogleCalendar.parse(received),
        "the same request was read in two ways"
    );
});
