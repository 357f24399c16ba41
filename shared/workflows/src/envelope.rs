//! What lies on the queue: a versioned envelope around what arrived.

#![expect(
    clippy::disallowed_types,
    reason = "what serde derives for tagged enums names floats; none is held here"
)]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tillwatch_domain::event::{Origin, RECONCILED};
use tillwatch_domain::{Cause, RequestId};
use tillwatch_platform::payloads::{PayloadError, Payloads};
use tillwatch_platform::table::PayloadAt;

/// A message of the event queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// A request, accepted or rejected.
    Request(Envelope),
    /// Rejected requests that were above the cap, counted together.
    Shed(Shed),
    /// The schedule's sign of life: what comes through the queue each minute.
    Heartbeat {
        /// When it was sent.
        at: String,
    },
}

/// A request on its way to the processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The request's id.
    pub id: RequestId,
    /// The provider's name.
    pub provider: String,
    /// When it arrived, Unix milliseconds.
    pub received_ms: i64,
    /// Whether it was believed.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The body's size in bytes, before compression.
    pub size: u64,
    /// The connection that it was sent to, or speaks of, as far as that was known when it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Where it came from, shortened so that it names no person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The headers and body.
    #[serde(flatten)]
    pub payload: Payload,
    /// How many attempts were made before this message was sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// Whether the table holds the request under its own id, because its events could not be read when it was tried last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// Whether an operator, or a replay, sent it again: then what was ignored, or shadowed, is done anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl Envelope {
    /// Whether no webhook brought it: the provider listed it when it was asked.
    pub fn is_reconciled(&self) -> bool {
        self.source.as_deref() == Some(RECONCILED)
    }

    /// Whether Tillwatch sent it to itself: it takes no effect.
    pub fn is_synthetic(&self) -> bool {
        Origin::of(self.source.as_deref()) == Origin::Synthetic
    }
}

/// Whether a request was believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes, by the secret of this name: `1f3a9c2e`, or `harbour-square/1f3a9c2e` where it is a connection's own.
    Accepted(#[serde(deserialize_with = "name_or_place")] String),
    /// No.
    Rejected(Cause),
}

impl Verdict {
    /// The connection whose own secret proved it.
    pub fn proved_by(&self) -> Option<&str> {
        match self {
            Self::Accepted(key) => key.split_once('/').map(|(connection, _)| connection),
            Self::Rejected(_) => None,
        }
    }
}

/// Where the headers and body are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Here, packed (see [`crate::payload`]) and in base64, for SQS refuses some characters.
    Packed(String),
    /// In the payload store, packed, under this name.
    Stored(String),
    /// Not kept.
    Omitted(()),
}

/// The sum of rejected requests above the cap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shed {
    /// The sum's own id.
    pub id: RequestId,
    /// The provider's name.
    pub provider: String,
    /// When the first of them arrived, Unix milliseconds.
    pub received_ms: i64,
    /// Why they were rejected.
    pub cause: Cause,
    /// How many they are.
    pub count: i64,
}

#[derive(Serialize, Deserialize)]
struct Versioned<M> {
    v: u8,
    #[serde(flatten)]
    message: M,
}

/// The version that is written. Older ones are read for as long as a message may lie on the queue: 14 days.
const VERSION: u8 = 1;

/// A secret's name, or, in messages that say its place among the live ones as earlier versions did, that place.
fn name_or_place<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Name(String),
        Place(u32),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Name(name) => name,
        Written::Place(place) => place.to_string(),
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A text that is no message of ours. Says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEnvelope {
    /// It is marked with a version and can't be read: written, most likely, by a newer processor than this one, as
    /// happens while one replaces the other.
    #[error("the message is an envelope that this version can't read")]
    Unreadable,
    /// It is something else.
    #[error("the message is not an envelope")]
    Foreign,
}

