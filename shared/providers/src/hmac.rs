//! HMAC over parts of a message, compared in constant time by the MAC type itself.

use ::hmac::{Hmac, KeyInit, Mac};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::Sha1;
use sha2::Sha256;
use tillwatch_domain::Cause;

use crate::settings::{Live, Proof};

/// What a key makes of a message by HMAC-SHA256.
pub(crate) type Tag = [u8; 32];
/// What a key makes of a message by HMAC-SHA1.
pub(crate) type Tag1 = [u8; 20];

fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

fn mac1(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha1>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

/// Which of the keys made any of the tags over the parts, one after the other; none, if none did. The parts are hashed
/// once a key, however many tags the sender claims.
pub(crate) fn matching_key(keys: &Live<'_>, parts: &[&[u8]], tags: &[Tag]) -> Option<Proof> {
    keys.proved_by(|key| {
        mac(key, parts).is_some_and(|mac| tags.iter().any(|tag| mac.clone().verify_slice(tag).is_ok()))
    })
}

/// The same by HMAC-SHA1.
pub(crate) fn matching_key1(keys: &Live<'_>, parts: &[&[u8]], tag: &Tag1) -> Option<Proof> {
    keys.proved_by(|key| mac1(key, parts).is_some_and(|mac| mac.verify_slice(tag).is_ok()))
}

/// The tag of the parts, one after the other.
pub(crate) fn tag(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    mac(key, parts).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
}

/// The same by HMAC-SHA1.
pub(crate) fn tag1(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    mac1(key, parts).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
}

/// Whether two secrets are one, in a time that tells neither of them.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    const KEY: &[u8] = b"tillwatch compared secrets";
    mac(KEY, &[one]).is_some_and(|mac| mac.verify_slice(&tag(KEY, &[other])).is_ok())
}

/// The tag in lower-case hexadecimal digits, the one way in which providers that use those write it.
pub(crate) fn hex_tag<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut tag = [0; N];
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (lower && hex::decode_to_slice(text, &mut tag).is_ok()).then_some(tag)
}

/// The tag in a header that holds one, in lower-case hexadecimal digits. A comma means that the header came more than
/// once: gateways join.
pub(crate) fn hex_header<const N: usize>(header: &str) -> Result<[u8; N], Cause> {
    if header.contains(',') {
        return Err(Cause::AmbiguousSignature);
    }
    hex_tag(header).ok_or(Cause::MalformedSignature)
}

/// The tag in a header that holds one, in base64. A comma means that the header came more than once: gateways join.
pub(crate) fn base64_tag<const N: usize>(header: &str) -> Result<[u8; N], Cause> {
    if header.contains(',') {
        return Err(Cause::AmbiguousSignature);
    }
    let tag = BASE64_STANDARD.decode(header).map_err(|_| Cause::MalformedSignature)?;
    tag.try_into().map_err(|_| Cause::MalformedSignature)
}
