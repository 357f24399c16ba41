//! `base64(HMAC-SHA256(client secret as text, raw body))`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tillwatch_domain::Cause;

use super::headers::{Family, WEBHOOKS};
use crate::{Failure, Headers, Request, Settings, SettingsError, Unverified, hmac};

/// Which secret signed the request: for an hour after a change it may be the old one.
pub(super) fn verify(request: &Request<Unverified>, settings: &Settings) -> Result<usize, Failure> {
    let (keys, headers) = (settings.keys()?, request.headers());
    let family = Family::of(headers);
    let both = family.signature != WEBHOOKS.signature && headers.get(WEBHOOKS.signature).is_some();
    if both {
        return Err(Cause::AmbiguousSignature.into());
    }
    let tag = hmac::base64_tag(headers.only(family.signature)?)?;
    hmac::matching_key(&keys, &[request.body()], &[tag]).ok_or(Failure::Rejected(Cause::WrongSignature))
}

pub(super) fn sign(settings: &Settings, body: &[u8]) -> Result<Headers, SettingsError> {
    let tag = hmac::tag(settings.keys()?[0], &[body]);
    Ok(Headers::from_iter([(WEBHOOKS.signature, BASE64_STANDARD.encode(tag))]))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::Shopify;
    use super::super::headers::EVENTS;
    use super::*;

    fn verdict(headers: Headers) -> Result<usize, Failure> {
        let request = Request::new(headers, b"{}".to_vec());
        let checked = request.check(&Shopify, &Settings::with_keys(["new", "old"]), Timestamp::UNIX_EPOCH);
        checked.map(|request| request.key()).map_err(|unbelieved| unbelieved.failure)
    }

    fn signature(key: &str) -> String {
        sign(&Settings::with_keys([key]), b"{}").unwrap().get(WEBHOOKS.signature).unwrap().to_owned()
    }

    #[test]
    fn a_request_of_either_family_is_believed_under_the_new_secret_and_the_old_one() {
        for family in [&WEBHOOKS, &EVENTS] {
            assert_eq!(verdict(Headers::from_iter([(family.signature, signature("new"))])), Ok(0));
            assert_eq!(verdict(Headers::from_iter([(family.signature, signature("old"))])), Ok(1));
        }
    }

    #[test]
    fn a_request_signed_in_both_families_is_ambiguous_even_if_rightly() {
        let headers =
            Headers::from_iter([EVENTS, WEBHOOKS].map(|family| (family.signature, signature("new"))));
        assert_eq!(verdict(headers), Err(Cause::AmbiguousSignature.into()));
    }
}
