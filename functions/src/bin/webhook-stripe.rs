//! The webhook function of Stripe.

fn main() -> Result<(), lambda_runtime::Error> {
    tillwatch_functions::start::webhook("stripe")
}
