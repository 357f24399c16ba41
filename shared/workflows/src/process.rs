//! Process: one message of the queue becomes events, each event changes its records, and takes its outcome.
//!
//! For each event, in this order: read its item (a final outcome means that this delivery is a duplicate); change each
//! record (read, merge, write over the revision that was read); write the event's item with its outcome. Then the
//! message may go. Every step may be repeated and the work may stop between any two: records know the changes that
//! they have seen, the event's item is written only once with a final outcome, and the message comes again until it is.

mod failure;
mod identity;

use std::sync::Arc;
use std::time::Duration;

use tillwatch_domain::retry::{Next, RetryPolicy};
use tillwatch_domain::{Change, Effect, Event, EventId, Outcome, Record};
use tillwatch_platform::clock::Clock;
use tillwatch_platform::entropy;
use tillwatch_platform::metrics::{Metric, Metrics};
use tillwatch_platform::payloads::Payloads;
use tillwatch_platform::queue::{Outgoing, Queue, QueueError};
use tillwatch_platform::table::{EventItem, PayloadAt, Table, TableError, Written};
use tillwatch_providers::{Headers, Provider};

use crate::envelope::{Envelope, Message, Payload, Shed, Verdict};
use crate::payload;
use failure::Failure;
use identity::{Identity, item, shortened, unfit};

/// The provider's name under which messages are kept that are not envelopes.
pub const UNKNOWN_PROVIDER: &str = "unknown";
/// How often a record is read again because somebody else wrote it first, before the message waits its turn.
const CONTENTIONS: u32 = 10;
/// How long a message waits when even its failure could not be written.
const TABLE_DOWN: Duration = Duration::from_mins(5);
/// For how long a sweep that sends a due event again keeps others from doing the same.
const SWEEP_CLAIM_MS: i64 = 10 * 60_000;
/// How many due events a sweep sends again, of each provider and shard.
const SWEEP: i32 = 100;

/// A message as the queue delivers it.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The queue's id of it.
    pub message_id: String,
    /// Its text.
    pub body: String,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// Whether it comes from the queue of dead letters.
    pub is_dead_letter: bool,
}

/// What is to become of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It is done with and may be deleted.
    Done,
    /// It must come again, after this long.
    Again(Duration),
}

/// What came of one message.
#[derive(Debug)]
pub struct Processed {
    /// What is to become of it.
    pub disposition: Disposition,
    /// What to measure: provider, outcome, and milliseconds since arrival.
    pub reports: Vec<Report>,
}

/// One event's result, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The provider's name.
    pub provider: String,
    /// An outcome's name, or `duplicate`.
    pub outcome: &'static str,
    /// Milliseconds from the request's arrival.
    pub took_ms: i64,
}

/// What the processor works with.
pub struct Processor {
    /// Events and records.
    pub table: Table,
    /// The queue, for due events that are sent again.
    pub queue: Arc<dyn Queue>,
    /// Payloads too large for a message.
    pub payloads: Arc<dyn Payloads>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics go.
    pub metrics: Arc<Metrics>,
    /// How long failed messages wait.
    pub policy: RetryPolicy,
}

impl Processor {
    /// Processes one message.
    pub async fn process(&self, incoming: &Incoming) -> Processed {
        let (result, reports) = match Message::from_text(&incoming.body) {
            Ok(Message::Request(envelope)) => return self.request(incoming, envelope).await,
            Ok(Message::Shed(shed)) => (self.shed(&shed).await, vec![]),
            Ok(Message::Heartbeat { .. }) => {
                self.metrics.heartbeat(self.clock.now());
                (self.release_due().await.map_err(|error| error.to_string()), vec![])
            }
            Err(_) => (self.keep_unreadable(incoming).await, vec![]),
        };
        let disposition = match result {
            Ok(()) => Disposition::Done,
            Err(error) => {
                tracing::warn!(error, "a message could not be dealt with and comes again");
                Disposition::Again(self.wait_for(incoming.receive_count))
            }
        };
        Processed { disposition, reports }
    }

