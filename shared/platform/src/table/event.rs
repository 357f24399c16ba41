//! Events and rejected requests in the table: written once with their outcome, listed by two narrow indexes.

use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use jiff::tz::Offset;
use tillwatch_domain::event::RECONCILED;
use tillwatch_domain::{Outcome, RequestId};

use super::schema::{BY_TIME, EXPIRES, RARE};
use super::{Item, Reader, Table, TableError, Written, conditional, number, text};

/// Into how many partition keys a provider's day is spread: 5,000 events a second are 157 for each. A partition takes
/// 1,000, and several keys may share one.
const DAY_SHARDS: u8 = 32;
/// The same for what is rare: in an outage the rare is not.
const RARE_SHARDS: u8 = 16;
/// How long events are kept once they have an outcome.
const KEPT_SECONDS: i64 = 30 * 86_400;
/// How long those are kept that wait for an operator, or for something else to happen.
const UNSETTLED_SECONDS: i64 = 180 * 86_400;

/// Where an event's payload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadAt {
    /// In the item, compressed.
    Here(Vec<u8>),
    /// In the payload store, under this name.
    Stored(String),
    /// Not kept: the request was too large.
    Nowhere,
}

/// An event, or a rejected request, as the table holds it. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventItem {
    /// `evt_…`, or `req_…` for a rejected request.
    pub id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The provider's name.
    pub provider: String,
    /// The provider's name for the event's type; empty if it was not read.
    pub kind: String,
    /// The provider's id of the event, if it has one.
    pub provider_event_id: Option<String>,
    /// The provider's id of the account.
    pub account: Option<String>,
    /// Why it was rejected, or why its last attempt failed: `stage: cause`.
    pub cause: Option<String>,
    /// How often processing was tried.
    pub attempts: u32,
    /// When the request arrived that brought it first.
    pub received_ms: i64,
    /// When it took its outcome.
    pub processed_ms: Option<i64>,
    /// When it happened, by the provider's clock.
    pub occurred_ms: Option<i64>,
    /// When it will be tried again.
    pub due_ms: Option<i64>,
    /// The request that brought it.
    pub request_id: String,
    /// The name of the secret that proved it.
    pub key: Option<String>,
    /// The connection that it belongs to, or, of a request, the one whose own secret proved it.
    pub connection: Option<String>,
    /// The body's size in bytes.
    pub size: u64,
    /// Where it came from, shortened so that it names no person; [`RECONCILED`] for what the provider listed.
    pub source: Option<String>,
    /// For how many requests it stands: more than one only for the sum of rejected ones above the cap.
    pub count: i64,
    /// The headers and body.
    pub payload: PayloadAt,
}

impl EventItem {
    /// Whether no webhook brought it: the provider listed it when it was asked.
    pub fn is_reconciled(&self) -> bool {
        self.source.as_deref() == Some(RECONCILED)
    }

    /// Whether it is listed: the sum of many is only counted.
    fn is_listed(&self) -> bool {
        self.count == 1
    }

    /// When it may go: Unix seconds. From its last outcome on, so that one that took effect late is remembered as long
    /// as any other.
    fn expires(&self) -> i64 {
        let kept = if self.outcome.is_unsettled() { UNSETTLED_SECONDS } else { KEPT_SECONDS };
        self.processed_ms.unwrap_or(0).max(self.received_ms) / 1_000 + kept
    }

    fn shard(&self, shards: u8) -> u8 {
        let last = self.id.get(self.id.len().saturating_sub(2)..).unwrap_or("0");
        u8::from_str_radix(last, 16).unwrap_or(0) % shards
    }

