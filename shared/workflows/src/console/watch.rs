//! How connections do: whether each works, since when, whose fault it is if not, and what to do; and checks made at once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tillwatch_domain::Connection;
use tillwatch_domain::blame::{Blame, Reason};
use tillwatch_domain::health::{Trouble, Verdict};
use tillwatch_platform::connections::Kind;
use utoipa::ToSchema;

use super::beside::{EndpointView, StatusPageView};
use super::health::ProviderHealth;
use super::operators::Who;
use super::statistics::SilenceView;
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, clipped, json, known, only, rfc3339, sender};
use crate::agenda::Why;
use crate::watch::probe::Called;
use crate::watch::{Checked, Doing, Row, Survey, WatchError};

/// How all that are checked do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WatchView {
    /// When they were looked at all together.
    pub as_of: String,
    /// By provider, of which there are connections.
    pub providers: BTreeMap<String, ProviderWatch>,
    /// Those that do not work as they should, the worst first; the first twenty.
    pub worst: Vec<ConnectionHealth>,
}

/// How one provider's connections do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProviderWatch {
    /// `down` if half of those of which it is known are, `degraded` if any is or works badly, else `up`; `unknown` if
    /// nothing is known of any.
    pub status: &'static str,
    /// How many there are.
    pub connections: u32,
    /// Of these, how many are `up`, `degraded`, `down`, `unknown` and `paused`.
    pub by_status: BTreeMap<&'static str, u32>,
    /// How long half of the last answers took no longer than, in milliseconds; null, if there were none.
    pub response_p50_ms: Option<u32>,
    /// How long all but one in twenty took no longer than.
    pub response_p95_ms: Option<u32>,
    /// Of all checks that are remembered, how many of a thousand failed.
    pub failed_per_mille: Option<u32>,
    /// What the provider's own status page says; null, if it has none for machines.
    pub status_page: Option<StatusPageView>,
    /// How our own address for the provider's webhooks does; null, where it is not asked. For operators alone.
    pub endpoint: Option<EndpointView>,
}

/// How one connection does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionHealth {
    /// The connection.
    pub connection: String,
    /// The provider's name.
    pub provider: String,
    /// The business that it belongs to.
    pub business: String,
    /// The location; null, if it is the whole business's.
    pub location: Option<String>,
    /// `up`, `degraded`, `down`, `unknown` or `paused`.
    pub status: &'static str,
    /// Since when: the time of the first check that said so.
    pub since: Option<String>,
    /// When it was checked last.
    pub checked_at: Option<String>,
    /// How long the last check's slowest answer took, in milliseconds.
    pub response_ms: Option<u32>,
    /// How many checks are remembered.
    pub checks: u32,
    /// How many of these failed.
    pub failed: u32,
    /// What is wrong; null, if nothing is.
    pub trouble: Option<TroubleView>,
    /// Whose fault it is; null, if nothing is wrong.
    pub blame: Option<BlameView>,
    /// 0 to 100; null while it is paused.
    pub score: Option<u8>,
    /// What takes from the score, the most first.
    pub reasons: Vec<String>,
    /// How much of its fullest quota is used up, in per cent; null, where no limit is told.
    pub quota_used_percent: Option<u64>,
    /// When its token ends; null, where that is not told.
    pub token_expires_at: Option<String>,
    /// The scopes that its token lacks, of those that our calls need: for checks, and to fetch what never came. Empty, where
    /// it is not told what it may do.
    pub missing_scopes: Vec<String>,
    /// Whether its webhooks come as they always did.
    pub silence: SilenceView,
    /// When its last webhook that was believed arrived, as far as that was counted: every five minutes.
    pub last_webhook_at: Option<String>,
}

/// What is wrong with a connection, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TroubleView {
    /// One word for it: `token_refused`, `unreachable`, …
    pub kind: &'static str,
    /// What it means.
    pub explanation: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// The provider's own word for it.
    pub code: Option<String>,
    /// What was asked when it went wrong.
    pub endpoint: Option<String>,
    /// What is known beyond that.
    pub detail: Option<String>,
}

/// Whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BlameView {
    /// `provider`, `us`, `tenant` or `unknown`.
    pub whose: &'static str,
    /// One word for what speaks for it.
    pub reason: String,
    /// What speaks for it.
    pub explanation: &'static str,
    /// The same in the provider's own words: the incident of its status page.
    pub detail: Option<String>,
}

/// One page of connections, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionHealthPage {
    /// When they were looked at all together.
    pub as_of: String,
    /// The connections.
    pub connections: Vec<ConnectionHealth>,
    /// Pass it as `cursor` for the next page; null if this is the last.
    pub next: Option<String>,
}

/// How one connection does, with what that is concluded from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionHealthDetail {
    /// What follows.
    #[serde(flatten)]
    pub health: ConnectionHealth,
    /// When it is checked next; null while it is not checked.
    pub next_check_at: Option<String>,
    /// The checks that are remembered, the latest first.
    pub last_checks: Vec<CheckMade>,
    /// What is left of the provider's limits. Empty: none is told.
    pub quotas: Vec<QuotaView>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckMade {
    /// When.
    pub at: String,
    /// What was wrong; null, if nothing was.
    pub trouble: Option<&'static str>,
    /// How long the slowest answer took, in milliseconds.
    pub took_ms: u32,
}

/// One of a provider's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaView {
    /// Which.
    pub name: String,
    /// How many calls, points or per cent are left.
    pub remaining: u64,
    /// Of how many; null: not told.
    pub limit: Option<u64>,
    /// How much is used up, in per cent.
    pub used_percent: Option<u64>,
    /// When it is whole again; null: not told.
    pub resets_at: Option<String>,
    /// When none will be left if it goes on so; null: not before it is whole again.
    pub exhausted_at: Option<String>,
    /// When that was told.
    pub told_at: String,
}

/// The calls of one day, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallsPage {
    /// The calls.
    pub calls: Vec<CallView>,
    /// Pass it as `before` for more; null, if there are no more within that day. The day before is asked for with its end.
    pub next: Option<String>,
}

/// One call of a provider's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallView {
    /// When its check began.
    pub at: String,
    /// What was asked for: the path with names in the place of ids.
    pub endpoint: String,
    /// The HTTP status; null, if there was no answer.
    pub status: Option<u16>,
    /// Whether it went well.
    pub ok: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// What was wrong.
    pub trouble: Option<&'static str>,
    /// The provider's own word for it.
    pub code: Option<String>,
    /// Why there was no answer.
    pub error: Option<String>,
}

/// How many are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChecksAsked {
    /// Connections that are checked from now on; their results are in the lists when they have come.
    pub connections: usize,
}

/// How old a survey may be that lists are made of: on one machine they are made more often, in the cloud each minute.
pub(super) const OLDEST: Duration = Duration::from_mins(2);
/// How many of the worst are told with all.
const WORST: usize = 20;

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Unconfigured(error) => error.into(),
            error => Self::ours(&error),
        }
    }
}

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["pos", "health"]
            | ["pos", "health", _]
            | ["pos", "health", _, "connections" | "webhooks" | "test"]
            | ["health", "locations", _, _]
            | ["health", "locations", _, "pos", _]
            | ["pos-integration", _, "health"]
            | ["connections", _, "health" | "check" | "calls"]
    )
}

