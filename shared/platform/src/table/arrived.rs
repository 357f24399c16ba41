//! All that arrived in a span, read from the index that lists events by their time: what tallies are made of.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use tillwatch_domain::event::Origin;
use tillwatch_domain::figures::Counted;
use tillwatch_domain::{Cause, Outcome};
use tokio::task::JoinSet;

use super::event::{day_partitions, moment};
use super::schema::BY_TIME;
use super::{EventItem, Table, TableError, text};

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;

impl EventItem {
    /// As figures count it.
    pub fn counted(&self) -> Counted {
        let cause = self.cause.as_deref().filter(|_| self.outcome == Outcome::Rejected);
        Counted {
            outcome: self.outcome,
            cause: cause.and_then(Cause::named),
            received_ms: self.received_ms,
            processed_ms: self.processed_ms,
            attempts: self.attempts,
            count: self.count,
            origin: Origin::of(self.source.as_deref()),
        }
    }
}

type Start = Option<HashMap<String, AttributeValue>>;

impl Table {
    /// Hands over all events and rejected requests of a provider that arrived in `[from, to)`, in no order, and with the
    /// fields that the index carries; how many those were. What is not processed yet is not among them.
    pub async fn arrived(
        &self,
        provider: &str,
        from_ms: i64,
        to_ms: i64,
        mut each: impl FnMut(&EventItem),
    ) -> Result<u64, TableError> {
        let action = "go through what arrived";
        let mut count = 0;
        let mut day_ms = from_ms.div_euclid(DAY_MS) * DAY_MS;
        while day_ms < to_ms {
            let mut pages = JoinSet::new();
            for partition in day_partitions(provider, day_ms) {
                pages.spawn(self.page(partition, from_ms, to_ms, None));
            }
            while let Some(page) = pages.join_next().await {
                let page =
                    page.map_err(|error| TableError { action, cause: error.to_string(), code: None })?;
                let (partition, items, next) = page?;
                if next.is_some() {
                    pages.spawn(self.page(partition, from_ms, to_ms, next));
                }
                for item in &items {
                    each(&EventItem::from_item(action, item)?);
                    count += 1;
                }
            }
            day_ms += DAY_MS;
        }
        Ok(count)
    }

    fn page(
        &self,
        partition: String,
        from_ms: i64,
        to_ms: i64,
        start: Start,
    ) -> impl Future<Output = Result<(String, Vec<super::Item>, Start), TableError>> + Send + 'static {
        let query = self
            .client
            .query()
            .table_name(&self.main)
            .index_name(BY_TIME)
            .key_condition_expression("g1 = :g AND g1s BETWEEN :from AND :to")
            .expression_attribute_values(":g", text(&partition))
            .expression_attribute_values(":from", text(moment(from_ms)))
            // No key is as short, so none is equal to it.
            .expression_attribute_values(":to", text(moment(to_ms)))
            .set_exclusive_start_key(start);
        async move {
            let answer = query.send().await.map_err(TableError::new("go through what arrived"))?;
            Ok((partition, answer.items.unwrap_or_default(), answer.last_evaluated_key))
        }
    }
}
