//! The webhook function of Square.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("square")
}
