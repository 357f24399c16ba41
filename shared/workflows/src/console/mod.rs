//! The HTTP API of operators: what arrived, what became of it, how it goes, and trying again.
//!
//! Routing, sign-in and errors are here; each resource has a file. The types with `ToSchema` are the API's shapes and
//! the source of its OpenAPI document.

mod deliveries;
mod health;
mod openapi;
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tillwatch_domain::Kind;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::payloads::Payloads;
use tillwatch_platform::queue::{Gauge, Queue};
use tillwatch_platform::secrets::Secrets;
use tillwatch_platform::table::Table;
use tillwatch_platform::watcher::CloudWatch;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::process::UNKNOWN_PROVIDER;

pub use deliveries::{Delivery, DeliveryDetail, DeliveryPage, Retried, TouchedRecord};
pub use health::{Health, ProcessingTimes, ProviderHealth};
pub use openapi::document as openapi;
pub use records::{HistoryEntry, RecordView};

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
}

/// What the operator is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiAnswer {
    /// The HTTP status.
    pub status: u16,
    /// `application/json`, or `application/problem+json` for an error.
    pub content_type: &'static str,
    /// JSON.
    pub body: String,
    /// The methods that the path takes, for a 405.
    pub allow: Option<&'static str>,
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

impl From<Problem> for ApiAnswer {
    fn from(problem: Problem) -> Self {
        Self {
            status: problem.status,
            content_type: "application/problem+json",
            body: serde_json::to_string(&problem).unwrap_or_default(),
            allow: problem.allow,
        }
    }
}

fn json<T: Serialize>(status: u16, value: &T) -> ApiAnswer {
    let body = serde_json::to_string(value).unwrap_or_default();
    ApiAnswer { status, content_type: "application/json", body, allow: None }
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
    /// The queue of events.
    pub queue: Arc<dyn Queue>,
    /// The queue of dead letters.
    pub dead_letters: Arc<dyn Queue>,
    /// Payloads too large for the table.
    pub payloads: Arc<dyn Payloads>,
    /// Where SQS's own word on the oldest message is found, and the queue's name; none where the queue tells itself.
    pub watcher: Option<(CloudWatch, String)>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who may use it.
    pub operators: Operators,
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
            });
        }
        let known = matches!(
            segments.as_slice(),
            ["webhooks", "health"]
                | ["webhooks", "deliveries", _]
                | ["webhooks", "deliveries" | "retry", _, _]
                | ["records", _, _, _]
        );
        if !known {
            return Err(match segments.as_slice() {
                ["webhooks", provider] => {
                    let mut problem = unknown_provider(provider);
                    if let (Some(known), "POST") =
                        (tillwatch_providers::named(provider), request.method.as_str())
                    {
                        let detail =
                            format!("Webhooks are taken at `/webhooks/{}`, to the letter.", known.name());
                        problem = Problem::not_found(detail);
                    } else if tillwatch_providers::named(provider).is_some() {
                        problem = Problem::new(
                            405,
                            "method-not-allowed",
                            "The method is not taken here",
                            "Webhooks are sent by POST.",
                        );
                        problem.allow = Some("POST");
                    }
                    problem
                }
                _ => Problem::not_found("No such path. GET /openapi.json lists the paths there are."),
            });
        }
        self.operators.admit(request.authorization.as_deref(), self.clock.now()).await?;
        let query = Query::parse(&request.query)?;
        match segments.as_slice() {
            ["webhooks", "health"] => {
                only(request, "GET")?;
                Ok(json(200, &self.health(&query).await?))
            }
            ["webhooks", "deliveries", provider] => {
                only(request, "GET")?;
                Ok(json(200, &self.deliveries(listed_provider(provider)?, &query).await?))
            }
            ["webhooks", "deliveries", provider, id] => {
                only(request, "GET")?;
                Ok(json(200, &self.delivery(listed_provider(provider)?, id).await?))
            }
            ["webhooks", "retry", provider, id] => {
                only(request, "POST")?;
                Ok(json(202, &self.retry(listed_provider(provider)?, id).await?))
            }
            ["records", kind, provider, id] => {
                only(request, "GET")?;
                let provider =
                    tillwatch_providers::named(provider).ok_or_else(|| unknown_provider(provider))?;
                let kind = Kind::ALL.into_iter().find(|known| known.plural() == *kind).ok_or_else(|| {
                    let kind = clipped(kind);
                    Problem::not_found(format!(
                        "No records are called `{kind}`: payments, refunds or orders."
                    ))
                })?;
                Ok(json(200, &self.record(kind, provider.name(), id, &query).await?))
            }
            _ => Err(Problem::not_found("No such path.")),
        }
    }

    /// What waits on the queues.
    async fn pending(&self) -> Result<Pending, Problem> {
        let events = self.queue.gauge().await.map_err(|error| Problem::ours(&error))?;
        let dead: Gauge = self.dead_letters.gauge().await.map_err(|error| Problem::ours(&error))?;
        let oldest = match (&self.watcher, events.oldest_age) {
            (_, Some(age)) => Some(age),
            (Some((watcher, queue)), None) => watcher.oldest_message_age(queue, self.clock.now()).await,
            (None, None) => None,
        };
        Ok(Pending {
            count: events.waiting + events.delayed,
            in_flight: events.in_flight,
            oldest_age_seconds: oldest.map(|age| age.as_secs()),
            dead_letters: dead.waiting + dead.in_flight,
        })
    }
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

