//! HMAC-SHA256 over parts of a message, compared in constant time by the MAC type itself.

use ::hmac::{Hmac, KeyInit, Mac};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::Sha256;
use tillwatch_domain::Cause;

/// What a key makes of a message.
pub(crate) type Tag = [u8; 32];

fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

/// Which of the keys made any of the tags over the parts, one after the other; none, if none did. The parts are hashed
/// once a key, however many tags the sender claims.
pub(crate) fn matching_key(keys: &[&[u8]], parts: &[&[u8]], tags: &[Tag]) -> Option<usize> {
    keys.iter().position(|key| {
        mac(key, parts).is_some_and(|mac| tags.iter().any(|tag| mac.clone().verify_slice(tag).is_ok()))
    })
}

/// The tag of the parts, one after the other.
pub(crate) fn tag(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    mac(key, parts).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
}

/// The tag in lower-case hexadecimal digits, the one way in which providers that use those write it.
pub(crate) fn hex_tag(text: &str) -> Option<Tag> {
    let mut tag = Tag::default();
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (lower && hex::decode_to_slice(text, &mut tag).is_ok()).then_some(tag)
}

/// The tag in a header that holds one, in base64. A comma means that the header came more than once: gateways join.
pub(crate) fn base64_tag(header: &str) -> Result<Tag, Cause> {
    if header.contains(',') {
        return Err(Cause::AmbiguousSignature);
    }
    let tag = BASE64_STANDARD.decode(header).map_err(|_| Cause::MalformedSignature)?;
    tag.try_into().map_err(|_| Cause::MalformedSignature)
}
