//! Statistics: how each connection's webhooks and checks went over a span, against the span before; and how well objectives
//! are kept.

use std::collections::BTreeMap;

use serde::Serialize;
use tillwatch_domain::Connection;
use tillwatch_domain::figures::Deltas;
use tillwatch_domain::objective::{Burn, Objective, Ratio, Window};
use tillwatch_domain::span::HOUR_MS;
use tillwatch_domain::tally::{Webhooks, believed, hour_of};
use utoipa::ToSchema;

use super::health::ProviderHealth;
use super::operators::Who;
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, json, known, only, rfc3339};
use crate::tally::{Sent, Span, TallyError};
use crate::watch::{Doing, Row};

/// How one connection's webhooks go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionWebhooks {
    /// The connection.
    pub connection: String,
    /// The provider's name.
    pub provider: String,
    /// The figures are of what arrived from then on …
    pub from: String,
    /// … until then. What arrives is counted within some minutes; what becomes of it later than two hours after its hour's
    /// end is told with the provider's figures alone.
    pub to: String,
    /// When the last that was believed arrived, as far as that was counted.
    pub last_received_at: Option<String>,
    /// Whether they come as they always did.
    pub silence: SilenceView,
    /// All types together.
    pub all: ProviderHealth,
    /// By the provider's name for the type.
    pub types: BTreeMap<String, ProviderHealth>,
    /// By hour, of hours in which any came, the latest first.
    pub hours: Vec<HourView>,
}

/// Whether webhooks come as they always did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SilenceView {
    /// `normal`, `silent`, or `unknown`: there is too little to go by.
    pub state: &'static str,
    /// Since when none came.
    pub since: Option<String>,
    /// How many come in these hours of the week, on average.
    pub expected: Option<u32>,
    /// How many came in the week that brought least.
    pub least: Option<u32>,
    /// How many weeks say so.
    pub weeks: Option<u32>,
}

/// One hour's webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HourView {
    /// When it began.
    pub at: String,
    /// Distinct events, and rejected requests.
    pub received: i64,
    /// Of these, those that were rejected, were given up, or still fail.
    pub failed: i64,
}

/// How connections went, the one with the most webhooks first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Statistics {
    /// The figures are of what arrived from then on …
    pub from: String,
    /// … until then.
    pub to: String,
    /// How many connections there are that were asked for.
    pub total: usize,
    /// The connections.
    pub connections: Vec<ConnectionStatistics>,
}

/// How one connection went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionStatistics {
    /// The connection.
    pub connection: String,
    /// The provider's name.
    pub provider: String,
    /// The business that it belongs to.
    pub business: String,
    /// The location; null, if it is the whole business's.
    pub location: Option<String>,
    /// How it does now: `up`, `degraded`, `down`, `unknown` or `paused`.
    pub status: &'static str,
    /// 0 to 100; null while it is paused.
    pub score: Option<u8>,
    /// Its webhooks.
    pub webhooks: ProviderHealth,
    /// Its webhooks in as long a span before.
    pub before: Trend,
    /// How many checks are remembered.
    pub checks: u32,
    /// How many of a thousand of these failed; null, if there were none.
    pub checks_failed_per_mille: Option<u32>,
    /// How long the last check's slowest answer took, in milliseconds.
    pub response_ms: Option<u32>,
    /// How much of its fullest quota is used up, in per cent; null, where no limit is told.
    pub quota_used_percent: Option<u64>,
}

/// What to compare with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Trend {
    /// Distinct events, and rejected requests.
    pub received: i64,
    /// How many of a thousand of those that were believed took effect; null, if none came to an end.
    pub success_per_mille: Option<i64>,
    /// By how much per cent more arrived since than before; null, if none did before.
    pub received_change_percent: Option<i64>,
}

/// How well objectives are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ObjectivesView {
    /// When that was looked at last; null: not yet.
    pub as_of: Option<String>,
    /// The objectives.
    pub objectives: Vec<ObjectiveView>,
}

/// One objective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ObjectiveView {
    /// `uptime`, `webhook_success`, `api_latency`, `check_success` or `tokens_valid`.
    pub name: &'static str,
    /// What it says.
    pub explanation: &'static str,
    /// How many of a million must be good.
    pub target_ppm: i64,
    /// How each provider keeps it of which anything was counted.
    pub providers: BTreeMap<String, KeptView>,
}

/// How one provider keeps an objective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeptView {
    /// Whether the last thirty days keep it.
    pub is_kept: bool,
    /// How many millionths are left of what may go wrong in thirty days; below zero, if more has.
    pub budget_left_ppm: Option<i64>,
    /// `fast` (the budget is gone in two days at this rate), `slow` (in five days) or `none`.
    pub burning: &'static str,
    /// By window: `5m`, `30m`, `1h`, `6h`, `3d`, `30d`.
    pub windows: BTreeMap<&'static str, WindowView>,
}

