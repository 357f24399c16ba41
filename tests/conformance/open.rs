//! What holds of secrets that are sent as they are, in a URL or a header.

use tillwatch_domain::Cause;
use tillwatch_providers::request::KEY;
use tillwatch_providers::{ALL, Failure, OpenSecret, Settings, SettingsError};

use crate::ways::{Way, ways};
use crate::{Sample, URL, now, rejected, samples};

fn open() -> impl Iterator<Item = Sample> {
    samples().filter(|sample| !sample.is_signed())
}

#[test]
fn a_secret_that_is_off_by_anything_is_wrong() {
    for sample in open() {
        let (name, secret) = sample.signature("new");
        let mut off: Vec<_> = (0..secret.len())
            .map(|at| format!("{}~{}", &secret[..at], &secret[at + 1..]))
            .chain((1..secret.len()).flat_map(|at| [secret[..at].to_owned(), secret[at..].to_owned()]))
            .collect();
        off.extend([
            format!("{secret}a"),
            format!("a{secret}"),
            format!(" {secret}"),
            format!("{secret} "),
            format!("{secret}="),
            format!("{secret}{secret}"),
            format!("{secret},{secret}"),
            secret.to_uppercase(),
            String::new(),
        ]);
        if sample.provider.open_secret() != Some(OpenSecret::Query) {
            off.push(secret.replace('-', "%2D"));
        }
        for value in off {
            let verdict = sample.verdict(&[(name.clone(), value.clone())]);
            assert_eq!(verdict, rejected(Cause::WrongSecret), "{}: {value}", sample.name());
        }
    }
}

#[test]
fn a_secret_in_a_url_may_hold_any_character_as_urls_encode_it() {
    for sample in open().filter(|sample| sample.provider.open_secret() == Some(OpenSecret::Query)) {
        let secret = "both & = + % # ? / \u{e9} of it";
        let settings = Settings::with_url_keys([secret]).with_url(URL);
        let encoded = secret.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02x}"));
        let plain = "both%20%26%20%3d%20+%20%25%20%23%20?%20/%20%C3%A9%20of%20it";
        for value in [encoded.as_str(), plain] {
            let verdict = sample.verdict_under(&settings, &[(format!("?{KEY}"), value.to_owned())]);
            assert_eq!(verdict, Ok(0), "{}: {value}", sample.name());
        }
        for value in [secret.to_owned(), plain.replace('+', "%20"), plain.replace("%25", "%2525")] {
            let verdict = sample.verdict_under(&settings, &[(format!("?{KEY}"), value.clone())]);
            assert!(verdict.is_err(), "{}: {value}", sample.name());
        }
    }
}

#[test]
fn the_fingerprint_of_a_secret_is_no_secret() {
    for sample in open() {
        let (name, secret) = sample.signature("new");
        let fingerprint = sample.way.settings(["new"]).fingerprints.of(&secret);
        for (name, value) in [(&*name, &fingerprint), (":fingerprint", &fingerprint)] {
            let verdict = sample.verdict(&[(name.to_owned(), value.clone())]);
            assert!(verdict.is_err(), "{}: {name}", sample.name());
        }
    }
}

#[test]
fn a_secret_that_could_be_guessed_is_none() {
    for sample in open() {
        for short in ["", " ", "k", "fifteen-letters"] {
            let settings = Settings::with_url_keys([short]).with_url(URL);
            let (name, _) = sample.signature("new");
            let verdict = sample.verdict_under(&settings, &[(name, short.to_owned())]);
            assert!(matches!(verdict, Err(Failure::Misconfigured(_))), "{}: {verdict:?}", sample.name());
            assert!(sample.provider.sign(&settings, &sample.unsigned(), now()).is_err(), "{}", sample.name());
        }
        let mixed = Settings::with_url_keys(["short", "sixteen-letters!"]).with_url(URL);
        let (name, _) = sample.signature("new");
        let verdict = |secret: &str| sample.verdict_under(&mixed, &[(name.clone(), secret.to_owned())]);
        assert_eq!(verdict("short"), rejected(Cause::WrongSecret), "{}", sample.name());
        assert_eq!(verdict("sixteen-letters!"), Ok(0), "{}", sample.name());
    }
}

