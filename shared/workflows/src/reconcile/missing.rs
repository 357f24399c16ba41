//! What of a list has not arrived, and how it is made to.
//!
//! Missing is an event that no webhook has brought: of a list of events, one whose id is not stored; of a list of things as
//! they are, one of which a record is older than what is listed, or not there, and whose own event is not stored either.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tillwatch_domain::event::RECONCILED;
use tillwatch_domain::{Connection, Event, EventId, RequestId};
use tillwatch_platform::queue::Outgoing;
use tillwatch_platform::table::TableError;
use tillwatch_providers::reconcile::{Listed, Told, Window};
use tillwatch_providers::{Provider, Received};

use super::{ReconcileError, Reconciler};
use crate::envelope::{Envelope, Message, Payload, Verdict};
use crate::payload;

/// How many things are looked up at the same time.
const AT_ONCE: usize = 16;

/// One that has not arrived.
pub(super) struct Missing {
    pub(super) id: EventId,
    pub(super) changed_ms: i64,
    listed: Listed,
}

impl Missing {
    /// Half of the id's digits: by them it is remembered that it was counted.
    pub(super) fn short(&self) -> &str {
        &self.id.digits()[..16]
    }
}

impl Reconciler {
    /// What of a page has not arrived, and how many of its things there were that could.
    pub(super) async fn missing(
        &self,
        provider: &'static dyn Provider,
        connection: &Connection,
        told: Told,
        window: Window,
        listed: Vec<Listed>,
    ) -> Result<(usize, Vec<Missing>), ReconcileError> {
        let now = self.clock.now();
        let mut wanted = Vec::new();
        for listed in listed {
            let changed_ms = listed.at_ms.unwrap_or(window.from_ms);
            // Lists may be of whole minutes, and what is beyond the window has its time yet.
            if changed_ms >= window.to_ms {
                continue;
            }
            let received = Received { headers: &listed.headers, body: &listed.body, at: now };
            let event = match provider.parse(received) {
                Ok(events) => events.into_iter().next(),
                Err(error) => {
                    let (connection, provider) = (&connection.id, provider.name());
                    tracing::warn!(connection, provider, %error, "what a provider lists can't be read; it is left out");
                    None
                }
            };
            if let Some(event) = event.filter(|event| is_of(event, connection)) {
                wanted.push((event, changed_ms, listed));
            }
        }
        let count = wanted.len();
        let looked = wanted.into_iter().map(|(event, changed_ms, listed)| async move {
            let id = event.dedupe.event_id();
            let has_arrived = match told {
                Told::ByEvent => self.is_stored(&id).await?,
                Told::ByState => self.is_as_new(&event).await? || self.is_stored(&id).await?,
            };
            Ok::<_, TableError>((!has_arrived).then_some(Missing { id, changed_ms, listed }))
        });
        let looked: Vec<_> = stream::iter(looked).buffered(AT_ONCE).try_collect().await?;
        Ok((count, looked.into_iter().flatten().collect()))
    }

    /// Whether an event is stored, whatever became of it.
    async fn is_stored(&self, id: &EventId) -> Result<bool, TableError> {
        let now = self.clock.now();
        // What is read for half the price may be a moment old, so only that it is there can be believed.
        Ok(self.table.event(id.as_str(), false, now).await?.is_some()
            || self.table.event(id.as_str(), true, now).await?.is_some())
    }

    /// Whether every record that it speaks of is as new as it says, or newer.
    async fn is_as_new(&self, event: &Event) -> Result<bool, TableError> {
        for change in &event.changes {
            let mut is_as_new = false;
            for consistent in [false, true] {
                let stored = self.table.record(&change.record, consistent).await?;
                let newest = stored.and_then(|stored| stored.record.seen.last().map(|seen| seen.revision));
                is_as_new = newest.is_some_and(|newest| newest >= change.revision);
                if is_as_new {
                    break;
                }
            }
            if !is_as_new {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts what has not arrived on the queue of events. When this returns, all of it is durable.
    pub(super) async fn fetch(
        &self,
        provider: &'static dyn Provider,
        connection: &Connection,
        missing: &[Missing],
    ) -> Result<(), ReconcileError> {
        let sending: Vec<_> =
            missing.iter().map(|missing| self.fetch_one(provider, connection, missing)).collect();
        stream::iter(sending).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    async fn fetch_one(
        &self,
        provider: &'static dyn Provider,
        connection: &Connection,
        missing: &Missing,
    ) -> Result<(), ReconcileError> {
        let now = self.clock.now();
        let Listed { headers, body, .. } = &missing.listed;
        let id = request_id(missing);
        let packed = payload::pack(provider, headers, body);
        let payload = Payload::sent(&*self.payloads, provider.name(), &id, packed, now).await?;
        // The connection's own token has proved whose it is. Where accounts are named, account and place tell the
        // connection, as they do of a webhook: one may list what is another's.
        let key = if connection.names_accounts() {
            RECONCILED.to_owned()
        } else {
            format!("{}/{RECONCILED}", connection.id)
        };
        let envelope = Envelope {
            id,
            provider: provider.name().to_owned(),
            received_ms: now.as_millisecond(),
            verdict: Verdict::Accepted(key),
            size: u64::try_from(body.len()).unwrap_or(u64::MAX),
            connection: Some(connection.id.clone()),
            source: Some(RECONCILED.to_owned()),
            payload,
            attempts: 0,
            kept: false,
            again: false,
        };
        let message = Message::Request(envelope);
        let (body, group) = (message.to_text(), message.group().to_owned());
        Ok(self.backlog.events.send(Outgoing { body, group, delay: Duration::ZERO }).await?)
    }
}

/// Whether an event says something of a record, and happened at the connection's place: what happened elsewhere is for the
/// connection of that place to find.
fn is_of(event: &Event, connection: &Connection) -> bool {
    let place = event.changes.iter().find_map(|change| change.fields.location.as_deref());
    let is_elsewhere =
        matches!((place, connection.place.as_deref()), (Some(place), Some(own)) if place != own);
    !event.test && !event.changes.is_empty() && !is_elsewhere
}

/// The id of the request that brings it: the same, whoever makes it and how often.
fn request_id(missing: &Missing) -> RequestId {
    let hash = Sha256::digest(missing.id.as_str());
    let mut random = [0; 10];
    random.copy_from_slice(&hash[..10]);
    let at = Timestamp::from_millisecond(missing.changed_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    RequestId::new(at, random)
}
