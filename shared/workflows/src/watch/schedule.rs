//! What falls due, found by its time and sent as jobs; and what is watched, brought in line with what is configured.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tillwatch_domain::{Connection, State};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::watched::{Due, SHARDS};
use tillwatch_providers::ALL;

use super::job::{Job, MOST};
use super::{Doing, Roster, WatchError, Why, millis, wait};

/// What is so long overdue was sent and lost on its way: it is sent again …
const OVERDUE: Duration = Duration::from_mins(10);
/// … and looked for as often.
const LOOKS: i64 = 10 * 60_000;
/// What falls due within this is one job, sent when the last of it is due.
const TOGETHER_MS: i64 = 5_000;
/// How many jobs are sent at the same time.
const AT_ONCE: usize = 16;
/// How many documents are read at once.
const PAGE: i32 = 200;

/// The name under which it is kept how far was sent.
const CHECKS: &str = "checks";

impl Roster {
    /// Sends what falls due until the schedule comes again; how many connections that is.
    pub async fn schedule(&self) -> Result<usize, WatchError> {
        let now = self.clock.now();
        let (until_ms, now_ms) = (millis(now, self.pace.ahead), now.as_millisecond());
        let sent_until = self.watched.sent_until(CHECKS).await?.unwrap_or(-1);
        // A clock that was put back has sent nothing of what is due now.
        let sent_until = sent_until.min(until_ms);
        let mut spans = vec![(sent_until, until_ms)];
        let overdue_ms = now_ms - i64::try_from(OVERDUE.as_millis()).unwrap_or(i64::MAX);
        if now_ms.div_euclid(LOOKS) != sent_until.div_euclid(LOOKS) && overdue_ms < sent_until {
            spans.push((-1, overdue_ms));
        }
        let mut due = Vec::new();
        for span in spans.into_iter().filter(|(after_ms, until_ms)| after_ms < until_ms) {
            for shard in 0..SHARDS {
                let mut next = None;
                loop {
                    let (page, more) = self.watched.due(shard, span, next).await?;
                    due.extend(page);
                    next = more;
                    if next.is_none() {
                        break;
                    }
                }
            }
        }
        let count = due.len();
        let jobs = jobs(due);
        let sending = jobs.into_iter().map(|(provider, due_ms, ids)| {
            let job = Job::check(ids, Why::Due).outgoing(&provider, wait(now, due_ms));
            self.jobs.send(job)
        });
        stream::iter(sending).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        // An empty span may be looked at again; each write of this costs a write of the disk on one machine.
        if count > 0 || until_ms - sent_until >= 60_000 {
            self.watched.set_sent_until(CHECKS, until_ms).await?;
        }
        Ok(count)
    }

    /// Has checked what is configured and was missed: made by an event, or by who ended before it was written down. How
    /// many that were. What is configured no more goes with its next check.
    pub async fn sweep(&self) -> Result<usize, WatchError> {
        let mut watched = BTreeMap::new();
        for shard in 0..SHARDS {
            let mut next = None;
            loop {
                let (page, more) = self.watched.all::<Doing>(shard, next).await?;
                watched.extend(page.into_iter().map(|kept| (kept.id, kept.document.state)));
                next = more;
                if next.is_none() {
                    break;
                }
            }
        }
        let mut missed = 0;
        for provider in ALL {
            let mut after = String::new();
            loop {
                let (page, more) = self
                    .connections
                    .documents::<Connection>(Kind::Connection, provider.name(), &after, PAGE)
                    .await?;
                for connection in &page {
                    if watched.get(&connection.id) != Some(&connection.state) {
                        self.enrol(connection).await?;
                        missed += 1;
                    }
                    watched.remove(&connection.id);
                }
                let Some(last) = page.last().filter(|_| more) else { break };
                after.clone_from(&last.id);
            }
        }
        // Those that nobody checks would stay for ever.
        for (id, _) in watched.into_iter().filter(|(_, state)| *state != State::Enabled) {
            if self.connections.document::<Connection>(Kind::Connection, &id).await?.is_none() {
                self.watched.delete(&id).await?;
            }
        }
        Ok(missed)
    }
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
}