/// What was counted in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WindowView {
    /// How many were good.
    pub good: i64,
    /// How many were bad.
    pub bad: i64,
    /// How many of a million were good; null, if there were none.
    pub good_ppm: Option<i64>,
    /// How many thousandths as fast as is allowed it goes wrong: 1000 uses up the budget in thirty days. Null, where nothing
    /// may go wrong.
    pub burn_rate_milli: Option<i64>,
}

impl From<TallyError> for Problem {
    fn from(error: TallyError) -> Self {
        Self::ours(&error)
    }
}

impl From<tillwatch_platform::payloads::PayloadError> for Problem {
    fn from(error: tillwatch_platform::payloads::PayloadError) -> Self {
        Self::ours(&error)
    }
}

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(segments, ["statistics" | "objectives"] | ["connections", _, "webhooks"])
}

impl Console {
    pub(super) async fn statistics_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        only(request, "GET")?;
        match segments {
            ["statistics"] => Ok(json(200, &self.statistics(who, query).await?)),
            ["objectives"] => {
                who.operator()?;
                query.only(&["provider"])?;
                Ok(json(200, &self.objectives(query).await?))
            }
            ["connections", id, _] => {
                let connection = self.connection(who, id).await?;
                Ok(json(200, &self.webhooks_of(&connection, query).await?))
            }
            _ => Err(Problem::not_found("No such path.")),
        }
    }

    async fn webhooks_of(
        &self,
        connection: &Connection,
        query: &Query,
    ) -> Result<ConnectionWebhooks, Problem> {
        query.only(&["hours"])?;
        let hours = query.number("hours", 24, 7 * 24)?;
        let now_ms = self.clock.now().as_millisecond();
        let owned_ms = self.owned_ms(connection).await?;
        let mut span = Span::last(hours, hour_of(now_ms));
        span.from = span.from.max(hour_of(owned_ms)).min(span.to);
        let tallies = &self.watch.roster.tallies;
        let found = tallies.hours_of(&connection.id, span).await?;
        let (standing, _) = tallies.concluded().await?;
        let sent = standing.connections.get(&connection.id);
        let sent = sent.filter(|sent| sent.last_ms.is_none_or(|last_ms| last_ms >= owned_ms));
        let mut all = Webhooks::default();
        for (_, webhooks) in &found {
            all.merge(webhooks);
        }
        let hour = |(hour, webhooks): &(i64, Webhooks)| {
            let health = ProviderHealth::of(&webhooks.sum());
            HourView {
                at: rfc3339(hour * HOUR_MS),
                received: health.received,
                failed: health.rejected + health.parked + health.failed,
            }
        };
        let last_ms = all.last_ms.max(sent.and_then(|sent| sent.last_ms));
        Ok(ConnectionWebhooks {
            connection: connection.id.clone(),
            provider: connection.provider.clone(),
            from: rfc3339(now_ms.min(span.from * HOUR_MS)),
            to: rfc3339(now_ms),
            last_received_at: last_ms.map(rfc3339),
            silence: SilenceView::of(sent),
            all: ProviderHealth::of(&all.sum()),
            types: all
                .types
                .iter()
                .map(|(kind, figures)| (kind.clone(), ProviderHealth::of(figures)))
                .collect(),
            hours: found.iter().rev().map(hour).collect(),
        })
    }

    /// From when on what is known of a connection is its business's, Unix milliseconds: what it was to another before is not told.
    pub(super) async fn owned_ms(&self, connection: &Connection) -> Result<i64, Problem> {
        let kept = self.watch.roster.agenda.watched.get_or_new::<Doing>(&connection.id).await?;
        Ok(match kept.map(|kept| kept.document) {
            Some(doing) if doing.business != connection.business => i64::MAX,
            Some(doing) => doing.owned_ms().unwrap_or(i64::MIN),
            None => i64::MIN,
        })
    }

    async fn statistics(&self, who: &Who, query: &Query) -> Result<Statistics, Problem> {
        query.only(&["provider", "business", "location", "connection", "hours", "limit"])?;
        let provider = query.get("provider").map(known).transpose()?.map(|provider| provider.name());
        let hours = query.number("hours", 24, 30 * 24)?;
        let limit = usize::try_from(query.number("limit", 100, 500)?).unwrap_or(100);
        let now_ms = self.clock.now().as_millisecond();
        let span = Span::last(hours, hour_of(now_ms));
        let tallies = &self.watch.roster.tallies;
        let survey = self.watch.roster.surveyed(super::watch::OLDEST).await?;
        let is = |name: &str, value: Option<&str>| query.get(name).is_none_or(|asked| value == Some(asked));
        let is_asked = |row: &&Row| {
            who.may_see(&row.business)
                && provider.is_none_or(|provider| row.provider == provider)
                && is("business", Some(&row.business))
                && is("location", row.location.as_deref())
                && is("connection", Some(&row.id))
        };
        let rows: BTreeMap<&str, &Row> =
            survey.rows.iter().filter(is_asked).map(|row| (row.id.as_str(), row)).collect();
        // What came when it was another business's is not told to this one.
        let is_wanted = |id: &str, first: i64| {
            rows.get(id).is_some_and(|row| row.owned_ms.is_none_or(|owned_ms| first >= hour_of(owned_ms)))
        };
        let since = tallies.over(span, is_wanted).await?;
        let before = tallies.over(span.before(), is_wanted).await?;
        let nothing = Deltas::default();
        let mut rows: Vec<(i64, &Row)> =
            rows.into_iter().map(|(id, row)| (since.get(id).map_or(0, believed), row)).collect();
        rows.sort_by(|(count, row), (other, other_row)| other.cmp(count).then(row.id.cmp(&other_row.id)));
        let of = |(_, row): &(i64, &Row)| {
            let webhooks = since.get(&row.id).unwrap_or(&nothing);
            let before = before.get(&row.id).unwrap_or(&nothing);
            ConnectionStatistics::of(row, webhooks, before)
        };
        Ok(Statistics {
            from: rfc3339(span.from * HOUR_MS),
            to: rfc3339(now_ms),
            total: rows.len(),
            connections: rows.iter().take(limit).map(of).collect(),
        })
    }

    async fn objectives(&self, query: &Query) -> Result<ObjectivesView, Problem> {
        let provider = query.get("provider").map(known).transpose()?.map(|provider| provider.name());
        let (_, objectives) = self.watch.roster.tallies.concluded().await?;
        let providers = objectives.providers();
        let views = Objective::ALL.into_iter().map(|objective| {
            let of = |name: &&str| {
                let over = |window| objectives.over(name, objective, window);
                let is_known = Window::ALL.into_iter().any(|window| over(window).count() > 0);
                let is_asked = provider.is_none_or(|provider| *name == provider);
                (is_known && is_asked).then(|| ((*name).to_owned(), KeptView::of(objective, over)))
            };
            ObjectiveView {
                name: objective.name(),
                explanation: objective.explanation(),
                target_ppm: objective.target(),
                providers: providers.iter().filter_map(of).collect(),
            }
        });
        Ok(ObjectivesView {
            as_of: (objectives.at_ms > 0).then(|| rfc3339(objectives.at_ms)),
            objectives: views.collect(),
        })
    }
}

