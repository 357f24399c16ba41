//! What holds of any headers and any bytes.

use proptest::prelude::*;
use proptest::sample::Index;
use tillwatch_domain::Cause;
use tillwatch_providers::request::{METHOD, QUERY, SUFFIX};
use tillwatch_providers::{ALL, Headers, OpenSecret, Received, Request, Settings};

use crate::altered::assert_noticed;
use crate::ways::{Way, reads_to_verify};
use crate::{Sample, all_ways, firsts, now, payloads, rejected};

/// Headers with names that mean something to some provider, and values of any kind.
fn any_headers() -> impl Strategy<Value = Headers> {
    let open = ALL.iter().filter_map(|provider| match provider.open_secret() {
        Some(OpenSecret::Header(name)) => Some(name),
        _ => None,
    });
    let kept = ALL.iter().flat_map(|provider| provider.kept_headers()).copied();
    let names: Vec<_> = kept.chain(open).chain([METHOD, QUERY, SUFFIX]).collect();
    let topics: Vec<_> = ALL.iter().flat_map(|provider| provider.sample_kinds()).copied().collect();
    let value = prop_oneof![
        "\\PC{0,80}",
        "t=[0-9]{0,20},v1=[0-9a-f]{0,66}(,v1=[0-9a-f]{64})?",
        "(sha256=)?([0-9a-f]{40}|[0-9a-f]{64})",
        "[A-Za-z0-9+/]{43}=",
        "[A-Za-z0-9+/]{27}=",
        "(GET|key=[a-z-]{0,30}|bodySHA256=[0-9a-f]{64})",
        prop::sample::select(topics).prop_map(str::to_owned),
    ];
    prop::collection::vec((prop::sample::select(names), value), 0..6)
        .prop_map(|pairs| pairs.into_iter().collect())
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..300)
}

/// Whatever may stand in a header.
const KEYS: &str = "[ -~]{0,40}[a-z]";

proptest! {
    #[test]
    fn no_request_panics_or_is_believed_by_chance(headers in any_headers(), body in any_bytes()) {
        for (provider, way) in all_ways() {
            let either = Way::Signature.settings(["new", "old"]);
            let both = Settings { url_keys: Way::OpenSecret.settings(["new"]).url_keys, ..either };
            for settings in [way.settings(["new", "old"]), both] {
                let arrived = Request::arrived(provider, &headers, body.clone(), &settings.fingerprints);
                let _ = provider.handshake(&arrived, &settings, now());
                prop_assert!(arrived.check(provider, &settings, now()).is_err());
            }
            let _ = provider.parse(Received { headers: &headers, body: &body, at: now() });
            let _ = provider.claimed_account(&headers, &body);
        }
    }

    #[test]
    fn no_altered_payload_panics_in_parsing(changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4)) {
        for sample in payloads() {
            let mut body = sample.body.clone();
            for (at, byte) in changes.iter().filter(|_| sample.has_body()) {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            let _ = sample.with_body(body).parse();
            let pairs: Vec<_> = sample.headers.iter().collect();
            for (at, byte) in changes.iter().filter(|_| !pairs.is_empty()) {
                let mut pairs = pairs.clone();
                let at = at.index(pairs.len());
                let value = format!("{}{}", pairs[at].1, char::from(*byte));
                pairs[at].1 = &value;
                let _ = sample.with_headers(pairs.into_iter().collect()).parse();
            }
        }
    }

    #[test]
    fn no_made_up_signature_is_believed(value in "\\PC{0,200}") {
        for sample in firsts() {
            let (name, _) = sample.signature("new");
            prop_assert!(sample.verdict(&[(name, value.clone())]).is_err());
        }
    }

    #[test]
    fn what_is_signed_is_believed_whatever_it_is(key in KEYS, body in any_bytes()) {
        for sample in firsts() {
            // What must be read to be verified can't be anything.
            let is_read = sample.is_signed() && reads_to_verify(sample.provider);
            let sample = if is_read { sample } else { sample.with_body(body.clone()) };
            let keys = sample.way.settings(["another", &key]);
            let verdict = sample.verdict_under(&keys, &[sample.signature(&key)]);
            prop_assert_eq!(verdict, Ok(1), "{}", sample.name());
        }
    }

    #[test]
    fn a_bit_flipped_in_the_body_is_noticed(body in any_bytes(), at in any::<Index>(), bit in 0..8_u8) {
        for sample in firsts().filter(Sample::is_signed) {
            let flipped = |body: &[u8]| {
                let mut flipped = body.to_vec();
                flipped[at.index(body.len())] ^= 1 << bit;
                flipped
            };
            assert_noticed(&sample, flipped(&sample.body));
            let any = sample.with_body(body.clone());
            let verdict = any.with_body(flipped(&body)).verdict(&[any.signature("new")]);
            prop_assert_eq!(verdict, rejected(Cause::WrongSignature), "{}", sample.name());
        }
    }

    #[test]
    fn a_bit_flipped_in_the_signature_is_noticed(at in any::<Index>(), bit in 0..7_u8) {
        for sample in firsts() {
            let (name, value) = sample.signature("new");
            let mut bytes = value.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let value = String::from_utf8(bytes).expect("seven bits are text");
            prop_assert!(sample.verdict(&[(name, value)]).is_err());
        }
    }
}
