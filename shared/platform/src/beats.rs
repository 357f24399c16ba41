//! Signs of life of Tillwatch's own parts: when each was last seen at work. Kept beside the figures, an item a part.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use jiff::Timestamp;
use tillwatch_domain::span;

use crate::table::TableError;
use crate::table::item::{Reader, number, text};

/// The part of Tillwatch that is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What sends what falls due.
    Scheduler,
    /// What checks connections.
    Checks,
    /// What refreshes tokens.
    Refreshes,
    /// What has events take effect.
    Processor,
    /// What counts them.
    Rollup,
    /// What concludes how each connection's webhooks go.
    Tally,
}

impl Part {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Scheduler, Self::Checks, Self::Refreshes, Self::Processor, Self::Rollup, Self::Tally];

    /// The name used in metrics and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Checks => "checks",
            Self::Refreshes => "refreshes",
            Self::Processor => "processor",
            Self::Rollup => "rollup",
            Self::Tally => "tally",
        }
    }
}

/// Where signs of life are kept.
#[derive(Debug, Clone)]
pub struct Beats {
    client: Client,
    figures: String,
    /// When each was told last, Unix milliseconds.
    told: Arc<Mutex<BTreeMap<&'static str, i64>>>,
}

const PARTITION: &str = "M#beats";
/// Beside the parts: when an event was last written, which the rollup has to count.
const EVENTS: &str = "events";
/// What was written so long ago is counted, by a rollup that works: it takes seconds, and neither sign is renewed more often
/// than [`OFTEN`].
const COUNTED: Duration = Duration::from_mins(5);
/// No more often is one told: each costs a write.
const OFTEN: Duration = Duration::from_secs(30);

impl Beats {
    pub(crate) fn new(client: Client, figures: String) -> Self {
        Self { client, figures, told: Arc::default() }
    }

    /// Says that a part is at work. Whether that can be kept is of no matter to the work.
    pub async fn beat(&self, part: Part, now: Timestamp) {
        self.keep(part.name(), now).await;
    }

    /// Says that an event was written: there is something to count.
    pub async fn wrote(&self, now: Timestamp) {
        self.keep(EVENTS, now).await;
    }

    async fn keep(&self, name: &'static str, now: Timestamp) {
        let now_ms = now.as_millisecond();
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.get(name).is_some_and(|told_ms| (0..span::millis(OFTEN)).contains(&(now_ms - told_ms))) {
                return;
            }
            told.insert(name, now_ms);
        }
        let put = self.client.put_item().table_name(&self.figures);
        let put = put.item("pk", text(PARTITION)).item("sk", text(name)).item("at", number(now_ms));
        let put = put.send().await.map_err(TableError::new("say that a part is at work"));
        if let Err(error) = put {
            tracing::warn!(%error, part = name, "the sign of life of a part could not be kept");
        }
    }

    /// When each part was last at work, Unix milliseconds, of parts that ever were. The rollup, which is called where there is
    /// something to count, is at work as long as the processor is and nothing is left that it has not counted.
    pub async fn all(&self) -> Result<BTreeMap<Part, i64>, TableError> {
        let action = "ask which parts are at work";
        let query = self
            .client
            .query()
            .table_name(&self.figures)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(PARTITION));
        let answer = query.send().await.map_err(TableError::new(action))?;
        let (mut all, mut wrote_ms) = (BTreeMap::new(), None);
        for item in answer.items.unwrap_or_default() {
            let reader = Reader { action, item: &item };
            let Some(at_ms) = reader.number("at") else { continue };
            let name = reader.text("sk");
            if name == Some(EVENTS) {
                wrote_ms = Some(at_ms);
            }
            if let Some(part) = Part::ALL.into_iter().find(|part| name == Some(part.name())) {
                all.insert(part, at_ms);
            }
        }
        rest(&mut all, wrote_ms);
        Ok(all)
    }
}

/// The rollup rests where it has counted all that was written.
fn rest(all: &mut BTreeMap<Part, i64>, wrote_ms: Option<i64>) {
    let processor_ms = all.get(&Part::Processor).copied();
    if let (Some(rollup_ms), Some(processor_ms)) = (all.get_mut(&Part::Rollup), processor_ms)
        && wrote_ms.is_none_or(|wrote_ms| wrote_ms - *rollup_ms < span::millis(COUNTED))
    {
        *rollup_ms = processor_ms.max(*rollup_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollup_that_has_nothing_to_count_is_at_work_and_one_that_is_behind_is_not() {
        let told = |rollup_ms: i64, wrote_ms: Option<i64>| {
            let mut all = BTreeMap::from([(Part::Processor, 9_000_000), (Part::Rollup, rollup_ms)]);
            rest(&mut all, wrote_ms);
            all[&Part::Rollup]
        };
        assert_eq!(told(0, None), 9_000_000, "nothing was ever written");
        assert_eq!(told(7_000_000, Some(7_030_000)), 9_000_000, "that was counted");
        assert_eq!(told(7_000_000, Some(7_300_000)), 7_000_000);
        let mut never = BTreeMap::from([(Part::Processor, 1)]);
        rest(&mut never, None);
        assert_eq!(never.len(), 1);
    }
}
