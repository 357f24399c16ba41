//! `sha256=hex(HMAC-SHA256(app secret as text, raw body))`.

use jiff::Timestamp;
use tillwatch_domain::Cause;

use crate::{Failure, Headers, Proof, Request, Settings, SettingsError, Unverified, hmac};

pub(super) const SIGNATURE: &str = "x-hub-signature-256";
const PREFIX: &str = "sha256=";

/// Which secret signed the request. A reset of the app's secret has no overlap at Meta, so the old one may be live here.
pub(super) fn verify(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Proof, Failure> {
    let keys = settings.live_keys(now)?;
    let header = request.headers().only(SIGNATURE)?;
    if header.contains(',') {
        return Err(Cause::AmbiguousSignature.into());
    }
    let tag = header.strip_prefix(PREFIX).and_then(hmac::hex_tag).ok_or(Cause::MalformedSignature)?;
    hmac::matching_key(&keys, &[request.body()], &[tag]).ok_or(Failure::Rejected(Cause::WrongSignature))
}

pub(super) fn sign(settings: &Settings, body: &[u8], now: Timestamp) -> Result<Headers, SettingsError> {
    let tag = hmac::tag(settings.live_keys(now)?.newest().as_bytes(), &[body]);
    Ok(Headers::from_iter([(SIGNATURE, format!("{PREFIX}{}", hex::encode(tag)))]))
}

#[cfg(test)]
mod tests {
    use super::super::Meta;
    use super::*;

    fn verdict(header: &str) -> Result<usize, Failure> {
        let request = Request::new(Headers::from_iter([(SIGNATURE, header)]), b"{}".to_vec());
        let checked = request.check(&Meta, &Settings::with_keys(["new", "old"]), Timestamp::UNIX_EPOCH);
        checked.map(|request| request.proof().position).map_err(|unbelieved| unbelieved.failure)
    }

    fn signature(key: &str) -> String {
        let signed = sign(&Settings::with_keys([key]), b"{}", Timestamp::UNIX_EPOCH).unwrap();
        signed.get(SIGNATURE).unwrap().to_owned()
    }

    #[test]
    fn every_vector_gets_its_verdict() {
        let vectors = crate::vectors::of("meta");
        assert_eq!(vectors.len(), 5);
        for vector in vectors {
            let verdict = crate::vectors::judge(&vector);
            assert_eq!(verdict.is_accepted(), vector.valid, "{}: {verdict}", vector.id);
        }
    }

    #[test]
    fn a_request_is_believed_under_the_new_secret_and_the_old_one() {
        assert_eq!((verdict(&signature("new")), verdict(&signature("old"))), (Ok(0), Ok(1)));
        assert_eq!(verdict(&signature("other")), Err(Cause::WrongSignature.into()));
    }

    #[test]
    fn only_one_spelling_is_right_and_two_are_ambiguous() {
        let right = signature("new");
        let digits = right.strip_prefix(PREFIX).unwrap();
        for header in [
            digits.to_owned(),
            format!("sha1={digits}"),
            format!("SHA256={digits}"),
            format!("sha256={}", digits.to_uppercase()),
            format!("sha256= {digits}"),
            format!("{right}00"),
            right[..69].to_owned(),
        ] {
            assert_eq!(verdict(&header), Err(Cause::MalformedSignature.into()), "{header}");
        }
        assert_eq!(verdict(&format!("{right},{right}")), Err(Cause::AmbiguousSignature.into()));
    }
}