impl SilenceView {
    pub(super) fn of(sent: Option<&Sent>) -> Self {
        let silent = sent.and_then(|sent| sent.silent);
        let state = match (silent, sent) {
            (Some(_), _) => "silent",
            (None, Some(sent)) if sent.is_normal => "normal",
            (None, _) => "unknown",
        };
        Self {
            state,
            since: silent.map(|silent| rfc3339(silent.since_ms)),
            expected: silent.map(|silent| silent.expected),
            least: silent.map(|silent| silent.least),
            weeks: silent.map(|silent| silent.weeks),
        }
    }
}

impl ConnectionStatistics {
    fn of(row: &Row, webhooks: &Deltas, before: &Deltas) -> Self {
        let (webhooks, before) = (ProviderHealth::of(webhooks), ProviderHealth::of(before));
        let change =
            (before.received > 0).then(|| (webhooks.received - before.received) * 100 / before.received);
        Self {
            connection: row.id.clone(),
            provider: row.provider.clone(),
            business: row.business.clone(),
            location: row.location.clone(),
            status: row.verdict.name(),
            score: row.score,
            before: Trend {
                received: before.received,
                success_per_mille: before.success_per_mille,
                received_change_percent: change,
            },
            webhooks,
            checks: row.checks,
            checks_failed_per_mille: (row.checks > 0).then(|| row.failed * 1_000 / row.checks),
            response_ms: row.took_ms,
            quota_used_percent: row.quota_used(),
        }
    }
}

impl KeptView {
    fn of(objective: Objective, over: impl Fn(Window) -> Ratio) -> Self {
        let month = over(Window::Month);
        let window = |window: Window| {
            let ratio = over(window);
            let view = WindowView {
                good: ratio.good,
                bad: ratio.bad,
                good_ppm: ratio.share(),
                burn_rate_milli: ratio.burn_rate(objective),
            };
            (window.name(), view)
        };
        Self {
            is_kept: month.share().is_none_or(|share| share >= objective.target()),
            budget_left_ppm: month.budget_left(objective),
            burning: Burn::of(objective, &over).name(),
            windows: Window::ALL.into_iter().map(window).collect(),
        }
    }
}
