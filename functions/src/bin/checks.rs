//! The checks function.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::checks()
}
