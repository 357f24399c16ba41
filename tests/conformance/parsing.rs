//! What every provider makes of a body.

use serde_json::Value;
use tillwatch_providers::ALL;

use crate::{Sample, now, samples};

#[test]
fn the_same_request_leads_to_the_same_event_and_another_number_to_another() {
    for sample in samples() {
        let id = |number| Sample::numbered(sample.provider, sample.kind, number).event().dedupe.event_id();
        assert_eq!(id(7), id(7), "{}", sample.name());
        for other in [0, 8, 100_007, u64::MAX] {
            assert_ne!(id(7), id(other), "{}: {other}", sample.name());
        }
    }
}

#[test]
fn samples_of_two_kinds_are_two_events() {
    let ids: Vec<_> = samples().map(|sample| sample.event().dedupe.event_id()).collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), distinct.len());
}

#[test]
fn a_sample_is_an_event_of_its_kind_with_a_time_and_a_record_of_its_number() {
    for sample in samples() {
        let event = sample.event();
        assert_eq!(event.kind, sample.kind);
        assert_eq!(event.dedupe.provider, sample.provider.name());
        let other = Sample::numbered(sample.provider, sample.kind, 8).event();
        for (change, other) in event.changes.iter().zip(&other.changes) {
            assert_eq!(change.occurred_at, now(), "{}", sample.name());
            assert_ne!(change.record, other.record, "{}", sample.name());
        }
    }
}

#[test]
fn the_commonest_sample_changes_a_record() {
    for &provider in ALL {
        assert!(!Sample::of(provider).event().changes.is_empty(), "{}", provider.name());
    }
}

#[test]
fn a_type_that_is_not_modelled_is_kept_without_changes() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        let unheard = "unheard/of.type";
        let headers = sample
            .headers
            .iter()
            .map(|(name, value)| (name, if value == sample.kind { unheard } else { value }))
            .collect();
        let mut body: Value = serde_json::from_slice(&sample.body).expect("JSON");
        if body.get("type").is_some() {
            body["type"] = unheard.into();
        }
        let event = Sample { headers, ..sample }.with_body(body.to_string()).event();
        assert_eq!((event.kind.as_str(), event.changes.len()), (unheard, 0), "{}", provider.name());
    }
}

#[test]
fn what_is_no_event_is_an_error() {
    for sample in samples().filter(|sample| !sample.event().changes.is_empty()) {
        for body in ["null", "true", "0", "\"text\"", "[]", "{}", "\u{feff}{}", "{}{}", " ", "{\"a\":1,}"] {
            assert!(sample.with_body(body).parse().is_err(), "{}: {body}", sample.name());
        }
        for end in 0..sample.body.trim_ascii_end().len() {
            assert!(sample.with_body(&sample.body[..end]).parse().is_err(), "{}: {end}", sample.name());
        }
    }
}

#[test]
fn deep_nesting_is_an_error_or_passed_over_and_never_a_panic() {
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    for sample in samples().filter(|sample| !sample.event().changes.is_empty()) {
        for nested in [deep("[", "]"), deep("{\"a\":", "}"), "[".repeat(10_000)] {
            assert!(sample.with_body(nested.as_str()).parse().is_err(), "{}", sample.name());
            let text = String::from_utf8(sample.body.clone()).expect("text");
            let _ = sample.with_body(text.replacen('{', &format!("{{\"unread\":{nested},"), 1)).parse();
            let _ = sample.with_body(text.replace("null", &nested)).parse();
        }
    }
}

#[test]
fn an_error_never_quotes_the_body() {
    const SECRET: &str = "4242424242424242";
    for sample in samples() {
        let body: Value = serde_json::from_slice(&sample.body).expect("JSON");
        for path in paths(&body) {
            for secret in [Value::from(SECRET), Value::from(4_242_424_242_424_242_u64), vec![SECRET].into()] {
                let mut body = body.clone();
                *body.pointer_mut(&path).expect("the place") = secret;
                if let Err(error) = sample.with_body(body.to_string()).parse() {
                    assert!(!error.to_string().contains("4242"), "{}, {path}: {error}", sample.name());
                    assert!(!format!("{error:?}").contains("4242"), "{}, {path}", sample.name());
                }
            }
        }
    }
}

/// Where in the JSON something is, by JSON Pointer.
fn paths(value: &Value) -> Vec<String> {
    let beneath = |name: String, value: &Value| {
        let paths = paths(value).into_iter().map(move |path| format!("/{name}{path}"));
        paths.collect::<Vec<_>>()
    };
    let mut all = vec![String::new()];
    match value {
        Value::Object(fields) => {
            all.extend(fields.iter().flat_map(|(name, value)| beneath(name.clone(), value)));
        }
        Value::Array(items) => {
            all.extend(items.iter().enumerate().flat_map(|(place, value)| beneath(place.to_string(), value)));
        }
        _ => {}
    }
    all
}
