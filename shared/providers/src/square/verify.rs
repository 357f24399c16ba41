//! `base64(HMAC-SHA256(signature key as text, notification URL + raw body))`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use tillwatch_domain::Cause;

use crate::{Failure, Headers, Proof, Request, Settings, SettingsError, Unverified, hmac};

pub(super) const SIGNATURE: &str = "x-square-hmacsha256-signature";

/// Which key signed the request. Each subscription has its own, so several may be live for one URL.
pub(super) fn verify(
    request: &Request<Unverified>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Proof, Failure> {
    let (keys, url) = (settings.live_keys(now)?, request.url(settings.url()?));
    let tag = hmac::base64_tag(request.headers().only(SIGNATURE)?)?;
    hmac::matching_key(&keys, &[url.as_bytes(), request.body()], &[tag])
        .ok_or(Failure::Rejected(Cause::WrongSignature))
}

pub(super) fn sign(
    settings: &Settings,
    request: &Request<Unverified>,
    now: Timestamp,
) -> Result<Headers, SettingsError> {
    let (keys, url) = (settings.live_keys(now)?, request.url(settings.url()?));
    let tag = hmac::tag(keys.newest().as_bytes(), &[url.as_bytes(), request.body()]);
    Ok(Headers::from_iter([(SIGNATURE, BASE64_STANDARD.encode(tag))]))
}
