//! What every provider refuses, and what it cannot judge.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use tillwatch_domain::Cause;
use tillwatch_providers::{ALL, Failure, Settings};

use crate::altered::assert_noticed;
use crate::ways::{Way, takes_two_encodings, ways};
use crate::{Sample, URL, firsts, now, rejected, samples};

fn first_signed() -> impl Iterator<Item = Sample> {
    firsts().filter(Sample::is_signed)
}

/// A tag as it is written in a signature.
struct Tag<'a> {
    /// What stands before it: `sha256=`, or `t=…,v1=`.
    before: &'a str,
    bytes: Vec<u8>,
    /// Whether it is written in hexadecimal digits, else in base64.
    digits: bool,
}

impl<'a> Tag<'a> {
    fn of(value: &'a str) -> Self {
        // The padding of base64 is at its end, so what stands before such a tag ends in `=` and letters follow.
        let start = value.trim_end_matches('=').rfind('=').map_or(0, |at| at + 1);
        let (before, tag) = value.split_at(start);
        let digits = hex::decode(tag);
        let bytes = digits.clone().or_else(|_| BASE64_STANDARD.decode(tag));
        Self { before, bytes: bytes.expect("base64, or hexadecimal digits"), digits: digits.is_ok() }
    }
}

#[test]
fn an_empty_body_however_signed() {
    for sample in samples() {
        let empty = sample.with_body("");
        let expected = if sample.has_body() { rejected(Cause::EmptyBody) } else { Ok(0) };
        assert_eq!(empty.verdict(&[empty.signature("new")]), expected, "{}", sample.name());
    }
}

#[test]
fn a_body_over_the_limit_however_signed() {
    for sample in firsts() {
        let large = sample.with_body(vec![b' '; 4 * 1024 * 1024 + 1]);
        let verdict = large.verdict(&[large.signature("new")]);
        assert_eq!(verdict, rejected(Cause::BodyTooLarge), "{}", sample.name());
    }
}

#[test]
fn a_body_with_a_byte_changed_added_or_taken_away() {
    for sample in samples().filter(Sample::is_signed) {
        for at in [sample.body.len() / 3, sample.body.len() / 2, sample.body.len() - 2] {
            let mut changed = sample.body.clone();
            changed[at] ^= 1;
            assert_noticed(&sample, changed);
        }
        assert_noticed(&sample, [sample.body.as_slice(), b"\n"].concat());
        assert_noticed(&sample, [b" ", sample.body.as_slice()].concat());
        assert_noticed(&sample, sample.body[..sample.body.len() - 1].to_vec());
    }
}

#[test]
fn a_key_that_is_not_live() {
    for sample in firsts() {
        let verdict = sample.verdict(&[sample.signature("other")]);
        assert_eq!(verdict, rejected(sample.way.wrong()), "{}", sample.name());
    }
}

#[test]
fn a_proof_that_is_missing_or_blank() {
    for sample in firsts() {
        let (name, _) = sample.signature("new");
        assert_eq!(sample.verdict(&[]), rejected(sample.way.missing()), "{}", sample.name());
        // A blank secret is some secret, and no right one.
        let expected = if sample.is_signed() { Cause::MissingSignature } else { Cause::WrongSecret };
        for blank in ["", " "] {
            let verdict = sample.verdict(&[(name.clone(), blank.to_owned())]);
            assert_eq!(verdict, rejected(expected), "{}", sample.name());
        }
    }
}

#[test]
fn a_proof_under_a_name_that_is_almost_right() {
    for sample in firsts() {
        let (name, value) = sample.signature("new");
        let mut names = vec![format!("{name}-2"), format!("{name}x"), name[..name.len() - 1].to_owned()];
        match name.strip_prefix('?') {
            Some(parameter) => {
                names.extend([format!("?{}", parameter.to_uppercase()), "?%6bey".to_owned()]);
                names.push(parameter.to_owned());
            }
            None => names.push(name.replace('-', "_")),
        }
        for almost in names {
            let verdict = sample.verdict(&[(almost.clone(), value.clone())]);
            assert_eq!(verdict, rejected(sample.way.missing()), "{}: {almost}", sample.name());
        }
    }
}

