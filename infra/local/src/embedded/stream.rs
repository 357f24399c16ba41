//! A table's stream, read as a Lambda function gets it: batches of change records, oldest first, from one shard.
//!
//! The library keeps a record for each write, in the write's own transaction, and never takes one away. Here a reader
//! follows them, remembers durably how far its consumer got, and prunes what is behind.

use std::sync::Arc;

use dynoxide::streams::{LOCAL_REGION, shard_id, stream_arn};
use rusqlite::{OptionalExtension as _, params};
use serde_json::{Value, json};

use super::table::{EmbeddedTable, TableError};

/// What the library adds to its numbers to make sequence numbers of DynamoDB's length, so that they order as text.
const OFFSET: u128 = 100_000_000_000_000_000_000;
/// How many bytes of keys and images a batch has at most, but for a first record that is larger: what Lambda hands over
/// at once.
const BATCH_BYTES: usize = 6 * 1024 * 1024;
/// How many records one transaction prunes.
const PRUNED: usize = 500;

const NEXT: &str =
    "SELECT CAST(sequence_number AS INTEGER), event_id, event_name, created_at, keys_json, new_image,
        old_image, user_identity
    FROM _stream_records WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) > ?2
    ORDER BY CAST(sequence_number AS INTEGER) LIMIT ?3";
const PRUNE: &str = "DELETE FROM _stream_records WHERE id IN (
        SELECT id FROM _stream_records
        WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) <= min(?2, -1 + (
            SELECT max(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = ?1))
        ORDER BY CAST(sequence_number AS INTEGER) LIMIT ?3)";

/// The stream of one table, for one consumer. Clones are the same stream.
#[derive(Clone)]
pub struct StreamTail {
    table: EmbeddedTable,
    stream: Arc<Stream>,
}

struct Stream {
    table: String,
    arn: String,
    view: String,
}

impl StreamTail {
    /// The stream of a table that has one.
    pub async fn open(table: &EmbeddedTable, name: &str) -> Result<Self, TableError> {
        let name = name.to_owned();
        let stream = move |storage: &dynoxide::storage::Storage| {
            let known = storage.get_table_metadata(&name)?.filter(|table| table.stream_enabled);
            match known.map(|table| (table.stream_label, table.stream_view_type)) {
                Some((Some(label), Some(view))) => {
                    Ok(Stream { arn: stream_arn(&name, &label), table: name, view })
                }
                _ => Err(TableError::NoStream(name)),
            }
        };
        Ok(Self { table: table.clone(), stream: Arc::new(table.on_writer(stream).await?) })
    }

    /// The only shard.
    pub fn shard_id(&self) -> String {
        shard_id(&self.stream.table)
    }

    /// The records after a sequence number (none: from the oldest), at most `limit` and no more than Lambda hands over at
    /// once, oldest first, in the shape of a Lambda event's `Records`.
    pub async fn next_batch(&self, after: Option<&str>, limit: usize) -> Result<Vec<Value>, TableError> {
        let after = after.map_or(Ok(0), number)?;
        let stream = self.stream.clone();
        self.table
            .on_reader(move |storage| {
                let mut rows = storage.conn().prepare_cached(NEXT)?;
                let mut rows = rows.query(params![stream.table, after, limit])?;
                let (mut records, mut bytes) = (Vec::new(), 0);
                while let Some(row) = rows.next()? {
                    let images = Images::of(row)?;
                    bytes += images.size();
                    if bytes > BATCH_BYTES && !records.is_empty() {
                        break;
                    }
                    records.push(stream.record(row, images)?);
                }
                Ok(records)
            })
            .await
    }

    /// Returns when there may be records that were not there before. One consumer may wait.
    pub async fn wait_for_records(&self) {
        self.table.streamed().notified().await;
    }

    /// The sequence number that was saved last.
    pub async fn checkpoint(&self) -> Result<Option<String>, TableError> {
        let stream = self.stream.clone();
        self.table
            .on_reader(move |storage| {
                let saved: Option<i64> = storage
                    .conn()
                    .prepare_cached("SELECT sequence FROM _tillwatch_checkpoint WHERE table_name = ?1")?
                    .query_one([&stream.table], |row| row.get(0))
                    .optional()?;
                Ok(saved.map(sequence))
            })
            .await
    }

    /// Saves how far the consumer got, for its next start.
    pub async fn save_checkpoint(&self, handled: &str) -> Result<(), TableError> {
        let handled = number(handled)?;
        let stream = self.stream.clone();
        self.table
            .on_writer(move |storage| {
                storage
                    .conn()
                    .prepare_cached("INSERT OR REPLACE INTO _tillwatch_checkpoint VALUES (?1, ?2)")?
                    .execute(params![stream.table, handled])?;
                Ok(())
            })
            .await
    }

