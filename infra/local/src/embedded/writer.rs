//! One thread owns a SQLite connection. What waits for it is done in one transaction, made durable by one fsync, and
//! answered after that: a commit costs the same for one write as for two hundred, so whatever comes in during one
//! commit shares the next.
//!
//! Each piece of work has a savepoint of its own: what fails alone is undone alone. When the commit itself fails (a
//! full disk), every piece of it is told so and none of it is there; the thread goes on with what comes next.
//!
//! Transactions are opened and committed as savepoints throughout, never by `BEGIN` and `COMMIT`: see
//! [`table`](super::table), whose library says those itself.

#[cfg(test)]
mod tests;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// The most pieces of work in one transaction: beyond this a longer wait buys hardly any fsyncs.
const GROUP: usize = 256;
/// How many pieces of work may wait; more, and callers wait to be let in.
const WAITING: usize = 1024;

/// What the thread owns.
pub(super) trait Store: Send + 'static {
    /// Its connection, open in WAL mode and fsyncing its commits.
    fn connection(&self) -> &Connection;

    /// Told after every commit, before that commit's callers are.
    fn committed(&self);
}

/// Why the work was not committed. It has left no trace.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct Lost(Arc<str>);

impl From<rusqlite::Error> for Lost {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string().into())
    }
}

/// Tells the caller what became of its work, once that is known.
type Answer = Box<dyn FnOnce(Result<(), Lost>)>;
/// Does the work; says whether to keep what it wrote.
type Job<S> = Box<dyn FnOnce(&S) -> (bool, Answer) + Send>;

/// A handle on the thread. Dropping it waits until what was accepted is done.
pub(super) struct Writer<S> {
    jobs: Option<mpsc::Sender<Job<S>>>,
    thread: Option<JoinHandle<()>>,
}

impl<S: Store> Writer<S> {
    /// Starts the thread.
    pub(super) fn start(name: &str, store: S) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || serve(&store, waiting))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has `work` done, and returns when it is durable. An `Err` of the work undoes what it wrote, and nothing else.
    pub(super) async fn run<T, E>(
        &self,
        work: impl FnOnce(&S) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Lost>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job<S> = Box::new(move |store| {
            // A caller that gave up while waiting wants nothing done any more.
            if answer.is_closed() {
                return (true, Box::new(|_| ()));
            }
            let result = work(store);
            (result.is_ok(), Box::new(move |commit| drop(answer.send(commit.map(|()| result)))))
        });
        match &self.jobs {
            Some(jobs) if jobs.send(job).await.is_ok() => {}
            _ => return Err(Lost("the writing thread has ended".into())),
        }
        // It goes unanswered when the work panicked, or when the transaction broke off before its turn.
        answered.await.unwrap_or_else(|_| Err(Lost("the work was given up".into())))
    }
}

impl<S> Drop for Writer<S> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It catches the panics of its work; one of its own has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

fn serve<S: Store>(store: &S, mut waiting: mpsc::Receiver<Job<S>>) {
    let mut group = Vec::with_capacity(GROUP);
    let mut failing = false;
    while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
        let mut answers = Vec::with_capacity(group.len());
        let outcome = commit_all(store, group.drain(..), &mut answers);
        match &outcome {
            Ok(()) => store.committed(),
            // Once: on a full disk every caller tries again.
            Err(error) if !failing => tracing::error!(%error, "a group of writes was not committed"),
            Err(_) => {}
        }
        failing = outcome.is_err();
        for answer in answers {
            answer(outcome.clone());
        }
    }
}

/// Has the connection fsync its commits, and be quick about the rest.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Savepoints keep the pages they may have to restore: in memory, not in a file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -32_000)?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

/// Does the jobs in one transaction and commits it. On an error nothing of it stays.
fn commit_all<S: Store>(
    store: &S,
    jobs: impl Iterator<Item = Job<S>>,
    answers: &mut Vec<Answer>,
) -> Result<(), Lost> {
    let connection = store.connection();
    let run = |sql| connection.prepare_cached(sql)?.execute(()).map(drop);
    let break_off = || {
        if connection.is_autocommit() {
            return Ok(());
        }
        connection.execute_batch("ROLLBACK TO everything; RELEASE everything")
    };
    let commit = || {
        // Within an older transaction that would not end, releasing the savepoint would not commit.
        break_off()?;
        run("SAVEPOINT everything")?;
        for job in jobs {
            run("SAVEPOINT one")?;
            let done = catch_unwind(AssertUnwindSafe(|| job(store))).ok();
            let keep = done.as_ref().is_some_and(|(keep, _)| *keep);
            if connection.is_autocommit() {
                // So it does on a full disk, for one. This job's own error says why.
                if let Some((false, answer)) = done {
                    answer(Ok(()));
                }
                return Err(Lost("SQLite gave the transaction up".into()));
            }
            answers.extend(done.map(|(_, answer)| answer));
            if !keep {
                run("ROLLBACK TO one")?;
            }
            run("RELEASE one")?;
        }
        Ok(run("RELEASE everything")?)
    };
    commit().inspect_err(|_| drop(break_off()))
}