#[test]
fn a_proof_that_came_twice_even_if_both_are_right() {
    for sample in firsts() {
        let (name, value) = sample.signature("new");
        let twice = [(name.clone(), value.clone()), (name.clone(), value.clone())];
        assert_eq!(sample.verdict(&twice), rejected(Cause::AmbiguousSignature), "{}", sample.name());
        // Gateways join headers. A secret may hold a comma, so two that were joined are a wrong one.
        let expected = if sample.is_signed() { Cause::AmbiguousSignature } else { Cause::WrongSecret };
        for joined in [format!("{value},{value}"), format!("{value}, {value}")] {
            let verdict = sample.verdict(&[(name.clone(), joined)]);
            assert_eq!(verdict, rejected(expected), "{}", sample.name());
        }
    }
}

#[test]
fn every_beginning_of_a_right_proof_and_anything_after_it() {
    for sample in firsts() {
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
    for sample in first_signed() {
        // Numbered until the tag holds digits that the two kinds of base64 write differently.
        let (sample, (name, value)) = (0..1_000)
            .map(|number| {
                let sample = Sample::numbered(sample.provider, sample.way, sample.kind, number);
                let signature = sample.signature("new");
                (sample, signature)
            })
            .find(|(_, (_, value))| BASE64_STANDARD.encode(Tag::of(value).bytes).contains(['+', '/']))
            .expect("one such tag");
        let Tag { before, bytes, digits } = Tag::of(&value);
        let (hex, base64) = (hex::encode(&bytes), BASE64_STANDARD.encode(&bytes));
        let other = if digits { &base64 } else { &hex };
        if takes_two_encodings(sample.provider) {
            assert_eq!(sample.verdict(&[(name.clone(), other.clone())]), Ok(0), "{}", sample.name());
        } else {
            sample.assert_refused(&name, &format!("{before}{other}"), "in the other encoding");
        }
        for written in [
            BASE64_URL_SAFE.encode(&bytes),
            base64.trim_end_matches('=').to_owned(),
            hex::encode_upper(&bytes),
            format!("sha256={hex}"),
            format!("sha1={hex}"),
            format!("sha256={base64}"),
            base64.replace('=', "%3D"),
            BASE64_STANDARD.encode(&hex),
        ] {
            sample.assert_refused(&name, &format!("{before}{written}"), "in another encoding");
        }
        if !before.is_empty() {
            for written in [&hex, &base64] {
                sample.assert_refused(&name, written, "without what stands before it");
            }
            sample.assert_refused(&name, &format!("{}{hex}", before.to_uppercase()), "in upper case");
        }
    }
}

#[test]
fn another_spelling_of_the_right_tag() {
    let mut spelt = 0;
    for sample in first_signed() {
        let (name, value) = sample.signature("new");
        // The last digit before the padding has two bits to spare: only one of four spellings is right.
        if let Some(stem) = value.strip_suffix('=') {
            let spellings = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']);
            for last in spellings.filter(|&last| !stem.ends_with(last)) {
                sample.assert_refused(&name, &format!("{}{last}=", &stem[..stem.len() - 1]), "spelt anew");
                spelt += 1;
            }
        }
    }
    assert!(spelt > 0, "some provider writes base64");
}

#[test]
fn the_proof_of_another_provider() {
    for sample in firsts() {
        let (name, own) = sample.signature("new");
        let others = firsts().filter(|other| other.provider.name() != sample.provider.name());
        let values = others.map(|other| {
            let signing =
                Sample { provider: other.provider, way: other.way, ..sample.with_body(sample.body.clone()) };
            (other.name(), signing.signature("new").1)
        });
        // Two that sign the same bytes in the same way can't be told apart by their signatures.
        let different: Vec<_> = values.filter(|(_, value)| *value != own).collect();
        assert!(different.len() > ALL.len() / 2, "{}", sample.name());
        for (other, value) in different {
            sample.assert_refused(&name, &value, &other);
        }
    }
}

#[test]
fn no_key_and_blank_keys_are_our_fault_and_believe_nothing() {
    for sample in firsts() {
        let errors: Vec<_> = ways(sample.provider).into_iter().map(Way::unset).collect();
        for settings in [
            Settings::default(),
            Settings::with_keys([""]),
            Settings::with_keys(["", " "]),
            Settings::with_url_keys(["", " ", "                  "]),
        ] {
            let settings = settings.with_url(URL);
            let verdict = sample.verdict_under(&settings, &[sample.signature("new")]);
            let Err(Failure::Misconfigured(error)) = verdict else {
                panic!("{}: {verdict:?}", sample.name())
            };
            assert!(errors.contains(&error), "{}: {error}", sample.name());
            let signed = sample.provider.sign(&settings, &sample.unsigned(), now());
            assert!(signed.is_err(), "{}", sample.name());
        }
    }
}
