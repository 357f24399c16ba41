//! How each connection does, when it is to be looked at again, and what was asked of its provider. So do status pages and our
//! own addresses, under ids that no connection can have.
//!
//! | item | table | `pk` | `sk` | |
//! |---|---|---|---|---|
//! | how a connection does, how its token stands, how far it is reconciled | connections | `H#<id>`, `T#<id>`, `R#<id>` | `D` | a JSON document `d`, its revision `rv`, the provider `pv` |
//! | how far what fell due was sent | connections | `M#sent` | `H`, `T`, `R` | Unix milliseconds `at` |
//! | the calls of one check | figures | `K#<id>#<yyyymmdd>` | `<ms>` | JSON `d` |
//!
//! In the index `listed` a document stands under `H#<shard>`, `T#<shard>` or `R#<shard>` by the time at which it is due, so that one query finds what is
//! due and another all there is. The time is part of the key: a check costs three write units, and its calls a fourth.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use jiff::tz::Offset;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::beats::Beats;
use crate::table::item::{Reader, conditional, number, text};
use crate::table::schema::{EXPIRES, LISTED_BY_KIND};
use crate::table::{Item, TableError, Written};

/// Over how many partitions of the index what falls due is spread: one of them takes a thousand write units a second. On one
/// machine, where all is one file, one is enough.
const SHARDS: u32 = 16;

/// How many documents are listed at once: what is busy with other things must answer in time.
const PAGE: i32 = 500;

/// What reading one is called where it fails.
const READ: &str = "read how a connection does";

/// Due at no time: it is listed, and nothing falls due.
pub const NEVER_MS: i64 = 9_999_999_999_999;

/// A document, when it is due, and the revision of its item.
#[derive(Debug, Clone)]
pub struct Kept<T> {
    /// Whose it is.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// The document.
    pub document: T,
    /// When it is due, Unix milliseconds.
    pub due_ms: i64,
    /// Counts the item's writes.
    pub revision: i64,
}

/// What fell due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Whose check it is.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// When, Unix milliseconds.
    pub due_ms: i64,
}

/// What is looked at again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// How connections do, and what is watched beside them.
    Health,
    /// How their tokens stand.
    Tokens,
    /// How far what their providers list was compared with what has arrived.
    Reconciliations,
}

impl Of {
    fn prefix(self) -> &'static str {
        match self {
            Self::Health => "H",
            Self::Tokens => "T",
            Self::Reconciliations => "R",
        }
    }
}

/// What is kept of the watch, in the tables of one deployment.
#[derive(Debug, Clone)]
pub struct Watched {
    of: Of,
    shards: u32,
    client: Client,
    connections: String,
    figures: String,
    beats: Beats,
}

/// A number of this id's own, so that what was made together is not done together.
pub fn spread(id: &str) -> u32 {
    // FNV-1a, and its high bits folded in: the low ones alone are poor.
    let hash =
        id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash ^ (hash >> 16)
}

fn padded(at_ms: i64) -> String {
    format!("{:013}", at_ms.clamp(0, NEVER_MS))
}

fn calls_key(id: &str, at_ms: i64) -> String {
    let at = Offset::UTC.to_datetime(Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH));
    format!("K#{id}#{:04}{:02}{:02}", at.year(), at.month(), at.day())
}

impl Watched {
    /// What is kept in the tables of these names.
    pub fn new(config: &aws_types::SdkConfig, of: Of, connections: String, figures: String) -> Self {
        let client = Client::new(config);
        let beats = Beats::new(client.clone(), figures.clone());
        Self { of, shards: SHARDS, client, connections, figures, beats }
    }

    /// Signs of life of Tillwatch's parts.
    pub fn beats(&self) -> &Beats {
        &self.beats
    }

    /// The same where one partition is enough.
    pub(crate) fn unspread(self) -> Self {
        Self { shards: 1, ..self }
    }

    fn key(&self, id: &str) -> String {
        format!("{}#{id}", self.of.prefix())
    }

