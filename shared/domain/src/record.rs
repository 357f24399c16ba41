//! Records: what events change, and how changes that arrive late, twice or out of order become one state.
//!
//! A record keeps the changes that it has seen, sorted by the provider's own order. Its state is a function of that
//! set and not of the order of arrival: any permutation of the same changes, with any of them repeated, gives the same
//! status and fields. That is what makes every step of processing safe to repeat.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fields::{Fields, Place, Spoken};

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Money that a customer pays.
    Payment,
    /// Money given back.
    Refund,
    /// What was ordered.
    Order,
    /// What can be ordered: a product, a dish, a variation of one.
    Item,
    /// How much of an item there is at a place, or whether there is any.
    Stock,
    /// A text sent to a customer, or by one.
    Message,
    /// A calendar that is watched.
    Calendar,
    /// An advertisement, or the account that pays for them.
    Ad,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Payment,
        Self::Refund,
        Self::Order,
        Self::Item,
        Self::Stock,
        Self::Message,
        Self::Calendar,
        Self::Ad,
    ];

    /// The name used in the table: `payment`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Order => "order",
            Self::Item => "item",
            Self::Stock => "stock",
            Self::Message => "message",
            Self::Calendar => "calendar",
            Self::Ad => "ad",
        }
    }

    /// The name used in paths: `payments`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Payment => "payments",
            Self::Refund => "refunds",
            Self::Order => "orders",
            Self::Item => "items",
            Self::Stock => "stocks",
            Self::Message => "messages",
            Self::Calendar => "calendars",
            Self::Ad => "ads",
        }
    }
}

/// Where a record stands. Which of them a kind can have is its provider module's matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// An order not placed yet.
    Draft,
    /// Begun, undecided.
    Pending,
    /// Waits for the customer (a second factor, a method).
    ActionRequired,
    /// The money is reserved.
    Authorized,
    /// An order placed and not yet acted upon.
    Open,
    /// Accepted by the shop or kitchen.
    Confirmed,
    /// Being made.
    Preparing,
    /// Made, waits to leave.
    Ready,
    /// On its way; partly fulfilled counts too.
    Dispatched,
    /// With the customer.
    Delivered,
    /// Settled: money captured, refund paid, order closed.
    Completed,
    /// An attempt that failed. A payment may be tried again after it.
    Failed,
    /// Refused by the shop or kitchen.
    Rejected,
    /// Called off.
    Cancelled,
    /// Paid back in part.
    PartiallyRefunded,
    /// Paid back whole.
    Refunded,
    /// An item, a calendar or an ad is new, or another than it was; what is new about it is not told.
    Changed,
    /// An item can be had.
    Available,
    /// An item can't be had.
    Unavailable,
    /// An item is no longer, or a channel to a calendar has ended.
    Deleted,
    /// A message waits to be sent.
    Queued,
    /// A message was handed to the carrier.
    Sent,
    /// A message of a customer's has come in.
    Received,
    /// A message was opened.
    Read,
    /// A message will not arrive; the reason says why.
    Undelivered,
}

impl Status {
    /// How far along the life of its record a status is; decides between two states that the provider's own order
    /// can't tell apart.
    pub fn rank(self) -> u8 {
        match self {
            Self::Draft => 0,
            Self::Changed => 2,
            Self::Available => 4,
            Self::Unavailable => 6,
            Self::Pending => 10,
            Self::ActionRequired => 12,
            Self::Failed => 14,
            Self::Queued => 16,
            Self::Sent => 18,
            Self::Authorized => 20,
            Self::Open => 22,
            Self::Confirmed => 24,
            Self::Preparing => 26,
            Self::Ready => 28,
            Self::Dispatched => 30,
            Self::Delivered => 32,
            Self::Received => 34,
            Self::Read => 36,
            Self::Completed => 40,
            Self::PartiallyRefunded => 42,
            Self::Refunded => 44,
            Self::Rejected => 50,
            Self::Cancelled => 52,
            Self::Undelivered => 54,
            Self::Deleted => 56,
        }
    }