    /// What becomes of a message whose processing panicked: it is an attempt that failed, of this message alone.
    pub async fn after_panic(&self, incoming: &Incoming) -> Processed {
        let Ok(Message::Request(envelope)) = Message::from_text(&incoming.body) else {
            let disposition = Disposition::Again(self.wait_for(incoming.receive_count));
            return Processed { disposition, reports: vec![] };
        };
        // Reading the body may be what panics, so the event is known only by its request.
        let unread = vec![Identity::of_request(&envelope)];
        self.failed(incoming, &envelope, unread, &Failure::Panicked).await
    }

    /// Tells the metrics what came of a batch: one line for each provider and outcome.
    pub fn measure(&self, reports: &[Report]) {
        let mut groups = std::collections::BTreeMap::<(&str, &str), Vec<i64>>::new();
        for report in reports {
            groups.entry((&report.provider, report.outcome)).or_default().push(report.took_ms);
        }
        for ((provider, outcome), times) in groups {
            for times in times.chunks(100) {
                let count = i64::try_from(times.len()).unwrap_or(0);
                let values = [(Metric::Events, vec![count]), (Metric::ProcessingTime, times.to_vec())];
                self.metrics.emit(self.clock.now(), provider, outcome, &values);
            }
        }
    }

    fn wait_for(&self, receive_count: u32) -> Duration {
        match self.policy.after(receive_count, entropy::jitter()) {
            Next::Wait(wait) => wait,
            Next::Defer(_) | Next::Park => TABLE_DOWN,
        }
    }

    async fn request(&self, incoming: &Incoming, envelope: Envelope) -> Processed {
        if let Verdict::Rejected(cause) = envelope.verdict {
            return self.rejected(incoming, &envelope, cause.name()).await;
        }
        let events = match self.read(&envelope).await {
            Ok(events) => events,
            Err((failure, body)) => {
                let identity = body.map_or_else(
                    || Identity::of_request(&envelope),
                    |body| Identity::of_body(&envelope.provider, &body),
                );
                return self.failed(incoming, &envelope, vec![identity], &failure).await;
            }
        };
        if incoming.is_dead_letter {
            let identities = events.iter().map(Identity::of_event).collect();
            return self.failed(incoming, &envelope, identities, &Failure::DeadLetter).await;
        }
        let mut reports = Vec::new();
        for event in &events {
            match self.event(incoming, &envelope, event).await {
                Ok(outcome) => {
                    reports.push(self.report(&envelope, outcome.map_or("duplicate", Outcome::name)));
                }
                Err(failure) => {
                    let mut processed =
                        self.failed(incoming, &envelope, vec![Identity::of_event(event)], &failure).await;
                    // Events after this one have not been looked at: the message must come again for them.
                    if events.len() > 1 && processed.disposition == Disposition::Done {
                        processed.disposition = Disposition::Again(self.wait_for(incoming.receive_count));
                    }
                    processed.reports.extend(reports);
                    return processed;
                }
            }
        }
        Processed { disposition: Disposition::Done, reports }
    }

    /// The events in an envelope; with a failure, the body if that at least could be read.
    async fn read(&self, envelope: &Envelope) -> Result<Vec<Event>, (Failure, Option<Vec<u8>>)> {
        let Some(provider) = tillwatch_providers::named(&envelope.provider) else {
            return Err((Failure::UnknownProvider, None));
        };
        let (headers, body) = self.unpack(provider, envelope).await.map_err(|failure| (failure, None))?;
        let events = match provider.parse(&headers, &body) {
            Ok(events) => events,
            Err(error) => return Err((error.into(), Some(body))),
        };
        match events.iter().find_map(unfit) {
            Some(problem) => Err((Failure::Unfit(problem), Some(body))),
            None => Ok(events),
        }
    }

    async fn unpack(
        &self,
        provider: &'static dyn Provider,
        envelope: &Envelope,
    ) -> Result<(Headers, Vec<u8>), Failure> {
        let packed = match &envelope.payload {
            Payload::Stored(name) => {
                self.payloads.get(name, self.clock.now()).await?.ok_or(Failure::PayloadGone)?
            }
            payload => match payload.for_table() {
                Ok(PayloadAt::Here(packed)) => packed,
                _ => return Err(Failure::PayloadGone),
            },
        };
        Ok(payload::unpack(Some(provider), &packed)?)
    }

