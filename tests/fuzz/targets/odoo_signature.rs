//! The fingerprint of the secret in Odoo's URL.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tillwatch_fuzz::signature(
    &tillwatch_providers::odoo::Odoo,
    ":fingerprint",
    input
));
