//! What an event's item is known by, and what it holds before anything has become of it.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tillwatch_domain::{DedupeKey, Event, Outcome};
use tillwatch_platform::table::{EventItem, PayloadAt};

use super::Incoming;
use crate::envelope::{Envelope, Verdict};

/// The longest id or type that a provider may send; the table's keys are bounded.
const MAX_ID: usize = 512;

/// What an event's item is known by.
pub(super) struct Identity {
    pub(super) id: String,
    kind: String,
    provider_event_id: Option<String>,
    account: Option<String>,
    occurred_at: Option<Timestamp>,
}

impl Identity {
    pub(super) fn of_event(event: &Event) -> Self {
        Self {
            id: event.dedupe.event_id().to_string(),
            kind: event.kind.clone(),
            provider_event_id: event.provider_event_id.clone(),
            account: Some(event.dedupe.account.clone()).filter(|account| !account.is_empty()),
            occurred_at: event.occurred_at,
        }
    }

    /// A request whose events could not be read is known by its own id, until they can.
    pub(super) fn of_request(envelope: &Envelope) -> Self {
        let id = envelope.id.to_string();
        Self { id, kind: String::new(), provider_event_id: None, account: None, occurred_at: None }
    }
}

/// The id under which a message is kept that is no envelope: the same each time it comes.
pub(super) fn id_of_text(provider: &str, text: &str) -> String {
    let key = format!("unread:{}", hex::encode(Sha256::digest(text)));
    DedupeKey { provider: provider.to_owned(), account: String::new(), key }.event_id().to_string()
}

/// What the table could not hold of an event, if anything.
pub(super) fn unfit(event: &Event) -> Option<&'static str> {
    let too_long = |text: &str| text.len() > MAX_ID;
    if event.dedupe.key.is_empty() {
        return Some("the event's id is empty");
    }
    if too_long(&event.dedupe.account) || too_long(&event.dedupe.key) || too_long(&event.kind) {
        return Some("the event's id, account or type is longer than 512 bytes");
    }
    if event.provider_event_id.as_deref().is_some_and(too_long) {
        return Some("the event's id is longer than 512 bytes");
    }
    for change in &event.changes {
        let fields = &change.fields;
        if change.record.id.is_empty() {
            return Some("a record's id is empty");
        }
        let texts = [
            Some(&change.record.id),
            fields.order.as_ref(),
            fields.payment.as_ref(),
            fields.location.as_ref(),
            fields.customer.as_ref(),
            fields.method.as_ref(),
            fields.reason.as_ref(),
            fields.number.as_ref(),
            fields.quantity.as_ref(),
            fields.amount_major.as_ref(),
        ];
        if texts.into_iter().flatten().chain(fields.parts.keys()).any(|text| too_long(text)) {
            return Some("a record's field is longer than 512 bytes");
        }
    }
    None
}

pub(super) fn shortened(mut text: String) -> String {
    let mut end = text.len().min(300);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// An event's item as far as the request and its identity tell.
pub(super) fn item(
    incoming: &Incoming,
    envelope: &Envelope,
    identity: &Identity,
    outcome: Outcome,
) -> EventItem {
    EventItem {
        id: identity.id.clone(),
        outcome,
        provider: envelope.provider.clone(),
        kind: identity.kind.clone(),
        provider_event_id: identity.provider_event_id.clone(),
        account: identity.account.clone(),
        cause: None,
        attempts: envelope.attempts.saturating_add(incoming.receive_count),
        received_ms: envelope.received_ms,
        processed_ms: None,
        occurred_ms: identity.occurred_at.map(Timestamp::as_millisecond),
        due_ms: None,
        request_id: envelope.id.to_string(),
        key: match &envelope.verdict {
            Verdict::Accepted(key) => Some(key.clone()),
            Verdict::Rejected(_) => None,
        },
        connection: envelope.connection.clone(),
        size: envelope.size,
        source: envelope.source.clone(),
        count: 1,
        payload: envelope.payload.for_table().unwrap_or(PayloadAt::Nowhere),
    }
}