#[test]
fn a_signing_key_is_no_secret_of_a_url() {
    for sample in open() {
        let settings = Way::Signature.settings(["new"]);
        let verdict = sample.verdict_under(&settings, &[sample.signature("new")]);
        let alone = ways(sample.provider) == [Way::OpenSecret];
        let expected =
            if alone { Err(SettingsError::NoUrlKey.into()) } else { rejected(Cause::MissingSignature) };
        assert_eq!(verdict, expected, "{}", sample.name());
    }
}

#[test]
fn where_a_secret_is_and_what_it_is_is_kept_nowhere() {
    for sample in open() {
        let (name, secret) = sample.signature("new");
        match sample.provider.open_secret().expect("it has one") {
            OpenSecret::Query => assert_eq!(name, format!("?{KEY}")),
            OpenSecret::Header(header) => {
                assert_eq!(name, header);
                assert!(!sample.provider.kept_headers().contains(&header), "{header}");
            }
        }
        let twice = [(name.clone(), secret.clone()), (name.clone(), secret.clone())];
        let wrong = [(name.clone(), format!("{secret}x"))];
        let capitals = [(name.to_uppercase(), secret.clone())];
        let encoded = [(name.replace("?k", "?%6B"), secret.clone())];
        for signatures in [&twice[..1], &twice[..], &wrong, &capitals, &encoded] {
            let kept = sample.arrived(&sample.way.settings(["new", "old"]), signatures);
            let kept = format!("{kept:?}").to_lowercase();
            assert!(!kept.contains(&secret) && !kept.contains(&format!("{KEY}=")), "{}", sample.name());
        }
    }
}

#[test]
fn what_else_the_query_says_is_kept_beside_the_secret() {
    for sample in open().filter(|sample| sample.provider.open_secret() == Some(OpenSecret::Query)) {
        let (name, secret) = sample.signature("new");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let signatures = [pair("?a", "b"), (name, secret), pair("?keys", "c")];
        assert_eq!(sample.verdict(&signatures), Ok(0), "{}", sample.name());
        let kept = sample.arrived(&sample.way.settings(["new"]), &signatures);
        assert_eq!(kept.headers().query(), "a=b&keys=c", "{}", sample.name());
    }
}

#[test]
fn whoever_signs_is_judged_by_the_signature_where_both_are_configured() {
    let both = ALL.iter().copied().filter(|&provider| ways(provider).len() == 2);
    for provider in both {
        let (signed, open) = (Sample::of(provider, Way::Signature), Sample::of(provider, Way::OpenSecret));
        let settings = Settings {
            url_keys: Way::OpenSecret.settings(["new"]).url_keys,
            ..Way::Signature.settings(["new"])
        };
        let (right, wrong, secret) =
            (signed.signature("new"), signed.signature("other"), open.signature("new"));
        let blank = (right.0.clone(), " ".to_owned());
        let no_secret = (secret.0.clone(), "no secret of anyone's".to_owned());
        for (signatures, expected) in [
            (vec![right.clone()], Ok(0)),
            (vec![secret.clone()], Ok(0)),
            (vec![right.clone(), secret.clone()], Ok(0)),
            (vec![right, no_secret.clone()], Ok(0)),
            (vec![wrong, secret.clone()], rejected(Cause::WrongSignature)),
            (vec![blank, secret], rejected(Cause::MissingSignature)),
            (vec![no_secret], rejected(Cause::WrongSecret)),
        ] {
            let verdict = signed.verdict_under(&settings, &signatures);
            let names: Vec<_> = signatures.iter().map(|(name, _)| name).collect();
            assert_eq!(verdict, expected, "{}: {names:?}", provider.name());
        }
    }
}
