//! What never came: how far each connection is reconciled with what its provider lists, and having it reconciled now.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tillwatch_domain::span;
use tillwatch_platform::watched::{Kept, NEVER_MS};
use tillwatch_providers::reconcile;
use utoipa::ToSchema;

use super::operators::Who;
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, body, clipped, json, known, only, rfc3339};
use crate::reconcile::{FURTHEST, ReconcileError, Reconciliation, SETTLES, is_reconciled};

const DAY: i64 = 24;
const WEEK: i64 = 7 * 24;

/// How far a connection is reconciled, and what of its webhooks never came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReconciliationView {
    /// The connection.
    pub connection: String,
    /// The provider's name.
    pub provider: String,
    /// The business.
    pub business: String,
    /// The location; null, if it is the whole business's.
    pub location: Option<String>,
    /// `complete` (nothing was missing in a week), `gap` (something was, and was fetched), `failing` (the provider does not list
    /// it, and is asked again), `unable` (somebody must mend that), `waiting` (no run yet) or `paused`.
    pub state: &'static str,
    /// Of what changed before then nothing is asked by itself.
    pub since: String,
    /// Up to then all that changed was listed.
    pub listed_until: String,
    /// When the last run ended.
    pub ran_at: Option<String>,
    /// When the next one is due; null: not by itself.
    pub next_at: Option<String>,
    /// How much the last run listed.
    pub listed: u32,
    /// How much of that had not arrived.
    pub missing: u32,
    /// How many were found within 24 hours that no webhook brought; they were fetched.
    pub missing_24h: u32,
    /// The same within seven days.
    pub missing_7d: u32,
    /// The same of all time.
    pub missing_ever: u64,
    /// When the oldest of those of the seven days changed at the provider.
    pub oldest_missing_at: Option<String>,
    /// What is still to be listed because an operator asked for it: from then on.
    pub asked_from: Option<String>,
    /// Until then.
    pub asked_to: Option<String>,
    /// What was wrong with the last run, as in a check: `scope_missing`, `rate_limited`, ….
    pub trouble: Option<&'static str>,
    /// What that means.
    pub explanation: Option<&'static str>,
    /// The provider's own word for it.
    pub code: Option<String>,
    /// What to do.
    pub advice: Option<String>,
    /// How many runs on end failed.
    pub failures: u32,
}

/// How far connections are reconciled, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReconciliationPage {
    /// The connections.
    pub reconciliations: Vec<ReconciliationView>,
    /// How many there are in all that were asked for.
    pub total: usize,
}

/// What part of the past is to be listed; left out: what is due by itself.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReconcileRequest {
    /// From then on: seven days back at most; RFC 3339.
    from: Option<String>,
    /// Until then; now unless told.
    to: Option<String>,
}

/// That a connection is being reconciled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReconciliationAsked {
    /// The connection.
    pub connection: String,
    /// It is done when its `ran_at` is from then on and its `asked_from` is null.
    pub asked_at: String,
}

impl From<ReconcileError> for Problem {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Unconfigured(error) => error.into(),
            error => Self::ours(&error),
        }
    }
}

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(segments, ["reconciliations"] | ["connections", _, "reconciliation" | "reconcile"])
}