    /// The name used in the API and the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::ActionRequired => "action_required",
            Self::Authorized => "authorized",
            Self::Open => "open",
            Self::Confirmed => "confirmed",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Dispatched => "dispatched",
            Self::Delivered => "delivered",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
            Self::Changed => "changed",
            Self::Available => "available",
            Self::Unavailable => "unavailable",
            Self::Deleted => "deleted",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Read => "read",
            Self::Undelivered => "undelivered",
        }
    }
}

/// Which record: a provider's, of a kind, by the provider's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// The provider's name.
    pub provider: String,
    /// Empty where the provider's ids are unique among all its accounts; the account where they are not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// What it is of.
    pub kind: Kind,
    /// The provider's id, as text: ids beyond 2^53 come through exactly.
    pub id: String,
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.plural(), self.provider, self.id)
    }
}

/// The provider's order of a record's states: by time first, then by version, then by rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// A time in the finest unit that the provider sends; its version numbers, where it always sends those.
    #[serde(rename = "m")]
    pub major: i64,
    /// The provider's version number beside the time, where it sends one.
    #[serde(rename = "v", default, skip_serializing_if = "is_unversioned")]
    pub version: i64,
    /// How far along the record is; see [`Status::rank`].
    #[serde(rename = "r")]
    pub rank: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_unversioned(version: &i64) -> bool {
    *version == 0
}

impl Revision {
    /// A state that the provider places by this time or number, and nothing else.
    pub fn at(major: i64, status: Status) -> Self {
        Self { major, version: 0, rank: status.rank() }
    }
}

/// One thing that an event says of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of which record.
    pub record: RecordKey,
    /// Its place in the provider's order.
    pub revision: Revision,
    /// When, by the provider's clock.
    pub occurred_at: Timestamp,
    /// The record's status after it.
    pub status: Status,
    /// What else it says.
    pub fields: Fields,
}

impl Change {
    /// Tells apart two changes of one revision, and orders them the same way whichever came first.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.status.name());
        hash.update(serde_json::to_vec(&self.fields).unwrap_or_default());
        hex::encode(&hash.finalize()[..6])
    }
}

/// What a change did to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The record's newest state is this change's.
    Applied,
    /// The record was newer, or said the same, already.
    Superseded,
}

/// A record's step from one status to another. Jobs are owed for these, once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The status before; none for a record's first.
    pub from: Option<Status>,
    /// The status after.
    pub to: Status,
}

/// Begins the type of what no webhook brought, where a record remembers it.
const FETCHED: &str = "reconciled ";

/// The type of an event that no webhook brought, as a record is to remember it.
pub fn fetched(kind: &str) -> String {
    format!("{FETCHED}{kind}")
}

/// A change as the record remembers it. Stored under one-letter names: a record with a few changes should fit one write
/// unit of the table, 1 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The event that brought it; see [`crate::EventId::digits`].
    #[serde(rename = "e")]
    pub event: String,
    /// The provider's name of that event's type.
    #[serde(rename = "k")]
    pub kind: String,
    /// Its place in the provider's order.
    #[serde(rename = "r")]
    pub revision: Revision,
    /// See [`Change::digest`].
    #[serde(rename = "g")]
    pub digest: String,
    /// When, by the provider's clock.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// The status it brought.
    #[serde(rename = "s")]
    pub status: Status,
    /// What it did when it came.
    #[serde(rename = "x")]
    pub effect: Effect,
    /// The transition it caused when it came.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
    /// Which fields it spoke of.
    #[serde(rename = "b")]
    pub spoken: Spoken,
}

impl Seen {
    /// The provider's name of the event's type, and whether no webhook brought it.
    pub fn told(&self) -> (&str, bool) {
        self.kind.strip_prefix(FETCHED).map_or((&self.kind, false), |kind| (kind, true))
    }
}

/// How many changes a record remembers. A record that sees more forgets its oldest and says so; a change older than
/// all that are remembered is superseded.
const REMEMBERED: usize = 64;

