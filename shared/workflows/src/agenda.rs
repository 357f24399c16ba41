//! What is to be done again and again for many connections: found by the time at which it falls due, and sent as jobs.
//!
//! A job is a few connections of one provider. It may come twice and may be lost: what it speaks of says itself whether it
//! is still due, and what is long overdue is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tillwatch_domain::span;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::queue::{Outgoing, Queue, QueueError};
use tillwatch_platform::table::{TableError, Written};
use tillwatch_platform::watched::{Due, Kept, NEVER_MS, Watched};

/// What is so long overdue was sent and lost on its way: it is sent again, and looked for as
/// often.
const OVERDUE: Duration = Duration::from_mins(10);
/// A job may come a little before its time.
const EARLY: Duration = Duration::from_secs(2);
/// What falls due within this is one job, sent when the last of it is due.
const TOGETHER_MS: i64 = 5_000;
/// How many connections one job is of: done at the same time, so that a provider that does not answer holds up a job for no
/// longer than one of its connections.
const MOST: usize = 20;
/// How often a document is read again because somebody else wrote it first.
const CONTENTIONS: u32 = 5;
/// How many jobs are sent at the same time.
const AT_ONCE: usize = 16;

/// Why something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is due.
    Due,
    /// An operator asks for it.
    ByHand,
}

impl Why {
    /// Whether it is too soon: what is kept of it is due later, or nothing is. What an operator asks for is never too soon.
    pub(crate) fn is_too_soon<T>(self, kept: Option<&Kept<T>>, now: Timestamp) -> bool {
        self == Self::Due && !kept.is_some_and(|kept| is_due(kept.due_ms, now))
    }
}

/// What is to be done for some connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The form: 1.
    v: u8,
    /// Whose it is, by its id.
    pub ids: Vec<String>,
    /// Why.
    pub why: Why,
    /// When an operator asked for it, Unix milliseconds: what was done since is not done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_ms: Option<i64>,
}

impl Job {
    /// For these, because they are due.
    pub fn due(ids: Vec<String>) -> Self {
        Self { v: 1, ids, why: Why::Due, asked_ms: None }
    }

    /// For these, because an operator asked for it then.
    pub fn by_hand(ids: Vec<String>, asked_ms: i64) -> Self {
        Self { v: 1, ids, why: Why::ByHand, asked_ms: Some(asked_ms) }
    }

    /// What a message says; none, if it is no job.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|job: &Self| job.v == 1)
    }

    /// The message, to be seen after so long. Each provider is a group of its own, so that a slow one delays no other.
    pub fn outgoing(&self, provider: &str, delay: Duration) -> Outgoing {
        let body = serde_json::to_string(self).unwrap_or_default();
        Outgoing { body, group: provider.to_owned(), delay }
    }
}

/// Why it could not be sent. Ours, and tried again.
#[derive(Debug, thiserror::Error)]
pub enum AgendaError {
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Others kept writing the same.
    #[error("what is kept of {0} was written by others each of {CONTENTIONS} times")]
    Contended(String),
}

/// One kind of what is to be done.
pub struct Agenda {
    /// For whom, and when.
    pub watched: Watched,
    /// The queue of its jobs.
    pub jobs: Arc<dyn Queue>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How far ahead the schedule looks, which comes as seldom: once a minute in the cloud. Nothing, where it comes all the
    /// time.
    pub ahead: Duration,
}

impl Agenda {
    /// Sends what falls due until the schedule comes again; how many connections that is.
    pub async fn send_due(&self) -> Result<usize, AgendaError> {
        let now = self.clock.now();
        let (until_ms, now_ms) = (millis(now, self.ahead), now.as_millisecond());
        let sent_until = self.watched.sent_until().await?.unwrap_or(-1);
        // A clock that was put back says nothing of what was sent.
        let was_put_back = sent_until > until_ms;
        let sent_until = if was_put_back { -1 } else { sent_until };
        let mut spans = vec![(sent_until, until_ms)];
        let every_ms = span::millis(OVERDUE);
        let overdue_ms = now_ms - every_ms;
        let looked_ms = sent_until - (until_ms - now_ms);
        if now_ms.div_euclid(every_ms) != looked_ms.div_euclid(every_ms) && overdue_ms < sent_until {
            spans.push((-1, overdue_ms));
        }
        let mut due = Vec::new();
        for (after_ms, until_ms) in spans {
            due.extend(self.watched.due(after_ms, until_ms).await?);
        }
        let count = due.len();
        let jobs = jobs(due);
        let sending = jobs.into_iter().map(|(provider, due_ms, ids)| {
            let job = Job::due(ids).outgoing(&provider, wait(now, due_ms));
            self.jobs.send(job)
        });
        stream::iter(sending).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        // An empty span may be looked at again; each write of this costs a write of the disk on one machine.
        if count > 0 || was_put_back || until_ms - sent_until >= 60_000 {
            self.watched.set_sent_until(until_ms).await?;
        }
        Ok(count)
    }

    /// Changes what is kept of one, over what was read of it (`kept`) or, as often as others write it first, what is there by
    /// then. `change` says when it is due next; what falls due before the schedule looks again is sent at once.
    pub async fn change<T: Default + Serialize + DeserializeOwned>(
        &self,
        of: (&str, &str),
        kept: Option<Kept<T>>,
        change: impl FnMut(&mut T) -> i64,
    ) -> Result<Kept<T>, AgendaError> {
        let new = self.keep(of, kept, change).await?;
        self.send_soon(&new.provider, &new.id, new.due_ms).await?;
        Ok(new)
    }

