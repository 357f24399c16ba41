//! What every provider believes.

use tillwatch_providers::{ALL, ParseError};

use crate::{Sample, samples};

#[test]
fn a_sample_of_every_kind_is_believed_under_each_live_key_and_says_which() {
    for sample in samples() {
        assert_eq!(sample.verdict(&[sample.signature("new")]), Ok(0), "{}", sample.name());
        assert_eq!(sample.verdict(&[sample.signature("old")]), Ok(1), "{}", sample.name());
    }
}

#[test]
fn the_names_of_headers_are_read_in_any_case() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        let (name, value) = sample.signature("new");
        assert_eq!(sample.verdict(&[(name.to_uppercase(), value)]), Ok(0), "{}", provider.name());
    }
}

#[test]
fn a_body_that_is_no_text_is_verified_as_the_bytes_it_is_and_fails_only_in_parsing() {
    for sample in samples().filter(|sample| !sample.event().changes.is_empty()) {
        let mut body = sample.body.clone();
        let last_quote = body.iter().rposition(|&byte| byte == b'"').expect("a string");
        body.insert(last_quote, 0xff);
        let broken = sample.with_body(body);
        assert_eq!(broken.verdict(&[broken.signature("new")]), Ok(0), "{}", sample.name());
        assert!(matches!(broken.parse(), Err(ParseError::Body { .. })), "{}", sample.name());
    }
}

#[test]
fn the_signature_is_among_the_headers_that_are_kept_and_so_is_all_that_parsing_reads() {
    for sample in samples() {
        let (signature, _) = sample.signature("new");
        let kept = sample.provider.kept_headers();
        assert!(kept.contains(&signature.as_str()), "{}: {signature}", sample.name());
        let headers = sample.headers.iter().filter(|(name, _)| kept.contains(name)).collect();
        let again = sample.provider.parse(&headers, &sample.body);
        assert_eq!(again, sample.parse(), "{}", sample.name());
    }
}