impl Message {
    /// As the queue's text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(&Versioned { v: VERSION, message: self })
            .expect("an envelope has only JSON in it")
    }

    /// From the queue's text.
    pub fn from_text(text: &str) -> Result<Self, NotAnEnvelope> {
        #[derive(Deserialize)]
        struct Mark {
            v: u8,
        }
        match serde_json::from_str::<Versioned<Self>>(text) {
            Ok(versioned) if versioned.v == VERSION => Ok(versioned.message),
            _ if serde_json::from_str::<Mark>(text).is_ok_and(|mark| mark.v > 0) => {
                Err(NotAnEnvelope::Unreadable)
            }
            _ => Err(NotAnEnvelope::Foreign),
        }
    }

    /// Whose message it is, for fair queues. What is sent again is nobody's: it comes in bulk, and what is new must not wait
    /// behind it. So is what no webhook brought.
    pub fn group(&self) -> &str {
        match self {
            Self::Request(envelope)
                if envelope.again || envelope.kept || envelope.attempts > 0 || envelope.is_reconciled() =>
            {
                "again"
            }
            Self::Request(envelope) => &envelope.provider,
            Self::Shed(shed) => &shed.provider,
            Self::Heartbeat { .. } => "heartbeat",
        }
    }
}

/// Packed payloads up to this many bytes travel in the message and live in the table's item, which holds 400 KB; larger
/// ones go to the payload store first.
const MAX_INLINE: usize = 300_000;

impl Payload {
    /// A request's packed bytes as they travel. When this returns, what does not travel in the message is durable.
    pub(crate) async fn sent(
        payloads: &dyn Payloads,
        provider: &str,
        id: &RequestId,
        packed: Vec<u8>,
        now: Timestamp,
    ) -> Result<Self, PayloadError> {
        if packed.len() <= MAX_INLINE {
            return Ok(Self::packed(&packed));
        }
        let name = format!("{provider}/{id}");
        payloads.put(&name, packed, now).await?;
        Ok(Self::Stored(name))
    }

    /// Packed bytes, on the queue.
    pub fn packed(bytes: &[u8]) -> Self {
        Self::Packed(BASE64_STANDARD.encode(bytes))
    }

    /// The same for the table.
    pub fn for_table(&self) -> Result<PayloadAt, NotAnEnvelope> {
        Ok(match self {
            Self::Packed(text) => {
                PayloadAt::Here(BASE64_STANDARD.decode(text).map_err(|_| NotAnEnvelope::Unreadable)?)
            }
            Self::Stored(name) => PayloadAt::Stored(name.clone()),
            Self::Omitted(()) => PayloadAt::Nowhere,
        })
    }

    /// The same from the table.
    pub fn from_table(payload: &PayloadAt) -> Self {
        match payload {
            PayloadAt::Here(bytes) => Self::packed(bytes),
            PayloadAt::Stored(name) => Self::Stored(name.clone()),
            PayloadAt::Nowhere => Self::Omitted(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_comes_back_as_it_was_and_looks_as_documented() {
        let message = Message::Request(Envelope {
            id: RequestId::try_from(format!("req_{:032x}", 7)).unwrap(),
            provider: "square".into(),
            received_ms: 1_795_474_980_000,
            verdict: Verdict::Rejected(Cause::WrongSignature),
            size: 2,
            connection: None,
            source: None,
            payload: Payload::packed(b"{}"),
            attempts: 0,
            kept: false,
            again: false,
        });
        let text = message.to_text();
        assert_eq!(
            text,
            r#"{"v":1,"kind":"request","id":"req_00000000000000000000000000000007","provider":"square","received_ms":1795474980000,"rejected":"wrong_signature","size":2,"packed":"e30="}"#
        );
        assert_eq!(Message::from_text(&text), Ok(message));
    }

    #[test]
    fn the_schedules_heartbeat_is_read() {
        let text = r#"{"v":1,"kind":"heartbeat","at":"2026-11-23T23:00:00Z"}"#;
        assert!(matches!(Message::from_text(text), Ok(Message::Heartbeat { .. })));
    }

    #[test]
    fn other_versions_and_other_texts_are_told_apart() {
        for text in ["", "{}", "hello", r#"{"kind":"heartbeat","at":""}"#, r#"{"v":"1"}"#] {
            assert_eq!(Message::from_text(text), Err(NotAnEnvelope::Foreign), "{text}");
        }
        for text in [r#"{"v":2,"kind":"heartbeat","at":""}"#, r#"{"v":1,"kind":"unheard of"}"#] {
            assert_eq!(Message::from_text(text), Err(NotAnEnvelope::Unreadable), "{text}");
        }
    }
}
