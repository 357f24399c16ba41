//! The table: events and records in one, figures in another, by single-item reads and conditional writes.
//!
//! | item | `pk` | `sk` |
//! |---|---|---|
//! | event, rejected request | `E#<id>` | `E` |
//! | record | `R#<provider>#<kind>#<scope>#<id>` | `R` |
//! | figures of a minute | `<provider>#m#<yyyymmddhh>` | `<mm>#<stream shard>` |
//! | figures of an hour | `<provider>#h#<yyyymmdd>` | `<hh>#<stream shard>` |
//! | figures of a day | `<provider>#d` | `<yyyymmdd>#<stream shard>` |
//!
//! Indexes: `by_time` has `g1` = `<provider>#<yyyymmdd>#<shard>` and `g1s` = `<received, ms>#<id>`; `rare` has `g2` =
//! `<provider>#<outcome>#<shard>` and `g2s` = `<received, or due, ms>#<id>`.
//!
//! Attribute names are two letters: an event's item should fit one write unit, 1 KiB, with its payload.

mod arrived;
mod event;
mod figures;
pub(crate) mod item;
mod local;
mod record;
pub mod schema;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_dynamodb::types::AttributeValue;

use crate::beats::Beats;

pub use event::{EventItem, Listing, PayloadAt};
pub use figures::{Counter, Period};
use item::{Reader, conditional, number, text};
pub use local::LocalEndpoint;
pub use record::StoredRecord;

/// Attributes by name, as DynamoDB holds them.
pub type Item = std::collections::HashMap<String, AttributeValue>;

/// The table could not do it. Ours, and always tried again.
#[derive(Debug, thiserror::Error)]
#[error("the table could not {action}: {cause}")]
pub struct TableError {
    /// What was being done.
    pub action: &'static str,
    /// Why not.
    pub cause: String,
    code: Option<String>,
}

/// Stands where DynamoDB's own codes do.
const CORRUPT: &str = "corrupt";

impl TableError {
    pub(crate) fn new<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata,
    {
        move |error| Self {
            action,
            code: error.code().map(str::to_owned),
            cause: DisplayErrorContext(error).to_string(),
        }
    }

    pub(crate) fn corrupt(action: &'static str, attribute: &str) -> Self {
        Self {
            action,
            cause: format!("the item's attribute `{attribute}` is not as we write it"),
            code: Some(CORRUPT.to_owned()),
        }
    }

    /// The table said one thing and then another.
    pub fn contradiction(action: &'static str) -> Self {
        Self { action, cause: "it refuses for what it does not hold".to_owned(), code: None }
    }

    /// Whether what is kept is not as we write it: asking again will not help.
    pub fn is_corrupt(&self) -> bool {
        self.code.as_deref() == Some(CORRUPT)
    }

    fn condition_failed(&self) -> bool {
        self.code.as_deref() == Some("ConditionalCheckFailedException")
    }
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is durable.
    Yes,
    /// Its condition did not hold: somebody else was there first.
    No,
}

/// One of the tables: a function may read only those that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Events and records.
    Main,
    /// Figures.
    Figures,
}

/// The tables of one deployment.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    main: String,
    figures: String,
    beats: Beats,
}

impl Table {
    /// The tables of these names.
    pub fn new(config: &aws_types::SdkConfig, main: String, figures: String) -> Self {
        let client = Client::new(config);
        Self { beats: Beats::new(client.clone(), figures.clone()), client, main, figures }
    }

    /// Signs of life of Tillwatch's parts.
    pub fn beats(&self) -> &Beats {
        &self.beats
    }

    /// Opens the connection before the first event needs it, by asking for an item that is not there. Whether it
    /// succeeds is of no matter.
    pub async fn warm(&self, which: Which) {
        let name = match which {
            Which::Main => &self.main,
            Which::Figures => &self.figures,
        };
        let key = AttributeValue::S("-".into());
        let _ = self.client.get_item().table_name(name).key("pk", key.clone()).key("sk", key).send().await;
    }

    async fn get(
        &self,
        action: &'static str,
        pk: String,
        sk: &str,
        consistent: bool,
    ) -> Result<Option<Item>, TableError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.main)
            .key("pk", AttributeValue::S(pk))
            .key("sk", AttributeValue::S(sk.to_owned()))
            .consistent_read(consistent)
            .send()
            .await
            .map_err(TableError::new(action))?;
        Ok(answer.item)
    }
}
