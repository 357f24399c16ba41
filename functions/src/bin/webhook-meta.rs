//! The webhook function of Meta.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("meta")
}
