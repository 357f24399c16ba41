//! DynamoDB on a SQLite file: the `dynoxide` library, spoken to in DynamoDB's own JSON.
//!
//! The library's `Database` commits, and fsyncs, each write by itself: some 3,000 a second. Here its actions run on a
//! [`Writer`], which gives them a savepoint each and one commit together. That they open and commit transactions of
//! their own is what stands in the way, and an authorizer takes it out: SQLite asks it about each statement, and
//! `BEGIN`, `COMMIT` and `ROLLBACK` that are answered "ignore" do nothing. The savepoint does their work, because an
//! action fails exactly when it would have rolled back. Nobody sees a write before its fsync.
//!
//! Reading goes past the writer, by connections of its own: a row by its key, or a few of one partition, on the caller's
//! thread (12 µs, where the way to another thread and back takes 20 to 60 more), pages of rows on a thread that may block.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use dynoxide::DynoxideError;
use dynoxide::actions::{
    batch_get_item, batch_write_item, create_table, delete_item, describe_table, get_item, put_item, query,
    scan, transact_write_items, update_item, update_time_to_live, vector_lifecycle::VectorIndexLifecycle,
};
use dynoxide::storage::Storage;
use dynoxide::storage_backend::Clock;
use dynoxide::streams::extract_keys;
use rusqlite::hooks::{Action, AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::Now;
use super::writer::{self, Lost, Store, Writer};

/// How long a transaction's token is remembered, as DynamoDB does, in milliseconds.
const TOKEN_LIFE: i64 = 600_000;
/// How many expired items are deleted at once: others' writes wait for no more.
const SWEEP: usize = 100;
/// How many rows of a partition are read on the caller's thread.
const FEW: usize = 16;
/// Who deletes expired items, in the stream: so consumers tell those deletions from others.
const EXPIRY: &str = r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#;

/// All tables of one stack. Clones are the same tables.
#[derive(Clone)]
pub struct EmbeddedTable(Arc<Inner>);

struct Inner {
    writer: Writer<Tables>,
    /// None in memory, where a second connection would see nothing.
    readers: Option<Arc<Readers>>,
    streamed: Arc<Notify>,
    now: Now,
}

/// They remember the tables' definitions: no operation here changes one.
struct Readers {
    /// As many as threads that read rows, so that there is one for each: what receives must not wait for one that is held
    /// by what processes, which gives way to it and may be held up.
    rows: [Mutex<Storage>; 4],
    page: Mutex<Storage>,
}

impl Readers {
    fn row(&self) -> MutexGuard<'_, Storage> {
        self.rows.iter().find_map(|reader| reader.try_lock().ok()).unwrap_or_else(|| held(&self.rows[0]))
    }
}

