//! The webhook functions: an HTTP API request (payload version 2.0) in, an HTTP answer out.
//!
//! The event is read as far as it is needed and no further: its other fields, authorizers and all, would cost each start
//! the code that reads them. `lambda_http`'s request, besides, panics on a body that claims to be base64 and is not.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use tillwatch_domain::Cause;
use tillwatch_workflows::console::Problem;
use tillwatch_workflows::receive::{Answer, Arrival, Receiver};

/// An HTTP API's request, as far as a webhook needs it. Header names are in lower case, duplicates joined by commas.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookEvent {
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
    /// JSON.
    pub body: String,
}

/// Takes one webhook.
pub async fn handle(receiver: &Receiver, event: WebhookEvent) -> WebhookAnswer {
    respond(receiver.receive(arrival(event)).await)
}

fn arrival(event: WebhookEvent) -> Arrival {
    let text = event.body.unwrap_or_default();
    let body = if event.is_base64_encoded {
        BASE64_STANDARD.decode(text).map_err(|_| Cause::UnreadableBody)
    } else {
        Ok(text.into_bytes())
    };
    let headers = event.headers.into_iter().collect();
    Arrival { headers, body, source: event.request_context.http.source_ip }
}

fn respond(answer: Answer) -> WebhookAnswer {
    match answer {
        Answer::Accepted(id) => WebhookAnswer {
            status_code: 200,
            headers: BTreeMap::from([("content-type", "application/json")]),
            body: format!(r#"{{"id":"{id}"}}"#),
        },
        Answer::Rejected(cause, id) => {
            let mut detail = cause.explanation().to_owned();
            if let Some(id) = id {
                detail = format!("{detail} The request is kept as {id}.");
            }
            problem(&Problem::new(cause.status(), cause.name(), "The webhook was not believed", detail))
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
