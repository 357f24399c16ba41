//! The webhook function of Google Calendar.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("google_calendar")
}
