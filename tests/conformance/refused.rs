//! What every provider refuses, and what it cannot judge.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use tillwatch_domain::Cause;
use tillwatch_providers::{ALL, Settings, SettingsError};

use crate::{Sample, URL, now, rejected, samples, settings, verdict};

/// The tag in a signature header: what comes before it, its bytes, and whether it is written in hexadecimal digits.
fn tag(value: &str) -> (&str, Vec<u8>, bool) {
    match value.rsplit_once("v1=") {
        Some((before, digits)) => (&value[..before.len() + 3], hex::decode(digits).expect("digits"), true),
        None if value.len() == 64 => ("", hex::decode(value).expect("digits"), true),
        None => ("", BASE64_STANDARD.decode(value).expect("base64, or hexadecimal digits"), false),
    }
}

#[test]
fn an_empty_body_however_signed() {
    for &provider in ALL {
        let empty = Sample::of(provider).with_body("");
        assert_eq!(empty.verdict(&[empty.signature("new")]), rejected(Cause::EmptyBody));
    }
}

#[test]
fn a_body_over_the_limit_however_signed() {
    for &provider in ALL {
        let large = Sample::of(provider).with_body(vec![b' '; 4 * 1024 * 1024 + 1]);
        assert_eq!(large.verdict(&[large.signature("new")]), rejected(Cause::BodyTooLarge));
    }
}

#[test]
fn a_body_with_a_byte_changed_added_or_taken_away() {
    for sample in samples() {
        let signature = sample.signature("new");
        let mut changed = sample.body.clone();
        changed[sample.body.len() / 2] ^= 1;
        let appended = [sample.body.as_slice(), b"\n"].concat();
        let prepended = [b" ", sample.body.as_slice()].concat();
        let shortened = sample.body[..sample.body.len() - 1].to_vec();
        for body in [changed, appended, prepended, shortened] {
            let verdict = sample.with_body(body).verdict(std::slice::from_ref(&signature));
            assert_eq!(verdict, rejected(Cause::WrongSignature), "{}", sample.name());
        }
    }
}

#[test]
fn a_key_that_is_not_live() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        let verdict = sample.verdict(&[sample.signature("other")]);
        assert_eq!(verdict, rejected(Cause::WrongSignature), "{}", provider.name());
    }
}

#[test]
fn a_signature_that_is_missing_or_blank() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        let (name, _) = sample.signature("new");
        assert_eq!(sample.verdict(&[]), rejected(Cause::MissingSignature));
        for blank in ["", " "] {
            let verdict = sample.verdict(&[(name.clone(), blank.to_owned())]);
            assert_eq!(verdict, rejected(Cause::MissingSignature), "{}", provider.name());
        }
    }
}

#[test]
fn a_signature_under_a_name_that_is_almost_right() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        let (name, value) = sample.signature("new");
        for name in [name.replace('-', "_"), format!("{name}-2"), name.replace("256", "1") + "x"] {
            let verdict = sample.verdict(&[(name, value.clone())]);
            assert_eq!(verdict, rejected(Cause::MissingSignature), "{}", provider.name());
        }
    }
}

#[test]
fn a_signature_that_came_twice_even_if_both_are_right() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        let (name, value) = sample.signature("new");
        let twice = [(name.clone(), value.clone()), (name.clone(), value.clone())];
        assert_eq!(sample.verdict(&twice), rejected(Cause::AmbiguousSignature), "{}", provider.name());
        for joined in [format!("{value},{value}"), format!("{value}, {value}")] {
            let verdict = sample.verdict(&[(name.clone(), joined)]);
            assert_eq!(verdict, rejected(Cause::AmbiguousSignature), "{}", provider.name());
        }
    }
}

#[test]
fn every_beginning_of_a_right_signature_and_anything_after_it() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        let (name, value) = sample.signature("new");
        for end in 0..value.len() {
            sample.assert_refused(&name, &value[..end], "cut short");
        }
        for more in ["A", "=", "00", "AAAA", &value[value.len() - 8..], "\0", ";"] {
            sample.assert_refused(&name, &format!("{value}{more}"), "with more after it");
        }
    }
}

#[test]
fn the_right_tag_in_another_encoding() {
    for &provider in ALL {
        // Numbered until the tag holds digits that the two kinds of base64 write differently.
        let (sample, name, value) = (0..1_000)
            .map(|number| {
                let sample = Sample::numbered(provider, provider.sample_kinds()[0], number);
                let (name, value) = sample.signature("new");
                (sample, name, value)
            })
            .find(|(.., value)| BASE64_STANDARD.encode(tag(value).1).contains(['+', '/']))
            .expect("one such tag");
        let (before, tag, digits) = tag(&value);
        let base64 = BASE64_STANDARD.encode(&tag);
        let other = if digits { base64.clone() } else { hex::encode(&tag) };
        for written in [
            other,
            BASE64_URL_SAFE.encode(&tag),
            base64.trim_end_matches('=').to_owned(),
            hex::encode_upper(&tag),
            format!("sha256={}", hex::encode(&tag)),
            base64.replace('=', "%3D"),
        ] {
            sample.assert_refused(&name, &format!("{before}{written}"), "in another encoding");
        }
    }
}

#[test]
fn another_spelling_of_the_right_tag() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        let (name, value) = sample.signature("new");
        // The last digit before the padding has two bits to spare: only one of four spellings is right.
        if let Some(stem) = value.strip_suffix('=') {
            let spellings = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']);
            for last in spellings.filter(|&last| !stem.ends_with(last)) {
                sample.assert_refused(&name, &format!("{}{last}=", &stem[..stem.len() - 1]), "spelt anew");
            }
        }
    }
}

#[test]
fn the_signature_of_another_provider() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        let (name, _) = sample.signature("new");
        for other in ALL.iter().filter(|other| other.name() != provider.name()) {
            let signed = other.sign(&settings(["new"]), &sample.body, now()).expect("a signature");
            let values: Vec<_> = signed.iter().map(|(_, value)| value.to_owned()).collect();
            sample.assert_refused(&name, &values[0], other.name());
        }
    }
}

#[test]
fn no_key_and_blank_keys_are_our_fault_and_believe_nothing() {
    for &provider in ALL {
        let sample = Sample::of(provider);
        for settings in [Settings::default().with_url(URL), settings([""]), settings(["", " "])] {
            let signature = sample.signature("new");
            let verdict = verdict(provider, &settings, &sample.headers, &[signature], &sample.body);
            assert_eq!(verdict, Err(SettingsError::NoKey.into()), "{}", provider.name());
            assert!(provider.sign(&settings, &sample.body, now()).is_err(), "{}", provider.name());
        }
    }
}