/// A table can't be used as it was meant to. Ours.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file.
    #[error("the table's file can't be used")]
    Sqlite(#[from] rusqlite::Error),
    /// The library.
    #[error("the table can't be used")]
    Library(#[from] DynoxideError),
    /// What is stored is not what the library stores.
    #[error("a stored item can't be read")]
    Json(#[from] serde_json::Error),
    /// The thread that writes could not be started.
    #[error("the table's thread can't be started")]
    Thread(#[from] std::io::Error),
    /// Not committed, or not even begun.
    #[error("the table gave the work up: {0}")]
    GivenUp(String),
    /// The table has no stream.
    #[error("the table {0} has no stream")]
    NoStream(String),
    /// Not a sequence number of a stream.
    #[error("{0:?} is no sequence number")]
    NoSequence(String),
}

impl From<Lost> for TableError {
    fn from(lost: Lost) -> Self {
        Self::GivenUp(lost.to_string())
    }
}

impl EmbeddedTable {
    /// Opens the tables in a file, and makes it where there is none.
    pub fn open(path: &Path, now: &Now) -> Result<Self, TableError> {
        let path = path.to_string_lossy();
        let tables = Storage::new(&path)?;
        let reader = || -> Result<_, TableError> {
            let storage = Storage::new(&path)?;
            storage.conn().pragma_update(None, "query_only", true)?;
            Ok(Mutex::new(storage))
        };
        // Before the writer starts: opening one writes, and a group's transaction does not wait for others to.
        let readers = Readers { rows: [reader()?, reader()?, reader()?, reader()?], page: reader()? };
        Self::start(tables, Some(Arc::new(readers)), now)
    }

    /// Tables that are gone when they are dropped: for tests.
    pub fn memory(now: &Now) -> Result<Self, TableError> {
        Self::start(Storage::memory()?, None, now)
    }

    fn start(storage: Storage, readers: Option<Arc<Readers>>, now: &Now) -> Result<Self, TableError> {
        let storage = storage.with_clock(Arc::new(LibraryClock(now.clone())));
        let streamed = Arc::new(Notify::new());
        let writer = Writer::start("table", Tables::prepare(storage, streamed.clone())?)?;
        Ok(Self(Arc::new(Inner { writer, readers, streamed, now: now.clone() })))
    }

    /// Makes one call of the DynamoDB API. `operation` is its name (`PutItem`), `body` its JSON; returns the HTTP
    /// status, and the JSON of the answer or the error. A write that is answered 200 is on disk.
    pub async fn call(&self, operation: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let result = match operation {
            "GetItem" => self.read_row(body, get_item::execute).await,
            "BatchGetItem" => self.read_page(body, batch_get_item::execute).await,
            "Query" => self.query(body).await,
            "Scan" => self.read_page(body, scan::execute).await,
            "DescribeTable" => self.read_page(body, describe).await,
            "PutItem" => self.write(body, put_item::execute).await,
            "UpdateItem" => self.write(body, update_item::execute).await,
            "DeleteItem" => self.write(body, delete_item::execute).await,
            "BatchWriteItem" => self.write(body, batch_write_item::execute).await,
            "TransactWriteItems" => self.transact(body).await,
            "CreateTable" => self.write(body, create_table::execute).await,
            "UpdateTimeToLive" => self.write(body, update_time_to_live::execute).await,
            _ => return (400, br#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#.into()),
        };
        let error = match result {
            Ok(answer) => return (200, answer),
            Err(TableError::Library(error)) => error,
            Err(error) => DynoxideError::InternalServerError(error.to_string()),
        };
        (error.status_code(), error.to_json().into_bytes())
    }

    /// Deletes some of what has expired, by the tables' TTL attributes, and returns how many items those were: none, when
    /// there are no more. It takes as long as there are such items, however many others there are.
    pub async fn sweep_some(&self) -> Result<usize, TableError> {
        let now = (self.0.now)() / 1000;
        self.on_writer(move |storage| sweep(storage, now)).await
    }

    /// Told when a write has added records to a stream. One waiter's notice is kept for it.
    pub(super) fn streamed(&self) -> &Notify {
        &self.0.streamed
    }

    /// Has something written; returns when it is durable.
    pub(super) async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Storage) -> Result<T, TableError> + Send + 'static,
    ) -> Result<T, TableError> {
        self.0.writer.run(move |tables| work(&tables.storage)).await?
    }

    /// Has something read on a thread that may block.
    pub(super) async fn on_reader<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Storage) -> Result<T, TableError> + Send + 'static,
    ) -> Result<T, TableError> {
        let Some(readers) = self.0.readers.clone() else { return self.on_writer(work).await };
        let read = tokio::task::spawn_blocking(move || work(&held(&readers.page)));
        read.await.unwrap_or_else(|panic| Err(TableError::GivenUp(panic.to_string())))
    }

    async fn read_row<Q, A, F>(&self, body: &[u8], action: F) -> Result<Vec<u8>, TableError>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        F: AsyncFnOnce(&Storage, Q) -> dynoxide::Result<A> + Send + 'static,
    {
        match &self.0.readers {
            Some(readers) => json(&ready(action(&readers.row(), parse(body)?))?),
            None => self.read_page(body, action).await,
        }
    }

    async fn query(&self, body: &[u8]) -> Result<Vec<u8>, TableError> {
        let request: query::QueryRequest = parse(body)?;
        let is_of_few = request.index_name.is_none() && request.limit.is_some_and(|limit| limit <= FEW);
        match &self.0.readers {
            Some(readers) if is_of_few => json(&ready(query::execute(&*readers.row(), request))?),
            _ => json(&self.on_reader(move |storage| Ok(ready(query::execute(storage, request))?)).await?),
        }
    }

    async fn read_page<Q, A, F>(&self, body: &[u8], action: F) -> Result<Vec<u8>, TableError>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        F: AsyncFnOnce(&Storage, Q) -> dynoxide::Result<A> + Send + 'static,
    {
        let request = parse(body)?;
        json(&self.on_reader(move |storage| Ok(ready(action(storage, request))?)).await?)
    }

    async fn write<Q, A, F>(&self, body: &[u8], action: F) -> Result<Vec<u8>, TableError>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        F: AsyncFnOnce(&Storage, Q) -> dynoxide::Result<A> + Send + 'static,
    {
        let request = parse(body)?;
        json(&self.on_writer(move |storage| Ok(ready(action(storage, request))?)).await?)
    }

    /// A transaction that comes with a token is made once, and answered again when it comes again: the SDK gives each
    /// a token and repeats what it is unsure of. Its answer is stored in that very transaction.
    async fn transact(&self, body: &[u8]) -> Result<Vec<u8>, TableError> {
        let request: transact_write_items::TransactWriteItemsRequest = parse(body)?;
        let Some(token) = request.client_request_token.clone() else {
            return self.write(body, transact_write_items::execute).await;
        };
        let (now, body) = ((self.0.now)(), body.to_vec());
        self.on_writer(move |storage| {
            let tokens = storage.conn();
            tokens
                .prepare_cached("DELETE FROM _tillwatch_token WHERE made < ?1")?
                .execute([now - TOKEN_LIFE])?;
            let known: Option<(Vec<u8>, Vec<u8>)> = tokens
                .prepare_cached("SELECT request, answer FROM _tillwatch_token WHERE token = ?1")?
                .query_one([&token], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match known {
                Some((request, answer)) if request == body => Ok(answer),
                Some(_) => Err(DynoxideError::IdempotentParameterMismatchException(
                    "the token came with another request before".into(),
                ))?,
                None => {
                    let answer = json(&ready(transact_write_items::execute(storage, request))?)?;
                    tokens
                        .prepare_cached("INSERT INTO _tillwatch_token VALUES (?1, ?2, ?3, ?4)")?
                        .execute((token, now, body, &answer))?;
                    Ok(answer)
                }
            }
        })
        .await
    }
}

async fn describe(
    storage: &Storage,
    request: describe_table::DescribeTableRequest,
) -> dynoxide::Result<describe_table::DescribeTableResponse> {
    describe_table::execute(storage, request, &VectorIndexLifecycle::new()).await
}

/// The tables, on the writing thread.
struct Tables {
    storage: Storage,
    /// The transaction has added to a stream.
    streaming: Arc<AtomicBool>,
    streamed: Arc<Notify>,
}

impl Tables {
    fn prepare(storage: Storage, streamed: Arc<Notify>) -> rusqlite::Result<Self> {
        let connection = storage.conn();
        writer::configure(connection)?;
        // The library looks up a stream's last number at each write, by this very expression: without an index it
        // reads the whole stream.
        connection.execute_batch(
            "CREATE INDEX IF NOT EXISTS _tillwatch_stream
                ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
            CREATE TABLE IF NOT EXISTS _tillwatch_checkpoint (table_name TEXT PRIMARY KEY, sequence INTEGER NOT NULL);
            CREATE TABLE IF NOT EXISTS _tillwatch_token (
                token TEXT PRIMARY KEY, made INTEGER NOT NULL, request BLOB NOT NULL, answer BLOB NOT NULL);
            CREATE INDEX IF NOT EXISTS _tillwatch_token_made ON _tillwatch_token (made);",
        )?;
        connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
            AuthAction::Transaction { .. } => Authorization::Ignore,
            _ => Authorization::Allow,
        }));
        let streaming = Arc::new(AtomicBool::new(false));
        let flag = streaming.clone();
        connection.update_hook(Some(move |action, _: &str, table: &str, _| {
            if action == Action::SQLITE_INSERT && table == "_stream_records" {
                flag.store(true, Ordering::Relaxed);
            }
        }));
        Ok(Self { storage, streaming, streamed })
    }
}