    fn to_item(&self) -> Item {
        let mut item = Item::new();
        let mut put = |name: &str, value: AttributeValue| {
            item.insert(name.to_owned(), value);
        };
        put("pk", text(format!("E#{}", self.id)));
        put("sk", text("E"));
        put("st", text(self.outcome.name()));
        put("pv", text(&self.provider));
        put("ty", text(&self.kind));
        put("ra", number(self.received_ms));
        put("at", number(self.attempts));
        put("rq", text(&self.request_id));
        put("sz", number(self.size));
        put(EXPIRES, number(self.expires()));
        let texts = [
            ("ev", &self.provider_event_id),
            ("ac", &self.account),
            ("ca", &self.cause),
            ("sr", &self.source),
            ("ky", &self.key),
            ("cn", &self.connection),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                put(name, text(value));
            }
        }
        let numbers = [
            ("pa", self.processed_ms),
            ("oc", self.occurred_ms),
            ("du", self.due_ms),
            ("n", (self.count != 1).then_some(self.count)),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                put(name, number(value));
            }
        }
        match &self.payload {
            PayloadAt::Here(bytes) => put("b", AttributeValue::B(Blob::new(bytes.clone()))),
            PayloadAt::Stored(name) => put("bs", text(name)),
            PayloadAt::Nowhere => {}
        }
        if self.is_listed() {
            let shard = self.shard(DAY_SHARDS);
            put("g1", text(day_partition(&self.provider, &day(self.received_ms), shard)));
            put("g1s", text(self.place_by_time()));
            if self.outcome.is_rare() {
                let shard = self.shard(RARE_SHARDS);
                put("g2", text(rare_partition(&self.provider, self.outcome, shard)));
                put("g2s", text(self.place_among_rare()));
            }
        }
        item
    }

    fn sort_key(&self, at_ms: i64) -> String {
        format!("{}#{}", moment(at_ms), self.id)
    }

    pub(super) fn from_item(action: &'static str, item: &Item) -> Result<Self, TableError> {
        let reader = Reader { action, item };
        let owned = |name: &str| reader.text(name).map(str::to_owned);
        let id = reader.must("pk", reader.text("pk").and_then(|pk| pk.strip_prefix("E#")))?;
        let payload = match (item.get("b"), owned("bs")) {
            (Some(AttributeValue::B(bytes)), _) => PayloadAt::Here(bytes.as_ref().to_vec()),
            (_, Some(name)) => PayloadAt::Stored(name),
            _ => PayloadAt::Nowhere,
        };
        Ok(Self {
            id: id.to_owned(),
            outcome: reader.must("st", reader.text("st").and_then(Outcome::named))?,
            provider: reader.must("pv", owned("pv"))?,
            kind: owned("ty").unwrap_or_default(),
            provider_event_id: owned("ev"),
            account: owned("ac"),
            cause: owned("ca"),
            attempts: reader.number("at").and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            received_ms: reader.must("ra", reader.number("ra"))?,
            processed_ms: reader.number("pa"),
            occurred_ms: reader.number("oc"),
            due_ms: reader.number("du"),
            request_id: owned("rq").unwrap_or_default(),
            key: owned("ky").or_else(|| reader.number("ky").map(|place| place.to_string())),
            connection: owned("cn"),
            size: reader.number("sz").and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            source: owned("sr"),
            count: reader.number("n").unwrap_or(1),
            payload,
        })
    }
}

/// A part of a list, newest first.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Events as the indexes carry them: fields that they do not carry are empty.
    pub events: Vec<EventItem>,
    /// Whether older ones follow.
    pub more: bool,
}

fn day(at_ms: i64) -> String {
    let at = Offset::UTC.to_datetime(Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH));
    format!("{:04}{:02}{:02}", at.year(), at.month(), at.day())
}

fn day_partition(provider: &str, day: &str, shard: u8) -> String {
    format!("{provider}#{day}#{shard}")
}

/// The partitions that a provider's day is spread over.
pub(super) fn day_partitions(provider: &str, day_ms: i64) -> Vec<String> {
    let day = day(day_ms);
    (0..DAY_SHARDS).map(|shard| day_partition(provider, &day, shard)).collect()
}

fn rare_partition(provider: &str, outcome: Outcome, shard: u8) -> String {
    format!("{provider}#{}#{shard}", outcome.name())
}

impl Table {
    /// The event, or rejected request, of that id. One past its time is gone, whether DynamoDB has deleted it or not.
    pub async fn event(
        &self,
        id: &str,
        consistent: bool,
        now: Timestamp,
    ) -> Result<Option<EventItem>, TableError> {
        let action = "read an event";
        let Some(item) = self.get(action, format!("E#{id}"), "E", consistent).await? else { return Ok(None) };
        let reader = Reader { action, item: &item };
        if reader.number(EXPIRES).is_some_and(|expires| expires <= now.as_second()) {
            return Ok(None);
        }
        EventItem::from_item(action, &item).map(Some)
    }

