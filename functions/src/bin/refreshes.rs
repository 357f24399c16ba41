//! The refreshes function.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::refreshes()
}