    /// Makes one event take effect. None, if it had done so before.
    async fn event(
        &self,
        incoming: &Incoming,
        envelope: &Envelope,
        event: &Event,
    ) -> Result<Option<Outcome>, Failure> {
        let id = event.dedupe.event_id();
        // May be a moment old: then the work is done once more, and the write at the end finds that it was.
        let present = self.table.event(id.as_str(), false, self.clock.now()).await?;
        if present.as_ref().is_some_and(|item| item.outcome.is_final()) {
            return Ok(None);
        }
        let mut outcome =
            if event.test || event.changes.is_empty() { Outcome::Ignored } else { Outcome::Superseded };
        if !event.test {
            for change in &event.changes {
                if self.change(change, event, &id).await? == Effect::Applied {
                    outcome = Outcome::Applied;
                }
            }
        }
        let item = EventItem {
            processed_ms: Some(self.clock.now().as_millisecond()),
            received_ms: present.map_or(envelope.received_ms, |item| item.received_ms),
            ..item(incoming, envelope, &Identity::of_event(event), outcome)
        };
        match self.table.put_event(&item).await? {
            Written::Yes => Ok(Some(outcome)),
            Written::No => Ok(None),
        }
    }

    /// Changes one record. Whoever writes it first is right; the other reads what was written and merges again.
    async fn change(&self, change: &Change, event: &Event, id: &EventId) -> Result<Effect, Failure> {
        for contention in 0..CONTENTIONS {
            let present = self.table.record(&change.record, contention > 0).await?;
            let (record, revision) = match present {
                Some(stored) => (Some(stored.record), Some(stored.revision)),
                None => (None, None),
            };
            let merged = Record::merge(record, change, &event.dedupe.account, id.digits(), &event.kind)?;
            if !merged.changed || self.table.put_record(&merged.record, revision).await? == Written::Yes {
                return Ok(merged.effect);
            }
        }
        Err(Failure::Contended)
    }

    /// What becomes of a message after a failed attempt.
    async fn failed(
        &self,
        incoming: &Incoming,
        envelope: &Envelope,
        identities: Vec<Identity>,
        failure: &Failure,
    ) -> Processed {
        let attempts = envelope.attempts.saturating_add(incoming.receive_count);
        let next = if incoming.is_dead_letter || !failure.may_pass() {
            Next::Park
        } else {
            self.policy.after(attempts, entropy::jitter())
        };
        tracing::warn!(
            request = %envelope.id, provider = envelope.provider, attempts, ?next, error = %failure,
            "an attempt to process a request failed"
        );
        let (outcome, due_ms) = match next {
            Next::Wait(wait) => {
                return Processed { disposition: Disposition::Again(wait), reports: vec![] };
            }
            Next::Defer(wait) => {
                let wait = i64::try_from(wait.as_millis()).unwrap_or(0);
                (Outcome::Failed, Some(self.clock.now().as_millisecond() + wait))
            }
            Next::Park => (Outcome::Parked, None),
        };
        let mut reports = Vec::new();
        for identity in identities {
            let item = EventItem {
                cause: Some(shortened(failure.to_string())),
                processed_ms: Some(self.clock.now().as_millisecond()),
                due_ms,
                ..item(incoming, envelope, &identity, outcome)
            };
            match self.put_unless_final(item).await {
                Ok(()) => reports.push(self.report(envelope, outcome.name())),
                Err(error) => {
                    tracing::error!(request = %envelope.id, %error, "a failed event could not be written");
                    return Processed { disposition: Disposition::Again(TABLE_DOWN), reports };
                }
            }
        }
        Processed { disposition: Disposition::Done, reports }
    }

    async fn put_unless_final(&self, mut item: EventItem) -> Result<(), TableError> {
        if let Some(present) = self.table.event(&item.id, true, self.clock.now()).await? {
            item.received_ms = present.received_ms;
        }
        self.table.put_event(&item).await.map(|_| ())
    }

    async fn rejected(&self, incoming: &Incoming, envelope: &Envelope, cause: &str) -> Processed {
        let item = EventItem {
            cause: Some(cause.to_owned()),
            attempts: 0,
            ..item(incoming, envelope, &Identity::of_request(envelope), Outcome::Rejected)
        };
        let disposition = match self.table.put_event(&item).await {
            Ok(_) => Disposition::Done,
            Err(error) => {
                tracing::warn!(request = %envelope.id, %error, "a rejected request could not be written");
                Disposition::Again(self.wait_for(incoming.receive_count))
            }
        };
        let reports = match disposition {
            Disposition::Done => vec![self.report(envelope, Outcome::Rejected.name())],
            Disposition::Again(_) => vec![],
        };
        Processed { disposition, reports }
    }

