//! The rollup function: a batch of the table's stream in, figures out.
//!
//! The event source has a tumbling window, which it needs for one thing alone: only then does Lambda say which shard a
//! batch is from, and figures are exact because each counter remembers how far it has counted each shard.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tillwatch_domain::event::Origin;
use tillwatch_domain::figures::Counted;
use tillwatch_domain::{Cause, Outcome};
use tillwatch_platform::beats::Part;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::table::{Table, TableError};
use tillwatch_workflows::rollup::{StreamChange, roll_up};

/// A batch of the table's stream, as far as it is read.
#[derive(Debug, Deserialize)]
pub struct StreamBatch {
    /// The changes, in order.
    #[serde(rename = "Records", default)]
    pub records: Vec<StreamRecord>,
    /// The shard that they are from. There because of the tumbling window.
    #[serde(rename = "shardId")]
    pub shard: Option<String>,
}

/// One change of one item.
#[derive(Debug, Deserialize)]
pub struct StreamRecord {
    /// `INSERT`, `MODIFY` or `REMOVE`.
    #[serde(rename = "eventName")]
    pub name: String,
    /// What changed.
    pub dynamodb: StreamImages,
    /// Who did it, if it was DynamoDB: then the item's time was over.
    #[serde(rename = "userIdentity", default)]
    pub by: Option<serde::de::IgnoredAny>,
}

/// An item before and after, in DynamoDB's JSON.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamImages {
    /// The change's place in its shard.
    pub sequence_number: String,
    /// After.
    pub new_image: Option<Map<String, Value>>,
    /// Before.
    pub old_image: Option<Map<String, Value>>,
}

/// What a function with a tumbling window must answer: the state of the window, which is not used.
#[derive(Debug, Default, Serialize)]
pub struct WindowState {
    /// Always empty.
    pub state: Map<String, Value>,
}

/// A batch that could not be counted. Lambda sends it again.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// The event source is not set up as it must be.
    #[error("the event names no shard: the event source needs a tumbling window")]
    NoShard,
    /// The figures could not be written.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Counts one batch.
pub async fn handle(
    table: &Table,
    batch: &StreamBatch,
    clock: &dyn Clock,
) -> Result<WindowState, RollupError> {
    let changes: Vec<_> = batch.records.iter().filter_map(change).collect();
    if !changes.is_empty() {
        let shard = batch.shard.as_deref().ok_or(RollupError::NoShard)?;
        roll_up(table, shard, &changes).await?;
        table.beats().beat(Part::Rollup, clock.now()).await;
    }
    Ok(WindowState::default())
}

/// The change of an event's item; none for records, and for items that went because their time was over.
fn change(record: &StreamRecord) -> Option<StreamChange> {
    let (old, new) = (record.dynamodb.old_image.as_ref(), record.dynamodb.new_image.as_ref());
    let image = new.or(old.filter(|_| record.by.is_none()))?;
    if text(image, "sk") != Some("E") {
        return None;
    }
    Some(StreamChange {
        sequence: record.dynamodb.sequence_number.clone(),
        provider: text(image, "pv")?.to_owned(),
        old: old.and_then(counted),
        new: match new {
            Some(new) => Some(counted(new)?),
            None => None,
        },
    })
}

fn counted(image: &Map<String, Value>) -> Option<Counted> {
    let outcome = Outcome::named(text(image, "st")?)?;
    let cause = (outcome == Outcome::Rejected).then(|| text(image, "ca").and_then(Cause::named)).flatten();
    Some(Counted {
        outcome,
        cause,
        received_ms: number(image, "ra")?,
        processed_ms: number(image, "pa"),
        attempts: number(image, "at").and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        count: number(image, "n").unwrap_or(1),
        origin: Origin::of(text(image, "sr")),
    })
}

fn text<'a>(image: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    image.get(name)?.get("S")?.as_str()
}

fn number(image: &Map<String, Value>, name: &str) -> Option<i64> {
    image.get(name)?.get("N")?.as_str()?.parse().ok()
}
