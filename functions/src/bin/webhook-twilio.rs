//! The webhook function of Twilio.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("twilio")
}
