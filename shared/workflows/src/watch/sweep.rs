//! What is watched, brought in line with what is configured.

use std::time::Duration;

use tillwatch_domain::{Connection, State};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::watched::NEVER_MS;
use tillwatch_providers::{catalogue, checks, reconcile, tokens};

use super::beside::Subject;
use super::{Roster, WatchError};
use crate::agenda::millis;
use crate::reconcile::{ReconcileRoster, is_reconciled};
use crate::tokens::{LOOKED_AT, TokenRoster};

/// What is due later than its interval says by more than this, or than a provider may ask for, is due by another clock.
const LEEWAY: Duration = Duration::from_hours(1);
/// How many documents are read at once.
const PAGE: i32 = 200;

impl Roster {
    /// Has looked after what is configured and was missed: made by an event, or by who ended before it was written down. How
    /// many that were. What is configured no more goes with its next check, and what is not checked goes here.
    pub async fn sweep(
        &self,
        token_roster: &TokenRoster,
        reconcile_roster: &ReconcileRoster,
    ) -> Result<usize, WatchError> {
        let (mut watched, mut with_token) =
            (self.agenda.listed().await?, token_roster.agenda.listed().await?);
        let mut reconciled = reconcile_roster.agenda.listed().await?;
        let mut missed = 0;
        for provider in catalogue::all() {
            let (is_checked, is_refreshed) =
                (checks::of(provider.name()).is_some(), tokens::of(provider.name()).is_some());
            let is_listed = reconcile::of(provider.name()).is_some();
            // By a clock that was put back, it is not due for long.
            let longest = self.interval(provider.name()).unwrap_or_default() * 2 + LEEWAY;
            let now = self.clock.now();
            let is_far_off = |longest| move |due_ms: i64| due_ms != NEVER_MS && due_ms > millis(now, longest);
            let (is_far_off, is_token_far_off) = (is_far_off(longest), is_far_off(LOOKED_AT + LEEWAY));
            let mut after = String::new();
            loop {
                let connections = &self.connections;
                let page =
                    connections.documents::<Connection>(Kind::Connection, provider.name(), &after, PAGE);
                let (page, more) = page.await?;
                for connection in &page {
                    let due_ms = watched.remove(&connection.id).filter(|due_ms| !is_far_off(*due_ms));
                    let is_asleep = due_ms.map(|due_ms| due_ms == NEVER_MS);
                    if is_checked && is_asleep != Some(connection.state != State::Enabled) {
                        self.enrol(connection).await?;
                        missed += 1;
                    }
                    let due_ms =
                        with_token.remove(&connection.id).filter(|due_ms| !is_token_far_off(*due_ms));
                    let is_asleep = due_ms.map(|due_ms| due_ms == NEVER_MS);
                    if is_refreshed && is_asleep != Some(connection.state == State::Disabled) {
                        token_roster.enrol(connection).await?;
                    }
                    let is_asleep = reconciled.remove(&connection.id).map(|due_ms| due_ms == NEVER_MS);
                    if is_listed && is_asleep != Some(!is_reconciled(connection)) {
                        reconcile_roster.enrol(connection).await?;
                    }
                }
                let Some(last) = page.last().filter(|_| more) else { break };
                after.clone_from(&last.id);
            }
        }
        // Those that nobody looks at would stay for ever.
        let far_off_ms = millis(self.clock.now(), self.every * 2 + LEEWAY);
        for (id, due_ms) in watched {
            if due_ms == NEVER_MS {
                self.agenda.watched.delete(&id).await?;
            } else if due_ms > far_off_ms {
                self.enrol_beside(Subject::of(&id), true).await?;
            }
        }
        for (id, _) in with_token.into_iter().filter(|(_, due_ms)| *due_ms == NEVER_MS) {
            token_roster.agenda.watched.delete(&id).await?;
        }
        for (id, _) in reconciled.into_iter().filter(|(_, due_ms)| *due_ms == NEVER_MS) {
            reconcile_roster.agenda.watched.delete(&id).await?;
        }
        Ok(missed)
    }
}
