use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::{TempDir, tempdir};

use super::*;

/// A table of numbers, whose commits can be made to fail.
struct Numbers {
    connection: Connection,
    commits: Arc<AtomicUsize>,
}

impl Store for Numbers {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }
}

struct Fixture {
    writer: Arc<Writer<Numbers>>,
    commits: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
    _scratch: TempDir,
}

fn numbers() -> Fixture {
    let scratch = tempdir().unwrap();
    let connection = Connection::open(scratch.path().join("numbers.db")).unwrap();
    configure(&connection).unwrap();
    connection.execute_batch("CREATE TABLE number (n INTEGER UNIQUE)").unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let hook = broken.clone();
    connection.commit_hook(Some(move || hook.load(Ordering::Relaxed)));
    let commits = Arc::new(AtomicUsize::new(0));
    let writer = Writer::start("numbers", Numbers { connection, commits: commits.clone() }).unwrap();
    Fixture { writer: Arc::new(writer), commits, broken, _scratch: scratch }
}

fn insert(numbers: &Numbers, n: i64) -> rusqlite::Result<()> {
    numbers.connection.execute("INSERT INTO number VALUES (?1)", [n]).map(drop)
}

async fn all(writer: &Writer<Numbers>) -> Vec<i64> {
    let read = |numbers: &Numbers| {
        let mut rows = numbers.connection.prepare("SELECT n FROM number ORDER BY n")?;
        rows.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<_>>>()
    };
    writer.run(read).await.unwrap().unwrap()
}

/// Holds the thread until the sender is used or dropped.
async fn hold(writer: &Arc<Writer<Numbers>>) -> std::sync::mpsc::Sender<()> {
    let (go, gate) = std::sync::mpsc::channel();
    let (tell, holds) = oneshot::channel();
    let writer = writer.clone();
    tokio::spawn(async move {
        let held = move |_: &Numbers| Ok::<_, ()>((tell.send(()), gate.recv().is_ok()));
        writer.run(held).await
    });
    holds.await.unwrap();
    go
}

/// Has `count` pieces of work done in one group.
async fn together<T: Send + 'static>(
    writer: &Arc<Writer<Numbers>>,
    count: i64,
    work: impl Fn(&Numbers, i64) -> rusqlite::Result<T> + Clone + Send + Sync + 'static,
) -> Vec<Result<rusqlite::Result<T>, Lost>> {
    let go = hold(writer).await;
    let waiting: Vec<_> = (0..count)
        .map(|n| {
            let (writer, work) = (writer.clone(), work.clone());
            tokio::spawn(async move { writer.run(move |numbers| work(numbers, n)).await })
        })
        .collect();
    // A turn of the runtime need not reach all of them.
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
    drop(go);
    let mut results = Vec::new();
    for work in waiting {
        results.push(work.await.unwrap());
    }
    results
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let f = numbers();
    let results = together(&f.writer, 100, insert).await;
    assert!(results.iter().all(|result| matches!(result, Ok(Ok(())))));
    assert_eq!(all(&f.writer).await.len(), 100);
    // What held the thread, the hundred, the reading.
    assert_eq!(f.commits.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn work_that_fails_is_undone_alone() {
    let f = numbers();
    let results = together(&f.writer, 3, |numbers, n| {
        insert(numbers, n)?;
        // The second tries its neighbour's number after its own.
        if n == 1 { insert(numbers, 0) } else { Ok(()) }
    });
    let results = results.await;
    assert!(matches!(results[..], [Ok(Ok(())), Ok(Err(_)), Ok(Ok(()))]));
    assert_eq!(all(&f.writer).await, [0, 2]);
}

#[tokio::test]
async fn work_that_panics_is_undone_alone() {
    let f = numbers();
    let results = together(&f.writer, 3, |numbers, n| {
        insert(numbers, n)?;
        assert_ne!(n, 1, "on purpose");
        Ok(())
    });
    let results = results.await;
    assert!(matches!(results[..], [Ok(Ok(())), Err(_), Ok(Ok(()))]));
    assert_eq!(all(&f.writer).await, [0, 2]);
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_all_and_leaves_nothing_and_the_next_succeeds() {
    let f = numbers();
    f.broken.store(true, Ordering::Relaxed);
    let results = together(&f.writer, 3, insert).await;
    assert!(results.iter().all(Result::is_err));
    f.broken.store(false, Ordering::Relaxed);
    assert!(all(&f.writer).await.is_empty());
    assert!(together(&f.writer, 3, insert).await.iter().all(|result| matches!(result, Ok(Ok(())))));
    assert_eq!(all(&f.writer).await, [0, 1, 2]);
}

#[tokio::test]
async fn work_that_ends_the_transaction_costs_its_neighbours_theirs_and_no_more() {
    let f = numbers();
    let results = together(&f.writer, 3, |numbers, n| {
        insert(numbers, n)?;
        // As SQLite does by itself when the disk is full.
        if n == 1 { numbers.connection.execute_batch("ROLLBACK; no disk") } else { Ok(()) }
    });
    // The last was not begun.
    assert!(matches!(results.await[..], [Err(_), Ok(Err(_)), Err(_)]));
    assert!(all(&f.writer).await.is_empty());
}

#[tokio::test]
async fn work_whose_caller_gave_up_while_waiting_is_not_done() {
    let f = numbers();
    let go = hold(&f.writer).await;
    let given_up = tokio::time::timeout(Duration::ZERO, f.writer.run(|numbers| insert(numbers, 7)));
    assert!(given_up.await.is_err());
    drop(go);
    assert!(all(&f.writer).await.is_empty());
}