fn unknown_provider(name: &str) -> Problem {
    let known: Vec<_> = tillwatch_providers::ALL.iter().map(|provider| provider.name()).collect();
    let detail = format!("No provider is called `{}`. There are: {}.", clipped(name), known.join(", "));
    Problem::new(404, "unknown-provider", "There is no such provider", detail)
}

/// A provider's name as lists take it: messages that were no envelopes are listed under a name of their own.
fn listed_provider(name: &str) -> Result<&'static str, Problem> {
    if name == UNKNOWN_PROVIDER {
        return Ok(UNKNOWN_PROVIDER);
    }
    tillwatch_providers::named(name)
        .map(tillwatch_providers::Provider::name)
        .ok_or_else(|| unknown_provider(name))
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

/// Who may use the API: whoever has one of the tokens in the secret.
pub struct Operators {
    secrets: Arc<dyn Secrets>,
    secret: String,
    known: Mutex<Option<Known>>,
}

/// What was read last: the tokens' digests, none if there were none to be had.
struct Known {
    tokens: Vec<[u8; 32]>,
    at: Timestamp,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    tokens: Vec<SecretString>,
}

/// How long tokens are used without being read again.
const TOKENS_KEPT: Duration = Duration::from_mins(1);
/// How long it is believed that there are none: each reading costs money, and anyone may ask.
const ABSENCE_KEPT: Duration = Duration::from_secs(1);
/// A token that can be guessed is as good as none.
const SHORT_TOKEN: usize = 16;

impl Operators {
    /// Those whose tokens are in the secret of this name: `{"tokens": ["…"]}`.
    pub fn new(secrets: Arc<dyn Secrets>, secret: String) -> Self {
        Self { secrets, secret, known: Mutex::default() }
    }

    async fn admit(&self, authorization: Option<&str>, now: Timestamp) -> Result<(), Problem> {
        let refused = |detail: &str| Problem::new(401, "unauthorized", "Sign in first", detail);
        let token = authorization
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| refused("Send the operator's token as `Authorization: Bearer TOKEN`."))?;
        let given: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut admitted = false;
        for known in self.tokens(now).await? {
            admitted |= bool::from(known.ct_eq(&given));
        }
        if admitted { Ok(()) } else { Err(refused("The token is not one of the operators'.")) }
    }

    async fn tokens(&self, now: Timestamp) -> Result<Vec<[u8; 32]>, Problem> {
        let none = || Problem::ours(&"no operator's token is configured, or it can't be read");
        let mut known = self.known.lock().await;
        if let Some(Known { tokens, at }) = known.as_ref() {
            let age = now.duration_since(*at).unsigned_abs();
            if tokens.is_empty() && age < ABSENCE_KEPT {
                return Err(none());
            }
            if !tokens.is_empty() && age < TOKENS_KEPT {
                return Ok(tokens.clone());
            }
        }
        let tokens = match self.secrets.read(&self.secret).await {
            Ok(secret) => secret.map(|secret| digests(secret.expose_secret())).unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "the operators' tokens could not be read");
                known.take().map(|known| known.tokens).unwrap_or_default()
            }
        };
        *known = Some(Known { tokens: tokens.clone(), at: now });
        if tokens.is_empty() { Err(none()) } else { Ok(tokens) }
    }
}

/// What is kept of the tokens in a secret. A blank one is none.
fn digests(secret: &str) -> Vec<[u8; 32]> {
    let Ok(Tokens { tokens }) = serde_json::from_str(secret) else { return Vec::new() };
    let tokens = tokens.iter().map(|token| token.expose_secret().trim()).filter(|token| !token.is_empty());
    tokens
        .inspect(|token| {
            if token.len() < SHORT_TOKEN {
                tracing::warn!(
                    "an operator's token is short enough to be guessed: `openssl rand -hex 32` makes one"
                );
            }
        })
        .map(|token| Sha256::digest(token.as_bytes()).into())
        .collect()
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