    /// How one does, as it is now.
    pub async fn get<T: DeserializeOwned>(&self, id: &str) -> Result<Option<Kept<T>>, TableError> {
        self.item(id).await?.map(|item| kept(READ, &item)).transpose()
    }

    /// The same of what is looked at again and written over: a document that can't be read, as another version may have left
    /// it, is as new.
    pub async fn get_or_new<T: Default + DeserializeOwned>(
        &self,
        id: &str,
    ) -> Result<Option<Kept<T>>, TableError> {
        self.item(id).await?.map(|item| kept_or_new(READ, &item)).transpose()
    }

    async fn item(&self, id: &str) -> Result<Option<Item>, TableError> {
        let get = self.client.get_item().table_name(&self.connections).consistent_read(true);
        let get = get.key("pk", text(self.key(id))).key("sk", text("D"));
        Ok(get.send().await.map_err(TableError::new(READ))?.item)
    }

    /// Writes how one does over the revision that was read, or, if there was none, only if there still is none.
    pub async fn put<T: Serialize>(&self, new: &Kept<T>, over: Option<i64>) -> Result<Written, TableError> {
        let action = "write how a connection does";
        let json = serde_json::to_string(&new.document).map_err(|_| TableError::corrupt(action, "d"))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.connections)
            .item("pk", text(self.key(&new.id)))
            .item("sk", text("D"))
            .item("d", text(json))
            .item("rv", number(new.revision))
            .item("pv", text(&new.provider))
            .item("g1", text(format!("{}#{}", self.of.prefix(), spread(&new.id) % self.shards)))
            .item("g1s", text(format!("{}#{}", padded(new.due_ms), new.id)));
        let put = match over {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(over) => {
                put.condition_expression("rv = :rv").expression_attribute_values(":rv", number(over))
            }
        };
        conditional(put.send().await.map_err(TableError::new(action)))
    }

    /// Takes away how one does.
    pub async fn delete(&self, id: &str) -> Result<(), TableError> {
        let delete = self.client.delete_item().table_name(&self.connections);
        let delete = delete.key("pk", text(self.key(id))).key("sk", text("D"));
        delete.send().await.map(|_| ()).map_err(TableError::new("take away how a connection does"))
    }

    /// What falls due in `(after, until]`.
    pub async fn due(&self, after_ms: i64, until_ms: i64) -> Result<Vec<Due>, TableError> {
        let action = "find what is due";
        if after_ms >= until_ms {
            return Ok(Vec::new());
        }
        let due = |item: &Item| {
            let reader = Reader { action, item };
            let (due_ms, id) = due_and_id(&reader)?;
            Ok(Due { id, due_ms, provider: reader.must("pv", reader.text("pv"))?.to_owned() })
        };
        self.listed(action, Some((after_ms, until_ms))).await?.iter().map(due).collect()
    }

    /// All there are. May be a moment old.
    pub async fn all<T: DeserializeOwned>(&self) -> Result<Vec<Kept<T>>, TableError> {
        let action = "list how connections do";
        self.listed(action, None).await?.iter().map(|item| kept(action, item)).collect()
    }

    /// The same of documents of several kinds: `read` is given an id and its document, and says what is wanted of it. What it
    /// can't read is left out: one document must not keep all others from being told of.
    pub async fn all_by<T>(
        &self,
        read: impl Fn(&str, &str) -> serde_json::Result<T>,
    ) -> Result<Vec<Kept<T>>, TableError> {
        let action = "list how all do that is watched";
        readable(action, &self.listed(action, None).await?, read)
    }

    /// The items of all shards; with a span, of what is due in it no more than that.
    async fn listed(&self, action: &'static str, span: Option<(i64, i64)>) -> Result<Vec<Item>, TableError> {
        let shards = (0..self.shards).map(|shard| self.listed_in(action, shard, span));
        Ok(try_join_all(shards).await?.into_iter().flatten().collect())
    }

    async fn listed_in(
        &self,
        action: &'static str,
        shard: u32,
        span: Option<(i64, i64)>,
    ) -> Result<Vec<Item>, TableError> {
        let (mut items, mut from) = (Vec::new(), None);
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.connections)
                .index_name(LISTED_BY_KIND)
                .expression_attribute_values(":g", text(format!("{}#{shard}", self.of.prefix())))
                .set_exclusive_start_key(from);
            let query = match span {
                None => query.key_condition_expression("g1 = :g").limit(PAGE),
                Some((after_ms, until_ms)) => query
                    .key_condition_expression("g1 = :g AND g1s BETWEEN :first AND :last")
                    .expression_attribute_values(":first", text(padded(after_ms.saturating_add(1))))
                    // `$` follows `#`, which follows the time.
                    .expression_attribute_values(":last", text(format!("{}$", padded(until_ms))))
                    .projection_expression("g1s, pv"),
            };
            let answer = query.send().await.map_err(TableError::new(action))?;
            items.extend(answer.items.unwrap_or_default());
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(items);
            }
        }
    }

    /// Up to which moment what fell due was sent, Unix milliseconds; none, if nothing ever was.
    pub async fn sent_until(&self) -> Result<Option<i64>, TableError> {
        let action = "read how far what fell due was sent";
        let get = self.client.get_item().table_name(&self.connections).consistent_read(true);
        let get = get.key("pk", text("M#sent")).key("sk", text(self.of.prefix()));
        let item = get.send().await.map_err(TableError::new(action))?.item;
        Ok(item.as_ref().and_then(|item| Reader { action, item }.number("at")))
    }

    /// Says up to which moment what fell due was sent.
    pub async fn set_sent_until(&self, at_ms: i64) -> Result<(), TableError> {
        let put = self.client.put_item().table_name(&self.connections);
        let put = put.item("pk", text("M#sent")).item("sk", text(self.of.prefix())).item("at", number(at_ms));
        put.send().await.map(|_| ()).map_err(TableError::new("keep how far what fell due was sent"))
    }

    /// Keeps the calls of one check for so long.
    pub async fn log<T: Serialize>(
        &self,
        id: &str,
        at_ms: i64,
        calls: &T,
        kept: Duration,
    ) -> Result<(), TableError> {
        let action = "keep what was asked";
        let json = serde_json::to_string(calls).map_err(|_| TableError::corrupt(action, "d"))?;
        let expires = at_ms / 1_000 + i64::try_from(kept.as_secs()).unwrap_or(i64::MAX / 2);
        let put = self.client.put_item().table_name(&self.figures);
        let put = put.item("pk", text(calls_key(id, at_ms))).item("sk", text(padded(at_ms)));
        let put = put.item("d", text(json)).item(EXPIRES, number(expires));
        put.send().await.map(|_| ()).map_err(TableError::new(action))
    }

    /// The calls of the checks of one UTC day, the latest first, at most `limit` checks from before `before_ms` on.
    pub async fn logged<T: DeserializeOwned>(
        &self,
        id: &str,
        day_ms: i64,
        before_ms: i64,
        limit: i32,
    ) -> Result<Vec<(i64, T)>, TableError> {
        let action = "read what was asked";
        let query = self
            .client
            .query()
            .table_name(&self.figures)
            .key_condition_expression("pk = :pk AND sk < :before")
            .expression_attribute_values(":pk", text(calls_key(id, day_ms)))
            .expression_attribute_values(":before", text(padded(before_ms)))
            .scan_index_forward(false)
            .limit(limit);
        let answer = query.send().await.map_err(TableError::new(action))?;
        let entry = |item: &Item| {
            let reader = Reader { action, item };
            let at_ms = reader.must("sk", reader.text("sk").and_then(|at| at.parse().ok()))?;
            let json = reader.must("d", reader.text("d"))?;
            Ok((at_ms, serde_json::from_str(json).map_err(|_| TableError::corrupt(action, "d"))?))
        };
        answer.items.unwrap_or_default().iter().map(entry).collect()
    }
}

