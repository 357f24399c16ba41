//! Process: one message of the queue becomes events, each event changes its records, and takes its outcome.
//!
//! For each event, in this order: read its item (a final outcome means that this delivery is a duplicate); change each
//! record (read, merge, write over the revision that was read); write the event's item with its outcome. Then the
//! message may go. Every step may be repeated and the work may stop between any two: records know the changes that
//! they have seen, the event's item is written only once with a final outcome, and the message comes again until it is.

mod due;
mod failure;
mod identity;
mod owner;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::record::fetched;
use tillwatch_domain::retry::{Next, RetryPolicy};
use tillwatch_domain::span::millis;
use tillwatch_domain::{Change, Effect, Event, EventId, Outcome, Record};
use tillwatch_platform::beats::Part;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::entropy;
use tillwatch_platform::metrics::{Metric, Metrics};
use tillwatch_platform::payloads::Payloads;
use tillwatch_platform::queue::Queue;
use tillwatch_platform::table::{EventItem, PayloadAt, Table, TableError, Written};
use tillwatch_providers::{Headers, Provider, Received};

use crate::envelope::{Envelope, Message, NotAnEnvelope, Payload, Shed, Verdict};
use crate::payload;
use crate::routing::{Home, Routing};
pub(crate) use due::send_again;
use failure::Failure;
use identity::{Identity, id_of_text, item, shortened, unfit};
pub(crate) use owner::owned;
use owner::owner;

/// The provider's name under which messages are kept that are not envelopes.
pub const UNKNOWN_PROVIDER: &str = "unknown";
/// How often a record is read again because somebody else wrote it first, before the message waits its turn.
const CONTENTIONS: u32 = 10;
/// How long a message waits when even its failure could not be written. Short, for whatever waits so fills the queue.
const TABLE_DOWN: Duration = Duration::from_mins(5);
/// What is reported of an attempt that failed and is followed by another.
const AGAIN: &str = "again";
/// What is reported of a delivery of an event that had its outcome already.
const DUPLICATE: &str = "duplicate";

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
    /// An outcome's name, or `duplicate`, or `again`.
    pub outcome: &'static str,
    /// Milliseconds from the request's arrival.
    pub took_ms: i64,
    /// Whether no webhook brought it: how webhooks go is not told by it.
    pub reconciled: bool,
}

