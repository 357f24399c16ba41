//! Deliveries: events and rejected requests, listed, shown whole, and tried again.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Serialize;
use tillwatch_domain::{Change, EventId, Outcome, RecordKey, RequestId};
use tillwatch_platform::table::{EventItem, PayloadAt, Period};
use tillwatch_providers::{Received, request};
use utoipa::ToSchema;

use super::operators::Who;
use super::{Console, Pending, Problem, Query, decoded, encoded, rfc3339};
use crate::payload;
use crate::process::{owned, send_again};

/// An event, or a rejected request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Delivery {
    /// `evt_…`; `req_…` for a request that was rejected, or whose event could not be read.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// The provider's id of the event.
    pub event_id: Option<String>,
    /// The provider's name for the event's type; empty if it was not read.
    #[serde(rename = "type")]
    pub kind: String,
    /// `applied`, `superseded`, `ignored`, `shadowed`, `unknown_connection`, `held`, `failed`, `parked` or `rejected`.
    pub status: &'static str,
    /// Why it was rejected, or why its last attempt failed.
    pub cause: Option<String>,
    /// How often processing was tried.
    pub attempts: u32,
    /// The provider's id of the merchant, shop or account.
    pub account: Option<String>,
    /// The connection that it belongs to, or, if it was rejected, was sent to.
    pub connection: Option<String>,
    /// When it arrived first.
    pub received_at: String,
    /// When it took its status.
    pub processed_at: Option<String>,
    /// From the one to the other, in milliseconds.
    pub processing_ms: Option<i64>,
    /// When it will be tried again.
    pub due_at: Option<String>,
    /// The body's size in bytes.
    pub size: u64,
    /// Whether no webhook brought it, and it was fetched from the provider.
    pub reconciled: bool,
    /// Where it came from, shortened so that it names no person; `reconciled`, if it was fetched.
    pub source: Option<String>,
    /// The request that brought it first: what the sender was given.
    pub request_id: String,
}

/// One page of deliveries, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryPage {
    /// The deliveries. May be fewer than asked for although more follow: `next` alone says whether any do.
    pub deliveries: Vec<Delivery>,
    /// Pass it as `cursor` for the next page; null if this is the last.
    pub next: Option<String>,
    /// What is not listed yet because it waits on the queue, of all providers.
    pub pending: Pending,
}

/// A delivery with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryDetail {
    /// What the list shows.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// When it happened, by the provider's clock.
    pub occurred_at: Option<String>,
    /// The name of the secret that proved it: `1f3a9c2e`, or `harbour-square/1f3a9c2e` where it is a connection's own.
    pub signing_key: Option<String>,
    /// The method that it came by; null if it was not kept.
    pub method: Option<String>,
    /// The path that it came to, as it came; null if it was not kept.
    pub raw_path: Option<String>,
    /// The query, as it came, without what might be a secret; null if there was none.
    pub raw_query: Option<String>,
    /// The headers that were kept, as they came. None of them is a secret.
    pub headers: Vec<(String, String)>,
    /// The body, if it is text.
    pub body: Option<String>,
    /// The body in base64, if it is not text.
    pub body_base64: Option<String>,
    /// The records that it speaks of.
    pub records: Vec<TouchedRecord>,
}

/// A record that an event speaks of, and what the event did to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TouchedRecord {
    /// Where it is read: `/records/payments/square/…`.
    pub path: String,
    /// What the event did: `applied`, `superseded`; null if the record knows nothing of it.
    pub effect: Option<String>,
    /// The record's status before it, if it changed the status of one that was there.
    pub status_from: Option<&'static str>,
    /// The status it brought.
    pub status_to: &'static str,
    /// The record's status now.
    pub status_now: Option<&'static str>,
}

/// That a delivery will be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Retried {
    /// Its id.
    pub id: String,
    /// `queued`.
    pub status: &'static str,
}

/// Where a record is read.
fn path_of(key: &RecordKey) -> String {
    let mut path = format!("/records/{}/{}/{}", key.kind.plural(), key.provider, encoded(&key.id));
    if !key.scope.is_empty() {
        path.push_str("?account=");
        path.push_str(&encoded(&key.scope));
    }
    path
}

impl Delivery {
    fn of(event: &EventItem) -> Self {
        Self {
            id: event.id.clone(),
            provider: event.provider.clone(),
            event_id: event.provider_event_id.clone(),
            kind: event.kind.clone(),
            status: event.outcome.name(),
            cause: event.cause.clone(),
            attempts: event.attempts,
            account: event.account.clone(),
            connection: event.connection.clone(),
            received_at: rfc3339(event.received_ms),
            processed_at: event.processed_ms.map(rfc3339),
            processing_ms: event.processed_ms.map(|at| (at - event.received_ms).max(0)),
            due_at: event.due_ms.map(rfc3339),
            size: event.size,
            reconciled: event.is_reconciled(),
            source: event.source.clone(),
            request_id: event.request_id.clone(),
        }
    }
}