/// The state of one thing at a provider, with what led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which one.
    pub key: RecordKey,
    /// The provider's id of the merchant, shop or account it belongs to.
    pub account: String,
    /// Where it stands.
    pub status: Status,
    /// What else is known.
    pub fields: Fields,
    /// The changes it has seen, oldest first by the provider's order.
    pub seen: Vec<Seen>,
    /// How many of them were forgotten.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgotten: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The record after it.
    pub record: Record,
    /// What the change did, now or when it first came.
    pub effect: Effect,
    /// The transition it caused, now or when it first came.
    pub transition: Option<Transition>,
    /// Whether the record differs from what it was and must be written.
    pub changed: bool,
}

/// A change of one account's to a record of another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record belongs to another account of this provider")]
pub struct OtherAccount;

impl Record {
    /// What becomes of the record, or of none, by a change that `event` (of type `kind`, for `account`) brings.
    pub fn merge(
        present: Option<Self>,
        change: &Change,
        account: &str,
        event: &str,
        kind: &str,
    ) -> Result<Merged, OtherAccount> {
        let digest = change.digest();
        let mut seen = Seen {
            event: event.to_owned(),
            kind: kind.to_owned(),
            revision: change.revision,
            digest,
            at: change.occurred_at,
            status: change.status,
            effect: Effect::Applied,
            transition: Some(Transition { from: None, to: change.status }),
            spoken: change.fields.spoken(),
        };
        let Some(mut record) = present else {
            let record = Self {
                key: change.record.clone(),
                account: account.to_owned(),
                status: change.status,
                fields: change.fields.clone(),
                seen: vec![seen.clone()],
                forgotten: 0,
            };
            return Ok(Merged { record, effect: seen.effect, transition: seen.transition, changed: true });
        };
        if record.account != account {
            return Err(OtherAccount);
        }
        let place = |entry: &Seen| (entry.revision, entry.digest.clone());
        let here = place(&seen);
        if let Some(before) = record.seen.iter().find(|entry| entry.event == event && place(entry) == here) {
            let (effect, transition) = (before.effect, before.transition);
            return Ok(Merged { record, effect, transition, changed: false });
        }
        let at = record.seen.partition_point(|entry| place(entry) < here);
        let known = record.seen.get(at).is_some_and(|entry| place(entry) == here);
        if known || (at == 0 && record.forgotten > 0) {
            return Ok(Merged { record, effect: Effect::Superseded, transition: None, changed: false });
        }
        let newest = at == record.seen.len();
        if newest {
            seen.transition = (record.status != change.status)
                .then_some(Transition { from: Some(record.status), to: change.status });
            record.status = change.status;
        } else {
            seen.effect = Effect::Superseded;
            seen.transition = None;
        }
        record.fields.take(change.fields.clone(), newest, |field| {
            match record.seen.iter().rposition(|entry| entry.spoken.of(field)) {
                Some(from) if record.seen[from].revision == change.revision => {
                    Place::Beside { after: from < at }
                }
                Some(from) if from >= at => Place::Before,
                _ => Place::After,
            }
        });
        let (effect, transition) = (seen.effect, seen.transition);
        record.seen.insert(at, seen);
        if record.seen.len() > REMEMBERED {
            record.seen.remove(0);
            record.forgotten += 1;
        }
        Ok(Merged { record, effect, transition, changed: true })
    }

    /// Whether the provider's order can't tell the newest two states apart, so that only asking the provider can.
    pub fn is_uncertain(&self) -> bool {
        matches!(self.seen.as_slice(), [.., one, other] if one.revision == other.revision)
    }

