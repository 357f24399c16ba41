//! What API Gateway does with requests and answers: the shapes that functions take and give, and a 500 for one that panics.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use lambda_http::RequestExt as _;
use tillwatch_functions::webhook::{HttpContext, RequestContext, WebhookAnswer, WebhookEvent};
use tillwatch_workflows::console::Problem;

/// What the webhook function reads of the event.
pub(super) fn to_webhook(event: ApiGatewayV2httpRequest) -> WebhookEvent {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = event.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let http = HttpContext {
        method: event.request_context.http.method.to_string(),
        source_ip: event.request_context.http.source_ip.unwrap_or_default(),
    };
    WebhookEvent {
        raw_path: event.raw_path.unwrap_or_default(),
        raw_query_string: event.raw_query_string.unwrap_or_default(),
        headers,
        body: event.body,
        is_base64_encoded: event.is_base64_encoded,
        request_context: RequestContext { http },
    }
}

/// What the console function reads of the event. Not made by `lambda_http`, which panics on what API Gateway would not let
/// through, such as a `Host` that is none. None, if the path is none.
pub(super) fn to_console(event: ApiGatewayV2httpRequest) -> Option<lambda_http::Request> {
    let path = event.raw_path.filter(|path| path.starts_with('/'))?;
    let query = event.raw_query_string.filter(|query| !query.is_empty());
    let uri = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    let mut request = http::Request::builder().method(event.request_context.http.method).uri(uri);
    if let Some(authorization) = event.headers.get(AUTHORIZATION) {
        request = request.header(AUTHORIZATION, authorization);
    }
    if let Some(cookies) = event.cookies.filter(|cookies| !cookies.is_empty()) {
        // As `lambda_http` puts them back among the headers.
        request = request.header(COOKIE, cookies.join("; "));
    }
    let body = match event.body {
        Some(text) if event.is_base64_encoded => Body::Binary(BASE64_STANDARD.decode(text).ok()?),
        Some(text) => Body::Text(text),
        None => Body::Empty,
    };
    Some(request.body(body).ok()?.with_raw_http_path(path))
}

/// A function's answer, or the one that API Gateway gives for a function that panicked.
pub(super) async fn caught(
    mut answer: impl Future<Output = ApiGatewayV2httpResponse> + Unpin,
) -> ApiGatewayV2httpResponse {
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut answer).poll(context)));
        polled.unwrap_or_else(|_| Poll::Ready(panicked()))
    })
    .await
}

/// The answer for a function that panicked.
pub(super) fn panicked() -> ApiGatewayV2httpResponse {
    // What and where, the panic hook has said.
    tracing::error!("a request was answered 500: its function panicked");
    problem(&Problem::new(
        500,
        "internal",
        "Something is wrong with Tillwatch",
        "The fault is on this side, and the log says more. Try again.",
    ))
}

/// An error as an answer.
pub(crate) fn problem(problem: &Problem) -> ApiGatewayV2httpResponse {
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = i64::from(problem.status);
    answer.headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/problem+json"));
    answer.body = Some(Body::Text(serde_json::to_string(problem).unwrap_or_default()));
    answer
}

pub(super) fn from_webhook(webhook: WebhookAnswer) -> ApiGatewayV2httpResponse {
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = i64::from(webhook.status_code);
    for (name, value) in webhook.headers {
        answer.headers.insert(name, http::HeaderValue::from_static(value));
    }
    answer.body = Some(Body::Text(webhook.body));
    answer
}

pub(super) fn answer(response: http::Response<Body>) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = i64::from(parts.status.as_u16());
    answer.headers = parts.headers;
    // API Gateway takes cookies beside the headers, one by one.
    let cookies = answer.headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
    answer.cookies = cookies.map(str::to_owned).collect();
    answer.headers.remove(SET_COOKIE);
    answer.body = Some(body);
    answer
}
