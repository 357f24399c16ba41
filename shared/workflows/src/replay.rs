//! Replays: starting, stopping and working them off, step by step.
//!
//! A step takes a lease on the replay's document, reads a page of a list, sends what the filter names, and writes back how
//! far it came. A process may end between any two of these, and two may be at work on the same: then some are sent twice,
//! which the processor takes as once.

mod plan;
mod sender;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tillwatch_domain::Outcome;
use tillwatch_domain::connection::Connection;
use tillwatch_domain::replay::{Filter, Planned, RATE, Replay};
use tillwatch_platform::clock::Clock;
use tillwatch_platform::connections::{Connections, Kind, Stored};
use tillwatch_platform::entropy;
use tillwatch_platform::queue::Queue;
use tillwatch_platform::table::{Table, TableError, Written};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::receive::Receiver;
use sender::Sender;

pub use plan::Plan;

/// The replays that are under way, and those that are over, as they are listed.
const ACTIVE: &str = "active";
const OVER: &str = "over";
/// How often a document is read again because somebody else wrote it first.
const CONTENTIONS: usize = 10;
/// How many replays of a kind are looked at, and how many at once.
const MOST: usize = 1_000;
const PAGE: i32 = 100;
/// How long a replay that is over is kept.
const KEPT_MS: i64 = 90 * 86_400_000;
/// Changes of how long are released together.
const TOGETHER_MS: i64 = 10_000;
/// The longest that a runner waits without looking for new ones.
const LOOKS_EVERY: Duration = Duration::from_secs(5);

/// The receivers of all providers, by name: what judges rejected requests anew.
pub type Receivers = BTreeMap<&'static str, Arc<Receiver>>;

/// Why a replay could not be started or found.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is one of that id that replays something else.
    #[error("a replay of the id {0} replays something else")]
    OtherFilter(String),
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// All replays of a deployment.
pub struct Replays {
    table: Table,
    connections: Connections,
    sender: Arc<Sender>,
    clock: Arc<dyn Clock>,
    owner: String,
    started: Notify,
    behind: u64,
}

impl Replays {
    /// The replays kept in the table of connections.
    pub fn new(
        table: Table,
        connections: Connections,
        queue: Arc<dyn Queue>,
        receivers: Receivers,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let sender = Sender { table: table.clone(), queue, receivers, clock: Arc::clone(&clock) };
        let owner = hex::encode(entropy::bytes::<8>());
        let (sender, started) = (Arc::new(sender), Notify::new());
        Self { table, connections, sender, clock, owner, started, behind: BEHIND }
    }

    /// The same, which give way when more than so many messages wait.
    #[must_use]
    pub fn giving_way_at(self, behind: u64) -> Self {
        Self { behind, ..self }
    }

    /// What judges a provider's requests.
    pub fn receiver(&self, provider: &str) -> Option<&Arc<Receiver>> {
        self.sender.receivers.get(provider)
    }

    /// The connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// An id for a replay that was given none. It sorts by time.
    pub fn new_id(&self) -> String {
        let at = self.clock.now().strftime("%Y%m%d-%H%M%S").to_string();
        format!("{at}-{}", hex::encode(entropy::bytes::<3>()))
    }

    /// Starts a replay. One of the same id and filter is that replay, and is answered as it stands.
    pub async fn start(&self, replay: Replay) -> Result<Replay, ReplayError> {
        let written = self.connections.put_document(Kind::Replay, &replay.id, ACTIVE, &replay, None).await?;
        let replay = if written == Written::Yes {
            self.forget_old(replay.created_ms).await;
            replay
        } else {
            match self.read(&replay.id).await? {
                Some(present) if present.document.filter == replay.filter => present.document,
                _ => return Err(ReplayError::OtherFilter(replay.id)),
            }
        };
        self.started.notify_one();
        Ok(replay)
    }

    /// Starts a replay of an operator's, with the number of those that it names.
    pub async fn start_planned(&self, id: String, filter: Filter, rate: u32) -> Result<Replay, ReplayError> {
        let plan = self.plan_without_judging(&filter).await?;
        let mut replay = Replay::new(id, filter, rate, self.now_ms());
        replay.planned = Some(Planned { count: plan.matched, at_least: plan.estimated });
        self.start(replay).await
    }

    /// Starts what releases the events that waited for this connection: it was made, or changed, or is no longer paused.
    /// To be called when events find it as it is now.
    pub async fn start_for_connection(&self, connection: &Connection) -> Result<Vec<Replay>, ReplayError> {
        let held = Filter {
            providers: [connection.provider.clone()].into(),
            connection: Some(connection.id.clone()),
            statuses: [Outcome::Held].into(),
            ..Filter::default()
        };
        let unknown = Filter {
            connection: None,
            accounts: connection.accounts.iter().cloned().collect(),
            statuses: [Outcome::UnknownConnection].into(),
            ..held.clone()
        };
        let mut started = Vec::new();
        for filter in [held, unknown] {
            // Without accounts nobody's events were meant for it.
            if filter.connection.is_none() && filter.accounts.is_empty() {
                continue;
            }
            started.push(self.start_after_a_change(filter).await?);
        }
        Ok(started)
    }

    /// Starts what releases a provider's events of accounts that had no connection. Changes come by the thousand when a
    /// configuration is applied: those of ten seconds are released together, when they are over.
    pub async fn start_for_accounts(&self, provider: &str) -> Result<Replay, ReplayError> {
        let filter = Filter {
            providers: [provider.to_owned()].into(),
            statuses: [Outcome::UnknownConnection].into(),
            ..Filter::default()
        };
        let span = self.now_ms().div_euclid(TOGETHER_MS);
        let id = format!("accounts-{}-{span}", provider.replace('_', "-"));
        self.start(Replay::new(id, filter, RELEASE_RATE, (span + 1) * TOGETHER_MS).after_a_change()).await
    }

