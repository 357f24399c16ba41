//! The webhook functions: an HTTP API request (payload version 2.0) in, an HTTP answer out.
//!
//! They take Lambda's event as it is rather than as `lambda_http`'s request: that one panics on a body which claims to be
//! base64 and is not, and parses each event twice.

use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use tillwatch_domain::Cause;
use tillwatch_providers::Headers;
use tillwatch_workflows::console::Problem;
use tillwatch_workflows::receive::{Answer, Arrival, Receiver};

/// Takes one webhook.
pub async fn handle(receiver: &Receiver, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    respond(receiver.receive(arrival(event)).await)
}

fn arrival(event: ApiGatewayV2httpRequest) -> Arrival {
    let text = event.body.unwrap_or_default();
    let body = if event.is_base64_encoded {
        BASE64_STANDARD.decode(text).map_err(|_| Cause::UnreadableBody)
    } else {
        Ok(text.into_bytes())
    };
    let mut headers = Headers::new();
    for (name, value) in &event.headers {
        headers.push(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
    }
    Arrival { headers, body, source: event.request_context.http.source_ip.unwrap_or_default() }
}

fn respond(answer: Answer) -> ApiGatewayV2httpResponse {
    match answer {
        Answer::Accepted(id) => response(200, "application/json", format!(r#"{{"id":"{id}"}}"#)),
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
            answer.headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            answer
        }
    }
}

fn problem(problem: &Problem) -> ApiGatewayV2httpResponse {
    let body = serde_json::to_string(problem).unwrap_or_default();
    response(i64::from(problem.status), "application/problem+json", body)
}

fn response(status: i64, content_type: &'static str, body: String) -> ApiGatewayV2httpResponse {
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = status;
    answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.body = Some(Body::Text(body));
    answer
}
