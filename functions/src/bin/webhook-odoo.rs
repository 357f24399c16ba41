//! The webhook function of Odoo.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("odoo")
}
