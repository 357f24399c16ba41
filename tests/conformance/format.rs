//! What is kept for long and must stay as it is.

use sha2::{Digest, Sha256};
use tillwatch_providers::ALL;

#[test]
fn a_dictionary_never_changes_once_payloads_were_compressed_with_it() {
    for provider in ALL {
        let digest = hex::encode(Sha256::digest(provider.dictionary()));
        let known = match provider.name() {
            "square" => "218c63b4853835897b08a07c31c745d2f8ac60b4f46e7c7a166ef845a14340d0",
            "shopify" => "a20fee94723fcf121b2151d2f41b6cef24b0bd3857e2fa6a004f232145039344",
            "zettle" => "0d8bd00f8bfade34dd170e42342c162430288a892a08477d60e4cb0482f70983",
            "loyverse" => "8fc30031d8259cdb16ea5083af204c27b859de3b532afdc1270cf86e54ada61a",
            "odoo" => "6765bd11edabe2492d086cf708d92c7a7ab3c1f254a7ac366e32c18b2f08d703",
            "petpooja" => "d4a586ce3e8d6683354945c1dff53224edea786845da132409e09f19125e5a20",
            "stripe" => "cfe5236b5f7b09b45b62ec6f83b773f5eb531ef18d1573391f9bea103b975474",
            "twilio" => "1f7502e64bf9edffd858ead47aba7ba499802dce41cd94caee0df40aca9db6e9",
            "meta" => "9b0f1d35b1ae35e3dcebf2d42d09c8976e486a3eeeb678d333904446e4fac8bb",
            "google_calendar" => "fb92dc14b210ef3990abd3de6a681a73454eee05b3adc04263680197cb2c12aa",
            other => panic!("the digest of {other}'s dictionary is not in this list: {digest}"),
        };
        assert_eq!(digest, known, "{}", provider.name());
        assert!((512..=16_384).contains(&provider.dictionary().len()), "{}", provider.name());
    }
}

#[test]
fn names_are_made_for_paths() {
    for provider in ALL {
        assert!(provider.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        assert!(provider.kept_headers().iter().all(|name| name.to_ascii_lowercase() == *name));
    }
}