/// How long events are kept, and so how far back a list goes.
const KEPT_MS: i64 = 30 * DAY_MS;
/// How long those are kept that wait for an operator.
const UNSETTLED_MS: i64 = 180 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
/// How many items one request looks at before it answers with what it has: a filter that matches little must not read
/// a month in one go.
const LOOKED_AT: usize = 2_000;
/// Sorts after every event.
const NEWEST: &str = "9";

pub(super) struct Filter<'a> {
    pub(super) outcome: Option<Outcome>,
    kind: Option<&'a str>,
    connection: Option<&'a str>,
    cause: Option<&'a str>,
    from_ms: i64,
    to_ms: i64,
}

/// A page as it is asked for.
pub(super) struct Asked<'a> {
    pub(super) filter: Filter<'a>,
    pub(super) limit: usize,
    /// Where it begins: what sorts before this.
    pub(super) before: String,
    pub(super) now_ms: i64,
}

/// The parameters of a list.
pub(super) const PARAMETERS: [&str; 8] =
    ["status", "type", "connection", "cause", "from", "to", "limit", "cursor"];

impl Filter<'_> {
    fn takes(&self, event: &EventItem) -> bool {
        self.outcome.is_none_or(|outcome| event.outcome == outcome)
            && self.kind.is_none_or(|kind| event.kind == kind)
            && self.connection.is_none_or(|id| event.connection.as_deref() == Some(id))
            && self.cause.is_none_or(|cause| event.cause.as_deref() == Some(cause))
            && (self.from_ms..self.to_ms).contains(&event.received_ms)
    }
}

impl<'a> Asked<'a> {
    pub(super) fn of(query: &'a Query, now_ms: i64) -> Result<Self, Problem> {
        let outcome = match query.get("status") {
            None => None,
            Some(name) => Some(Outcome::named(name).ok_or_else(|| {
                let names: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.name()).collect();
                Problem::bad_parameter("status", &format!("is one of {}", names.join(", ")))
            })?),
        };
        let waits = outcome.is_some_and(Outcome::is_unsettled);
        let kept_ms = if waits { UNSETTLED_MS } else { KEPT_MS };
        let filter = Filter {
            outcome,
            kind: query.get("type"),
            connection: query.get("connection"),
            cause: query.get("cause"),
            from_ms: query.time("from")?.unwrap_or(0).max(now_ms - kept_ms),
            to_ms: query.time("to")?.unwrap_or(i64::MAX),
        };
        let limit = usize::try_from(query.number("limit", 50, 500)?).unwrap_or(50);
        let before = match query.get("cursor") {
            None => NEWEST.to_owned(),
            Some(cursor) => BASE64_URL_SAFE_NO_PAD
                .decode(cursor)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .filter(|place| place.len() < 100 && place.starts_with(|c: char| c.is_ascii_digit()))
                .ok_or_else(|| Problem::bad_parameter("cursor", "is not one that a page gave"))?,
        };
        Ok(Self { filter, limit, before, now_ms })
    }
}

impl Console {
    /// Those of the events that may be seen. A business sees what came to its connections.
    async fn seen_by(&self, who: &Who, events: Vec<EventItem>) -> Result<Vec<EventItem>, Problem> {
        if *who == Who::Operator {
            return Ok(events);
        }
        let mut known = HashMap::<String, bool>::new();
        let mut seen = Vec::new();
        for event in events {
            let Some(id) = &event.connection else { continue };
            let may_see = match known.get(id) {
                Some(may_see) => *may_see,
                None => self.connection(who, id).await.is_ok(),
            };
            known.insert(id.clone(), may_see);
            if may_see {
                seen.push(event);
            }
        }
        Ok(seen)
    }

    pub(super) async fn deliveries(
        &self,
        who: &Who,
        provider: &str,
        query: &Query,
    ) -> Result<DeliveryPage, Problem> {
        query.only(&PARAMETERS)?;
        let asked = Asked::of(query, self.clock.now().as_millisecond())?;
        let (events, next) = self.listed(provider, &asked).await?;
        self.delivery_page(who, events, next).await
    }

    /// A provider's events as they are asked for, and the place from which to go on.
    pub(super) async fn listed(
        &self,
        provider: &str,
        asked: &Asked<'_>,
    ) -> Result<(Vec<EventItem>, Option<String>), Problem> {
        let Asked { filter, limit, before, now_ms } = asked;
        match filter.outcome {
            Some(outcome) if outcome.is_rare() => {
                self.rare(provider, outcome, filter, *limit, before.clone()).await
            }
            _ => self.by_day(provider, filter, *limit, before.clone(), *now_ms).await,
        }
    }

