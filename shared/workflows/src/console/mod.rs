//! The HTTP API of operators: what arrived, what became of it, how it goes, and trying again.
//!
//! Routing, sign-in and errors are here; each resource has a file. The types with `ToSchema` are the API's shapes and
//! the source of its OpenAPI document.

mod beside;
mod configuration;
mod connect;
mod connections;
mod deliveries;
mod health;
mod logs;
mod metrics;
mod openapi;
mod operators;
mod pauses;
mod reconciliations;
mod reconnect;
mod records;
mod replays;
mod statistics;
mod subscriptions;
mod tokens;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tillwatch_domain::Kind;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::payloads::Payloads;
use tillwatch_platform::table::Table;
use tillwatch_providers::Provider;
use tillwatch_providers::catalogue::{self, Entry};
use utoipa::ToSchema;

use crate::backlog::{Backlog, Waiting};
use crate::configuration::{Configurator, Unconfigured};
use crate::process::UNKNOWN_PROVIDER;
use crate::reconcile::ReconcileRoster;
use crate::reconnect::Reconnect;
use crate::replay::{ReplayError, Replays};
use crate::routing::Routing;
use crate::subscriptions::Keeper;
use crate::tokens::TokenRoster;
use crate::watch::Watch;

pub use connections::{CheckView, ConnectionPage, ConnectionTest, ConnectionView, RingRotated};
pub use deliveries::{Delivery, DeliveryDetail, DeliveryPage, Retried, TouchedRecord};
pub use health::{Health, ProcessingTimes, ProviderHealth};
pub use metrics::Exposition;
pub use openapi::document as openapi;
pub use operators::Operators;
use operators::Who;
pub use pauses::Paused;
pub use reconciliations::{ReconciliationAsked, ReconciliationPage, ReconciliationView};
pub use reconnect::{LinkMade, LinkRevoked};
pub use records::{HistoryEntry, RecordView};
pub use replays::{PlanView, ReplayList, ReplayRequest, ReplayView};
pub use statistics::{
    ConnectionStatistics, ConnectionWebhooks, HourView, KeptView, ObjectiveView, ObjectivesView, SilenceView,
    Statistics, Trend, WindowView,
};
pub use subscriptions::SubscriptionsPage;
pub use tokens::{RefreshesAsked, TokenPage, TokenView};
pub use watch::{
    BlameView, CallView, CallsPage, CheckMade, ChecksAsked, ConnectionHealth, ConnectionHealthDetail,
    ConnectionHealthPage, ProviderWatch, QuotaView, TroubleView, WatchView,
};

/// A request of an operator's.
#[derive(Debug, Clone, Default)]
pub struct ApiRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, percent-encoded as it came, without the query.
    pub path: String,
    /// The query, percent-encoded as it came.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Cookie` header, several joined by semicolons.
    pub cookies: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The API's own address, as it was asked at; none, where that says nothing of how providers reach it.
    pub public_url: Option<String>,
}

/// The largest body that is taken of an operator, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// What the operator is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiAnswer {
    /// The HTTP status.
    pub status: u16,
    /// `application/json`, `application/problem+json` for an error, or a page's.
    pub content_type: &'static str,
    /// JSON, or a page.
    pub body: String,
    /// The methods that the path takes, for a 405.
    pub allow: Option<&'static str>,
    /// Other headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
}

/// An error as RFC 9457 describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of error: `urn:tillwatch:problem:` and a word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, the same for each error of the kind.
    pub title: &'static str,
    /// What is wrong here, and how to mend it.
    pub detail: String,
    #[serde(skip)]
    allow: Option<&'static str>,
}

impl Problem {
    /// An error of this kind.
    pub fn new(status: u16, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:tillwatch:problem:{kind}"),
            status,
            title,
            detail: detail.into(),
            allow: None,
        }
    }

    fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "not-found", "There is nothing here", detail)
    }

    fn bad_parameter(name: &str, problem: &str) -> Self {
        let detail = format!("The query parameter `{name}` {problem}.");
        Self::new(400, "bad-parameter", "A parameter makes no sense", detail)
    }

    /// Ours. The cause goes to the log: it may name what is nobody's business.
    fn ours(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "an operator's request failed");
        let detail =
            "Something that Tillwatch depends on did not answer. Try again in a moment; the log says more.";
        Self::new(503, "unavailable", "Not available at the moment", detail)
    }
}

impl From<tillwatch_platform::table::TableError> for Problem {
    fn from(error: tillwatch_platform::table::TableError) -> Self {
        Self::ours(&error)
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::OtherFilter(id) => {
                let detail =
                    format!("The replay `{id}` replays something else. Give this one another id, or none.");
                Self::new(409, "other-replay", "The id is taken", detail)
            }
            ReplayError::Table(error) => Self::ours(&error),
        }
    }
}