fn due_and_id(reader: &Reader<'_>) -> Result<(i64, String), TableError> {
    let key = reader.text("g1s").and_then(|key| key.split_once('#'));
    let parts = key.and_then(|(due, id)| Some((due.parse().ok()?, id.to_owned())));
    reader.must("g1s", parts)
}

fn kept<T: DeserializeOwned>(action: &'static str, item: &Item) -> Result<Kept<T>, TableError> {
    kept_by(action, item, |_, json| serde_json::from_str(json))
}

fn kept_or_new<T: Default + DeserializeOwned>(
    action: &'static str,
    item: &Item,
) -> Result<Kept<T>, TableError> {
    kept_by(action, item, |id, json| {
        Ok(serde_json::from_str(json).unwrap_or_else(|_| {
            tracing::error!(id, "what is kept of how it does can't be read: it is taken as new");
            T::default()
        }))
    })
}

fn readable<T>(
    action: &'static str,
    items: &[Item],
    read: impl Fn(&str, &str) -> serde_json::Result<T>,
) -> Result<Vec<Kept<T>>, TableError> {
    let mut all = Vec::new();
    for item in items {
        let read = |id: &str, json: &str| {
            let document = read(id, json);
            if document.is_err() {
                tracing::error!(
                    id,
                    "what is kept of how it does can't be read: it is left out until it is checked"
                );
            }
            Ok(document.ok())
        };
        let Kept { id, provider, document, due_ms, revision } = kept_by(action, item, read)?;
        all.extend(document.map(|document| Kept { id, provider, document, due_ms, revision }));
    }
    Ok(all)
}

