//! Google Calendar's token, as the fingerprint that is kept of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tillwatch_fuzz::signature(
    &tillwatch_providers::google_calendar::GoogleCalendar,
    tillwatch_providers::request::FINGERPRINT,
    input
));
