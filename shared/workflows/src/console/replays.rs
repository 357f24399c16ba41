//! Replays, planned, started, looked at and stopped; and the release of one rejected request.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tillwatch_domain::connection;
use tillwatch_domain::replay::{Filter, RATE, RATES, Replay};
use tillwatch_domain::{Cause, Outcome};
use utoipa::ToSchema;

use super::operators::Who;
use super::{
    ApiAnswer, ApiRequest, Console, Problem, Query, Retried, bounded, clipped, json, listed_provider, only,
    rfc3339, sender, senders, unknown_provider,
};
use crate::receive::NotReleased;
use crate::replay::Plan;

/// What is to be replayed. What is left out leaves nothing out.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayRequest {
    /// The replay's id, 1 to 64 lower-case letters, digits and hyphens: to ask twice with one starts one replay. Left out:
    /// one is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How many a second are sent at most, 1 to 1000; 50 unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Only of these providers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// Only of this connection, or sent to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Only of these accounts of a provider.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// One or more of `parked`, `failed`, `held`, `unknown_connection`, `rejected`, `shadowed`, `ignored`.
    pub status: Vec<String>,
    /// Only with exactly this cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Only of this type, as the provider names it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only what arrived then or later; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only what arrived before then; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A replay, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplayView {
    /// Its id.
    pub id: String,
    /// `running`, `done` or `cancelled`.
    pub state: &'static str,
    /// Only of these providers; none: of all.
    pub providers: Vec<String>,
    /// Only of this connection.
    pub connection: Option<String>,
    /// Only of these accounts; none: of all.
    pub accounts: Vec<String>,
    /// Of these statuses.
    pub status: Vec<&'static str>,
    /// Only with this cause.
    pub cause: Option<String>,
    /// Only of this type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Only what arrived then or later.
    pub from: Option<String>,
    /// Only what arrived before then.
    pub to: Option<String>,
    /// How many a second are sent at most.
    pub rate: u32,
    /// How many there were when it was started; null if they were not counted.
    pub planned: Option<u64>,
    /// There were more: so many were counted.
    pub planned_is_estimate: bool,
    /// How many events and requests were looked at.
    pub looked_at: u64,
    /// How many events were sent through the queue again.
    pub sent: u64,
    /// How many rejected requests were believed, and sent.
    pub released: u64,
    /// How many were not sent, by why.
    pub skipped: BTreeMap<&'static str, u64>,
    /// When it was started.
    pub created_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// What keeps it from going on at the moment.
    pub trouble: Option<String>,
}

/// The replays that there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplayList {
    /// Those under way first, the newest first.
    pub replays: Vec<ReplayView>,
}

/// What a replay would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlanView {
    /// How many are named.
    pub matched: u64,
    /// How many of these would be sent.
    pub would_send: u64,
    /// How many would not, by why.
    pub would_skip: BTreeMap<&'static str, u64>,
    /// Rejected requests of which it was not looked whether they are believed now.
    pub unjudged: u64,
    /// There are more than were looked at: the counts are of the first.
    pub estimated: bool,
    /// The first of those that would be sent.
    pub first: Vec<PlannedDelivery>,
}

/// One that would be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlannedDelivery {
    /// The provider's name.
    pub provider: String,
    /// Its id.
    pub id: String,
}

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["replays"] | ["replays", _] | ["replays", _, "cancel"] | ["webhooks", "release", _, _]
    )
}

