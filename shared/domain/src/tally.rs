//! Tallies: what came of each connection's webhooks, hour by hour and type by type. Counted from the events themselves, so
//! that they are what the list of events says, and cost no write of an event's.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::event::{Origin, Outcome};
use crate::figures::{Counted, Deltas, RECEIVED, of, outcome_figure};
use crate::span::HOUR_MS;

/// Types that are told apart of one connection in one hour; what comes beyond is summed as [`OTHER`].
const TYPES: usize = 24;
/// How much of a type's name is kept.
const LONGEST_TYPE: usize = 80;
/// What types beyond the first are summed as.
pub const OTHER: &str = "other";

/// The hour that a moment lies in, in hours since 1970.
pub fn hour_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(HOUR_MS)
}

/// How many of these arrived that were believed.
pub fn believed(figures: &Deltas) -> i64 {
    figures.get(RECEIVED) - figures.get(&outcome_figure(Outcome::Rejected))
}

/// What came of one connection's webhooks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhooks {
    /// When the last that was believed arrived, Unix milliseconds.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<i64>,
    /// The figures by the provider's name for the type.
    #[serde(rename = "t", default)]
    pub types: BTreeMap<String, Deltas>,
}

/// What came of all connections' webhooks in one span, by connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally(pub BTreeMap<String, Webhooks>);

impl Webhooks {
    /// Counts one that arrived.
    pub fn add(&mut self, kind: &str, event: &Counted) {
        // What was fetched is no sign that webhooks come.
        if event.outcome != Outcome::Rejected && event.origin == Origin::Webhook {
            self.last_ms = self.last_ms.max(Some(event.received_ms));
        }
        self.of_type(kind).merge(&of(event));
    }

    /// Adds another span's.
    pub fn merge(&mut self, other: &Self) {
        self.last_ms = self.last_ms.max(other.last_ms);
        for (kind, figures) in &other.types {
            self.of_type(kind).merge(figures);
        }
    }

    /// All types together.
    pub fn sum(&self) -> Deltas {
        let mut sum = Deltas::default();
        for figures in self.types.values() {
            sum.merge(figures);
        }
        sum
    }

    /// How many arrived that were believed.
    pub fn believed(&self) -> i64 {
        self.types.values().map(believed).sum()
    }

    fn of_type(&mut self, kind: &str) -> &mut Deltas {
        let name: String = kind.chars().take(LONGEST_TYPE).collect();
        let is_one_more = !self.types.contains_key(&name) && self.types.len() >= TYPES;
        self.types.entry(if is_one_more { OTHER.to_owned() } else { name }).or_default()
    }
}

impl Tally {
    /// Counts one of a connection's that arrived.
    pub fn add(&mut self, connection: &str, kind: &str, event: &Counted) {
        self.0.entry(connection.to_owned()).or_default().add(kind, event);
    }

    /// Adds another span's.
    pub fn merge(&mut self, other: &Self) {
        for (connection, webhooks) in &other.0 {
            self.0.entry(connection.clone()).or_default().merge(webhooks);
        }
    }
}

/// Reads a tally as it is stored, one connection after the other: who is not wanted is passed over, and nobody is kept. All of
/// ten thousand connections' tallies at once are too much for who wants to know of a few.
pub struct Each<W, T> {
    /// Whether a connection is wanted.
    pub is_wanted: W,
    /// Takes what came of its webhooks.
    pub take: T,
}

impl<'de, W: FnMut(&str) -> bool, T: FnMut(&str, Webhooks)> DeserializeSeed<'de> for Each<W, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, W: FnMut(&str) -> bool, T: FnMut(&str, Webhooks)> Visitor<'de> for Each<W, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what came of webhooks, by connection")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut all: A) -> Result<(), A::Error> {
        while let Some(connection) = all.next_key::<String>()? {
            if (self.is_wanted)(&connection) {
                (self.take)(&connection, all.next_value()?);
            } else {
                all.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::RETRIES;

    fn event(outcome: Outcome, received_ms: i64) -> Counted {
        let attempts = if outcome == Outcome::Parked { 3 } else { 1 };
        Counted {
            outcome,
            cause: None,
            received_ms,
            processed_ms: Some(received_ms + 30),
            attempts,
            count: 1,
            origin: Origin::Webhook,
        }
    }

    #[test]
    fn each_type_is_counted_for_itself_and_all_together() {
        let mut tally = Tally::default();
        tally.add("c", "payment.updated", &event(Outcome::Applied, 10));
        tally.add("c", "payment.updated", &event(Outcome::Parked, 30));
        tally.add("c", "order.created", &event(Outcome::Applied, 20));
        let webhooks = &tally.0["c"];
        assert_eq!((webhooks.believed(), webhooks.last_ms), (3, Some(30)));
        assert_eq!(webhooks.types["payment.updated"].get(&outcome_figure(Outcome::Parked)), 1);
        assert_eq!((webhooks.sum().get(RECEIVED), webhooks.sum().get(RETRIES)), (3, 2));
    }

    #[test]
    fn what_was_not_believed_is_no_sign_of_life() {
        let mut webhooks = Webhooks::default();
        webhooks.add("", &event(Outcome::Rejected, 50));
        assert_eq!((webhooks.believed(), webhooks.last_ms, webhooks.sum().get(RECEIVED)), (0, None, 1));
    }

    #[test]
    fn spans_add_up_to_what_they_are_together() {
        let (mut first, mut second, mut both) = (Tally::default(), Tally::default(), Tally::default());
        for nth in 0..40 {
            let kind = format!("type-{}", nth % 5);
            let half = if nth % 2 == 0 { &mut first } else { &mut second };
            half.add("c", &kind, &event(Outcome::Applied, nth));
            both.add("c", &kind, &event(Outcome::Applied, nth));
        }
        first.merge(&second);
        assert_eq!(first, both);
    }

    #[test]
    fn a_sender_of_ever_new_types_fills_nothing() {
        let mut webhooks = Webhooks::default();
        for nth in 0..1_000 {
            webhooks.add(&format!("{}{nth}", "x".repeat(200)), &event(Outcome::Ignored, nth));
            webhooks.add(&format!("{nth}"), &event(Outcome::Ignored, nth));
        }
        assert!(webhooks.types.len() <= TYPES + 1);
        assert_eq!(webhooks.believed(), 2_000);
        assert!(webhooks.types.keys().all(|kind| kind.len() <= LONGEST_TYPE));
    }

    #[test]
    fn who_is_not_wanted_is_passed_over_where_a_tally_is_read() {
        let mut tally = Tally::default();
        for (connection, count) in [("a", 1), ("b", 2), ("c", 3)] {
            for nth in 0..count {
                tally.add(connection, "payment.updated", &event(Outcome::Applied, nth));
            }
        }
        let stored = serde_json::to_string(&tally).unwrap();
        let mut found = Tally::default();
        let take = |connection: &str, webhooks| drop(found.0.insert(connection.to_owned(), webhooks));
        let each = Each { is_wanted: |connection: &str| connection != "b", take };
        each.deserialize(&mut serde_json::Deserializer::from_str(&stored)).unwrap();
        tally.0.remove("b");
        assert_eq!(found, tally);
        let each = Each { is_wanted: |_: &str| true, take: |_: &str, _| {} };
        assert!(each.deserialize(&mut serde_json::Deserializer::from_str("[1]")).is_err());
    }
}