    /// Writes the event unless one of that id has a final outcome already.
    pub async fn put_event(&self, event: &EventItem) -> Result<Written, TableError> {
        let put = self
            .put(event)
            .condition_expression("attribute_not_exists(pk) OR NOT st IN (:a, :s, :i, :w)")
            .expression_attribute_values(":a", text(Outcome::Applied.name()))
            .expression_attribute_values(":s", text(Outcome::Superseded.name()))
            .expression_attribute_values(":i", text(Outcome::Ignored.name()))
            .expression_attribute_values(":w", text(Outcome::Shadowed.name()));
        conditional(put.send().await.map_err(TableError::new("write an event")))
    }

    /// The same for one that is done anew: over one that changed nothing as well.
    pub async fn put_event_anew(&self, event: &EventItem) -> Result<Written, TableError> {
        let put = self
            .put(event)
            .condition_expression("attribute_not_exists(pk) OR NOT st IN (:a, :s)")
            .expression_attribute_values(":a", text(Outcome::Applied.name()))
            .expression_attribute_values(":s", text(Outcome::Superseded.name()));
        conditional(put.send().await.map_err(TableError::new("write an event")))
    }

    /// Writes a rejected request, if there is none: a message that comes once more must not take back what has become of
    /// the request since.
    pub async fn put_rejected(&self, request: &EventItem) -> Result<Written, TableError> {
        let put = self.put(request).condition_expression("attribute_not_exists(pk)");
        conditional(put.send().await.map_err(TableError::new("write a rejected request")))
    }

    fn put(&self, event: &EventItem) -> PutItemFluentBuilder {
        self.client.put_item().table_name(&self.main).set_item(Some(event.to_item()))
    }

    /// Moves the due time of a failed event, if it is still the one that was read: of two sweepers one wins.
    pub async fn claim_due(&self, event: &EventItem, due_ms: i64) -> Result<Written, TableError> {
        let Some(before) = event.due_ms else { return Ok(Written::No) };
        let update = self
            .client
            .update_item()
            .table_name(&self.main)
            .key("pk", text(format!("E#{}", event.id)))
            .key("sk", text("E"))
            .update_expression("SET du = :due, g2s = :sort")
            .condition_expression("st = :failed AND du = :before")
            .expression_attribute_values(":due", number(due_ms))
            .expression_attribute_values(":sort", text(event.sort_key(due_ms)))
            .expression_attribute_values(":failed", text(Outcome::Failed.name()))
            .expression_attribute_values(":before", number(before));
        conditional(update.send().await.map_err(TableError::new("claim a due event")))
    }

    /// Takes away a request that was kept because its events could not be read, when they are there.
    pub async fn forget_request(&self, id: &RequestId) -> Result<(), TableError> {
        self.client
            .delete_item()
            .table_name(&self.main)
            .key("pk", text(format!("E#{id}")))
            .key("sk", text("E"))
            .send()
            .await
            .map(|_| ())
            .map_err(TableError::new("take away a request"))
    }

    /// Ids of a provider's failed events that are due, the longest due first, at most `limit` a shard.
    pub async fn due(&self, provider: &str, now_ms: i64, limit: i32) -> Result<Vec<String>, TableError> {
        let partitions = (0..RARE_SHARDS).map(|shard| rare_partition(provider, Outcome::Failed, shard));
        let bounds = (String::new(), moment(now_ms + 1));
        let (events, _) = self.in_partitions(RARE, partitions, bounds, limit, Order::OldestFirst).await?;
        Ok(events.into_iter().map(|event| event.id).collect())
    }

    /// The id of the event that a request brought, if it was the first to bring it.
    pub async fn event_of_request(
        &self,
        provider: &str,
        request: &RequestId,
    ) -> Result<Option<String>, TableError> {
        let at_ms = request.arrived_ms();
        let partitions = day_partitions(provider, at_ms);
        let bounds = (moment(at_ms), moment(at_ms + 1));
        let (events, _) = self.in_partitions(BY_TIME, partitions, bounds, 100, Order::NewestFirst).await?;
        Ok(events.into_iter().find(|event| event.request_id == request.as_str()).map(|event| event.id))
    }