impl Console {
    pub(super) async fn replays_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        query.only(&[])?;
        if segments.first() == Some(&"replays") {
            who.operator()?;
        }
        match segments {
            ["replays", "plan"] => {
                only(request, "POST")?;
                let asked = asked(request)?;
                let (filter, _) = (asked.filter()?, asked.rate()?);
                asked.id()?;
                let plan = self.replays.plan(&filter).await?;
                Ok(json(200, &PlanView::of(plan)))
            }
            ["replays"] if request.method == "GET" => {
                let replays = self.replays.list().await?;
                Ok(json(200, &ReplayList { replays: replays.into_iter().map(ReplayView::of).collect() }))
            }
            ["replays"] => {
                only(request, "POST")?;
                let asked = asked(request)?;
                let (filter, rate) = (asked.filter()?, asked.rate()?);
                let id = asked.id()?.unwrap_or_else(|| self.replays.new_id());
                let replay = self.replays.start_planned(id, filter, rate).await?;
                Ok(json(202, &ReplayView::of(replay)))
            }
            ["replays", id] => {
                only(request, "GET")?;
                let replay = self.replays.get(id).await?.ok_or_else(|| no_replay(id))?;
                Ok(json(200, &ReplayView::of(replay)))
            }
            ["replays", id, _] => {
                only(request, "POST")?;
                let replay = self.replays.cancel(id).await?.ok_or_else(|| no_replay(id))?;
                Ok(json(200, &ReplayView::of(replay)))
            }
            [_, _, provider, id] => {
                only(request, "POST")?;
                Ok(json(202, &self.release(who, listed_provider(provider)?, id).await?))
            }
            _ => Err(Problem::not_found("No such path.")),
        }
    }

    /// Judges a rejected request anew, and sends it on if it is believed.
    async fn release(&self, who: &Who, provider: &str, id: &str) -> Result<Retried, Problem> {
        let item = self.found(who, provider, id).await?;
        if item.outcome != Outcome::Rejected {
            let detail = format!(
                "It is not a rejected request: it is {}. What waits is tried again by POST /webhooks/retry.",
                item.outcome.name()
            );
            return Err(not_releasable(detail));
        }
        let unknown = || unknown_provider(provider, senders());
        let receiver = self.replays.receiver(provider).ok_or_else(unknown)?;
        match receiver.release(&item).await {
            Ok(()) => Ok(Retried { id: item.id, status: "queued" }),
            Err(NotReleased::NotRejected) => Err(not_releasable("It stands for many that are only counted.")),
            Err(NotReleased::NotKept) => Err(not_releasable(
                "Its headers and body were not kept: it was too large, or a question whether the URL is ours. Let the \
                 provider send it again.",
            )),
            Err(NotReleased::Unreadable) => Err(not_releasable("What is kept of it can't be read.")),
            Err(NotReleased::Question) => {
                Err(not_releasable("It asks whether the URL is ours. Let the provider ask again."))
            }
            Err(NotReleased::StillRejected(cause)) => Err(still_rejected(cause)),
            Err(NotReleased::Misconfigured(problem)) => {
                Err(not_releasable(format!("The present settings can't judge it: {problem}.")))
            }
            Err(NotReleased::Unavailable(error)) => Err(Problem::ours(&error)),
        }
    }
}

fn not_releasable(detail: impl Into<String>) -> Problem {
    Problem::new(409, "not-releasable", "It can't be released", detail)
}

fn still_rejected(cause: Cause) -> Problem {
    let mut detail = format!("{}: {}", cause.name(), cause.explanation());
    if matches!(cause, Cause::StaleTimestamp | Cause::FutureTimestamp) {
        detail = format!(
            "{}: its signed time is too far from its arrival, which no change of settings mends.",
            cause.name()
        );
    }
    Problem::new(409, "still-rejected", "It is not believed now either", detail)
}

fn no_replay(id: &str) -> Problem {
    Problem::not_found(format!("No replay has the id `{}`. GET /replays lists those there are.", clipped(id)))
}

fn bad(field: &str, problem: &str) -> Problem {
    Problem::new(400, "bad-body", "The body makes no sense", format!("The field `{field}` {problem}."))
}

