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
            "stripe" => "cfe5236b5f7b09b45b62ec6f83b773f5eb531ef18d1573391f9bea103b975474",
            other => panic!("the digest of {other}'s dictionary is not written down here: {digest}"),
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