    /// The same, by who is at it already: nothing is sent.
    pub async fn keep<T: Default + Serialize + DeserializeOwned>(
        &self,
        (id, provider): (&str, &str),
        mut kept: Option<Kept<T>>,
        mut change: impl FnMut(&mut T) -> i64,
    ) -> Result<Kept<T>, AgendaError> {
        for _ in 0..CONTENTIONS {
            let over = kept.as_ref().map(|kept| kept.revision);
            let mut document = kept.map(|kept| kept.document).unwrap_or_default();
            let due_ms = change(&mut document);
            let (id, provider) = (id.to_owned(), provider.to_owned());
            let new = Kept { id, provider, document, due_ms, revision: over.unwrap_or(0) + 1 };
            if self.watched.put(&new, over).await? == Written::Yes {
                return Ok(new);
            }
            kept = self.watched.get(&new.id).await?;
        }
        Err(AgendaError::Contended(id.to_owned()))
    }

    /// All whom it is for, and when each is due.
    pub async fn listed(&self) -> Result<BTreeMap<String, i64>, AgendaError> {
        let listed = self.watched.due(-1, NEVER_MS).await?;
        Ok(listed.into_iter().map(|due| (due.id, due.due_ms)).collect())
    }

    /// Sends these connections of a provider at once, because an operator asks for it.
    pub async fn send(&self, provider: &str, ids: &[String]) -> Result<(), AgendaError> {
        let now_ms = self.clock.now().as_millisecond();
        for ids in ids.chunks(MOST) {
            self.jobs.send(Job::by_hand(ids.to_vec(), now_ms).outgoing(provider, Duration::ZERO)).await?;
        }
        Ok(())
    }

    /// Sends what falls due before the schedule looks again, which may have passed it by.
    async fn send_soon(&self, provider: &str, id: &str, due_ms: i64) -> Result<(), AgendaError> {
        let now = self.clock.now();
        if due_ms > millis(now, self.ahead) {
            return Ok(());
        }
        let job = Job::due(vec![id.to_owned()]);
        Ok(self.jobs.send(job.outgoing(provider, wait(now, due_ms))).await?)
    }
}

/// That moment and so long, as Unix milliseconds.
pub(crate) fn millis(from: Timestamp, wait: Duration) -> i64 {
    from.as_millisecond().saturating_add(span::millis(wait))
}

/// Whether what is due then is due now.
pub(crate) fn is_due(due_ms: i64, now: Timestamp) -> bool {
    due_ms <= millis(now, EARLY)
}

/// How long it is until then.
fn wait(now: Timestamp, until_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(until_ms - now.as_millisecond()).unwrap_or(0))
}

/// What falls due at about the same time at one provider, so many at a time, with the time at which the last of it does.
fn jobs(due: Vec<Due>) -> Vec<(String, i64, Vec<String>)> {
    let mut seen = BTreeSet::new();
    let mut by_provider: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for Due { id, provider, due_ms } in due {
        if seen.insert(id.clone()) {
            by_provider.entry(provider).or_default().push((due_ms, id));
        }
    }
    let mut jobs: Vec<(String, i64, Vec<String>)> = Vec::new();
    for (provider, mut due) in by_provider {
        due.sort();
        let mut began_ms = i64::MIN;
        for (due_ms, id) in due {
            match jobs.last_mut() {
                Some((of, last_ms, ids))
                    if *of == provider && ids.len() < MOST && due_ms - began_ms <= TOGETHER_MS =>
                {
                    *last_ms = due_ms;
                    ids.push(id);
                }
                _ => {
                    began_ms = due_ms;
                    jobs.push((provider.clone(), due_ms, vec![id]));
                }
            }
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(id: &str, provider: &str, due_ms: i64) -> Due {
        Due { id: id.to_owned(), provider: provider.to_owned(), due_ms }
    }

    #[test]
    fn a_job_is_of_one_provider_and_of_one_moment_and_of_each_connection_once() {
        let all = vec![
            due("b", "square", 4_000),
            due("a", "square", 0),
            due("c", "stripe", 0),
            due("d", "square", 5_001),
            due("a", "square", 0),
        ];
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let wanted = [
            ("square".to_owned(), 4_000, ids(&["a", "b"])),
            ("square".to_owned(), 5_001, ids(&["d"])),
            ("stripe".to_owned(), 0, ids(&["c"])),
        ];
        assert_eq!(jobs(all), wanted);
    }

    #[test]
    fn no_job_is_of_more_than_twenty() {
        let all: Vec<_> = (0..45).map(|nth| due(&format!("{nth:02}"), "square", nth)).collect();
        let sizes: Vec<_> = jobs(all).iter().map(|(_, _, ids)| ids.len()).collect();
        assert_eq!(sizes, [20, 20, 5]);
    }

    #[test]
    fn a_job_is_read_as_it_was_sent_and_nothing_else_is() {
        let job = Job::by_hand(vec!["harbour-square".into()], 1);
        let sent = job.outgoing("square", Duration::ZERO);
        assert_eq!(Job::read(&sent.body), Some(job));
        assert_eq!(sent.body, r#"{"v":1,"ids":["harbour-square"],"why":"by_hand","asked_ms":1}"#);
        for other in ["", "{}", r#"{"v":2,"ids":[],"why":"due"}"#] {
            assert_eq!(Job::read(other), None);
        }
    }
}
