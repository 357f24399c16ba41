//! The webhook function of Loyverse.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("loyverse")
}
