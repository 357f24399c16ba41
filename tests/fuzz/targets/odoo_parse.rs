//! Odoo's bodies.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tillwatch_fuzz::parse(&tillwatch_providers::odoo::Odoo, input));
