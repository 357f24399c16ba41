//! The webhook function of PetPooja.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("petpooja")
}