impl Console {
    pub(super) async fn watch_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        match segments {
            ["pos", "health"] => {
                only(request, "GET")?;
                query.only(&["business"])?;
                Ok(json(200, &self.watch_view(who, query).await?))
            }
            ["pos", "health", provider] => {
                only(request, "GET")?;
                query.only(&["business"])?;
                let provider = known(provider)?.name();
                let mut all = self.watch_view(who, query).await?;
                Ok(json(200, &all.providers.remove(provider).unwrap_or_else(ProviderWatch::none)))
            }
            ["pos", "health", provider, "connections"] => {
                only(request, "GET")?;
                Ok(json(200, &self.watched_page(who, known(provider)?.name(), query).await?))
            }
            ["pos", "health", provider, "webhooks"] => {
                only(request, "GET")?;
                who.operator()?;
                let provider = sender(provider)?.name();
                let mut health = self.health(query).await?;
                let webhooks: ProviderHealth = health.providers.remove(provider).unwrap_or_default();
                Ok(json(200, &webhooks))
            }
            ["pos", "health", provider, _] => {
                only(request, "POST")?;
                who.operator()?;
                query.only(&[])?;
                Ok(json(202, &self.check_all(known(provider)?.name()).await?))
            }
            ["health", "locations", location, provider]
            | ["health", "locations", location, "pos", provider] => {
                only(request, "GET")?;
                query.only(&[])?;
                let connection = self.connection_at(who, location, known(provider)?).await?;
                Ok(json(200, &self.doing(&connection).await?))
            }
            ["pos-integration", location, _] => {
                only(request, "GET")?;
                query.only(&[])?;
                let mut all = BTreeMap::new();
                for connection in self.connections_of(who, location).await? {
                    all.insert(connection.id.clone(), self.doing(&connection).await?);
                }
                Ok(json(200, &all))
            }
            ["connections", id, "health"] => {
                only(request, "GET")?;
                query.only(&[])?;
                let connection = self.connection(who, id).await?;
                Ok(json(200, &self.doing(&connection).await?))
            }
            ["connections", id, "calls"] => {
                only(request, "GET")?;
                let connection = self.connection(who, id).await?;
                Ok(json(200, &self.calls(&connection, query).await?))
            }
            ["connections", id, _] => {
                only(request, "POST")?;
                query.only(&[])?;
                let connection = self.connection(who, id).await?;
                self.check_one(&connection).await
            }
            _ => Err(Problem::not_found("No such path.")),
        }
    }

    async fn watch_view(&self, who: &Who, query: &Query) -> Result<WatchView, Problem> {
        let survey = self.watch.roster.surveyed(OLDEST).await?;
        let rows = || seen(&survey, who, query);
        let mut by_provider: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in rows() {
            by_provider.entry(&row.provider).or_default().push(row);
        }
        let now_ms = self.clock.now().as_millisecond();
        let provider = |(name, rows): (&str, Vec<&Row>)| {
            let endpoint = survey.endpoints.get(name).filter(|_| who.operator().is_ok());
            let view = ProviderWatch {
                status_page: survey.pages.get(name).map(|page| StatusPageView::of(page, now_ms)),
                endpoint: endpoint.map(EndpointView::of),
                ..ProviderWatch::of(&rows)
            };
            (name.to_owned(), view)
        };
        let providers = by_provider.into_iter().map(provider);
        let is_wrong = |row: &&Row| !matches!(row.verdict, Verdict::Up | Verdict::Paused);
        Ok(WatchView {
            as_of: rfc3339(survey.at_ms),
            providers: providers.collect(),
            worst: rows().filter(is_wrong).take(WORST).map(ConnectionHealth::of).collect(),
        })
    }

    async fn watched_page(
        &self,
        who: &Who,
        provider: &str,
        query: &Query,
    ) -> Result<ConnectionHealthPage, Problem> {
        query.only(&["status", "business", "location", "limit", "cursor"])?;
        let limit = usize::try_from(query.number("limit", 100, 500)?).unwrap_or(100);
        let statuses: Vec<Verdict> = match query.get("status") {
            None => Verdict::ALL.to_vec(),
            Some(names) => names.split(',').map(verdict).collect::<Result<_, _>>()?,
        };
        let survey = self.watch.roster.surveyed(OLDEST).await?;
        // Where it went on is told by the connection: what comes after it in the order of now, whatever that one is now.
        let mut is_before = query.get("cursor").is_some();
        let rest = seen(&survey, who, query).skip_while(|row| {
            let skip = is_before;
            is_before &= query.get("cursor") != Some(row.id.as_str());
            skip
        });
        let mut rest = rest.filter(|row| {
            row.provider == provider
                && statuses.contains(&row.verdict)
                && query.get("location").is_none_or(|location| row.location.as_deref() == Some(location))
        });
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        Ok(ConnectionHealthPage {
            as_of: rfc3339(survey.at_ms),
            next: page.last().filter(|_| more).map(|row| row.id.clone()),
            connections: page.into_iter().map(ConnectionHealth::of).collect(),
        })
    }

    /// How one does now, and whose fault it is by what is known of all.
    async fn doing(&self, connection: &Connection) -> Result<ConnectionHealthDetail, Problem> {
        let id = &connection.id;
        let Some(every) = self.watch.roster.interval(&connection.provider) else {
            let detail = format!("Connections to {} are not checked.", connection.provider);
            return Err(Problem::not_found(detail));
        };
        let kept =
            self.watch.roster.agenda.watched.get_or_new::<Doing>(id).await.map_err(WatchError::from)?;
        let Some(kept) = kept else {
            let detail = format!("`{}` has not been looked at yet: ask again in a moment.", clipped(id));
            return Err(Problem::not_found(detail));
        };
        let survey = self.watch.roster.surveyed(OLDEST).await?;
        let row = survey.with(&kept, every, self.clock.now().as_millisecond());
        let document = &kept.document;
        let made = |check: &tillwatch_domain::health::Check| CheckMade {
            at: rfc3339(check.at_ms),
            trouble: check.trouble.map(Trouble::name),
            took_ms: check.took_ms,
        };
        let quota = |quota: &tillwatch_domain::quota::Tracked| QuotaView {
            name: quota.name.clone(),
            remaining: quota.remaining,
            limit: quota.limit,
            used_percent: quota.used_percent(),
            resets_at: quota.resets_ms.map(rfc3339),
            exhausted_at: quota.exhausted_ms().map(rfc3339),
            told_at: rfc3339(quota.at_ms),
        };
        Ok(ConnectionHealthDetail {
            health: ConnectionHealth::of(&row),
            next_check_at: (row.verdict != Verdict::Paused).then(|| rfc3339(kept.due_ms)),
            last_checks: document.health.checks().iter().rev().map(made).collect(),
            quotas: document.quotas.iter().map(quota).collect(),
        })
    }

    /// Checks one at once.
    async fn check_one(&self, connection: &Connection) -> Result<ApiAnswer, Problem> {
        match self.watch.check(&connection.id, Why::ByHand, None).await? {
            Checked::Made(..) => {
                self.watch.roster.surveys.forget().await;
                Ok(json(200, &self.doing(connection).await?))
            }
            Checked::Paused(_) => {
                let detail = format!("`{}` is {}.", connection.id, connection.state.name());
                Err(Problem::new(409, "paused", "It is not checked", detail))
            }
            Checked::NotDue | Checked::Gone | Checked::Beside => {
                let detail = format!("Connections to {} are not checked.", connection.provider);
                Err(Problem::not_found(detail))
            }
        }
    }

    /// Has all of a provider's connections checked.
    async fn check_all(&self, provider: &'static str) -> Result<ChecksAsked, Problem> {
        let (mut ids, mut after) = (Vec::new(), String::new());
        loop {
            let connections = &self.configuration.connections;
            let (page, more) = connections.ids(Kind::Connection, provider, &after, 500).await?;
            ids.extend(page);
            let Some(last) = ids.last().filter(|_| more) else { break };
            after.clone_from(last);
        }
        let connections = ids.len();
        self.watch.roster.agenda.send(provider, &ids).await.map_err(WatchError::from)?;
        Ok(ChecksAsked { connections })
    }

    async fn calls(&self, connection: &Connection, query: &Query) -> Result<CallsPage, Problem> {
        query.only(&["before", "limit"])?;
        let limit = i32::try_from(query.number("limit", 50, 200)?).unwrap_or(50);
        let now_ms = self.clock.now().as_millisecond();
        let before_ms = query.time("before")?.unwrap_or(now_ms + 1);
        let watched = &self.watch.roster.agenda.watched;
        let checks = watched.logged::<Vec<Called>>(&connection.id, before_ms - 1, before_ms, limit).await?;
        let is_full = usize::try_from(limit).is_ok_and(|limit| checks.len() >= limit);
        let owned_ms = self.owned_ms(connection).await?;
        let next = checks.last().filter(|(at_ms, _)| is_full && *at_ms >= owned_ms);
        let next = next.map(|(at_ms, _)| rfc3339(*at_ms));
        let call = |at_ms: i64, call: Called| CallView {
            at: rfc3339(at_ms),
            endpoint: call.endpoint,
            status: call.status,
            ok: call.trouble.is_none(),
            took_ms: call.took_ms,
            trouble: call.trouble.map(Trouble::name),
            code: call.code,
            error: call.error,
        };
        let calls = checks
            .into_iter()
            .filter(|(at_ms, _)| *at_ms >= owned_ms)
            .flat_map(|(at_ms, calls)| calls.into_iter().map(move |called| call(at_ms, called)));
        Ok(CallsPage { calls: calls.collect(), next })
    }
}

