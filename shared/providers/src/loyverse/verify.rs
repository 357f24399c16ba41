//! `HMAC-SHA1(client secret as text, raw body)` in hexadecimal digits or base64; without a signature, the secret of the
//! URL.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use tillwatch_domain::Cause;

use crate::hmac::Tag1;
use crate::request::{FINGERPRINT, SECRET};
use crate::{Failure, Headers, Proof, Request, Settings, SettingsError, Unverified, hmac};

pub(super) const SIGNATURE: &str = "x-loyverse-signature";

/// Which secret proves the request: of the kind that it claims, or of the one kind that is configured.
pub(super) fn verify(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Proof, Failure> {
    let headers = request.headers();
    let (signing, open) = (settings.live_keys(now), settings.live_url_keys(now).is_ok());
    let claims_secret = headers.get(SIGNATURE).is_none() && headers.get(FINGERPRINT).is_some();
    match signing {
        Ok(keys) if !(claims_secret && open) => {
            let tag = tag(headers.only(SIGNATURE)?)?;
            hmac::matching_key1(&keys, &[request.body()], &tag)
                .ok_or(Failure::Rejected(Cause::WrongSignature))
        }
        Err(error) if !open => Err(error.into()),
        // A signature that no key is configured for proves nothing, and takes nothing from the secret either.
        _ => settings.open_secret(headers.only(FINGERPRINT), now),
    }
}

/// The tag in either of the two ways in which it may be written: the lengths tell them apart.
fn tag(header: &str) -> Result<Tag1, Cause> {
    if header.len() == 2 * size_of::<Tag1>() { hmac::hex_header(header) } else { hmac::base64_tag(header) }
}

/// Signed in base64, as the documentation has it; with the secret of the URL where no signing key is live.
pub(super) fn sign(settings: &Settings, body: &[u8], now: Timestamp) -> Result<Headers, SettingsError> {
    match (settings.live_keys(now), settings.live_url_keys(now)) {
        (Ok(keys), _) => {
            let tag = hmac::tag1(keys.newest().as_bytes(), &[body]);
            Ok(Headers::from_iter([(SIGNATURE, BASE64_STANDARD.encode(tag))]))
        }
        (Err(_), Ok(keys)) => Ok(Headers::from_iter([(SECRET, keys.newest())])),
        (Err(error), Err(_)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Loyverse;
    use super::*;
    use crate::request::QUERY;

    const BODY: &[u8] = br#"{"merchant_id":"c4c4a4a0-0000-4000-8000-000000000001","type":"receipts.update"}"#;
    const URL_KEY: &str = "a secret of a URL";

    fn verdict(headers: &[(&str, &str)], settings: &Settings) -> Result<usize, Failure> {
        let headers = headers.iter().copied().collect();
        let request = Request::arrived(&Loyverse, &headers, BODY.to_vec(), &settings.fingerprints);
        let checked = request.check(&Loyverse, settings, Timestamp::UNIX_EPOCH);
        checked.map(|request| request.proof().position).map_err(|unbelieved| unbelieved.failure)
    }

    fn signed() -> Settings {
        Settings::with_keys(["new", "old"])
    }

    fn both() -> Settings {
        Settings { url_keys: Settings::with_url_keys([URL_KEY]).url_keys, ..signed() }
    }

    fn tag_of(key: &str) -> Vec<u8> {
        hmac::tag1(key.as_bytes(), &[BODY])
    }

    fn rejected(cause: Cause) -> Result<usize, Failure> {
        Err(Failure::Rejected(cause))
    }

    #[test]
    fn a_right_tag_is_believed_in_hexadecimal_digits_and_in_base64() {
        for (key, place) in [("new", 0), ("old", 1)] {
            for written in [hex::encode(tag_of(key)), BASE64_STANDARD.encode(tag_of(key))] {
                assert_eq!(verdict(&[(SIGNATURE, &written)], &signed()), Ok(place), "{written}");
            }
        }
    }

    #[test]
    fn a_tag_has_one_spelling_in_each_of_the_two() {
        let (digits, base64) = (hex::encode(tag_of("new")), BASE64_STANDARD.encode(tag_of("new")));
        let last = base64.as_bytes()[26] + 1;
        for written in [
            digits.to_uppercase(),
            format!("{digits} "),
            format!("sha1={digits}"),
            digits[..39].to_owned(),
            base64.trim_end_matches('=').to_owned(),
            format!("{}{}=", &base64[..26], char::from(last)),
            "x".repeat(40),
        ] {
            assert_eq!(
                verdict(&[(SIGNATURE, &written)], &signed()),
                rejected(Cause::MalformedSignature),
                "{written}"
            );
        }
    }

    #[test]
    fn a_tag_under_another_key_is_wrong_and_two_tags_are_ambiguous() {
        let (right, wrong) = (hex::encode(tag_of("new")), hex::encode(tag_of("other")));
        assert_eq!(verdict(&[(SIGNATURE, &wrong)], &signed()), rejected(Cause::WrongSignature));
        let twice = [(SIGNATURE, right.as_str()), (SIGNATURE, &right)];
        assert_eq!(verdict(&twice, &signed()), rejected(Cause::AmbiguousSignature));
        let joined = format!("{right},{right}");
        assert_eq!(verdict(&[(SIGNATURE, &joined)], &signed()), rejected(Cause::AmbiguousSignature));
    }

    #[test]
    fn without_a_signature_the_secret_of_the_url_proves_the_request_where_one_is_configured() {
        let query = format!("key={URL_KEY}");
        assert_eq!(verdict(&[(QUERY, &query)], &both()), Ok(0));
        assert_eq!(verdict(&[(QUERY, "key=another secret")], &both()), rejected(Cause::WrongSecret));
        let twice = format!("{query}&{query}");
        assert_eq!(verdict(&[(QUERY, &twice)], &both()), rejected(Cause::AmbiguousSignature));
        assert_eq!(verdict(&[(QUERY, &query)], &signed()), rejected(Cause::MissingSignature));
    }

    #[test]
    fn a_request_with_neither_lacks_what_is_configured_and_of_both_the_signature() {
        let open = Settings::with_url_keys([URL_KEY]);
        assert_eq!(verdict(&[], &open), rejected(Cause::MissingSecret));
        assert_eq!(verdict(&[], &signed()), rejected(Cause::MissingSignature));
        assert_eq!(verdict(&[], &both()), rejected(Cause::MissingSignature));
    }

    #[test]
    fn the_secret_of_the_url_does_not_make_up_for_a_wrong_or_blank_signature() {
        let query = format!("key={URL_KEY}");
        for (written, cause) in [
            (hex::encode(tag_of("other")), Cause::WrongSignature),
            ("never a tag".to_owned(), Cause::MalformedSignature),
            (" ".to_owned(), Cause::MissingSignature),
        ] {
            assert_eq!(
                verdict(&[(QUERY, &query), (SIGNATURE, &written)], &both()),
                rejected(cause),
                "{written}"
            );
        }
    }

    #[test]
    fn a_signature_that_no_key_is_configured_for_changes_nothing() {
        let settings = Settings::with_url_keys([URL_KEY]);
        let query = format!("key={URL_KEY}");
        assert_eq!(verdict(&[(QUERY, &query), (SIGNATURE, "any")], &settings), Ok(0));
        assert_eq!(verdict(&[(SIGNATURE, "any")], &settings), rejected(Cause::MissingSecret));
    }

    #[test]
    fn without_any_key_the_fault_is_ours() {
        let none = Settings::default();
        assert_eq!(verdict(&[(SIGNATURE, "any")], &none), Err(SettingsError::NoKey.into()));
        assert_eq!(sign(&none, BODY, Timestamp::UNIX_EPOCH).unwrap_err(), SettingsError::NoKey);
    }

    #[test]
    fn what_is_signed_here_is_believed_here_by_either_kind_of_secret() {
        for settings in [signed(), both(), Settings::with_url_keys([URL_KEY])] {
            let headers = sign(&settings, BODY, Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(verdict(&headers.iter().collect::<Vec<_>>(), &settings), Ok(0));
        }
    }
}