impl Store for Tables {
    fn connection(&self) -> &Connection {
        self.storage.conn()
    }

    fn committed(&self) {
        if self.streaming.swap(false, Ordering::Relaxed) {
            self.streamed.notify_one();
        }
    }
}

/// Deletes some expired items, and says how many. `now` is in seconds, as TTL attributes are.
fn sweep(storage: &Storage, now: i64) -> Result<usize, TableError> {
    let connection = storage.conn();
    let mut swept = 0;
    for table in storage.list_ttl_enabled_tables()? {
        let (index, expired) =
            expired_in(&table.table_name, table.ttl_attribute.as_deref().unwrap_or_default());
        connection.execute_batch(&index)?;
        let expired: Vec<String> = connection
            .prepare_cached(&expired)?
            .query_map((now, SWEEP), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        swept += expired.len();
        for item in expired {
            let key = extract_keys(&serde_json::from_str(&item)?, &table.key_schema);
            let table_name = table.table_name.clone();
            let request = delete_item::DeleteItemRequest { table_name, key, ..Default::default() };
            ready(delete_item::execute(storage, request))?;
            if table.stream_enabled {
                // The deletion's record is the last row that was inserted.
                connection
                    .prepare_cached(
                        "UPDATE _stream_records SET user_identity = ?1 WHERE id = last_insert_rowid()",
                    )?
                    .execute([EXPIRY])?;
            }
        }
    }
    Ok(swept)
}

/// The index that finds a table's expired items, and the query that uses it.
fn expired_in(table: &str, attribute: &str) -> (String, String) {
    let expiry = format!(r#"CAST(json_extract(item_json, '$."{attribute}".N') AS INTEGER)"#);
    (
        format!(
            r#"CREATE INDEX IF NOT EXISTS "{table}:{attribute}" ON "{table}" ({expiry}) WHERE {expiry} IS NOT NULL"#
        ),
        format!(r#"SELECT item_json FROM "{table}" WHERE {expiry} < ?1 LIMIT ?2"#),
    )
}

/// The product's clock, for the library.
struct LibraryClock(Now);

#[expect(clippy::disallowed_types, clippy::cast_precision_loss, reason = "the library's trait; not money")]
impl Clock for LibraryClock {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from((self.0)() / 1000).unwrap_or_default()
    }

    fn now_unix_secs_f64(&self) -> f64 {
        (self.0)() as f64 / 1000.0
    }
}

/// What one of the library's actions comes to. They are async for the sake of another backend; on SQLite they never
/// wait.
fn ready<T>(action: impl Future<Output = dynoxide::Result<T>>) -> dynoxide::Result<T> {
    match pin!(action).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(DynoxideError::InternalServerError("an action waits for something".into())),
    }
}

/// Another thread's panic has left nothing half done in a reader.
fn held(reader: &Mutex<Storage>) -> MutexGuard<'_, Storage> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

fn json(answer: &impl Serialize) -> Result<Vec<u8>, TableError> {
    Ok(serde_json::to_vec(answer)?)
}

/// A request; or the library's refusal, which it marks with its kind when it reads one.
fn parse<T: DeserializeOwned>(body: &[u8]) -> dynoxide::Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
        match text.split_once(':') {
            Some((kind, message)) if kind.starts_with("VALIDATION") => {
                DynoxideError::ValidationException(message.into())
            }
            _ => DynoxideError::SerializationException(text.into()),
        }
    })
}