fn verdict(name: &str) -> Result<Verdict, Problem> {
    Verdict::ALL.into_iter().find(|verdict| verdict.name() == name).ok_or_else(|| {
        Problem::bad_parameter("status", "is one or several of up, degraded, down, unknown and paused")
    })
}

/// The rows that may be seen and are asked for.
fn seen<'a>(survey: &'a Survey, who: &'a Who, query: &'a Query) -> impl Iterator<Item = &'a Row> {
    survey.rows.iter().filter(move |row| {
        who.may_see(&row.business) && query.get("business").is_none_or(|business| row.business == business)
    })
}

impl ProviderWatch {
    fn none() -> Self {
        Self { status: Verdict::Unknown.name(), ..Self::default() }
    }

    fn of(rows: &[&Row]) -> Self {
        let count = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
        let (down, up, degraded) = (count(Verdict::Down), count(Verdict::Up), count(Verdict::Degraded));
        let known = down + up + degraded;
        let status = match known {
            0 => Verdict::Unknown,
            _ if down * 2 >= known => Verdict::Down,
            _ if down + degraded > 0 => Verdict::Degraded,
            _ => Verdict::Up,
        };
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut times: Vec<u32> = rows.iter().filter_map(|row| row.took_ms).collect();
        times.sort_unstable();
        let percentile =
            |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        let (checks, failed) = rows.iter().fold((0, 0), |sum, row| (sum.0 + row.checks, sum.1 + row.failed));
        Self {
            status: status.name(),
            connections: number(rows.len()),
            by_status: Verdict::ALL
                .into_iter()
                .map(|verdict| (verdict.name(), number(count(verdict))))
                .collect(),
            response_p50_ms: percentile(50),
            response_p95_ms: percentile(95),
            failed_per_mille: (checks > 0).then(|| failed * 1_000 / checks.max(1)),
            ..Self::default()
        }
    }
}

