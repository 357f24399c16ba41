//! `base64(HMAC-SHA256(client secret as text, raw body))`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use tillwatch_domain::Cause;

use super::headers::{Family, WEBHOOKS};
use crate::{Failure, Headers, Proof, Request, Settings, SettingsError, Unverified, hmac};

/// Which secret signed the request: for an hour after a change it may be the old one.
pub(super) fn verify(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Proof, Failure> {
    let (keys, headers) = (settings.live_keys(now)?, request.headers());
    // Events carry both families for a while, and then it is the newer that counts, here as in reading what they say.
    let tag = hmac::base64_tag(headers.only(Family::of(headers).signature)?)?;
    hmac::matching_key(&keys, &[request.body()], &[tag]).ok_or(Failure::Rejected(Cause::WrongSignature))
}

pub(super) fn sign(settings: &Settings, body: &[u8], now: Timestamp) -> Result<Headers, SettingsError> {
    let tag = hmac::tag(settings.live_keys(now)?.newest().as_bytes(), &[body]);
    Ok(Headers::from_iter([(WEBHOOKS.signature, BASE64_STANDARD.encode(tag))]))
}

#[cfg(test)]
mod tests {
    use super::super::Shopify;
    use super::super::headers::EVENTS;
    use super::*;

    fn verdict(headers: Headers) -> Result<usize, Failure> {
        let request = Request::new(headers, b"{}".to_vec());
        let checked = request.check(&Shopify, &Settings::with_keys(["new", "old"]), Timestamp::UNIX_EPOCH);
        checked.map(|request| request.proof().position).map_err(|unbelieved| unbelieved.failure)
    }

    fn signature(key: &str) -> String {
        sign(&Settings::with_keys([key]), b"{}", Timestamp::UNIX_EPOCH)
            .unwrap()
            .get(WEBHOOKS.signature)
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_request_of_either_family_is_believed_under_the_new_secret_and_the_old_one() {
        for family in [&WEBHOOKS, &EVENTS] {
            assert_eq!(verdict(Headers::from_iter([(family.signature, signature("new"))])), Ok(0));
            assert_eq!(verdict(Headers::from_iter([(family.signature, signature("old"))])), Ok(1));
        }
    }

    #[test]
    fn of_a_request_signed_in_both_families_the_newer_decides() {
        let both = |newer: &str, older: &str| {
            verdict(Headers::from_iter([
                (EVENTS.signature, signature(newer)),
                (WEBHOOKS.signature, signature(older)),
            ]))
        };
        assert_eq!(both("new", "new"), Ok(0));
        assert_eq!(both("old", "another"), Ok(1));
        assert_eq!(both("another", "new"), Err(Cause::WrongSignature.into()));
    }
}
