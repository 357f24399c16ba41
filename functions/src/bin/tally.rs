//! The tally function.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::tally()
}
