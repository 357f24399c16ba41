//! The webhook function of Zettle.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("zettle")
}