impl Console {
    pub(super) async fn reconciliations_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        match segments {
            ["reconciliations"] => {
                only(request, "GET")?;
                Ok(json(200, &self.reconciliation_page(who, query).await?))
            }
            ["connections", id, "reconcile"] => {
                only(request, "POST")?;
                query.only(&[])?;
                Ok(json(202, &self.reconcile_now(who, id, &body(request)?).await?))
            }
            ["connections", id, _] => {
                only(request, "GET")?;
                query.only(&[])?;
                let connection = self.connection(who, id).await?;
                let kept = self.reconciled.agenda.watched.get::<Reconciliation>(&connection.id).await?;
                let none = || {
                    let detail = format!("`{}` is not reconciled: nothing is known of it yet.", clipped(id));
                    Problem::not_found(detail)
                };
                let now_ms = self.clock.now().as_millisecond();
                Ok(json(200, &ReconciliationView::of(&kept.ok_or_else(none)?, now_ms)))
            }
            _ => Err(Problem::not_found("No such path.")),
        }
    }

    async fn reconciliation_page(&self, who: &Who, query: &Query) -> Result<ReconciliationPage, Problem> {
        query.only(&["provider", "business", "state", "limit"])?;
        let limit = usize::try_from(query.number("limit", 100, 10_000)?).unwrap_or(100);
        let provider = query.get("provider").map(listed).transpose()?;
        let now_ms = self.clock.now().as_millisecond();
        let all = self.reconciled.agenda.watched.all::<Reconciliation>().await?;
        let mut reconciliations: Vec<_> =
            all.iter().map(|kept| ReconciliationView::of(kept, now_ms)).collect();
        reconciliations.retain(|view| {
            who.may_see(&view.business)
                && provider.is_none_or(|provider| view.provider == provider)
                && query.get("business").is_none_or(|business| view.business == business)
                && query.get("state").is_none_or(|state| view.state == state)
        });
        reconciliations.sort_by_cached_key(place);
        let total = reconciliations.len();
        reconciliations.truncate(limit);
        Ok(ReconciliationPage { reconciliations, total })
    }

    async fn reconcile_now(
        &self,
        who: &Who,
        id: &str,
        asked: &ReconcileRequest,
    ) -> Result<ReconciliationAsked, Problem> {
        let connection = self.connection(who, id).await?;
        listed(&connection.provider)?;
        let refused = |detail: String| Problem::new(422, "refused", "That can't be reconciled", detail);
        if !is_reconciled(&connection) {
            let detail = format!(
                "`{}` is paused, disabled or in shadow: what comes takes no effect, so nothing of it can be missing.",
                connection.id
            );
            return Err(refused(detail));
        }
        let now_ms = self.clock.now().as_millisecond();
        let moment = |name: &str, text: &Option<String>| {
            let read = text.as_ref().map(|text| text.parse::<Timestamp>().map(Timestamp::as_millisecond));
            read.transpose().map_err(|_| refused(format!("`{name}` is a time such as 2026-11-23T23:00:00Z.")))
        };
        let (from, to) = (moment("from", &asked.from)?, moment("to", &asked.to)?);
        let part = match (from, to) {
            (None, None) => None,
            (None, Some(_)) => return Err(refused("Say `from` as well, or neither.".to_owned())),
            (Some(from_ms), to) => {
                // What is newer is not listed before its webhook had its time.
                let to_ms = to.unwrap_or(now_ms).min(now_ms - span::millis(SETTLES));
                if from_ms < now_ms - span::millis(FURTHEST) {
                    return Err(refused("`from` may lie seven days back at most.".to_owned()));
                }
                if from_ms >= to_ms {
                    let detail = "`from` lies before `to`, and more than ten minutes ago: what is newer is left for its webhook.";
                    return Err(refused(detail.to_owned()));
                }
                Some((from_ms, to_ms))
            }
        };
        let asked_ms = self.reconciled.ask(&connection, part).await?;
        Ok(ReconciliationAsked { connection: connection.id, asked_at: rfc3339(asked_ms) })
    }
}

/// Where one stands: those that can't be told of first, then by how much was missing.
fn place(view: &ReconciliationView) -> (usize, std::cmp::Reverse<u32>, String) {
    let order = ["unable", "failing", "gap", "waiting", "complete"];
    let nth = order.iter().position(|state| *state == view.state).unwrap_or(order.len());
    (nth, std::cmp::Reverse(view.missing_7d), view.connection.clone())
}

fn listed(name: &str) -> Result<&'static str, Problem> {
    let known = known(name)?.name();
    if reconcile::of(known).is_none() {
        let detail = format!("{known} has no list of what has happened: what never came can't be told.");
        return Err(Problem::not_found(detail));
    }
    Ok(known)
}

impl ReconciliationView {
    fn of(kept: &Kept<Reconciliation>, now_ms: i64) -> Self {
        let Kept { id, provider, document, due_ms, .. } = kept;
        let missing_7d = document.gap.within(WEEK, now_ms);
        let state = match document.trouble {
            _ if document.asleep => "paused",
            Some(_) if document.may_pass() => "failing",
            Some(_) => "unable",
            None if missing_7d > 0 => "gap",
            None if document.ran_ms.is_none() => "waiting",
            None => "complete",
        };
        Self {
            connection: id.clone(),
            provider: provider.clone(),
            business: document.business.clone(),
            location: document.location.clone(),
            state,
            since: rfc3339(document.since_ms),
            listed_until: rfc3339(document.until_ms),
            ran_at: document.ran_ms.map(rfc3339),
            next_at: (*due_ms != NEVER_MS).then(|| rfc3339(*due_ms)),
            listed: document.listed,
            missing: document.missing,
            missing_24h: document.gap.within(DAY, now_ms),
            missing_7d,
            missing_ever: document.gap.ever(),
            oldest_missing_at: document.gap.oldest_ms(WEEK, now_ms).map(rfc3339),
            asked_from: document.asked.map(|asked| rfc3339(asked.from_ms)),
            asked_to: document.asked.map(|asked| rfc3339(asked.to_ms)),
            trouble: document.trouble.map(tillwatch_domain::health::Trouble::name),
            explanation: document.trouble.map(tillwatch_domain::health::Trouble::explanation),
            code: document.code.clone(),
            advice: document.advice.clone(),
            failures: document.failures,
        }
    }
}
