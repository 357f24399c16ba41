//! What functions tell each other of all connections: documents beside large payloads, one object each, compressed.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tillwatch_platform::payloads::{PayloadError, Payloads};

/// How hard it is compressed.
const LEVEL: i32 = 1;

/// The document of that name; none, if there is none, or it can't be read.
pub(crate) async fn read<T: DeserializeOwned>(
    payloads: &dyn Payloads,
    name: &str,
    now: Timestamp,
) -> Result<Option<T>, PayloadError> {
    let bytes = read_bytes(payloads, name, now).await?;
    let document = bytes.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
    if bytes.is_some() && document.is_none() {
        tracing::error!(name, "what is kept under this name can't be read; it is made anew");
    }
    Ok(document)
}

/// Keeps a document under that name.
pub(crate) async fn write<T: Serialize>(
    payloads: &dyn Payloads,
    name: &str,
    document: &T,
    now: Timestamp,
) -> Result<(), PayloadError> {
    write_bytes(payloads, name, &serde_json::to_vec(document).unwrap_or_default(), now).await
}

/// The bytes of that name; none, if there are none, or they can't be read.
pub(crate) async fn read_bytes(
    payloads: &dyn Payloads,
    name: &str,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, PayloadError> {
    let packed = payloads.get(name, now).await?;
    Ok(packed.and_then(|packed| unpacked(&packed)))
}

/// What was packed as what is kept is; none, if it was not.
pub(crate) fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    zstd::decode_all(packed).ok()
}

/// Keeps bytes under that name.
pub(crate) async fn write_bytes(
    payloads: &dyn Payloads,
    name: &str,
    bytes: &[u8],
    now: Timestamp,
) -> Result<(), PayloadError> {
    payloads.put(name, zstd::encode_all(bytes, LEVEL).unwrap_or_default(), now).await
}
