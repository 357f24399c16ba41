//! What a request says around its payload, and which of it is signed.

use serde::Deserialize;

use crate::ParseError;
use crate::json;

/// The largest body that is taken for a test message, in bytes. It is read without proof, so no more is.
pub(super) const LARGEST_TEST: usize = 16 * 1024;

/// A body. Verification and parsing read it by these same lines, so that what is verified is what is parsed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    /// Signed.
    pub(super) timestamp: String,
    /// Signed: a text that holds JSON.
    pub(super) payload: String,
    /// Not signed.
    pub(super) organization_uuid: Option<String>,
    /// Not signed.
    pub(super) event_name: Option<String>,
    /// Not signed.
    pub(super) message_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Organisation {
    organization_uuid: Option<String>,
}

impl Envelope {
    pub(super) fn read(body: &[u8]) -> Result<Self, ParseError> {
        json::read(body, "zettle")
    }

    /// The organisation that the signed payload names, if it names one.
    pub(super) fn signed_organisation(&self) -> Option<String> {
        serde_json::from_str(&self.payload).ok().and_then(|of: Organisation| of.organization_uuid)
    }
}

/// The organisation that a body speaks of.
pub(super) fn claimed(body: &[u8]) -> Option<String> {
    serde_json::from_slice(body).ok().and_then(|of: Organisation| of.organization_uuid)
}

/// Whether the body is a trial of the URL.
pub(super) fn is_test(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        event_name: String,
    }
    body.len() <= LARGEST_TEST
        && serde_json::from_slice(body).is_ok_and(|named: Named| named.event_name == "TestMessage")
}
