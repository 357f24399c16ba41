//! Requests whose signatures were made by official libraries, or altered, get the verdict they must get.
//!
//! `vectors/signatures.json` was computed outside this project; each entry says where its signature comes from.

use tillwatch_providers::ALL;
use tillwatch_providers::vectors::{Vector, Verdict, judge};

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors/signatures.json")).expect("the vectors are a list")
}

/// How many webhook vectors each provider that is built has, so that none is passed over unseen. A further provider's go
/// here too.
const JUDGED: &[(&str, usize)] = &[
    ("square", 7),
    ("shopify", 7),
    ("zettle", 4),
    ("loyverse", 2),
    ("stripe", 10),
    ("twilio", 12),
    ("meta", 5),
    ("google_calendar", 3),
];

#[test]
fn every_webhook_of_a_built_provider_gets_its_verdict() {
    for &(provider, count) in JUDGED {
        let judged: Vec<_> = vectors()
            .into_iter()
            .filter(|vector| vector.provider == provider)
            .map(|vector| (judge(&vector), vector))
            .filter(|(verdict, _)| !matches!(verdict, Verdict::Unknown(_)))
            .collect();
        assert_eq!(judged.len(), count, "{provider}");
        for (verdict, vector) in judged {
            assert_eq!(verdict.is_accepted(), vector.valid, "{}: {verdict}", vector.id);
        }
    }
}

#[test]
fn what_is_no_webhook_of_a_built_provider_is_unknown_and_never_accepted() {
    for vector in vectors() {
        let webhook = JUDGED.iter().any(|(provider, _)| *provider == vector.provider)
            && !["shopify-oauth", "shopify-appproxy"].contains(&vector.scheme.as_str());
        let verdict = judge(&vector);
        let unknown = matches!(verdict, Verdict::Unknown(_));
        assert_eq!(unknown, !webhook, "{}: {verdict}. Is its provider in JUDGED?", vector.id);
    }
}

#[test]
fn every_provider_that_signs_all_it_sends_has_vectors() {
    for provider in ALL.iter().filter(|provider| provider.open_secret().is_none()) {
        let judged = JUDGED.iter().any(|(name, _)| *name == provider.name());
        assert!(judged, "vectors/signatures.json and JUDGED have none of {}", provider.name());
    }
}

#[test]
fn a_refusal_says_its_cause() {
    let cause = |id: &str| {
        let vector = vectors().into_iter().find(|vector| vector.id == id).expect("a vector of that name");
        judge(&vector).to_string()
    };
    assert_eq!(cause("square-invalid-url-mismatch"), "rejected wrong_signature");
    assert_eq!(cause("square-invalid-missing-header"), "rejected missing_signature");
    assert_eq!(cause("shopify-webhook-invalid-empty-body"), "rejected empty_body");
    assert_eq!(cause("zettle-invalid-signed-escaped-payload"), "rejected wrong_signature");
    assert_eq!(cause("loyverse-invalid"), "rejected wrong_signature");
    assert_eq!(cause("stripe-invalid-too-old"), "rejected stale_timestamp");
    assert_eq!(cause("stripe-invalid-scheme-v0-only"), "rejected malformed_signature");
    assert_eq!(cause("stripe-invalid-wrong-secret"), "rejected wrong_signature");
    assert_eq!(cause("twilio-invalid-json-without-bodysha256"), "rejected wrong_signature");
    assert_eq!(cause("twilio-invalid-sharedkey-unknown-alg"), "rejected malformed_signature");
    assert_eq!(cause("meta-invalid-reserialised-unicode"), "rejected wrong_signature");
    assert_eq!(cause("meta-handshake-bad-token"), "rejected wrong_secret");
}

#[test]
fn an_old_secret_is_told_apart_from_the_new_one() {
    let vector = vectors().into_iter().find(|vector| vector.id == "shopify-webhook-valid-old-secret");
    assert_eq!(vector.map(|vector| judge(&vector)), Some(Verdict::Accepted { key: 1 }));
}