impl From<Unconfigured> for Problem {
    fn from(error: Unconfigured) -> Self {
        match error {
            Unconfigured::Refused(detail) => Self::new(422, "refused", "That can't be configured", detail),
            Unconfigured::Conflict(detail) => {
                Self::new(409, "conflict", "It contradicts what is there", detail)
            }
            Unconfigured::Missing(detail) => Self::not_found(detail),
            error => Self::ours(&error),
        }
    }
}

impl From<Problem> for ApiAnswer {
    fn from(problem: Problem) -> Self {
        Self {
            status: problem.status,
            content_type: "application/problem+json",
            body: serde_json::to_string(&problem).unwrap_or_default(),
            allow: problem.allow,
            headers: Vec::new(),
        }
    }
}

fn json<T: Serialize>(status: u16, value: &T) -> ApiAnswer {
    let body = serde_json::to_string(value).unwrap_or_default();
    ApiAnswer { status, content_type: "application/json", body, allow: None, headers: Vec::new() }
}

/// What waits on the queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pending {
    /// Messages that wait to be processed, those that wait for another attempt included.
    pub count: u64,
    /// Messages that are being processed, or wait for their next attempt.
    pub in_flight: u64,
    /// How long the oldest has waited, in seconds; null if none waits or it is not known yet.
    pub oldest_age_seconds: Option<u64>,
    /// Messages given up by the queue and not parked yet. Zero but for moments.
    pub dead_letters: u64,
}

/// What the API works with.
pub struct Console {
    /// Events, records and figures.
    pub table: Table,
    /// What waits on the queues of events.
    pub backlog: Backlog,
    /// Payloads too large for the table.
    pub payloads: Arc<dyn Payloads>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who may use it.
    pub operators: Operators,
    /// Connections, and what is said of them.
    pub configuration: Configurator,
    /// What the processor has read of connections, where it is in this process: it must not hold on to what was changed.
    pub routing: Option<Arc<Routing>>,
    /// Replays, and what judges rejected requests anew.
    pub replays: Arc<Replays>,
    /// What looks after webhook subscriptions.
    pub subscriptions: Arc<Keeper>,
    /// What checks connections.
    pub watch: Arc<Watch>,
    /// Whose tokens are refreshed.
    pub tokens: Arc<TokenRoster>,
    /// Who is reconciled.
    pub reconciled: Arc<ReconcileRoster>,
    /// Links by which somebody signs in anew.
    pub reconnect: Arc<Reconnect>,
}

impl Console {
    /// Answers one request.
    pub async fn answer(&self, request: &ApiRequest) -> ApiAnswer {
        match self.route(request).await {
            Ok(answer) => answer,
            Err(problem) => problem.into(),
        }
    }

    async fn route(&self, request: &ApiRequest) -> Result<ApiAnswer, Problem> {
        let path = decoded_path(&request.path)?;
        let segments: Vec<&str> = path.iter().map(String::as_str).collect();
        if segments == ["openapi.json"] {
            only(request, "GET")?;
            return Ok(ApiAnswer {
                status: 200,
                content_type: "application/json",
                body: openapi::document().to_owned(),
                allow: None,
                headers: Vec::new(),
            });
        }
        if segments == ["metrics"] {
            only(request, "GET")?;
            let body = self.exposition(request.authorization.as_deref()).await?.collect();
            return Ok(ApiAnswer {
                status: 200,
                content_type: Exposition::TYPE,
                body,
                allow: None,
                headers: Vec::new(),
            });
        }
        if connect::is_route(&segments) {
            only(request, "GET")?;
            // Whoever comes here has no token, and is told in a page.
            return Ok(self.connect_route(request, &segments).await);
        }
        let room = Room::of(&segments).ok_or_else(|| no_path(request, &segments))?;
        let who = self.operators.admit(request.authorization.as_deref(), self.clock.now()).await?;
        let query = Query::parse(&request.query)?;
        match room {
            Room::Configuration => self.configuration_route(&who, request, &segments, &query).await,
            Room::Connections => self.connections_route(&who, request, &segments, &query).await,
            Room::Deliveries => self.deliveries_route(&who, request, &segments, &query).await,
            Room::Logs => self.logs_route(&who, request, &query).await,
            Room::Pauses => self.pauses_route(&who, request, &segments, &query).await,
            Room::Reconciliations => self.reconciliations_route(&who, request, &segments, &query).await,
            Room::Reconnect => self.reconnect_route(&who, request, &segments, &query).await,
            Room::Replays => self.replays_route(&who, request, &segments, &query).await,
            Room::Statistics => self.statistics_route(&who, request, &segments, &query).await,
            Room::Subscriptions => self.subscriptions_route(&who, request, &segments, &query).await,
            Room::Tokens => self.tokens_route(&who, request, &segments, &query).await,
            Room::Watch => self.watch_route(&who, request, &segments, &query).await,
        }
    }