    /// A provider's events and rejected requests of one UTC day, newest first, from before `before` on.
    pub async fn events_of_day(
        &self,
        provider: &str,
        day_ms: i64,
        before: &str,
        limit: i32,
    ) -> Result<Listing, TableError> {
        self.listed(BY_TIME, day_partitions(provider, day_ms), before, limit).await
    }

    /// A provider's events of one rare outcome, newest first, from before `before` on.
    pub async fn rare_events(
        &self,
        provider: &str,
        outcome: Outcome,
        before: &str,
        limit: i32,
    ) -> Result<Listing, TableError> {
        let partitions = (0..RARE_SHARDS).map(|shard| rare_partition(provider, outcome, shard)).collect();
        self.listed(RARE, partitions, before, limit).await
    }

    /// Up to `limit` events of all partitions together. Of each only about its share is read, and the list ends where
    /// the first partition of which more was to be read ended: what lies beyond could be newer than what was read.
    async fn listed(
        &self,
        index: &str,
        partitions: Vec<String>,
        before: &str,
        limit: i32,
    ) -> Result<Listing, TableError> {
        let count = i32::try_from(partitions.len()).unwrap_or(1).max(1);
        let share = (2 * limit / count + 8).min(limit);
        let bounds = (String::new(), before.to_owned());
        let (mut events, ends) =
            self.in_partitions(index, partitions, bounds, share, Order::NewestFirst).await?;
        events.sort_by_cached_key(|event| std::cmp::Reverse(event.place_in(index)));
        let mut more = false;
        if let Some(end) = ends.into_iter().max() {
            more = true;
            events.retain(|event| event.place_in(index) >= end);
        }
        let limit = usize::try_from(limit).unwrap_or(0);
        more |= events.len() > limit;
        events.truncate(limit);
        Ok(Listing { events, more })
    }

    /// Events of these partitions of an index whose sort key lies in `[from, to)`, at most `limit` of each; and of each
    /// that has more, the place of its last one.
    async fn in_partitions(
        &self,
        index: &str,
        partitions: impl IntoIterator<Item = String>,
        (from, to): (String, String),
        limit: i32,
        order: Order,
    ) -> Result<(Vec<EventItem>, Vec<String>), TableError> {
        let action = "list events";
        let [hash, range] = if index == RARE { ["g2", "g2s"] } else { ["g1", "g1s"] };
        let mut queries = tokio::task::JoinSet::new();
        for partition in partitions {
            let mut query = self
                .client
                .query()
                .table_name(&self.main)
                .index_name(index)
                .expression_attribute_values(":g", text(partition))
                .expression_attribute_values(":to", text(&to))
                .scan_index_forward(order == Order::OldestFirst)
                .limit(limit);
            query = if from.is_empty() {
                query.key_condition_expression(format!("{hash} = :g AND {range} < :to"))
            } else {
                // Both ends belong to BETWEEN; no key is as short as `to`, so none is equal to it.
                query
                    .key_condition_expression(format!("{hash} = :g AND {range} BETWEEN :from AND :to"))
                    .expression_attribute_values(":from", text(&from))
            };
            queries.spawn(query.send());
        }
        let (mut events, mut ends) = (Vec::new(), Vec::new());
        while let Some(answer) = queries.join_next().await {
            let answer =
                answer.map_err(|error| TableError { action, cause: error.to_string(), code: None })?;
            let answer = answer.map_err(TableError::new(action))?;
            for item in answer.items() {
                events.push(EventItem::from_item(action, item)?);
            }
            if answer.last_evaluated_key.is_some() && !answer.items().is_empty() {
                ends.extend(events.last().map(|event| event.place_in(index)));
            }
        }
        Ok((events, ends))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// The sort key before those of this moment: Unix milliseconds.
pub(super) fn moment(at_ms: i64) -> String {
    format!("{at_ms:013}")
}

impl EventItem {
    /// Its place in the list of a provider's day: pass it as `before` to go on after it.
    pub fn place_by_time(&self) -> String {
        self.place_in(BY_TIME)
    }

    /// The same in the list of its rare outcome, where failed events stand by the time at which they are due.
    pub fn place_among_rare(&self) -> String {
        self.place_in(RARE)
    }

    fn place_in(&self, index: &str) -> String {
        let due_ms = self.due_ms.filter(|_| index == RARE);
        self.sort_key(due_ms.unwrap_or(self.received_ms))
    }
}