    async fn shed(&self, shed: &Shed) -> Result<(), String> {
        let item = EventItem {
            id: shed.id.to_string(),
            outcome: Outcome::Rejected,
            provider: shed.provider.clone(),
            kind: String::new(),
            provider_event_id: None,
            account: None,
            cause: Some(shed.cause.name().to_owned()),
            attempts: 0,
            received_ms: shed.received_ms,
            processed_ms: None,
            occurred_ms: None,
            due_ms: None,
            request_id: shed.id.to_string(),
            key: None,
            size: 0,
            source: None,
            count: shed.count,
            payload: PayloadAt::Nowhere,
        };
        self.table.put_event(&item).await.map(|_| ()).map_err(|error| error.to_string())
    }

    /// A message that is not an envelope is nobody's event, and is kept all the same.
    async fn keep_unreadable(&self, incoming: &Incoming) -> Result<(), String> {
        let now = self.clock.now();
        let identity = Identity::of_body(UNKNOWN_PROVIDER, incoming.body.as_bytes());
        let packed = payload::pack_unknown(&incoming.body);
        tracing::error!(
            message = incoming.message_id,
            "a message is not an envelope of a known version; parked"
        );
        let item = EventItem {
            id: identity.id,
            outcome: Outcome::Parked,
            provider: UNKNOWN_PROVIDER.to_owned(),
            kind: String::new(),
            provider_event_id: None,
            account: None,
            cause: Some("envelope: the message is not an envelope of a known version".to_owned()),
            attempts: incoming.receive_count,
            received_ms: now.as_millisecond(),
            processed_ms: Some(now.as_millisecond()),
            occurred_ms: None,
            due_ms: None,
            request_id: incoming.message_id.clone(),
            key: None,
            size: u64::try_from(incoming.body.len()).unwrap_or(0),
            source: None,
            count: 1,
            payload: if packed.len() < 350_000 { PayloadAt::Here(packed) } else { PayloadAt::Nowhere },
        };
        self.put_unless_final(item).await.map_err(|error| error.to_string())
    }

    /// Sends failed events whose time has come through the queue again.
    async fn release_due(&self) -> Result<(), Released> {
        let now = self.clock.now();
        let now_ms = now.as_millisecond();
        for provider in tillwatch_providers::ALL {
            for id in self.table.due(provider.name(), now_ms, SWEEP).await? {
                let Some(event) = self.table.event(&id, true, now).await? else { continue };
                if self.table.claim_due(&event, now_ms + SWEEP_CLAIM_MS).await? == Written::Yes {
                    send_again(&*self.queue, &event, event.attempts).await?;
                }
            }
        }
        Ok(())
    }

    fn report(&self, envelope: &Envelope, outcome: &'static str) -> Report {
        let took_ms = (self.clock.now().as_millisecond() - envelope.received_ms).max(0);
        Report { provider: envelope.provider.clone(), outcome, took_ms }
    }
}

/// Why due events could not be sent again.
#[derive(Debug, thiserror::Error)]
enum Released {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Sends a kept event through the queue once more, as the request that it came in.
pub(crate) async fn send_again(
    queue: &dyn Queue,
    event: &EventItem,
    attempts: u32,
) -> Result<(), QueueError> {
    let refused = |cause: &str| QueueError { action: "send an event again", cause: cause.to_owned() };
    let envelope = Envelope {
        id: event.request_id.clone().try_into().map_err(|_| refused("it has no request id"))?,
        provider: event.provider.clone(),
        received_ms: event.received_ms,
        verdict: Verdict::Accepted(event.key.ok_or_else(|| refused("it was never verified"))?),
        size: event.size,
        source: event.source.clone(),
        payload: Payload::from_table(&event.payload),
        attempts,
    };
    let message = Message::Request(envelope);
    let outgoing =
        Outgoing { body: message.to_text(), group: message.group().to_owned(), delay: Duration::ZERO };
    queue.send(outgoing).await
}