    async fn deliveries_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        match segments {
            ["webhooks", "health"] => {
                only(request, "GET")?;
                who.operator()?;
                Ok(json(200, &self.health(query).await?))
            }
            ["webhooks", "deliveries", provider] => {
                only(request, "GET")?;
                Ok(json(200, &self.deliveries(who, listed_provider(provider)?, query).await?))
            }
            ["webhooks", "deliveries", provider, id] => {
                only(request, "GET")?;
                Ok(json(200, &self.delivery(who, listed_provider(provider)?, id).await?))
            }
            ["webhooks", "retry", provider, id] => {
                only(request, "POST")?;
                Ok(json(202, &self.retry(who, listed_provider(provider)?, id).await?))
            }
            ["records", kind, provider, id] => {
                only(request, "GET")?;
                let provider = sender(provider)?;
                let kind = Kind::ALL.into_iter().find(|known| known.plural() == *kind).ok_or_else(|| {
                    let kind = clipped(kind);
                    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.plural()).collect();
                    let kinds = kinds.join(", ");
                    Problem::not_found(format!("No records are called `{kind}`. There are: {kinds}."))
                })?;
                Ok(json(200, &self.record(who, kind, provider.name(), id, query).await?))
            }
            _ => Err(Problem::not_found("No such path.")),
        }
    }

    /// What waits on the queues.
    async fn pending(&self) -> Result<Pending, Problem> {
        let waiting = self.backlog.waiting(self.clock.now()).await.map_err(|error| Problem::ours(&error))?;
        let Waiting { events, dead_letters } = waiting;
        Ok(Pending {
            count: events.waiting + events.delayed,
            in_flight: events.in_flight,
            oldest_age_seconds: events.oldest_age.map(|age| age.as_secs()),
            dead_letters: dead_letters.waiting + dead_letters.in_flight,
        })
    }
}

/// Which file's a path is.
#[derive(Clone, Copy)]
enum Room {
    Configuration,
    Connections,
    Deliveries,
    Logs,
    Pauses,
    Reconciliations,
    Reconnect,
    Replays,
    Statistics,
    Subscriptions,
    Tokens,
    Watch,
}

impl Room {
    fn of(segments: &[&str]) -> Option<Self> {
        match segments {
            _ if configuration::is_route(segments) => Some(Self::Configuration),
            _ if reconciliations::is_route(segments) => Some(Self::Reconciliations),
            _ if connections::is_route(segments) => Some(Self::Connections),
            _ if logs::is_route(segments) => Some(Self::Logs),
            _ if pauses::is_route(segments) => Some(Self::Pauses),
            _ if reconnect::is_route(segments) => Some(Self::Reconnect),
            _ if replays::is_route(segments) => Some(Self::Replays),
            _ if statistics::is_route(segments) => Some(Self::Statistics),
            _ if subscriptions::is_route(segments) => Some(Self::Subscriptions),
            _ if tokens::is_route(segments) => Some(Self::Tokens),
            _ if watch::is_route(segments) => Some(Self::Watch),
            ["webhooks", "health"]
            | ["webhooks", "deliveries", _]
            | ["webhooks", "deliveries" | "retry", _, _]
            | ["records", _, _, _] => Some(Self::Deliveries),
            _ => None,
        }
    }
}

/// Why there is nothing at a path. What looks like a webhook's is told how those are sent.
fn no_path(request: &ApiRequest, segments: &[&str]) -> Problem {
    let ["webhooks", name] = segments else {
        return Problem::not_found("No such path. GET /openapi.json lists the paths there are.");
    };
    let provider = match sender(name) {
        Ok(provider) => provider,
        Err(problem) => return problem,
    };
    if request.method == "POST" {
        return Problem::not_found(format!(
            "Webhooks are taken at `/webhooks/{}`, to the letter.",
            provider.name()
        ));
    }
    let detail = "Webhooks are sent by POST.";
    let mut problem = Problem::new(405, "method-not-allowed", "The method is not taken here", detail);
    problem.allow = Some("POST");
    problem
}

fn only(request: &ApiRequest, method: &'static str) -> Result<(), Problem> {
    if request.method == method {
        return Ok(());
    }
    let detail = format!("This path takes {method} only.");
    let mut problem = Problem::new(405, "method-not-allowed", "The method is not taken here", detail);
    problem.allow = Some(method);
    Err(problem)
}

