//! Events: what verified requests turn out to say, under ids that are the same each time they are said.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::record::Change;

/// What makes one occurrence at a provider itself, however often it is delivered.
///
/// Made of signed material only, and scoped by the account it belongs to: whoever can alter an unsigned header must
/// not be able to make a replayed body look like a new event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DedupeKey {
    /// The provider's name.
    pub provider: String,
    /// The provider's id of the merchant, shop or account.
    pub account: String,
    /// The provider's event id, or what stands in for one.
    pub key: String,
}

impl DedupeKey {
    /// The event's id, derived from the key, so that every delivery of one occurrence leads to one item.
    pub fn event_id(&self) -> EventId {
        let mut hash = Sha256::new();
        for part in [&self.provider, &self.account, &self.key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        EventId(format!("evt_{}", hex::encode(&hash.finalize()[..16])))
    }
}

/// An event's id: `evt_` and 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct EventId(String);

/// A request's id: `req_` and 32 hexadecimal digits, the first twelve of them its arrival in milliseconds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RequestId(String);

/// A text that is not an id of the kind it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is `evt_` or `req_` and 32 hexadecimal digits")]
pub struct NotAnId;

fn checked(text: String, prefix: &str) -> Result<String, NotAnId> {
    let digits = text.strip_prefix(prefix).ok_or(NotAnId)?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() == 32 && digits.bytes().all(hex) { Ok(text) } else { Err(NotAnId) }
}

impl TryFrom<String> for EventId {
    type Error = NotAnId;
    fn try_from(text: String) -> Result<Self, NotAnId> {
        checked(text, "evt_").map(Self)
    }
}

impl TryFrom<String> for RequestId {
    type Error = NotAnId;
    fn try_from(text: String) -> Result<Self, NotAnId> {
        checked(text, "req_").map(Self)
    }
}

impl RequestId {
    /// An id that sorts by arrival. `random` is 80 bits of the caller's.
    pub fn new(arrived: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(arrived.as_millisecond()).unwrap_or(0);
        Self(format!("req_{:012x}{}", millis & 0xffff_ffff_ffff, hex::encode(random)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the request arrived, Unix milliseconds.
    pub fn arrived_ms(&self) -> i64 {
        i64::from_str_radix(&self.0[4..16], 16).unwrap_or(0)
    }
}

impl EventId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id without its prefix, as records remember it.
    pub fn digits(&self) -> &str {
        &self.0[4..]
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Stands where the source of a request does, of an event that no request brought: the provider listed it when it was asked.
pub const RECONCILED: &str = "reconciled";
/// The source of webhooks that Tillwatch sent to itself, to prove the way.
pub const SYNTHETIC: &str = "synthetic";

/// What brought an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// A webhook of the provider's.
    #[default]
    Webhook,
    /// The provider's list of what has happened.
    Reconciled,
    /// A webhook of our own.
    Synthetic,
}

impl Origin {
    /// By the source that is kept.
    pub fn of(source: Option<&str>) -> Self {
        match source {
            Some(RECONCILED) => Self::Reconciled,
            Some(SYNTHETIC) => Self::Synthetic,
            _ => Self::Webhook,
        }
    }
}

/// A verified occurrence at a provider, in the one shape that all providers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What makes it itself.
    pub dedupe: DedupeKey,
    /// The provider's own name for what happened: `payment.updated`, `orders/create`.
    pub kind: String,
    /// The provider's id of the event, as it sent it; for showing and searching, never for dedupe.
    pub provider_event_id: Option<String>,
    /// When it happened, by the provider's clock.
    pub occurred_at: Option<Timestamp>,
    /// Sent to try the connection, not because something happened.
    pub test: bool,
    /// What it says of records. Empty for an event type that is not modelled: that event is kept as `ignored`.
    pub changes: Vec<Change>,
}

/// What has become of an event, or of a request that was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It changed at least one record.
    Applied,
    /// Every record it speaks of was newer already.
    Superseded,
    /// Its type is not modelled, or it is a test.
    Ignored,
    /// Its connection is in shadow: it is kept and changes nothing.
    Shadowed,
    /// No connection of its account exists; takes effect when one appears.
    UnknownConnection,
    /// Its connection or provider is paused or disabled; takes effect when that is over.
    Held,
    /// It failed and will be tried again when it is due.
    Failed,
    /// It failed for good and waits for an operator.
    Parked,
    /// The request was not believed; see its cause.
    Rejected,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Applied,
        Self::Superseded,
        Self::Ignored,
        Self::Shadowed,
        Self::UnknownConnection,
        Self::Held,
        Self::Failed,
        Self::Parked,
        Self::Rejected,
    ];

    /// The name used in the API, the table and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Superseded => "superseded",
            Self::Ignored => "ignored",
            Self::Shadowed => "shadowed",
            Self::UnknownConnection => "unknown_connection",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Rejected => "rejected",
        }
    }

    /// The outcome of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// Whether a further delivery of the event has nothing left to do.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Applied | Self::Superseded | Self::Ignored | Self::Shadowed)
    }

    /// Whether it waits for something: it was accepted and has not taken effect.
    pub fn is_unsettled(self) -> bool {
        !self.is_final() && self != Self::Rejected
    }

    /// Whether it is rare enough, and of enough concern, to be listed by an index of its own.
    pub fn is_rare(self) -> bool {
        !self.is_final()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(provider: &str, account: &str, key: &str) -> EventId {
        DedupeKey { provider: provider.into(), account: account.into(), key: key.into() }.event_id()
    }

    #[test]
    fn one_occurrence_has_one_id_and_two_have_two() {
        assert_eq!(key("square", "M1", "e1"), key("square", "M1", "e1"));
        assert_ne!(key("square", "M1", "e1"), key("square", "M2", "e1"));
        assert_ne!(key("square", "M1e", "1"), key("square", "M1", "e1"));
    }

    #[test]
    fn an_id_is_parsed_strictly() {
        let id = key("square", "M1", "e1");
        assert_eq!(EventId::try_from(id.to_string()), Ok(id.clone()));
        for text in
            ["", "evt_", "evt_00", &id.to_string().to_uppercase(), &id.to_string().replace("evt", "req")]
        {
            assert!(EventId::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn request_ids_sort_by_arrival() {
        let at = |second| RequestId::new(Timestamp::from_second(second).unwrap(), [7; 10]);
        assert!(at(1_700_000_000) < at(1_700_000_001));
        assert_eq!(at(1_700_000_000).arrived_ms(), 1_700_000_000_000);
    }
}
