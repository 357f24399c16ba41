//! One run: a part of the past is listed, compared, and, when all of it was, passed.

use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::health::Trouble;
use tillwatch_domain::{Connection, span};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::metrics::Metric;
use tillwatch_platform::outbound::OutboundError;
use tillwatch_platform::queue::Gauge;
use tillwatch_platform::watched::{Kept, NEVER_MS};
use tillwatch_providers::Provider;
use tillwatch_providers::call::Words;
use tillwatch_providers::checks::{Judged, Subject};
use tillwatch_providers::reconcile::{self, Page, Reconciles, Whose};

use super::missing::Missing;
use super::standing::{Counts, Plan, may_pass};
use super::{ReconcileError, Reconciler, Reconciliation, SETTLES, is_reconciled};
use crate::agenda::{is_due, millis};
use crate::credentials::ask;
use crate::watch::{probe, regular};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// All of its part was listed.
    Listed {
        /// How much there was.
        listed: u32,
        /// How much of that had not arrived.
        missing: u32,
    },
    /// Its part held too much, and a smaller one comes next.
    TooMuch,
    /// There is nothing to be listed yet.
    Nothing,
    /// The provider did not list it.
    Failed(Trouble),
    /// Webhooks still wait to be processed, or the provider is paused: it is looked at later.
    PutOff,
    /// The connection is paused, disabled or in shadow: nothing is asked.
    Asleep,
    /// It is not due.
    NotDue,
    /// There is no such connection, or no list of its provider's.
    Gone,
}

/// While more is to be listed, the next run follows after this.
const SOON: Duration = Duration::from_secs(5);
/// After a failure that may pass; twice as long after each further one, up to the usual interval.
const RETRY: Duration = Duration::from_mins(5);
/// What someone must mend is tried again so often; sooner, when its settings change.
const MENDED: Duration = Duration::from_hours(6);
/// How many calls one run makes at most, and how many where its part is as small as can be.
const CALLS: usize = 100;
const MOST_CALLS: usize = 400;
/// How long it goes on listing, of the five minutes that the function has.
const LISTS_FOR: Duration = Duration::from_secs(200);
/// More messages than that, those in hand among them, are not waiting for a moment only.
const BACKLOG: u64 = 1_000;
/// A message that has waited for longer may be of what is looked for.
const WAITS: Duration = Duration::from_mins(5);
/// How large a page may be: orders are listed whole, a hundred at once.
const LARGEST_PAGE: usize = 8 * 1024 * 1024;

/// Why listing came to no end.
enum Ended {
    /// Something is wrong: what, the provider's word, what to do, and how long it asks to be left alone.
    Failed { judged: Judged, advice: Option<String>, retry_after: Duration },
    /// A smaller part must be asked for.
    TooMuch,
    /// What is missing may be among what waits to be processed.
    Behind,
}

impl Ended {
    fn advised(trouble: Trouble, advice: String) -> Self {
        let judged = Judged::of(trouble, None);
        Self::Failed { judged, advice: Some(advice), retry_after: Duration::ZERO }
    }
}

impl Reconciler {
    /// Makes the next run of a connection, if it is due.
    pub async fn reconcile(&self, id: &str) -> Result<Ran, ReconcileError> {
        let now = self.clock.now();
        let agenda = &self.roster.agenda;
        let Some(kept) = agenda.watched.get::<Reconciliation>(id).await? else { return Ok(Ran::Gone) };
        if !is_due(kept.due_ms, now) {
            return Ok(Ran::NotDue);
        }
        let connection = self.connections.document::<Connection>(Kind::Connection, id).await?;
        let connection = connection.map(|stored| stored.document);
        let found = connection.and_then(|connection| {
            let name = connection.provider.as_str();
            Some((tillwatch_providers::named(name)?, reconcile::of(name)?, connection))
        });
        let Some((provider, lists, connection)) = found else {
            agenda.watched.delete(id).await?;
            return Ok(Ran::Gone);
        };
        if !is_reconciled(&connection) {
            return self.noted(&connection, kept, Ran::Asleep, |_| NEVER_MS).await;
        }
        let gauge = self.backlog.events.gauge().await?;
        if is_behind(&gauge) || self.connections.paused_since(provider.name()).await?.is_some() {
            return self.put_off(&connection, kept).await;
        }
        let overlap = lists.overlap();
        let Some(plan) = kept.document.plan(now.as_millisecond(), overlap) else {
            return self
                .noted(&connection, kept, Ran::Nothing, |standing| {
                    standing.nothing_to_do(self.clock.now().as_millisecond());
                    regular(id, self.clock.now(), self.roster.every)
                })
                .await;
        };
        let mut counts = Counts::default();
        let listed = self.list(provider, lists, &connection, &plan, &mut counts).await?;
        self.settle(&connection, kept, &plan, overlap, counts, listed).await
    }