    /// Starts what releases the events that waited for a provider.
    pub async fn start_for_provider(&self, provider: &str) -> Result<Replay, ReplayError> {
        self.start_after_a_change(Filter {
            providers: [provider.to_owned()].into(),
            statuses: [Outcome::Held].into(),
            ..Filter::default()
        })
        .await
    }

    async fn start_after_a_change(&self, filter: Filter) -> Result<Replay, ReplayError> {
        let replay = Replay::new(self.new_id(), filter, RELEASE_RATE, self.now_ms());
        self.start(replay.after_a_change()).await
    }

    /// Stops a replay; as it stands then. None, if there is none.
    pub async fn cancel(&self, id: &str) -> Result<Option<Replay>, ReplayError> {
        for _ in 0..CONTENTIONS {
            let Some(Stored { mut document, revision }) = self.read(id).await? else { return Ok(None) };
            if !document.cancel(self.now_ms()) || self.write(&document, revision).await? == Written::Yes {
                return Ok(Some(document));
            }
        }
        Err(TableError::contradiction("cancel a replay").into())
    }

    /// A replay.
    pub async fn get(&self, id: &str) -> Result<Option<Replay>, ReplayError> {
        Ok(self.read(id).await?.map(|stored| stored.document))
    }

    /// All replays, those under way first, the newest first.
    pub async fn list(&self) -> Result<Vec<Replay>, ReplayError> {
        let mut all = self.listed(ACTIVE).await?;
        all.extend(self.listed(OVER).await?);
        all.sort_by_key(|replay| (replay.is_over(), std::cmp::Reverse(replay.created_ms)));
        Ok(all)
    }

    /// Takes a step of each replay of which one is due, and says when the next one is. While what is there is not worked off,
    /// nothing is added to it: what is new would have to wait.
    pub async fn turn(&self) -> Result<Option<Timestamp>, ReplayError> {
        let mut next_ms: Option<i64> = None;
        let active = self.listed(ACTIVE).await?;
        if !active.is_empty() && self.is_behind().await {
            return Ok(Some(self.clock.now() + SignedDuration::from_millis(WHILE_BEHIND_MS)));
        }
        for listed in active {
            let after = self.step(&listed.id).await?;
            if let Some(due_ms) = after.and_then(|replay| replay.next_step_ms()) {
                next_ms = Some(next_ms.map_or(due_ms, |next| next.min(due_ms)));
            }
        }
        Ok(next_ms.and_then(|due_ms| Timestamp::from_millisecond(due_ms).ok()))
    }

    /// Whether processing is behind. A queue that can't say so keeps nobody.
    async fn is_behind(&self) -> bool {
        self.sender.queue.gauge().await.is_ok_and(|gauge| gauge.waiting > self.behind)
    }

    /// Works until nothing is left to do or the deadline has come. What is left goes on with the next call.
    pub async fn run(&self, deadline: Instant) -> Result<(), ReplayError> {
        while Instant::now() < deadline {
            let Some(next) = self.turn().await? else { return Ok(()) };
            tokio::time::sleep_until(deadline.min(Instant::now() + self.until(next))).await;
        }
        Ok(())
    }

    /// Waits until there may be a step to take: one is due, or a replay was started, here or elsewhere.
    pub async fn wait(&self, next: Option<Timestamp>) {
        let span = next.map_or(LOOKS_EVERY, |next| self.until(next).min(LOOKS_EVERY));
        tokio::select! {
            () = self.started.notified() => {}
            () = tokio::time::sleep(span) => {}
        }
    }

    fn until(&self, next: Timestamp) -> Duration {
        let span = next.duration_since(self.clock.now());
        Duration::try_from(span).unwrap_or(Duration::ZERO)
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    async fn read(&self, id: &str) -> Result<Option<Stored<Replay>>, TableError> {
        self.connections.document(Kind::Replay, id).await
    }

    async fn write(&self, replay: &Replay, over: i64) -> Result<Written, TableError> {
        let group = if replay.is_over() { OVER } else { ACTIVE };
        self.connections.put_document(Kind::Replay, &replay.id, group, replay, Some(over)).await
    }

    async fn listed(&self, group: &str) -> Result<Vec<Replay>, TableError> {
        let mut all: Vec<Replay> = Vec::new();
        loop {
            let after = all.last().map(|replay| replay.id.clone()).unwrap_or_default();
            let (page, more) = self.connections.documents(Kind::Replay, group, &after, PAGE).await?;
            let is_last = page.is_empty() || !more;
            all.extend(page);
            if is_last || all.len() >= MOST {
                return Ok(all);
            }
        }
    }

    /// Takes away replays that are over for long. That it fails is of no matter: the next start does the same.
    async fn forget_old(&self, now_ms: i64) {
        let over = self.connections.documents::<Replay>(Kind::Replay, OVER, "", PAGE).await;
        for replay in over.map(|(replays, _)| replays).unwrap_or_default() {
            if replay.finished_ms.is_some_and(|at| at < now_ms - KEPT_MS)
                && let Err(error) = self.connections.delete_document(Kind::Replay, &replay.id).await
            {
                tracing::warn!(%error, replay = replay.id, "an old replay is still kept");
            }
        }
    }
}

/// So many messages on the queue are more than those that are on their way, where many work on them.
const BEHIND: u64 = 200;
/// How long a replay waits then.
const WHILE_BEHIND_MS: i64 = 250;
/// How many a second are released after a pause, or when a connection appears: what waited is behind, so more than when an
/// operator looks on.
const RELEASE_RATE: u32 = 4 * RATE;
