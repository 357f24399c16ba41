//! The webhook function of Shopify.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("shopify")
}