    pub(super) async fn delivery_page(
        &self,
        who: &Who,
        events: Vec<EventItem>,
        next: Option<String>,
    ) -> Result<DeliveryPage, Problem> {
        Ok(DeliveryPage {
            deliveries: self.seen_by(who, events).await?.iter().map(Delivery::of).collect(),
            next: next.map(|place| BASE64_URL_SAFE_NO_PAD.encode(place)),
            pending: self.pending().await?,
        })
    }

    async fn rare(
        &self,
        provider: &str,
        outcome: Outcome,
        filter: &Filter<'_>,
        limit: usize,
        mut before: String,
    ) -> Result<(Vec<EventItem>, Option<String>), Problem> {
        let (mut found, mut looked_at) = (Vec::new(), 0);
        loop {
            let asked = limit.clamp(25, 500);
            let page = self
                .table
                .rare_events(provider, outcome, &before, i32::try_from(asked).unwrap_or(50))
                .await?;
            for event in page.events {
                before = event.place_among_rare();
                looked_at += 1;
                if filter.takes(&event) {
                    found.push(event);
                }
                if found.len() == limit {
                    return Ok((found, Some(before)));
                }
            }
            if !page.more {
                return Ok((found, None));
            }
            if looked_at >= LOOKED_AT {
                return Ok((found, Some(before)));
            }
        }
    }

    /// Walks back day by day; days that the figures know to be empty are skipped.
    async fn by_day(
        &self,
        provider: &str,
        filter: &Filter<'_>,
        limit: usize,
        mut before: String,
        now_ms: i64,
    ) -> Result<(Vec<EventItem>, Option<String>), Problem> {
        let cursor_ms = before.get(..13).and_then(|digits| digits.parse().ok()).unwrap_or(i64::MAX);
        // A day ahead, for an arrival stamped by a clock ahead of this one.
        let newest_ms = filter.to_ms.saturating_sub(1).min(cursor_ms).min(now_ms + DAY_MS);
        let mut day = Period::Day.start_of(newest_ms);
        let oldest_day = Period::Day.start_of(filter.from_ms);
        let counted = self.table.figures(provider, Period::Day, oldest_day, now_ms + 2 * DAY_MS).await?;
        let is_empty = |day: i64| {
            // The figures follow the events by some seconds.
            day < Period::Day.start_of(now_ms) - DAY_MS && counted.iter().all(|(counted, _)| *counted != day)
        };
        let (mut found, mut looked_at) = (Vec::new(), 0);
        while day >= oldest_day {
            if is_empty(day) {
                day -= DAY_MS;
                continue;
            }
            let asked = limit.clamp(25, 500);
            let page =
                self.table.events_of_day(provider, day, &before, i32::try_from(asked).unwrap_or(50)).await?;
            for event in page.events {
                before = format!("{:013}#{}", event.received_ms, event.id);
                looked_at += 1;
                if filter.takes(&event) {
                    found.push(event);
                }
                if found.len() == limit {
                    return Ok((found, Some(before)));
                }
            }
            if !page.more {
                day -= DAY_MS;
            }
            if looked_at >= LOOKED_AT {
                return Ok((found, Some(before)));
            }
        }
        Ok((found, None))
    }

    pub(super) async fn found(&self, who: &Who, provider: &str, id: &str) -> Result<EventItem, Problem> {
        let now = self.clock.now();
        let mut event = None;
        if EventId::try_from(id.to_owned()).is_ok() {
            event = self.table.event(id, true, now).await?;
        } else if let Ok(request) = RequestId::try_from(id.to_owned()) {
            event = self.table.event(id, true, now).await?;
            if event.is_none()
                && let Some(id) = self.table.event_of_request(provider, &request).await?
            {
                event = self.table.event(&id, true, now).await?;
            }
        }
        let event = event.filter(|event| event.provider == provider);
        let seen = self.seen_by(who, event.into_iter().collect()).await?;
        seen.into_iter().next().ok_or_else(|| {
            Problem::not_found(format!(
                "{provider} has no delivery of this id. It may not be processed yet, be older than 30 days, or, if it is \
                 a request's, have brought an event that another request had brought before."
            ))
        })
    }

