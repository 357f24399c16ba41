//! What every provider believes.

use tillwatch_providers::{ParseError, Received};

use crate::ways::reads_to_verify;
use crate::{Sample, firsts, now, samples};

#[test]
fn a_sample_of_every_kind_is_believed_under_each_live_key_and_says_which() {
    for sample in samples() {
        assert_eq!(sample.verdict(&[sample.signature("new")]), Ok(0), "{}", sample.name());
        assert_eq!(sample.verdict(&[sample.signature("old")]), Ok(1), "{}", sample.name());
    }
}

#[test]
fn the_names_of_headers_are_read_in_any_case() {
    for sample in firsts() {
        let (name, value) = sample.signature("new");
        if !name.starts_with('?') {
            assert_eq!(sample.verdict(&[(name.to_uppercase(), value)]), Ok(0), "{}", sample.name());
        }
    }
}

#[test]
fn a_body_that_is_no_text_is_verified_as_the_bytes_it_is_and_fails_only_in_parsing() {
    let changes_something = |sample: &Sample| !sample.event().changes.is_empty();
    for sample in samples().filter(|sample| sample.has_body() && changes_something(sample)) {
        let mut body = sample.body.clone();
        let last_text = body.iter().rposition(|&byte| matches!(byte, b'"' | b'=')).expect("a string");
        body.insert(last_text, 0xff);
        let broken = sample.with_body(body);
        let is_read = sample.is_signed() && reads_to_verify(sample.provider);
        let expected = if is_read { Err(sample.way.wrong().into()) } else { Ok(0) };
        assert_eq!(broken.verdict(&[broken.signature("new")]), expected, "{}", sample.name());
        let parsed = broken.parse();
        let is_unread = matches!(parsed, Err(ParseError::Body { .. } | ParseError::Form { .. }));
        assert!(is_unread, "{}: {parsed:?}", sample.name());
    }
}

#[test]
fn a_signature_is_among_the_headers_that_are_kept_and_so_is_all_that_parsing_reads() {
    for sample in samples() {
        let (signature, value) = sample.signature("new");
        let kept = sample.provider.kept_headers();
        assert_eq!(kept.contains(&signature.as_str()), sample.is_signed(), "{}: {signature}", sample.name());
        let request = sample.arrived(&sample.way.settings(["new"]), &[(signature, value)]);
        let received = Received { headers: request.headers(), body: request.body(), at: now() };
        assert_eq!(sample.provider.parse(received), sample.parse(), "{}", sample.name());
    }
}
