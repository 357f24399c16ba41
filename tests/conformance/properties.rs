//! What holds of any headers and any bytes.

use proptest::prelude::*;
use proptest::sample::Index;
use tillwatch_domain::Cause;
use tillwatch_providers::{ALL, Headers};

use crate::{Sample, rejected, samples, settings, verdict};

/// Headers with names that mean something to some provider, and values of any kind.
fn any_headers() -> impl Strategy<Value = Headers> {
    let names: Vec<_> = ALL.iter().flat_map(|provider| provider.kept_headers()).copied().collect();
    let topics: Vec<_> = ALL.iter().flat_map(|provider| provider.sample_kinds()).copied().collect();
    let value = prop_oneof![
        "\\PC{0,80}",
        "t=[0-9]{0,20},v1=[0-9a-f]{0,66}(,v1=[0-9a-f]{64})?",
        "[A-Za-z0-9+/]{43}=",
        prop::sample::select(topics).prop_map(str::to_owned),
    ];
    prop::collection::vec((prop::sample::select(names), value), 0..6)
        .prop_map(|pairs| pairs.into_iter().collect())
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..300)
}

proptest! {
    #[test]
    fn no_request_panics_or_is_believed_by_chance(headers in any_headers(), body in any_bytes()) {
        for &provider in ALL {
            prop_assert!(verdict(provider, &settings(["new", "old"]), &headers, &[], &body).is_err());
            let _ = provider.parse(&headers, &body);
        }
    }

    #[test]
    fn no_altered_payload_panics_in_parsing(changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4)) {
        for sample in samples() {
            let mut body = sample.body.clone();
            for (at, byte) in &changes {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            let _ = sample.with_body(body).parse();
        }
    }

    #[test]
    fn no_made_up_signature_is_believed(value in "\\PC{0,200}") {
        for &provider in ALL {
            let sample = Sample::of(provider);
            let (name, _) = sample.signature("new");
            prop_assert!(sample.verdict(&[(name, value.clone())]).is_err());
        }
    }

    #[test]
    fn what_is_signed_is_believed_whatever_it_is(key in "\\PC{0,40}[a-z]", body in any_bytes()) {
        for &provider in ALL {
            let sample = Sample::of(provider).with_body(body.clone());
            let (keys, signature) = (settings(["another", &key]), sample.signature(&key));
            let verdict = verdict(provider, &keys, &sample.headers, &[signature], &sample.body);
            prop_assert_eq!(verdict, Ok(1));
        }
    }

    #[test]
    fn a_bit_flipped_in_the_body_is_noticed(body in any_bytes(), at in any::<Index>(), bit in 0..8_u8) {
        for &provider in ALL {
            let sample = Sample::of(provider).with_body(body.clone());
            let mut flipped = body.clone();
            flipped[at.index(body.len())] ^= 1 << bit;
            let verdict = sample.with_body(flipped).verdict(&[sample.signature("new")]);
            prop_assert_eq!(verdict, rejected(Cause::WrongSignature));
        }
    }

    #[test]
    fn a_bit_flipped_in_the_signature_is_noticed(at in any::<Index>(), bit in 0..7_u8) {
        for &provider in ALL {
            let sample = Sample::of(provider);
            let (name, value) = sample.signature("new");
            let mut bytes = value.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let value = String::from_utf8(bytes).expect("seven bits are text");
            prop_assert!(sample.verdict(&[(name, value)]).is_err());
        }
    }
}
