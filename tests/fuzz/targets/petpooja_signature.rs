//! PetPooja's signature header.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tillwatch_fuzz::signature(
    &tillwatch_providers::petpooja::PetPooja,
    "x-petpooja-signature",
    input
));
