//! The secret in the URL, `?key=…`; or `sha256=hex(HMAC-SHA256(signing key as text, raw body))`, where there is a signing
//! key.

use jiff::Timestamp;
use tillwatch_domain::Cause;

use crate::request::{FINGERPRINT, SECRET};
use crate::{Failure, Headers, Proof, Request, Settings, SettingsError, Unverified, hmac};

pub(super) const SIGNATURE: &str = "x-petpooja-signature";

/// Which secret proves the request. Whoever signs is judged by the signature alone, and where one is required the URL's
/// secret does not stand in for it.
pub(super) fn verify(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Proof, Failure> {
    let (signing, url) = (settings.live_keys(now), settings.live_url_keys(now));
    let headers = request.headers();
    match (signing, url) {
        (Err(_), Err(error)) => Err(error.into()),
        (Ok(keys), _) if headers.get(SIGNATURE).is_some() => {
            let tag = tag(headers.only(SIGNATURE)?)?;
            Ok(hmac::matching_key(&keys, &[request.body()], &[tag]).ok_or(Cause::WrongSignature)?)
        }
        // It may be right under a key that is yet to be configured.
        (Err(_), Ok(_)) if headers.get(SIGNATURE).is_some() => Err(Cause::WrongSignature.into()),
        (Ok(keys), url) if keys.has_own() || url.is_err() => Err(Cause::MissingSignature.into()),
        (_, _) => settings.open_secret(headers.only(FINGERPRINT), now),
    }
}

/// A comma means that the header came more than once: gateways join.
fn tag(header: &str) -> Result<hmac::Tag, Cause> {
    if header.contains(',') {
        return Err(Cause::AmbiguousSignature);
    }
    header.strip_prefix("sha256=").and_then(hmac::hex_tag).ok_or(Cause::MalformedSignature)
}

/// By signature where one is required, else by the URL's secret.
pub(super) fn sign(
    settings: &Settings,
    request: &Request<Unverified>,
    now: Timestamp,
) -> Result<Headers, SettingsError> {
    match (settings.live_keys(now), settings.live_url_keys(now)) {
        (Ok(keys), url) if keys.has_own() || url.is_err() => {
            let tag = hmac::tag(keys.newest().as_bytes(), &[request.body()]);
            Ok(Headers::from_iter([(SIGNATURE, format!("sha256={}", hex::encode(tag)))]))
        }
        (_, url) => Ok(Headers::from_iter([(SECRET, url?.newest())])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::petpooja::PetPooja;
    use crate::request::QUERY;

    const URL_KEY: (&str, &str) = (QUERY, "key=0123456789abcdef");
    /// `{"restID":"r"}` under `signing`, by OpenSSL.
    const SIGNED: (&str, &str) =
        (SIGNATURE, "sha256=3faa91bff805851e8117b540686d65f08f1e285f66feef2d3c982f54b7e8c4cd");

    fn verdict(settings: &Settings, headers: &[(&str, &str)]) -> Result<Proof, Failure> {
        let headers = headers.iter().copied().collect();
        let body = br#"{"restID":"r"}"#.to_vec();
        let request = Request::arrived(&PetPooja, &headers, body, &settings.fingerprints);
        let checked = request.check(&PetPooja, settings, Timestamp::UNIX_EPOCH);
        checked.map(|request| request.proof().clone()).map_err(|unbelieved| unbelieved.failure)
    }

    fn refused(settings: &Settings, headers: &[(&str, &str)], cause: Cause) {
        assert_eq!(verdict(settings, headers), Err(cause.into()), "{headers:?}");
    }

    fn shared() -> Settings {
        Settings { signing_keys: Settings::with_keys(["signing"]).signing_keys, ..url_alone() }
    }

    fn url_alone() -> Settings {
        Settings::with_url_keys(["0123456789abcdef"])
    }

    fn own() -> Settings {
        url_alone().of_connection(&Settings::with_keys(["signing"]))
    }

    #[test]
    fn the_urls_secret_proves_a_request_that_is_not_signed() {
        assert_eq!(verdict(&url_alone(), &[URL_KEY]).unwrap().position, 0);
        assert_eq!(verdict(&shared(), &[URL_KEY]).unwrap().position, 0);
        refused(&url_alone(), &[], Cause::MissingSecret);
        refused(&url_alone(), &[(QUERY, "key=fedcba9876543210")], Cause::WrongSecret);
    }

    #[test]
    fn a_signature_proves_a_request_with_or_without_the_urls_secret() {
        for settings in [shared(), own(), Settings::with_keys(["other", "signing"])] {
            verdict(&settings, &[SIGNED]).unwrap();
            verdict(&settings, &[SIGNED, URL_KEY]).unwrap();
        }
        assert!(verdict(&own(), &[SIGNED]).unwrap().own);
    }

    #[test]
    fn a_wrong_signature_is_not_mended_by_the_urls_secret() {
        for settings in [shared(), own()] {
            let other = ("x-petpooja-signature", &*format!("sha256={}", "0".repeat(64)));
            refused(&settings, &[other, URL_KEY], Cause::WrongSignature);
            refused(&settings, &[(SIGNATURE, " "), URL_KEY], Cause::MissingSignature);
        }
    }

    #[test]
    fn a_signature_that_no_key_could_have_made_is_wrong() {
        refused(&url_alone(), &[SIGNED, URL_KEY], Cause::WrongSignature);
    }

    #[test]
    fn a_connection_with_a_signing_key_of_its_own_takes_nothing_unsigned() {
        refused(&own(), &[URL_KEY], Cause::MissingSignature);
        refused(&Settings::with_keys(["signing"]), &[URL_KEY], Cause::MissingSignature);
    }

    #[test]
    fn an_own_signing_key_that_has_ended_is_required_no_longer() {
        let ended =
            Settings::with_keys(["signing"]).signing_keys.remove(0).until(Some(Timestamp::UNIX_EPOCH));
        let connection = Settings { signing_keys: vec![ended], ..Settings::default() };
        verdict(&url_alone().of_connection(&connection), &[URL_KEY]).unwrap();
    }

    #[test]
    fn one_spelling_of_the_signature_is_right() {
        let digits = &SIGNED.1["sha256=".len()..];
        let upper = digits.to_uppercase();
        for value in
            [digits, &format!("sha1={digits}"), &format!("sha256={upper}"), &format!("sha256={digits}00")]
        {
            refused(&own(), &[(SIGNATURE, value)], Cause::MalformedSignature);
        }
        refused(&own(), &[SIGNED, SIGNED], Cause::AmbiguousSignature);
        refused(&own(), &[(SIGNATURE, &format!("{0},{0}", SIGNED.1))], Cause::AmbiguousSignature);
    }

    #[test]
    fn without_any_key_nothing_can_be_believed() {
        for headers in [vec![], vec![URL_KEY], vec![SIGNED]] {
            let verdict = verdict(&Settings::default(), &headers);
            assert_eq!(verdict, Err(SettingsError::NoUrlKey.into()));
        }
    }

    #[test]
    fn what_is_signed_is_believed_by_whichever_secret_is_asked_for() {
        let request = Request::new(Headers::new(), br#"{"restID":"r"}"#.to_vec());
        for (settings, name) in [(url_alone(), SECRET), (shared(), SECRET), (own(), SIGNATURE)] {
            let signed = sign(&settings, &request, Timestamp::UNIX_EPOCH).unwrap();
            let pairs: Vec<_> = signed.iter().collect();
            assert_eq!(pairs[0].0, name);
            verdict(&settings, &pairs).unwrap();
        }
        assert!(sign(&Settings::default(), &request, Timestamp::UNIX_EPOCH).is_err());
    }
}