fn kept_by<T>(
    action: &'static str,
    item: &Item,
    read: impl Fn(&str, &str) -> serde_json::Result<T>,
) -> Result<Kept<T>, TableError> {
    let reader = Reader { action, item };
    let json = reader.must("d", reader.text("d"))?;
    let (due_ms, id) = due_and_id(&reader)?;
    let document = read(&id, json).map_err(|_| TableError::corrupt(action, "d"))?;
    Ok(Kept {
        id,
        provider: reader.must("pv", reader.text("pv"))?.to_owned(),
        document,
        due_ms,
        revision: reader.must("rv", reader.number("rv"))?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn ids_are_spread_over_all_shards_and_over_an_interval() {
        let (mut shards, mut tenths) = (BTreeMap::new(), BTreeMap::new());
        for nth in 0..16_000 {
            let id = format!("harbour-{nth}-square");
            *shards.entry(spread(&id) % SHARDS).or_insert(0) += 1;
            *tenths.entry(spread(&id) % 300 / 30).or_insert(0) += 1;
        }
        assert_eq!(shards.len(), 16);
        assert!(shards.values().all(|count| (800..1_200).contains(count)), "{shards:?}");
        assert!(tenths.values().all(|count| (1_300..1_900).contains(count)), "{tenths:?}");
    }

    #[test]
    fn a_document_of_another_version_stops_nobody_and_is_looked_at_again() {
        let item = |id: &str, json: &str| {
            let keys = [("g1s", format!("{}#{id}", padded(7))), ("pv", "square".to_owned())];
            let keys = keys.into_iter().chain([("d", json.to_owned())]);
            let mut item: Item = keys.map(|(name, value)| (name.to_owned(), text(value))).collect();
            item.insert("rv".to_owned(), number(3));
            item
        };
        let items = [item("old", "[1]"), item("new", r#"{"trouble":"of_tomorrow"}"#)];
        let read = |_: &str, json: &str| serde_json::from_str::<Vec<u8>>(json);
        let ids: Vec<_> = readable("a test", &items, read).unwrap().into_iter().map(|kept| kept.id).collect();
        assert_eq!(ids, ["old"]);
        let kept: Kept<Vec<u8>> = kept_or_new("a test", &items[1]).unwrap();
        assert_eq!((kept.id.as_str(), kept.document, kept.revision, kept.due_ms), ("new", vec![], 3, 7));
    }

    #[test]
    fn times_sort_as_their_keys_do() {
        let keys = [0, 1, 999, 1_795_474_800_000, NEVER_MS].map(padded);
        assert!(keys.is_sorted() && keys.iter().all(|key| key.len() == 13));
    }
}
