//! What every provider makes of a body.

use tillwatch_domain::Event;
use tillwatch_providers::{ALL, Headers};

use crate::altered::{unheard, with_everywhere};
use crate::ways::ways;
use crate::{Sample, now, payloads};

fn numbered(sample: &Sample, number: u64) -> Event {
    Sample::numbered(sample.provider, sample.way, sample.kind, number).event()
}

/// Samples that say in their bodies what changes a record.
fn with_changes() -> impl Iterator<Item = Sample> {
    payloads().filter(|sample| sample.has_body() && !sample.event().changes.is_empty())
}

#[test]
fn the_same_request_leads_to_the_same_event_and_another_number_to_another() {
    for sample in payloads() {
        let id = |number| numbered(&sample, number).dedupe.event_id();
        assert_eq!(id(7), id(7), "{}", sample.name());
        for other in [0, 8, 100_007, u64::MAX] {
            assert_ne!(id(7), id(other), "{}: {other}", sample.name());
        }
    }
}

#[test]
fn samples_of_two_kinds_are_two_events() {
    let ids: Vec<_> = payloads().map(|sample| sample.event().dedupe.event_id()).collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), distinct.len());
}

#[test]
fn a_sample_is_an_event_of_its_kind_with_a_time_and_a_record_of_its_number() {
    for sample in payloads() {
        let event = sample.event();
        assert_eq!(event.kind, sample.kind);
        assert_eq!(event.dedupe.provider, sample.provider.name());
        for (change, other) in event.changes.iter().zip(&numbered(&sample, 8).changes) {
            assert_eq!(change.occurred_at, now(), "{}", sample.name());
            assert_ne!(change.record, other.record, "{}", sample.name());
        }
    }
}

#[test]
fn a_sample_is_of_the_account_that_it_speaks_of_before_it_is_verified() {
    for sample in payloads() {
        let claimed = sample.provider.claimed_account(&sample.headers, &sample.body);
        let account = sample.event().dedupe.account;
        assert!(claimed.is_none_or(|claimed| claimed == account), "{}: {account}", sample.name());
    }
}

#[test]
fn the_commonest_sample_changes_a_record() {
    for &provider in ALL {
        let sample = Sample::of(provider, ways(provider)[0]);
        assert!(!sample.event().changes.is_empty(), "{}", provider.name());
    }
}

#[test]
fn a_type_that_is_not_modelled_is_kept_without_changes() {
    for &provider in ALL {
        let (sample, kind) = unheard(&Sample::of(provider, ways(provider)[0]));
        let event = sample.event();
        assert_eq!((event.kind, event.changes.len()), (kind, 0), "{}", provider.name());
    }
}

#[test]
fn what_is_no_event_is_an_error() {
    for sample in with_changes() {
        for body in ["null", "true", "0", "\"text\"", "[]", "{}", "\u{feff}{}", "{}{}", " ", "{\"a\":1,}", ""]
        {
            assert!(sample.with_body(body).parse().is_err(), "{}: {body}", sample.name());
        }
        for end in 0..sample.body.trim_ascii_end().len() {
            assert!(sample.with_body(&sample.body[..end]).parse().is_err(), "{}: {end}", sample.name());
        }
    }
}

#[test]
fn without_headers_what_is_said_in_headers_is_no_event() {
    for sample in payloads().filter(|sample| !sample.has_body()) {
        assert!(sample.with_headers(Headers::new()).parse().is_err(), "{}", sample.name());
    }
}

#[test]
fn deep_nesting_is_an_error_or_passed_over_and_never_a_panic() {
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    for sample in with_changes() {
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
    for sample in payloads() {
        for (place, sample) in with_everywhere(&sample, "4242424242424242", 4_242_424_242_424_242) {
            if let Err(error) = sample.parse() {
                assert!(!error.to_string().contains("4242"), "{}, {place}: {error}", sample.name());
                assert!(!format!("{error:?}").contains("4242"), "{}, {place}", sample.name());
            }
        }
    }
}