impl ConnectionHealth {
    fn of(row: &Row) -> Self {
        let trouble = row.trouble.map(|trouble| TroubleView {
            kind: trouble.name(),
            explanation: trouble.explanation(),
            remedy: trouble.remedy(),
            code: row.code.clone(),
            endpoint: row.endpoint.clone(),
            detail: row.advice.clone(),
        });
        let blame = row.blame.map(|(blame, reason)| BlameView::of(blame, reason, row.incident.clone()));
        Self {
            connection: row.id.clone(),
            provider: row.provider.clone(),
            business: row.business.clone(),
            location: row.location.clone(),
            status: row.verdict.name(),
            since: row.since_ms.map(rfc3339),
            checked_at: row.checked_ms.map(rfc3339),
            response_ms: row.took_ms,
            checks: row.checks,
            failed: row.failed,
            trouble,
            blame,
            score: row.score,
            reasons: row.reasons.iter().map(word).collect(),
            quota_used_percent: row.quota_used(),
            token_expires_at: row.token_ends_ms.map(rfc3339),
            missing_scopes: row.missing_scopes.clone(),
            silence: SilenceView::of(Some(&row.sent)),
            last_webhook_at: row.sent.last_ms.map(rfc3339),
        }
    }
}

impl BlameView {
    pub(super) fn of(blame: Blame, reason: Reason, detail: Option<String>) -> Self {
        Self { whose: blame.name(), reason: word(&reason), explanation: reason.explanation(), detail }
    }
}

/// The word that stands for it in JSON.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}
