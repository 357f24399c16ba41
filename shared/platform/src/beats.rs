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
}

impl Part {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Scheduler, Self::Checks, Self::Refreshes, Self::Processor, Self::Rollup];

    /// The name used in metrics and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Checks => "checks",
            Self::Refreshes => "refreshes",
            Self::Processor => "processor",
            Self::Rollup => "rollup",
        }
    }
}

/// Where signs of life are kept.
#[derive(Debug, Clone)]
pub struct Beats {
    client: Client,
    figures: String,
    /// When each was told last, Unix milliseconds.
    told: Arc<Mutex<BTreeMap<Part, i64>>>,
}

const PARTITION: &str = "M#beats";
/// No more often is one told: each costs a write.
const OFTEN: Duration = Duration::from_secs(30);

impl Beats {
    pub(crate) fn new(client: Client, figures: String) -> Self {
        Self { client, figures, told: Arc::default() }
    }

    /// Says that a part is at work. Whether that can be kept is of no matter to the work.
    pub async fn beat(&self, part: Part, now: Timestamp) {
        let now_ms = now.as_millisecond();
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.get(&part).is_some_and(|told_ms| (0..span::millis(OFTEN)).contains(&(now_ms - told_ms))) {
                return;
            }
            told.insert(part, now_ms);
        }
        let put = self.client.put_item().table_name(&self.figures);
        let put = put.item("pk", text(PARTITION)).item("sk", text(part.name())).item("at", number(now_ms));
        let put = put.send().await.map_err(TableError::new("say that a part is at work"));
        if let Err(error) = put {
            tracing::warn!(%error, part = part.name(), "the sign of life of a part could not be kept");
        }
    }

    /// When each part was last at work, Unix milliseconds, of parts that ever were.
    pub async fn all(&self) -> Result<BTreeMap<Part, i64>, TableError> {
        let action = "ask which parts are at work";
        let query = self
            .client
            .query()
            .table_name(&self.figures)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(PARTITION));
        let answer = query.send().await.map_err(TableError::new(action))?;
        let mut all = BTreeMap::new();
        for item in answer.items.unwrap_or_default() {
            let reader = Reader { action, item: &item };
            let part = Part::ALL.into_iter().find(|part| reader.text("sk") == Some(part.name()));
            if let (Some(part), Some(at_ms)) = (part, reader.number("at")) {
                all.insert(part, at_ms);
            }
        }
        Ok(all)
    }
}