/// The body of a request about replays. It holds no secrets, so what is wrong with it may be said in the parser's words.
fn asked(request: &ApiRequest) -> Result<ReplayRequest, Problem> {
    let bytes = bounded(request)?;
    serde_json::from_slice(bytes).map_err(|error| {
        let detail = if bytes.is_empty() {
            r#"There is none. Send a JSON object such as {"status": ["parked"]}."#.to_owned()
        } else {
            format!("It is not what this path takes: {error}.")
        };
        let detail: String = detail.chars().filter(|c| !c.is_control()).take(500).collect();
        Problem::new(400, "bad-body", "The body makes no sense", detail)
    })
}

impl ReplayRequest {
    fn rate(&self) -> Result<u32, Problem> {
        let rate = self.rate.unwrap_or(RATE);
        if RATES.contains(&rate) { Ok(rate) } else { Err(bad("rate", "is a whole number from 1 to 1000")) }
    }

    fn id(&self) -> Result<Option<String>, Problem> {
        match &self.id {
            Some(id) if !connection::is_id(id) || id == "plan" => {
                Err(bad("id", "is 1 to 64 lower-case letters, digits and hyphens"))
            }
            id => Ok(id.clone()),
        }
    }

    fn filter(&self) -> Result<Filter, Problem> {
        let known = |name: &String| {
            let provider = sender(name);
            provider.map(|provider| provider.name().to_owned()).map_err(|Problem { detail, .. }| {
                Problem::new(400, "bad-body", "The body makes no sense", detail)
            })
        };
        let names = Filter::STATUSES.map(Outcome::name).join(", ");
        let status = |name: &String| {
            let outcome = Outcome::named(name).filter(|outcome| Filter::STATUSES.contains(outcome));
            outcome.ok_or_else(|| bad("status", &format!("lists one or more of {names}")))
        };
        let statuses: BTreeSet<_> = self.status.iter().map(status).collect::<Result<_, _>>()?;
        if statuses.is_empty() {
            return Err(bad("status", &format!("lists one or more of {names}")));
        }
        Ok(Filter {
            providers: self.providers.iter().map(known).collect::<Result<_, _>>()?,
            connection: self.connection.clone(),
            accounts: self.accounts.iter().cloned().collect(),
            statuses,
            cause: self.cause.clone(),
            kind: self.kind.clone(),
            from_ms: time("from", self.from.as_deref())?,
            to_ms: time("to", self.to.as_deref())?,
        })
    }
}

fn time(field: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
    let parsed = text.map(|text| text.parse::<Timestamp>().map(Timestamp::as_millisecond)).transpose();
    parsed.map_err(|_| bad(field, "is a time such as 2026-11-23T23:00:00Z"))
}

impl PlanView {
    fn of(plan: Plan) -> Self {
        Self {
            matched: plan.matched,
            would_send: plan.would_send,
            would_skip: plan.would_skip.into_iter().map(|(why, count)| (why.name(), count)).collect(),
            unjudged: plan.unjudged,
            estimated: plan.estimated,
            first: plan.first.into_iter().map(|(provider, id)| PlannedDelivery { provider, id }).collect(),
        }
    }
}

impl ReplayView {
    fn of(replay: Replay) -> Self {
        let Replay { filter, counts, .. } = replay;
        Self {
            id: replay.id,
            state: replay.state.name(),
            providers: filter.providers.into_iter().collect(),
            connection: filter.connection,
            accounts: filter.accounts.into_iter().collect(),
            status: filter.statuses.into_iter().map(Outcome::name).collect(),
            cause: filter.cause,
            kind: filter.kind,
            from: filter.from_ms.map(rfc3339),
            to: filter.to_ms.map(rfc3339),
            rate: replay.rate,
            planned: replay.planned.map(|planned| planned.count),
            planned_is_estimate: replay.planned.is_some_and(|planned| planned.at_least),
            looked_at: counts.looked_at,
            sent: counts.sent,
            released: counts.released,
            skipped: counts.skipped.into_iter().map(|(why, count)| (why.name(), count)).collect(),
            created_at: rfc3339(replay.created_ms),
            finished_at: replay.finished_ms.map(rfc3339),
            trouble: replay.trouble,
        }
    }
}