    /// Takes away the records up to and with a sequence number, and returns how many those were. The newest stays: the
    /// next write's number is made from it.
    pub async fn prune(&self, handled: &str) -> Result<usize, TableError> {
        let handled = number(handled)?;
        let mut pruned = 0;
        loop {
            let stream = self.stream.clone();
            let some = self.table.on_writer(move |storage| {
                let mut prune = storage.conn().prepare_cached(PRUNE)?;
                Ok(prune.execute(params![stream.table, handled, PRUNED])?)
            });
            let some = some.await?;
            pruned += some;
            if some < PRUNED {
                return Ok(pruned);
            }
        }
    }
}

/// What a record says of its item: JSON texts, each with its name in the record.
struct Images([(&'static str, Option<String>); 3]);

impl Images {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self([("Keys", row.get(4)?), ("NewImage", row.get(5)?), ("OldImage", row.get(6)?)]))
    }

    fn size(&self) -> usize {
        self.0.iter().filter_map(|(_, image)| image.as_ref()).map(String::len).sum()
    }
}

impl Stream {
    fn record(&self, row: &rusqlite::Row<'_>, images: Images) -> Result<Value, TableError> {
        let text = |column| row.get::<_, Option<String>>(column);
        let mut change = json!({
            "ApproximateCreationDateTime": row.get::<_, i64>(3)?,
            "SequenceNumber": sequence(row.get(0)?),
            "SizeBytes": images.size(),
            "StreamViewType": self.view,
        });
        for (name, image) in images.0 {
            if let Some(image) = image {
                change[name] = serde_json::from_str(&image)?;
            }
        }
        let mut record = json!({
            "eventID": text(1)?,
            "eventName": text(2)?,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": LOCAL_REGION,
            "dynamodb": change,
            "eventSourceARN": self.arn,
        });
        if let Some(identity) = text(7)? {
            record["userIdentity"] = serde_json::from_str(&identity)?;
        }
        Ok(record)
    }
}

fn sequence(stored: i64) -> String {
    (OFFSET + u128::from(stored.unsigned_abs())).to_string()
}

fn number(sequence: &str) -> Result<i64, TableError> {
    let stored = sequence.parse::<u128>().ok().and_then(|public| public.checked_sub(OFFSET));
    stored
        .and_then(|stored| stored.try_into().ok())
        .ok_or_else(|| TableError::NoSequence(sequence.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::embedded::testing::{Clock, ask, assert_uses_an_index, create_tables};

    struct Fixture {
        table: EmbeddedTable,
        tail: StreamTail,
        clock: Clock,
        scratch: TempDir,
    }

    async fn stream() -> Fixture {
        let (clock, scratch) = (Clock::new(), tempdir().unwrap());
        let table = EmbeddedTable::open(&scratch.path().join("table.db"), &clock.now()).unwrap();
        create_tables(&table).await;
        let tail = StreamTail::open(&table, "main").await.unwrap();
        Fixture { table, tail, clock, scratch }
    }

    async fn put(table: &EmbeddedTable, name: &str, id: &str, paid: u32) {
        let item = json!({"id": {"S": id}, "paid": {"N": paid.to_string()}});
        ask(table, "PutItem", &json!({"TableName": name, "Item": item})).await;
    }

    fn number_of(record: &Value) -> &str {
        record["dynamodb"]["SequenceNumber"].as_str().unwrap()
    }

    #[tokio::test]
    async fn changes_come_oldest_first_in_a_lambda_events_shape() {
        let f = stream().await;
        put(&f.table, "main", "a", 1).await;
        put(&f.table, "main", "a", 2).await;
        ask(&f.table, "DeleteItem", &json!({"TableName": "main", "Key": {"id": {"S": "a"}}})).await;
        let records = f.tail.next_batch(None, 10).await.unwrap();
        let names: Vec<_> = records.iter().map(|record| record["eventName"].as_str().unwrap()).collect();
        assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
        assert!(records.is_sorted_by(|one, next| number_of(one) < number_of(next)));
        let mut modified = records[1].clone();
        // Made up by the library, and each other's.
        let (id, arn) = (modified["eventID"].take(), modified["eventSourceARN"].take());
        assert!(id.is_string() && arn.as_str().unwrap().contains("table/main/stream/"));
        let expected = json!({
            "eventID": null,
            "eventName": "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "dynoxide",
            "dynamodb": {
                "ApproximateCreationDateTime": Clock::START / 1000,
                "Keys": {"id": {"S": "a"}},
                "NewImage": {"id": {"S": "a"}, "paid": {"N": "2"}},
                "OldImage": {"id": {"S": "a"}, "paid": {"N": "1"}},
                "SequenceNumber": number_of(&records[1]),
                "SizeBytes": 82,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "eventSourceARN": null,
        });
        assert_eq!(modified, expected);
        assert!(records[0]["dynamodb"].get("OldImage").is_none());
        assert!(f.tail.shard_id().starts_with("shardId-"));
    }

    #[tokio::test]
    async fn a_batch_goes_on_where_the_last_one_ended() {
        let f = stream().await;
        for number in 0..5 {
            put(&f.table, "main", "a", number).await;
        }
        let first = f.tail.next_batch(None, 2).await.unwrap();
        let rest = f.tail.next_batch(Some(number_of(&first[1])), 10).await.unwrap();
        let paid = rest.iter().map(|record| record["dynamodb"]["NewImage"]["paid"]["N"].as_str().unwrap());
        assert_eq!(paid.collect::<Vec<_>>(), ["2", "3", "4"]);
    }

    #[tokio::test]
    async fn a_batch_is_bounded_in_bytes_and_has_at_least_one_record() {
        let f = stream().await;
        for id in ["a", "b", "c", "d"] {
            put(&f.table, "main", id, 1).await;
        }
        // An item is never so large, but the promise is not the library's.
        let grow = |id: &'static str, bytes: usize| {
            f.table.on_writer(move |storage| {
                let grown = json!({"id": {"S": id}, "text": {"S": "x".repeat(bytes)}}).to_string();
                let grow = "UPDATE _stream_records SET new_image = ?1 WHERE keys_json LIKE ?2";
                Ok(storage.conn().execute(grow, (grown, format!("%\"{id}\"%")))?)
            })
        };
        assert_eq!(grow("b", BATCH_BYTES + 1).await.unwrap(), 1);
        assert_eq!(grow("c", BATCH_BYTES - 200).await.unwrap(), 1);
        let mut after = None;
        let mut lengths = Vec::new();
        loop {
            let batch = f.tail.next_batch(after.as_deref(), 10).await.unwrap();
            let Some(last) = batch.last() else { break };
            after = Some(number_of(last).to_owned());
            lengths.push(batch.len());
        }
        assert_eq!(lengths, [1, 1, 2]);
    }

    #[tokio::test]
    async fn pruning_keeps_the_newest_record_so_that_numbers_rise_even_if_the_clock_falls() {
        let f = stream().await;
        let count = 2 * PRUNED + 10;
        for number in 0..count {
            put(&f.table, "main", "a", number.try_into().unwrap()).await;
        }
        let all = f.tail.next_batch(None, count).await.unwrap();
        assert_eq!(f.tail.prune(number_of(&all[4])).await.unwrap(), 5);
        assert_eq!(f.tail.prune(number_of(&all[count - 1])).await.unwrap(), count - 6);
        let left = f.tail.next_batch(None, count).await.unwrap();
        assert_eq!(left, all[count - 1..]);
        drop((f.table, f.tail));
        let earlier: crate::embedded::Now = Arc::new(|| 0);
        let table = EmbeddedTable::open(&f.scratch.path().join("table.db"), &earlier).unwrap();
        put(&table, "main", "a", 0).await;
        let tail = StreamTail::open(&table, "main").await.unwrap();
        assert_eq!(tail.next_batch(Some(number_of(&left[0])), count).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_checkpoint_outlives_a_restart() {
        let f = stream().await;
        assert_eq!(f.tail.checkpoint().await.unwrap(), None);
        put(&f.table, "main", "a", 1).await;
        let records = f.tail.next_batch(None, 1).await.unwrap();
        f.tail.save_checkpoint(number_of(&records[0])).await.unwrap();
        drop((f.table, f.tail));
        let table = EmbeddedTable::open(&f.scratch.path().join("table.db"), &f.clock.now()).unwrap();
        let tail = StreamTail::open(&table, "main").await.unwrap();
        assert_eq!(tail.checkpoint().await.unwrap().as_deref(), Some(number_of(&records[0])));
    }

    #[tokio::test]
    async fn the_consumer_is_woken_by_writes_to_a_streamed_table_only() {
        let f = stream().await;
        let would_wake = || tokio::time::timeout(Duration::ZERO, f.tail.wait_for_records());
        put(&f.table, "plain", "a", 1).await;
        f.tail.save_checkpoint(&sequence(1)).await.unwrap();
        assert!(would_wake().await.is_err());
        put(&f.table, "main", "a", 1).await;
        assert!(would_wake().await.is_ok());
        assert!(would_wake().await.is_err());
    }

    #[tokio::test]
    async fn neither_writing_nor_reading_nor_pruning_reads_the_whole_stream() {
        let f = stream().await;
        let library = "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1 FROM _stream_records
            WHERE table_name = ?1";
        let checked = f.table.on_writer(move |storage| {
            for sql in [library, NEXT, PRUNE] {
                assert_uses_an_index(storage.conn(), sql);
            }
            Ok(())
        });
        checked.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_stream_or_no_sequence_number_is_refused() {
        let f = stream().await;
        assert!(matches!(StreamTail::open(&f.table, "plain").await, Err(TableError::NoStream(_))));
        for nonsense in ["", "17", "-1", "x", "340282366920938463463374607431768211455"] {
            assert!(matches!(f.tail.next_batch(Some(nonsense), 1).await, Err(TableError::NoSequence(_))));
        }
    }
}