    pub(super) async fn delivery(
        &self,
        who: &Who,
        provider: &str,
        id: &str,
    ) -> Result<DeliveryDetail, Problem> {
        let event = self.found(who, provider, id).await?;
        let module = tillwatch_providers::named(provider);
        let packed = match &event.payload {
            PayloadAt::Here(packed) => Some(packed.clone()),
            PayloadAt::Stored(name) => {
                self.payloads.get(name, self.clock.now()).await.map_err(|error| Problem::ours(&error))?
            }
            PayloadAt::Nowhere => None,
        };
        let is_kept = packed.is_some();
        let unpacked = packed.map(|packed| payload::unpack(module, &packed)).transpose();
        let (headers, body) = unpacked.map_err(|error| Problem::ours(&error))?.unwrap_or_default();
        let received = Timestamp::from_millisecond(event.received_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut records = Vec::new();
        if let (Some(module), false) = (module, event.outcome == Outcome::Rejected)
            && let Ok(events) = module.parse(Received { headers: &headers, body: &body, at: received })
        {
            let said = events.into_iter().find(|said| said.dedupe.event_id().as_str() == event.id);
            if let Some(said) = said.filter(|said| !said.test) {
                for change in &said.changes {
                    let change = owned(&said, change, event.connection.as_deref());
                    records.push(self.touched(&event, &change).await?);
                }
            }
        }
        let text = String::from_utf8(body);
        let (body, body_base64) = match text {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
        };
        Ok(DeliveryDetail {
            delivery: Delivery::of(&event),
            occurred_at: event.occurred_ms.map(rfc3339),
            signing_key: event.key.clone(),
            method: module.filter(|_| is_kept).map(|_| headers.method().to_owned()),
            raw_path: module
                .filter(|_| is_kept)
                .map(|_| format!("/webhooks/{provider}{}", headers.get(request::SUFFIX).unwrap_or_default())),
            raw_query: shown(headers.query()),
            headers: headers
                .iter()
                .filter(|(name, _)| !name.starts_with(':'))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body,
            body_base64,
            records,
        })
    }

    /// A record that an event speaks of, as it is now.
    async fn touched(&self, event: &EventItem, change: &Change) -> Result<TouchedRecord, Problem> {
        let record = self.table.record(&change.record, true).await?.map(|stored| stored.record);
        let digits = event.id.trim_start_matches("evt_");
        let seen = record.as_ref().and_then(|record| {
            record.seen.iter().find(|seen| seen.event == digits && seen.revision == change.revision)
        });
        Ok(TouchedRecord {
            path: path_of(&change.record),
            effect: seen
                .and_then(|seen| serde_json::to_value(seen.effect).ok())
                .and_then(|name| name.as_str().map(str::to_owned)),
            status_from: seen
                .and_then(|seen| seen.transition)
                .and_then(|transition| transition.from)
                .map(tillwatch_domain::Status::name),
            status_to: change.status.name(),
            status_now: record.as_ref().map(|record| record.status.name()),
        })
    }

    pub(super) async fn retry(&self, who: &Who, provider: &str, id: &str) -> Result<Retried, Problem> {
        let event = self.found(who, provider, id).await?;
        let refused = |detail: &str| Problem::new(409, "not-retryable", "It can't be tried again", detail);
        match event.outcome {
            Outcome::Parked
            | Outcome::Failed
            | Outcome::Held
            | Outcome::UnknownConnection
            | Outcome::Ignored
            | Outcome::Shadowed => {}
            Outcome::Applied | Outcome::Superseded => {
                return Err(refused("It has taken effect, and does so once."));
            }
            Outcome::Rejected => {
                return Err(refused(
                    "It was not believed. Mend the cause, and release it: POST /webhooks/release/{provider}/{id}.",
                ));
            }
        }
        if event.key.is_none() {
            return Err(refused("It was no envelope of ours, so there is nothing to process."));
        }
        send_again(&*self.backlog.events, &event).await.map_err(|error| Problem::ours(&error))?;
        Ok(Retried { id: event.id, status: "queued" })
    }
}

/// A query as it may be shown. An open secret was taken out of it before it was kept; what only looks like one, in a
/// parameter that the provider does not use, is not shown either.
fn shown(query: &str) -> Option<String> {
    const SECRETS: [&str; 8] =
        ["key", "token", "secret", "password", "api_key", "apikey", "access_token", "hub.verify_token"];
    let is_secret = |name: &str| {
        decoded(name, true).is_none_or(|name| SECRETS.contains(&name.trim().to_ascii_lowercase().as_str()))
    };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=…"),
        _ => pair.to_owned(),
    });
    Some(pairs.collect::<Vec<_>>().join("&")).filter(|query| !query.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_shown_as_it_came_but_for_what_might_be_a_secret() {
        assert_eq!(shown("a=%27&b"), Some("a=%27&b".to_owned()));
        assert_eq!(shown("k%65y=s3cret&Token=s3cret&x=1"), Some("k%65y=…&Token=…&x=1".to_owned()));
        assert_eq!(shown("%zz=s3cret"), Some("%zz=…".to_owned()));
        assert_eq!(shown(""), None);
    }
}