    /// Lists the plan's window and puts what has not arrived on the queue, page by page.
    async fn list(
        &self,
        provider: &'static dyn Provider,
        lists: &dyn Reconciles,
        connection: &Connection,
        plan: &Plan,
        counts: &mut Counts,
    ) -> Result<Result<(), Ended>, ReconcileError> {
        let began = self.clock.now();
        let shared = self.credentials.shared(provider.name(), began).await?;
        let own = match self.credentials.own(connection, began).await {
            Ok(own) => own,
            Err(error) => return Ok(Err(Ended::advised(Trouble::Misconfigured, error.unopenable()?))),
        };
        let most = if plan.is_smallest { MOST_CALLS } else { CALLS };
        let mut cursor = None;
        for _ in 0..most {
            let page = match self.page(lists, connection, (&own, &shared), plan, cursor.as_deref()).await {
                Ok(page) => page,
                Err(ended) => return Ok(Err(ended)),
            };
            let (count, missing) =
                self.missing(provider, connection, lists.told(), plan.window, page.listed).await?;
            counts.listed = counts.listed.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            if !missing.is_empty() {
                // The queue itself may not say how old its messages are, so another is asked, and only where it matters.
                let waits = self.backlog.oldest_age(self.clock.now()).await?;
                if waits.is_some_and(|age| age > WAITS) {
                    return Ok(Err(Ended::Behind));
                }
                counts.missing =
                    counts.missing.saturating_add(u32::try_from(missing.len()).unwrap_or(u32::MAX));
                self.found(connection, &missing).await?;
                self.fetch(provider, connection, &missing).await?;
            }
            if page.barred.is_some() {
                counts.barred = page.barred;
            }
            if page.next.is_none() {
                return Ok(Ok(()));
            }
            let is_late = self.clock.now().duration_since(began).unsigned_abs() >= LISTS_FOR;
            // One that does not move on would go on for ever.
            if is_late || page.next == cursor {
                break;
            }
            cursor = page.next;
        }
        Ok(Err(if plan.is_smallest {
            let advice = "the provider lists more of one minute than can be read".to_owned();
            Ended::advised(Trouble::Unreadable, advice)
        } else {
            Ended::TooMuch
        }))
    }

    /// One page of the list.
    async fn page(
        &self,
        lists: &dyn Reconciles,
        connection: &Connection,
        (own, shared): (&Words, &Words),
        plan: &Plan,
        cursor: Option<&str>,
    ) -> Result<Page, Ended> {
        let whose = Whose { connection: &connection.id, of: Subject { own, shared } };
        let call = lists
            .call(&whose, plan.window, cursor)
            .map_err(|unchecked| Ended::advised(Trouble::Misconfigured, unchecked.to_string()))?;
        match ask(&self.outbound, &connection.provider, &call.up_to(LARGEST_PAGE)).await {
            Ok(response) => lists.read(&whose, cursor, &response).map_err(|judged| {
                let retry_after = response.retry_after().unwrap_or_default();
                Ended::Failed { judged, advice: None, retry_after }
            }),
            Err(OutboundError::TooLarge(_)) if !plan.is_smallest => Err(Ended::TooMuch),
            // Says the host and what to look at, and never the rest of the URL.
            Err(error) => Err(Ended::advised(probe::trouble(&error), error.to_string())),
        }
    }

