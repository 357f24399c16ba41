//! The ports of one machine: the embedded queue, table and stream as the stack wants them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_platform::queue::QueueError;
use tillwatch_platform::table::{LocalEndpoint, schema};
use tokio::sync::Mutex;

use crate::embedded::queue::{DeadLetters, Rules, SqliteQueue};
use crate::embedded::stream::StreamTail;
use crate::embedded::table::{EmbeddedTable, TableError};
use crate::embedded::{DataFolder, Now};
use crate::stack::{
    CHECKS_QUEUE, CONNECTIONS_TABLE, DEAD_LETTER_QUEUE, EVENTS_QUEUE, FIGURES_TABLE, MAIN_TABLE, Polled,
    RECONCILIATIONS_QUEUE, REFRESHES_QUEUE, Received, Tailed,
};

/// After how many receptions without an outcome a message is a dead letter; as in the template. High, for the processor
/// parks what it can't process long before: only what kills the processor itself comes this far.
const DEAD_AFTER: u32 = 200;
/// After how many counted changes the stream is pruned: each pruning is a write of its own.
const PRUNE_EVERY: usize = 5_000;

/// What one machine keeps everything in.
pub struct Storage {
    /// The tables.
    pub table: Arc<dyn LocalEndpoint>,
    /// The stream of the table of events and records.
    pub stream: Arc<dyn Tailed>,
    /// The queue of events.
    pub events: Arc<dyn Polled>,
    /// The queue of dead letters.
    pub dead_letters: Arc<dyn Polled>,
    /// The queue of checks.
    pub checks: Arc<dyn Polled>,
    /// The queue of refreshes.
    pub refreshes: Arc<dyn Polled>,
    /// The queue of reconciliations.
    pub reconciliations: Arc<dyn Polled>,
    /// The tables once more, for deleting what has expired, which DynamoDB does by itself.
    pub expiring: EmbeddedTable,
}

/// The storage can't be used. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The queue's file.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The tables' file.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A table could not be made.
    #[error("the table {name} could not be made: {status} {answer}")]
    NoTable {
        /// Which.
        name: &'static str,
        /// What the embedded DynamoDB answered.
        status: u16,
        /// And why.
        answer: String,
    },
}

/// The system's time, as the embedded parts take it.
pub fn system_now() -> Now {
    Arc::new(|| SystemClock.now().as_millisecond())
}

/// The queues, which take what arrives: opened apart from the tables, whose threads may have less of the processor.
pub struct Queues {
    events: SqliteQueue,
    dead_letters: SqliteQueue,
    checks: SqliteQueue,
    refreshes: SqliteQueue,
    reconciliations: SqliteQueue,
}

impl Queues {
    /// Opens what is in the folder, and makes what is not there yet.
    pub async fn open(folder: &DataFolder, now: &Now) -> Result<Self, StorageError> {
        let dead_letters = Some(DeadLetters { queue: DEAD_LETTER_QUEUE, after: DEAD_AFTER });
        let rules = [
            Rules { name: EVENTS_QUEUE, dead_letters },
            Rules { name: DEAD_LETTER_QUEUE, dead_letters: None },
            Rules { name: CHECKS_QUEUE, dead_letters: None },
            Rules { name: REFRESHES_QUEUE, dead_letters: None },
            Rules { name: RECONCILIATIONS_QUEUE, dead_letters: None },
        ];
        let [events, dead_letters, checks, refreshes, reconciliations] =
            SqliteQueue::open(&folder.file("queue.db"), rules, now)?;
        // The folder is this process' alone, so nobody else has received anything.
        events.release().await?;
        dead_letters.release().await?;
        checks.release().await?;
        refreshes.release().await?;
        reconciliations.release().await?;
        Ok(Self { events, dead_letters, checks, refreshes, reconciliations })
    }
}

impl Storage {
    /// Opens what is in the folder beside the queues, and makes what is not there yet.
    pub async fn open(queues: Queues, folder: &DataFolder, now: Now) -> Result<Self, StorageError> {
        let table = EmbeddedTable::open(&folder.file("table.db"), &now)?;
        create_tables(&table).await?;
        let tail = StreamTail::open(&table, MAIN_TABLE).await?;
        let checkpoint = tail.checkpoint().await?;
        Ok(Self {
            expiring: table.clone(),
            table: Arc::new(table),
            stream: Arc::new(Stream { tail, place: Mutex::new(Place { checkpoint, unpruned: 0, asked: 0 }) }),
            events: Arc::new(queues.events),
            dead_letters: Arc::new(queues.dead_letters),
            checks: Arc::new(queues.checks),
            refreshes: Arc::new(queues.refreshes),
            reconciliations: Arc::new(queues.reconciliations),
        })
    }
}

async fn create_tables(table: &EmbeddedTable) -> Result<(), StorageError> {
    let tables = [
        (MAIN_TABLE, schema::main_table(MAIN_TABLE)),
        (FIGURES_TABLE, schema::figures_table(FIGURES_TABLE)),
        (CONNECTIONS_TABLE, schema::connections_table(CONNECTIONS_TABLE)),
    ];
    for (name, definition) in tables {
        let (status, answer) = table.call("CreateTable", definition.to_string().as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if status != 200 && !answer.contains("ResourceInUseException") {
            return Err(StorageError::NoTable { name, status, answer });
        }
        // At each start: a process that ended between the two calls must not leave a table that keeps all forever.
        table.call("UpdateTimeToLive", schema::time_to_live(name).to_string().as_bytes()).await;
    }
    Ok(())
}

#[async_trait]
impl LocalEndpoint for EmbeddedTable {
    async fn call(&self, operation: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        Some(Self::call(self, operation, body).await)
    }
}

#[async_trait]
impl Polled for SqliteQueue {
    async fn receive(&self, max: usize, visibility: Duration) -> Result<Vec<Received>, QueueError> {
        let received = Self::receive(self, max, visibility).await?;
        Ok(received
            .into_iter()
            .map(|message| Received {
                id: message.id,
                receipt: message.receipt,
                body: message.body,
                receive_count: message.receive_count,
            })
            .collect())
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), QueueError> {
        Self::delete(self, &receipts).await
    }

    async fn wait(&self) {
        self.wait_for_messages().await;
    }
}

struct Stream {
    tail: StreamTail,
    place: Mutex<Place>,
}

struct Place {
    checkpoint: Option<String>,
    unpruned: usize,
    asked: usize,
}

fn failed(action: &'static str) -> impl FnOnce(TableError) -> QueueError {
    move |error| QueueError { action, cause: error.to_string() }
}

#[async_trait]
impl Tailed for Stream {
    async fn next(&self, limit: usize) -> Result<(String, Vec<Value>), QueueError> {
        let mut place = self.place.lock().await;
        let records = self.tail.next_batch(place.checkpoint.as_deref(), limit).await;
        let records = records.map_err(failed("read the table's stream"))?;
        place.asked = records.len();
        Ok((self.tail.shard_id(), records))
    }

    async fn counted(&self, sequence: &str) -> Result<(), QueueError> {
        let mut place = self.place.lock().await;
        self.tail.save_checkpoint(sequence).await.map_err(failed("save how far the stream was counted"))?;
        place.checkpoint = Some(sequence.to_owned());
        place.unpruned += place.asked;
        if place.unpruned >= PRUNE_EVERY {
            self.tail.prune(sequence).await.map_err(failed("prune the table's stream"))?;
            place.unpruned = 0;
        }
        Ok(())
    }

    async fn wait(&self) {
        self.tail.wait_for_records().await;
    }
}