/// What the processor works with.
pub struct Processor {
    /// Events and records.
    pub table: Table,
    /// Which connection an event belongs to.
    pub routing: Arc<Routing>,
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
        let result = match Message::from_text(&incoming.body) {
            Ok(Message::Request(envelope)) => return self.request(incoming, envelope).await,
            Ok(Message::Shed(shed)) => self.shed(&shed).await.map(|()| vec![]),
            Ok(Message::Heartbeat { .. }) => {
                self.table.beats().beat(Part::Processor, self.clock.now()).await;
                self.heartbeat().await;
                Ok(vec![])
            }
            Err(error) => match self.policy.after(incoming.receive_count, entropy::jitter()) {
                // The processor that can read it is on its way.
                Next::Wait(_) | Next::Defer(_)
                    if error == NotAnEnvelope::Unreadable && !incoming.is_dead_letter =>
                {
                    Err(error.to_string())
                }
                _ => self.keep_unreadable(incoming, error).await,
            },
        };
        match result {
            Ok(reports) => Processed { disposition: Disposition::Done, reports },
            Err(error) => {
                tracing::warn!(error, "a message could not be dealt with and comes again");
                Processed { disposition: self.again(incoming), reports: vec![] }
            }
        }
    }

    /// The schedule's sign of life. Noted when what hangs on it is done, so that its absence tells of a table that is
    /// down too; never tried again, for the next minute brings another.
    async fn heartbeat(&self) {
        match due::release(&self.table, &self.queue, &self.clock).await {
            Ok(()) => self.metrics.heartbeat(self.clock.now()),
            Err(error) => tracing::error!(%error, "due events could not all be sent again"),
        }
    }

    /// What becomes of a message whose processing panicked: it is an attempt that failed, of this message alone.
    pub async fn after_panic(&self, incoming: &Incoming) -> Processed {
        let Ok(Message::Request(envelope)) = Message::from_text(&incoming.body) else {
            return Processed { disposition: self.again(incoming), reports: vec![] };
        };
        // Reading the body may be what panics, so the event is known only by its request.
        let unread = vec![Identity::of_request(&envelope)];
        self.failed(incoming, &envelope, unread, &Failure::Panicked).await
    }

    /// Tells the metrics what came of a batch: one line for each provider and outcome.
    pub fn measure(&self, reports: &[Report]) {
        let mut groups = std::collections::BTreeMap::<(&str, &str, bool), Vec<i64>>::new();
        for report in reports {
            // One that waits for an operator is everyone's concern, whatever brought it.
            let apart = report.reconciled && report.outcome != Outcome::Parked.name();
            groups.entry((&report.provider, report.outcome, apart)).or_default().push(report.took_ms);
        }
        for ((provider, outcome, apart), times) in groups {
            for times in times.chunks(100) {
                let count = i64::try_from(times.len()).unwrap_or(0);
                let values = if apart {
                    vec![(Metric::Reconciled, vec![count])]
                } else {
                    vec![(Metric::Events, vec![count]), (Metric::ProcessingTime, times.to_vec())]
                };
                self.metrics.emit(self.clock.now(), provider, outcome, &values);
            }
        }
    }

    fn again(&self, incoming: &Incoming) -> Disposition {
        Disposition::Again(match self.policy.after(incoming.receive_count, entropy::jitter()) {
            Next::Wait(wait) => wait,
            Next::Defer(_) | Next::Park => TABLE_DOWN,
        })
    }

    async fn request(&self, incoming: &Incoming, envelope: Envelope) -> Processed {
        if let Verdict::Rejected(cause) = &envelope.verdict {
            return self.rejected(incoming, &envelope, cause.name()).await;
        }
        let events = match self.read(&envelope).await {
            Ok(events) => events,
            Err(failure) => {
                let unread = vec![Identity::of_request(&envelope)];
                return self.failed(incoming, &envelope, unread, &failure).await;
            }
        };
        let mut processed = self.events(incoming, &envelope, &events).await;
        // Its events have items of their own now, whatever became of them.
        if envelope.kept
            && processed.disposition == Disposition::Done
            && let Err(error) = self.table.forget_request(&envelope.id).await
        {
            tracing::warn!(request = %envelope.id, %error, "a request that became events is still kept");
            processed.disposition = self.again(incoming);
        }
        processed
    }

    async fn events(&self, incoming: &Incoming, envelope: &Envelope, events: &[Event]) -> Processed {
        if incoming.is_dead_letter {
            let identities = events.iter().map(Identity::of_event).collect();
            return self.failed(incoming, envelope, identities, &Failure::DeadLetter).await;
        }
        let mut processed = Processed { disposition: Disposition::Done, reports: vec![] };
        for event in events {
            match self.event(incoming, envelope, event).await {
                Ok(_) if envelope.is_synthetic() => {}
                Ok(outcome) => {
                    let outcome = outcome.map_or(DUPLICATE, Outcome::name);
                    processed.reports.push(self.report(envelope, outcome));
                }
                Err(failure) => {
                    let identity = vec![Identity::of_event(event)];
                    let failed = self.failed(incoming, envelope, identity, &failure).await;
                    processed.reports.extend(failed.reports);
                    // One that fails for good is written down, and says nothing of those after it. The message comes again
                    // for those that must.
                    if failed.disposition != Disposition::Done {
                        processed.disposition = failed.disposition;
                        if failure.is_outage() {
                            break;
                        }
                    }
                }
            }
        }
        processed
    }

    /// The events in an envelope.
    async fn read(&self, envelope: &Envelope) -> Result<Vec<Event>, Failure> {
        let provider = tillwatch_providers::named(&envelope.provider).ok_or(Failure::UnknownProvider)?;
        let (headers, body) = self.unpack(provider, envelope).await?;
        let at = Timestamp::from_millisecond(envelope.received_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let events = provider.parse(Received { headers: &headers, body: &body, at })?;
        match events.iter().find_map(unfit) {
            Some(problem) => Err(Failure::Unfit(problem)),
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
        if present.as_ref().is_some_and(|item| is_settled(item.outcome, envelope.again)) {
            return Ok(None);
        }
        let proved_by = envelope.verdict.proved_by();
        let home = if envelope.is_synthetic() {
            Home::Unknown
        } else {
            self.routing.home(event, proved_by, envelope.again, self.clock.now()).await?
        };
        let nothing_to_do = event.test || event.changes.is_empty() || envelope.is_synthetic();
        let mut cause = None;
        let outcome = match &home {
            Home::AnotherAccount(_) => return Err(Failure::AnotherAccount),
            _ if nothing_to_do => Outcome::Ignored,
            Home::Unknown => Outcome::UnknownConnection,
            Home::Holds(_, why) => {
                cause = Some((*why).to_owned());
                Outcome::Held
            }
            Home::Shadows(_) => Outcome::Shadowed,
            Home::Takes(_) => {
                let mut outcome = Outcome::Superseded;
                let owner = owner(event, home.connection());
                let kind = if envelope.is_reconciled() { fetched(&event.kind) } else { event.kind.clone() };
                for change in &event.changes {
                    let change = owned(event, change, home.connection());
                    if self.change(&change, &kind, owner, &id).await? == Effect::Applied {
                        outcome = Outcome::Applied;
                    }
                }
                outcome
            }
        };
        let connection = home.connection().map(str::to_owned);
        let is_as_it_was = |present: &EventItem| {
            (present.outcome, &present.cause, &present.connection) == (outcome, &cause, &connection)
        };
        if envelope.again && present.as_ref().is_some_and(is_as_it_was) {
            return Ok(None);
        }
        let item = EventItem {
            cause,
            connection,
            processed_ms: Some(self.clock.now().as_millisecond()),
            received_ms: present.map_or(envelope.received_ms, |item| item.received_ms),
            ..item(incoming, envelope, &Identity::of_event(event), outcome)
        };
        match self.put(&item, envelope.again).await? {
            Written::Yes => {
                self.table.beats().wrote(self.clock.now()).await;
                Ok(Some(outcome))
            }
            Written::No => Ok(None),
        }
    }

    async fn put(&self, item: &EventItem, again: bool) -> Result<Written, TableError> {
        if again { self.table.put_event_anew(item).await } else { self.table.put_event(item).await }
    }

    /// Changes one record. Whoever writes it first is right; the other reads what was written and merges again.
    async fn change(
        &self,
        change: &Change,
        kind: &str,
        owner: &str,
        id: &EventId,
    ) -> Result<Effect, Failure> {
        for contention in 0..CONTENTIONS {
            let present = self.table.record(&change.record, contention > 0).await?;
            let (record, revision) = match present {
                Some(stored) => (Some(stored.record), Some(stored.revision)),
                None => (None, None),
            };
            let merged = Record::merge(record, change, owner, id.digits(), kind)?;
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
        let now_ms = self.clock.now().as_millisecond();
        let age = Duration::from_millis(u64::try_from(now_ms - envelope.received_ms).unwrap_or(0));
        let next = if incoming.is_dead_letter || !failure.may_pass() {
            Next::Park
        } else {
            match self.policy.after(attempts, entropy::jitter()) {
                Next::Park if failure.is_outage() && age < self.policy.outage => {
                    Next::Defer(self.policy.longest)
                }
                next => next,
            }
        };
        tracing::warn!(
            request = %envelope.id, provider = envelope.provider, attempts, ?next, error = %failure,
            "an attempt to process a request failed"
        );
        let (outcome, due_ms) = match next {
            Next::Wait(wait) => {
                let reports = vec![self.report(envelope, AGAIN)];
                return Processed { disposition: Disposition::Again(wait), reports };
            }
            Next::Defer(wait) => (Outcome::Failed, Some(now_ms + millis(wait))),
            Next::Park => (Outcome::Parked, None),
        };
        let mut reports = Vec::new();
        for identity in identities {
            let item = EventItem {
                cause: Some(shortened(failure.to_string())),
                processed_ms: Some(now_ms),
                due_ms,
                ..item(incoming, envelope, &identity, outcome)
            };
            match self.put_unless_settled(item, envelope.again).await {
                Ok(Written::Yes) => reports.push(self.report(envelope, outcome.name())),
                Ok(Written::No) => reports.push(self.report(envelope, DUPLICATE)),
                Err(error) => {
                    tracing::error!(request = %envelope.id, %error, "a failed event could not be written");
                    reports.push(self.report(envelope, AGAIN));
                    return Processed { disposition: Disposition::Again(TABLE_DOWN), reports };
                }
            }
        }
        Processed { disposition: Disposition::Done, reports }
    }

    async fn put_unless_settled(&self, mut item: EventItem, again: bool) -> Result<Written, TableError> {
        if let Some(present) = self.table.event(&item.id, true, self.clock.now()).await? {
            item.received_ms = present.received_ms;
        }
        self.put(&item, again).await
    }

    async fn rejected(&self, incoming: &Incoming, envelope: &Envelope, cause: &str) -> Processed {
        let item = EventItem {
            cause: Some(cause.to_owned()),
            attempts: 0,
            ..item(incoming, envelope, &Identity::of_request(envelope), Outcome::Rejected)
        };
        let disposition = match self.table.put_rejected(&item).await {
            Ok(_) => Disposition::Done,
            Err(error) => {
                tracing::warn!(request = %envelope.id, %error, "a rejected request could not be written");
                self.again(incoming)
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
            connection: None,
            size: 0,
            source: None,
            count: shed.count,
            payload: PayloadAt::Nowhere,
        };
        self.table.put_event(&item).await.map(|_| ()).map_err(|error| error.to_string())
    }

    /// A message that is not an envelope is nobody's event, and is kept all the same.
    async fn keep_unreadable(
        &self,
        incoming: &Incoming,
        error: NotAnEnvelope,
    ) -> Result<Vec<Report>, String> {
        let now = self.clock.now();
        let packed = payload::pack_unknown(&incoming.body);
        tracing::error!(message = incoming.message_id, %error, "a message is parked");
        let item = EventItem {
            id: id_of_text(UNKNOWN_PROVIDER, &incoming.body),
            outcome: Outcome::Parked,
            provider: UNKNOWN_PROVIDER.to_owned(),
            kind: String::new(),
            provider_event_id: None,
            account: None,
            cause: Some(format!("envelope: {error}")),
            attempts: incoming.receive_count,
            received_ms: now.as_millisecond(),
            processed_ms: Some(now.as_millisecond()),
            occurred_ms: None,
            due_ms: None,
            request_id: incoming.message_id.clone(),
            key: None,
            connection: None,
            size: u64::try_from(incoming.body.len()).unwrap_or(0),
            source: None,
            count: 1,
            payload: if packed.len() < 350_000 { PayloadAt::Here(packed) } else { PayloadAt::Nowhere },
        };
        self.put_unless_settled(item, false).await.map_err(|error| error.to_string())?;
        let provider = UNKNOWN_PROVIDER.to_owned();
        Ok(vec![Report { provider, outcome: Outcome::Parked.name(), took_ms: 0, reconciled: false }])
    }

    fn report(&self, envelope: &Envelope, outcome: &'static str) -> Report {
        let took_ms = (self.clock.now().as_millisecond() - envelope.received_ms).max(0);
        let reconciled = envelope.is_reconciled();
        Report { provider: envelope.provider.clone(), outcome, took_ms, reconciled }
    }
}

/// Whether nothing is left to do for an event of this outcome. What changed nothing is done anew for whoever sends it again.
fn is_settled(outcome: Outcome, again: bool) -> bool {
    let may_be_redone = again && matches!(outcome, Outcome::Ignored | Outcome::Shadowed);
    outcome.is_final() && !may_be_redone
}
