//! The webhook functions: an HTTP API request (payload version 2.0) in, an HTTP answer out.
//!
//! The event is read as far as it is needed and no further: its other fields, authorizers and all, would cost each start
//! the code that reads them. `lambda_http`'s request, besides, panics on a body that claims to be base64 and is not.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use tillwatch_domain::Cause;
use tillwatch_providers::{Headers, Provider, request};
use tillwatch_workflows::console::Problem;
use tillwatch_workflows::receive::{Answer, Arrival, Receiver};

/// An HTTP API's request, as far as a webhook needs it. Header names are in lower case, duplicates joined by commas.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookEvent {
    /// The path, as it came.
    pub raw_path: String,
    /// The query, as it came.
    pub raw_query_string: String,
    /// The headers.
    pub headers: BTreeMap<String, String>,
    /// The body: text, or base64.
    pub body: Option<String>,
    /// Whether it is base64.
    pub is_base64_encoded: bool,
    /// Where it came from.
    pub request_context: RequestContext,
}

/// What the gateway says of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RequestContext {
    /// About its HTTP.
    pub http: HttpContext,
}

/// What the gateway says of a request's HTTP.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpContext {
    /// `GET`, `POST`, …
    pub method: String,
    /// The sender's address.
    pub source_ip: String,
}

/// An HTTP API's answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAnswer {
    /// The HTTP status.
    pub status_code: u16,
    /// The headers.
    pub headers: BTreeMap<&'static str, &'static str>,
    /// JSON, or what the provider wants to read.
    pub body: String,
}

/// Takes one webhook.
pub async fn handle(receiver: &Receiver, event: WebhookEvent) -> WebhookAnswer {
    respond(receiver.receive(arrival(receiver.provider(), event)).await)
}

/// What arrived, with what is not a header beside the headers; none of those that came may pass for one of it.
fn arrival(provider: &dyn Provider, event: WebhookEvent) -> Arrival {
    let text = event.body.unwrap_or_default();
    let body = if event.is_base64_encoded {
        BASE64_STANDARD.decode(text).map_err(|_| Cause::UnreadableBody)
    } else {
        Ok(text.into_bytes())
    };
    let mut headers: Headers = event.headers.into_iter().filter(|(name, _)| !name.starts_with(':')).collect();
    let HttpContext { method, source_ip } = event.request_context.http;
    if !method.is_empty() && method != "POST" {
        headers.push(request::METHOD, method);
    }
    let beyond = event.raw_path.split_once(&format!("/webhooks/{}", provider.name()));
    if let Some((_, suffix)) = beyond.filter(|(_, suffix)| !suffix.is_empty()) {
        headers.push(request::SUFFIX, suffix);
    }
    if !event.raw_query_string.is_empty() {
        headers.push(request::QUERY, event.raw_query_string);
    }
    Arrival { headers, body, source: source_ip }
}

fn respond(answer: Answer) -> WebhookAnswer {
    match answer {
        Answer::Accepted(_, reply) | Answer::Handshake(reply) => WebhookAnswer {
            status_code: reply.status,
            headers: BTreeMap::from([("content-type", reply.content_type)]),
            body: reply.body,
        },
        Answer::Rejected(status, cause, id) => {
            let mut detail = cause.explanation().to_owned();
            if let Some(id) = id {
                detail = format!("{detail} The request is kept as {id}.");
            }
            problem(&Problem::new(status, cause.name(), "The webhook was not believed", detail))
        }
        Answer::Unavailable(_) => {
            let mut answer = problem(&Problem::new(
                503,
                "unavailable",
                "The webhook could not be taken",
                "The fault is on this side and nothing was kept. Send it again.",
            ));
            answer.headers.insert("retry-after", "5");
            answer
        }
    }
}

fn problem(problem: &Problem) -> WebhookAnswer {
    WebhookAnswer {
        status_code: problem.status,
        headers: BTreeMap::from([("content-type", "application/problem+json")]),
        body: serde_json::to_string(problem).unwrap_or_default(),
    }
}