/// The body, if it is no larger than is taken.
fn bounded(request: &ApiRequest) -> Result<&[u8], Problem> {
    if request.body.len() <= MAX_BODY {
        return Ok(&request.body);
    }
    let detail = "The body is larger than 1 MiB, the most that is taken here.";
    Err(Problem::new(413, "too-large", "The body is too large", detail))
}

/// The body as JSON of that shape.
fn body<T: serde::de::DeserializeOwned>(request: &ApiRequest) -> Result<T, Problem> {
    let bytes = bounded(request)?;
    let bytes = if bytes.is_empty() { b"{}".as_slice() } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        // Without the parser's own words: they may quote a secret.
        let what = match error.classify() {
            serde_json::error::Category::Data => "is JSON of another shape than this path takes",
            _ => "is not JSON",
        };
        let detail = format!("The body {what}: line {}, column {}.", error.line(), error.column());
        Problem::new(400, "bad-body", "The body makes no sense", detail)
    })
}

/// The provider of that name.
fn known(name: &str) -> Result<Entry, Problem> {
    catalogue::of(name).ok_or_else(|| unknown_provider(name, catalogue::all().map(|entry| entry.name())))
}

/// The provider of that name, of whose webhooks something is asked.
fn sender(name: &str) -> Result<&'static dyn Provider, Problem> {
    let provider = catalogue::of(name).ok_or_else(|| unknown_provider(name, senders()))?;
    provider.sender().ok_or_else(|| {
        let label = provider.about().label;
        let detail = format!("{label} sends no webhooks: its connections are checked, and that is all.");
        Problem::new(404, "no-webhooks", "The provider sends no webhooks", detail)
    })
}

/// The names of those that send webhooks.
fn senders() -> impl Iterator<Item = &'static str> {
    tillwatch_providers::ALL.iter().map(|provider| provider.name())
}

fn unknown_provider(name: &str, known: impl Iterator<Item = &'static str>) -> Problem {
    let known: Vec<_> = known.collect();
    let detail = format!("No provider is called `{}`. There are: {}.", clipped(name), known.join(", "));
    Problem::new(404, "unknown-provider", "There is no such provider", detail)
}

/// A provider's name as lists take it: messages that were no envelopes are listed under a name of their own.
fn listed_provider(name: &str) -> Result<&'static str, Problem> {
    if name == UNKNOWN_PROVIDER {
        return Ok(UNKNOWN_PROVIDER);
    }
    sender(name).map(Provider::name)
}

fn clipped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

fn rfc3339(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// Undoes percent-encoding; `plus` says whether `+` stands for a space, as it does in queries.
fn decoded(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes whatever could mean something in a path or a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn decoded_path(path: &str) -> Result<Vec<String>, Problem> {
    let malformed =
        || Problem::new(400, "bad-path", "The path makes no sense", "Its percent-encoding is broken.");
    path.trim_matches('/').split('/').map(|part| decoded(part, false).ok_or_else(malformed)).collect()
}

/// The query's parameters, each at most once.
struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(text: &str) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name, true), decoded(value, true)) else {
                return Err(Problem::bad_parameter(&clipped(name), "is not percent-encoded rightly"));
            };
            if parameters.insert(name.clone(), value).is_some() {
                return Err(Problem::bad_parameter(&clipped(&name), "is given twice"));
            }
        }
        Ok(Self(parameters))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A misspelt filter must not show everything as if it had been filtered.
    fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let problem = format!("is not known here. There are: {}", known.join(", "));
                Err(Problem::bad_parameter(&clipped(name), &problem))
            }
        }
    }

    fn number(&self, name: &str, default: i64, most: i64) -> Result<i64, Problem> {
        match self.get(name).map(str::parse) {
            None => Ok(default),
            Some(Ok(number)) if (1..=most).contains(&number) => Ok(number),
            Some(_) => Err(Problem::bad_parameter(name, &format!("is a whole number from 1 to {most}"))),
        }
    }

    fn time(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.get(name)
            .map(|text| text.parse::<Timestamp>().map(Timestamp::as_millisecond))
            .transpose()
            .map_err(|_| Problem::bad_parameter(name, "is a time such as 2026-11-23T23:00:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_strictly() {
        assert_eq!(decoded("a%2Fb+c", true).as_deref(), Some("a/b c"));
        assert_eq!(decoded(&encoded("a/b?c=ü +%"), true).as_deref(), Some("a/b?c=ü +%"));
        assert_eq!(decoded("a+b", false).as_deref(), Some("a+b"));
        for text in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(text, true), None, "{text}");
        }
    }

    #[test]
    fn a_parameter_given_twice_or_unknown_is_refused() {
        assert!(Query::parse("a=1&a=2").is_err());
        assert!(Query::parse("stats=x").unwrap().only(&["status"]).is_err());
    }
}