    /// The steps from status to status, oldest first by the provider's order, whatever the order of arrival.
    pub fn history(&self) -> Vec<&Seen> {
        let mut steps: Vec<&Seen> = Vec::new();
        for entry in &self.seen {
            if steps.last().is_none_or(|last| last.status != entry.status) {
                steps.push(entry);
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::Money;

    fn change(major: i64, status: Status, minor: i64) -> Change {
        Change {
            record: RecordKey {
                provider: "square".into(),
                scope: String::new(),
                kind: Kind::Payment,
                id: "p1".into(),
            },
            revision: Revision::at(major, status),
            occurred_at: Timestamp::from_second(major).unwrap(),
            status,
            fields: Fields {
                amount: Some(Money::from_minor(minor, "USD".parse().unwrap())),
                ..Fields::default()
            },
        }
    }

    /// The same change, silent of some fields and speaking of others.
    fn says(mut change: Change, minor: i64, spoken: u8) -> Change {
        let word = |bit: u8| (spoken & bit != 0).then(|| format!("{minor}"));
        let money = Money::from_minor(minor, "USD".parse().unwrap());
        change.fields = Fields {
            amount: (spoken & 1 != 0).then_some(money),
            refunded: (spoken & 2 != 0).then_some(money),
            method: word(4),
            order: word(8),
            reason: word(16),
            amount_major: word(64),
            parts: (spoken & 32 != 0).then(|| (format!("part {minor}"), money)).into_iter().collect(),
            ..Fields::default()
        };
        change
    }

    fn fold(changes: &[(i64, Change)]) -> Record {
        let mut record = None;
        for (number, change) in changes {
            let event = format!("{number:016}");
            record = Some(Record::merge(record, change, "M", &event, "payment.updated").unwrap().record);
        }
        record.unwrap()
    }

    fn view(record: &Record) -> (Status, Fields, Vec<(Revision, String, Status)>) {
        let seen =
            record.seen.iter().map(|entry| (entry.revision, entry.digest.clone(), entry.status)).collect();
        (record.status, record.fields.clone(), seen)
    }

    #[test]
    fn an_older_state_never_replaces_a_newer_one_and_is_still_remembered() {
        let newer = Record::merge(None, &change(2, Status::Completed, 100), "M", "b", "t").unwrap();
        let late =
            Record::merge(Some(newer.record), &change(1, Status::Authorized, 90), "M", "a", "t").unwrap();
        assert_eq!((late.effect, late.transition, late.changed), (Effect::Superseded, None, true));
        assert_eq!(late.record.status, Status::Completed);
        assert_eq!(late.record.fields.amount.unwrap().minor(), 100);
        let history: Vec<_> = late.record.history().iter().map(|entry| entry.status).collect();
        assert_eq!(history, [Status::Authorized, Status::Completed]);
    }

    #[test]
    fn the_same_change_tried_again_owes_the_same_transition_whatever_came_between() {
        let first = Record::merge(None, &change(1, Status::Authorized, 1), "M", "a", "t").unwrap();
        let second =
            Record::merge(Some(first.record), &change(2, Status::Completed, 1), "M", "b", "t").unwrap();
        let again =
            Record::merge(Some(second.record), &change(1, Status::Authorized, 1), "M", "a", "t").unwrap();
        assert_eq!((again.effect, again.changed), (Effect::Applied, false));
        assert_eq!(again.transition, Some(Transition { from: None, to: Status::Authorized }));
    }

    #[test]
    fn a_twin_of_a_change_owes_nothing() {
        let first = Record::merge(None, &change(1, Status::Completed, 1), "M", "webhook", "t").unwrap();
        let twin =
            Record::merge(Some(first.record), &change(1, Status::Completed, 1), "M", "reconciled", "t")
                .unwrap();
        assert_eq!((twin.effect, twin.transition, twin.changed), (Effect::Superseded, None, false));
    }

    #[test]
    fn equal_revisions_that_differ_are_uncertain_until_a_newer_one_comes() {
        let record = fold(&[(1, change(1, Status::Completed, 1)), (2, change(1, Status::Completed, 2))]);
        assert!(record.is_uncertain());
        let record =
            Record::merge(Some(record), &change(2, Status::Completed, 2), "M", "3", "t").unwrap().record;
        assert!(!record.is_uncertain());
    }

    #[test]
    fn a_field_is_the_newest_changes_that_speaks_of_it_however_late_that_one_comes() {
        let method = |major, method: Option<&str>| {
            let mut change = change(major, Status::Completed, 1);
            change.fields.method = method.map(str::to_owned);
            change
        };
        let (old, middle, new) = (method(1, Some("card")), method(2, Some("klarna")), method(3, None));
        let record = fold(&[(1, old), (3, new), (2, middle)]);
        assert_eq!(record.fields.method.as_deref(), Some("klarna"));
    }

    #[test]
    fn the_reason_of_a_failure_goes_with_it() {
        let mut failed = change(1, Status::Failed, 1);
        failed.fields.reason = Some("card_declined".into());
        let record = fold(&[(1, failed.clone()), (2, change(2, Status::Completed, 1))]);
        assert_eq!(record.fields.reason, None);
        let record = fold(&[(2, change(2, Status::Completed, 1)), (1, failed)]);
        assert_eq!(record.fields.reason, None);
    }

    #[test]
    fn what_was_paid_back_is_the_newest_word_and_of_two_equally_new_the_larger() {
        let back = |major, minor| {
            let mut change = change(major, Status::PartiallyRefunded, 100);
            change.fields.refunded = Some(Money::from_minor(minor, "USD".parse().unwrap()));
            change
        };
        let refunded = |changes: &[(i64, Change)]| fold(changes).fields.refunded.unwrap().minor();
        assert_eq!(refunded(&[(1, back(1, 50)), (2, back(2, 20))]), 20);
        assert_eq!(refunded(&[(2, back(2, 20)), (1, back(1, 50))]), 20);
        assert_eq!(refunded(&[(1, back(1, 50)), (2, back(1, 20))]), 50);
        assert_eq!(refunded(&[(2, back(1, 20)), (1, back(1, 50))]), 50);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let usd = "USD".parse().unwrap();
        let part = |major, id: &str, minor| {
            let mut change = change(major, Status::Completed, 0);
            change.fields.amount = None;
            change.fields.parts = [(id.to_owned(), Money::from_minor(minor, usd))].into();
            change
        };
        let record =
            fold(&[(3, part(3, "b", 40)), (1, change(1, Status::Authorized, 100)), (2, part(2, "a", 60))]);
        assert_eq!(record.fields.whole().unwrap().minor(), 100);
        let record = fold(&[(1, change(1, Status::Authorized, 100)), (2, part(2, "a", 60))]);
        assert_eq!(record.fields.whole().unwrap().minor(), 60);
    }

    #[test]
    fn a_change_of_another_account_is_refused() {
        let first = Record::merge(None, &change(1, Status::Completed, 1), "M", "a", "t").unwrap();
        assert_eq!(
            Record::merge(Some(first.record), &change(2, Status::Completed, 1), "N", "b", "t"),
            Err(OtherAccount)
        );
    }

    #[test]
    fn a_record_remembers_a_bounded_number_of_changes() {
        let many: Vec<_> = (1..=100).map(|n| (n, change(n, Status::Pending, n))).collect();
        let record = fold(&many);
        assert_eq!((record.seen.len(), record.forgotten), (REMEMBERED, 36));
        let late = Record::merge(Some(record), &change(5, Status::Failed, 5), "M", "late", "t").unwrap();
        assert_eq!((late.effect, late.changed), (Effect::Superseded, false));
    }

    proptest! {
        #[test]
        fn the_order_and_number_of_deliveries_change_nothing(
            changes in prop::collection::vec((1_i64..6, 0_usize..4, 0_i64..3, 0_u8..128), 1..12),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let statuses = [Status::Pending, Status::Authorized, Status::Completed, Status::Cancelled];
            let all: Vec<_> = changes
                .iter()
                .zip(0..)
                .map(|(&(major, status, minor, spoken), n)| (n, says(change(major, statuses[status], minor), minor, spoken)))
                .collect();
            let mut shuffled: Vec<_> = order.iter().map(|at| all[at.index(all.len())].clone()).collect();
            shuffled.extend(all.iter().rev().cloned());
            prop_assert_eq!(view(&fold(&all)), view(&fold(&shuffled)));
        }
    }
}
