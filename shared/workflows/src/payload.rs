//! A request's headers and body as they are stored: compressed from a dictionary of what the provider usually says.
//!
//! Webhook bodies are small and much alike, so that alone they compress poorly and from a dictionary well: a 1 KB event
//! shrinks to a third, and its item fits one write unit instead of two.
//!
//! Format, version 1: a byte `1`; a byte that names the dictionary (0: none, 1: the provider's); a zstd frame of the
//! headers' length (4 bytes, little-endian), the headers (JSON pairs) and the body.

use std::cell::RefCell;
use std::collections::HashMap;

use tillwatch_providers::{Headers, Provider, request::MAX_BODY};
use zstd::bulk::{Compressor, Decompressor};

const VERSION: u8 = 1;
const NO_DICTIONARY: u8 = 0;
const PROVIDERS_DICTIONARY: u8 = 1;
/// zstd's own default: higher levels cost more time than they save bytes on bodies this small.
const LEVEL: i32 = 3;
/// Room for the kept headers beside the largest body.
const MAX_UNPACKED: usize = MAX_BODY + 256 * 1024;

/// Stored bytes that are not a payload as we write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored payload can't be read: {0}")]
pub struct Unreadable(&'static str);

thread_local! {
    /// A compressor is expensive to make and keeps its dictionary digested; one a thread and provider.
    static COMPRESSORS: RefCell<HashMap<&'static str, Compressor<'static>>> = RefCell::default();
}

/// Compresses the headers that matter and the body.
pub fn pack(provider: &'static dyn Provider, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let pairs: Vec<_> = headers.iter().collect();
    let pairs = serde_json::to_vec(&pairs).unwrap_or_default();
    let mut plain = Vec::with_capacity(4 + pairs.len() + body.len());
    plain.extend_from_slice(&u32::try_from(pairs.len()).unwrap_or(0).to_le_bytes());
    plain.extend_from_slice(&pairs);
    plain.extend_from_slice(body);
    let frame = COMPRESSORS.with_borrow_mut(|compressors| {
        let compressor = compressors.entry(provider.name()).or_insert_with(|| {
            Compressor::with_dictionary(LEVEL, provider.dictionary())
                .expect("zstd takes any text as its dictionary")
        });
        compressor.compress(&plain).expect("memory suffices to compress 4 MiB")
    });
    [&[VERSION, PROVIDERS_DICTIONARY], frame.as_slice()].concat()
}

/// Compresses a text that no provider is known for.
pub fn pack_unknown(text: &str) -> Vec<u8> {
    let mut plain = 2_u32.to_le_bytes().to_vec();
    plain.extend_from_slice(b"[]");
    plain.extend_from_slice(text.as_bytes());
    let frame = zstd::bulk::compress(&plain, LEVEL).expect("memory suffices to compress a message");
    [&[VERSION, NO_DICTIONARY], frame.as_slice()].concat()
}

/// The headers and body. `provider` is none for a message that could not be read: that has no dictionary.
pub fn unpack(
    provider: Option<&'static dyn Provider>,
    packed: &[u8],
) -> Result<(Headers, Vec<u8>), Unreadable> {
    let dictionary = match (packed, provider) {
        ([VERSION, NO_DICTIONARY, ..], _) => &[],
        ([VERSION, PROVIDERS_DICTIONARY, ..], Some(provider)) => provider.dictionary(),
        _ => return Err(Unreadable("its version or dictionary is unknown")),
    };
    let plain = Decompressor::with_dictionary(dictionary)
        .and_then(|mut decompressor| decompressor.decompress(&packed[2..], MAX_UNPACKED))
        .map_err(|_| Unreadable("its compression is damaged"))?;
    let (length, rest) = plain.split_first_chunk::<4>().ok_or(Unreadable("it is too short"))?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (pairs, body) = rest.split_at_checked(length).ok_or(Unreadable("it is too short"))?;
    let pairs: Vec<(String, String)> =
        serde_json::from_slice(pairs).map_err(|_| Unreadable("its headers are damaged"))?;
    Ok((Headers::from_iter(pairs), body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square() -> &'static dyn Provider {
        tillwatch_providers::named("square").unwrap()
    }

    #[test]
    fn what_is_packed_comes_back_byte_for_byte() {
        let headers = Headers::from_iter([("x-a", "1"), ("x-b", "ü")]);
        for body in [b"{}".to_vec(), vec![0xff; 10_000], (0..=255).cycle().take(MAX_BODY).collect()] {
            let packed = pack(square(), &headers, &body);
            assert_eq!(unpack(Some(square()), &packed), Ok((headers.clone(), body)));
        }
    }

    #[test]
    fn a_text_of_no_provider_comes_back_too() {
        let text = unpack(None, &pack_unknown("hello")).map(|(_, body)| body);
        assert_eq!(text, Ok(b"hello".to_vec()));
    }

    #[test]
    fn a_typical_event_shrinks_to_less_than_half() {
        let at = jiff::Timestamp::from_second(1_795_474_980).unwrap();
        let (_, body) = square().sample("payment.updated", 12_345, at).unwrap();
        let packed = pack(square(), &Headers::new(), &body);
        assert!(packed.len() * 2 < body.len(), "{} of {}", packed.len(), body.len());
    }

    #[test]
    fn what_is_cut_short_is_an_error_and_no_damage_is_a_panic() {
        let packed = pack(square(), &Headers::new(), b"{\"a\":1}");
        for end in 0..packed.len() {
            assert!(unpack(Some(square()), &packed[..end]).is_err(), "cut at {end}");
        }
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x55;
            let _ = unpack(Some(square()), &damaged);
        }
        assert!(unpack(None, &packed).is_err());
    }
}