    /// Counts what was found missing, each once, before it goes on the queue: whoever ends in between is followed by one who
    /// finds it counted.
    async fn found(&self, connection: &Connection, missing: &[Missing]) -> Result<(), ReconcileError> {
        let Connection { id, provider, .. } = connection;
        let kept = self.roster.agenda.watched.get::<Reconciliation>(id).await?;
        let Some(due_ms) = kept.as_ref().map(|kept| kept.due_ms) else { return Ok(()) };
        let now = self.clock.now();
        let mut new = 0;
        let count = |standing: &mut Reconciliation| {
            let found = missing.iter().map(|missing| (missing.short(), missing.changed_ms));
            new = standing.gap.find(found, now.as_millisecond());
            due_ms
        };
        self.roster.agenda.keep((id, provider), kept, count).await?;
        if new > 0 {
            let oldest = missing.iter().map(|missing| missing.changed_ms).min();
            let oldest = oldest.and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok()).unwrap_or(now);
            tracing::warn!(
                connection = id, provider, business = connection.business, location = connection.location,
                missing = new, %oldest, "webhooks never came, and what they would have told is fetched"
            );
            self.metrics.emit(now, provider, "missing", &[(Metric::Reconciled, vec![i64::from(new)])]);
        }
        Ok(())
    }

    /// Writes down what came of it, and when the next run is due.
    async fn settle(
        &self,
        connection: &Connection,
        kept: Kept<Reconciliation>,
        plan: &Plan,
        overlap: Duration,
        counts: Counts,
        listed: Result<(), Ended>,
    ) -> Result<Ran, ReconcileError> {
        let (id, every) = (connection.id.as_str(), self.roster.every);
        let now = self.clock.now();
        let now_ms = now.as_millisecond();
        let soon = millis(now, SOON);
        match listed {
            Ok(()) => {
                let ran = Ran::Listed { listed: counts.listed, missing: counts.missing };
                self.noted(connection, kept, ran, |standing| {
                    standing.done(plan, counts, now_ms, overlap);
                    // What has settled only since then is the next regular run's.
                    let behind_ms = now_ms - span::millis(SETTLES + LISTS_FOR);
                    let is_behind = standing.asked.is_some() || standing.until_ms < behind_ms;
                    if is_behind { soon } else { regular(id, now, every) }
                })
                .await
            }
            Err(Ended::Behind) => self.put_off(connection, kept).await,
            Err(Ended::TooMuch) => {
                self.noted(connection, kept, Ran::TooMuch, |standing| {
                    standing.too_much(plan, counts, now_ms);
                    soon
                })
                .await
            }
            Err(Ended::Failed { judged, advice, retry_after }) => {
                let trouble = judged.trouble.unwrap_or(Trouble::Unreadable);
                self.told_of_failure(connection, &kept.document, trouble, judged.code.as_deref());
                self.noted(connection, kept, Ran::Failed(trouble), |standing| {
                    standing.failed(trouble, judged.code.as_ref(), advice.as_ref(), now_ms);
                    match trouble {
                        // Tokens are refreshed and signed in for anew, and nobody comes back here to say so.
                        Trouble::TokenRefused => return regular(id, now, every),
                        _ if !may_pass(trouble) => return regular(id, now, every.max(MENDED)),
                        // Whoever was asked much has said so: the next time it is asked for less.
                        _ if counts.listed > 0 => standing.halve(plan),
                        _ => {}
                    }
                    let doublings = standing.failures.saturating_sub(1).min(6);
                    let wait = (RETRY * 2_u32.pow(doublings)).min(every).max(retry_after.min(MENDED));
                    millis(now, wait)
                })
                .await
            }
        }
    }

    fn told_of_failure(
        &self,
        connection: &Connection,
        before: &Reconciliation,
        trouble: Trouble,
        code: Option<&str>,
    ) {
        let Connection { id, provider, .. } = connection;
        self.metrics.emit(self.clock.now(), provider, "unlisted", &[(Metric::Reconciled, vec![1])]);
        if before.trouble != Some(trouble) {
            let trouble = trouble.name();
            tracing::warn!(
                connection = id,
                provider,
                trouble,
                code,
                "a provider does not list what has happened"
            );
        }
    }

    /// Leaves it for the next regular run.
    async fn put_off(
        &self,
        connection: &Connection,
        kept: Kept<Reconciliation>,
    ) -> Result<Ran, ReconcileError> {
        let later = regular(&connection.id, self.clock.now(), self.roster.every);
        self.noted(connection, kept, Ran::PutOff, |_| later).await
    }

    async fn noted(
        &self,
        connection: &Connection,
        kept: Kept<Reconciliation>,
        ran: Ran,
        mut change: impl FnMut(&mut Reconciliation) -> i64,
    ) -> Result<Ran, ReconcileError> {
        let (id, provider) = (connection.id.as_str(), connection.provider.as_str());
        let now_ms = self.clock.now().as_millisecond();
        let changed = |standing: &mut Reconciliation| {
            standing.describe(connection, now_ms);
            change(standing)
        };
        self.roster.agenda.change((id, provider), Some(kept), changed).await?;
        Ok(ran)
    }
}

/// Whether webhooks that have come still wait to be processed: they are not missing.
fn is_behind(gauge: &Gauge) -> bool {
    gauge.waiting + gauge.in_flight > BACKLOG
        || gauge.oldest_age.is_some_and(|age| age > WAITS && gauge.waiting + gauge.in_flight > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_that_wait_to_be_processed_are_waited_for() {
        let gauge = |waiting, minutes: u64| Gauge {
            waiting,
            oldest_age: Some(Duration::from_mins(minutes)),
            ..Gauge::default()
        };
        assert!(!is_behind(&Gauge::default()) && !is_behind(&gauge(10, 1)) && !is_behind(&gauge(0, 60)));
        assert!(is_behind(&gauge(1, 6)) && is_behind(&gauge(1_001, 0)));
        let in_hand = Gauge { in_flight: 1_001, ..Gauge::default() };
        assert!(is_behind(&in_hand));
    }
}
