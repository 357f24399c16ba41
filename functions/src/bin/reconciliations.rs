//! The reconciliations function.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::reconciliations()
}
