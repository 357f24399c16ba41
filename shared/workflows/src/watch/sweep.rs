//! What is watched, brought in line with what is configured.

use std::collections::BTreeMap;

use tillwatch_domain::{Connection, State};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::watched::SHARDS;
use tillwatch_providers::ALL;

use super::{Doing, Roster, WatchError};

/// How many documents are read at once.
const PAGE: i32 = 200;

impl Roster {
    /// Has checked what is configured and was missed: made by an event, or by who ended before it was written down. How
    /// many that were. What is configured no more goes with its next check.
    pub async fn sweep(&self) -> Result<usize, WatchError> {
        let mut watched = BTreeMap::new();
        for shard in 0..SHARDS {
            let mut next = None;
            loop {
                let (page, more) = self.agenda.watched.all::<Doing>(shard, next).await?;
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
                self.agenda.watched.delete(&id).await?;
            }
        }
        Ok(missed)
    }
}
