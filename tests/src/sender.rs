//! Senders: requests as providers make them, signed by the module under test's own rule (the vectors hold that rule to
//! the providers').

use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use tillwatch_providers::request::Outgoing;
use tillwatch_providers::{Headers, Provider, Received, Request, Settings};

/// The provider of that name.
pub fn provider(name: &str) -> &'static dyn Provider {
    tillwatch_providers::named(name).expect("the provider is built")
}

/// A request, ready to be sent or tampered with.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The provider's name.
    pub provider: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: Vec<u8>,
}

/// A sample of this kind and number, signed.
pub fn sample(provider_name: &str, kind: &str, number: u64, at: Timestamp, settings: &Settings) -> Sent {
    let (headers, body) = provider(provider_name).sample(kind, number, at).expect("the kind is sampled");
    signed(provider_name, headers, body, at, settings)
}

/// This body, signed.
#[expect(clippy::needless_pass_by_value, reason = "callers make the headers for it")]
pub fn signed(name: &str, headers: Headers, body: Vec<u8>, at: Timestamp, settings: &Settings) -> Sent {
    let request = Request::new(headers.clone(), body.clone());
    let signature = provider(name).sign(settings, &request, at).expect("the settings can sign");
    let headers = headers.iter().chain(signature.iter()).collect();
    Sent { provider: name.to_owned(), headers, body }
}

/// The body of a payment of Square's in this state at this time.
pub fn square_payment(id: &str, status: &str, cents: u32, updated_at: Timestamp, event: &str) -> Vec<u8> {
    serde_json::json!({
        "merchant_id": "M1", "type": "payment.updated", "event_id": event, "created_at": updated_at.to_string(),
        "data": {"type": "payment", "id": id, "object": {"payment": {
            "id": id, "status": status, "created_at": "2026-11-23T22:00:00Z", "updated_at": updated_at.to_string(),
            "total_money": {"amount": cents, "currency": "USD"},
        }}},
    })
    .to_string()
    .into_bytes()
}

impl Sent {
    /// The ids that its events must have.
    pub fn event_ids(&self) -> Vec<String> {
        let received = Received { headers: &self.headers, body: &self.body, at: Timestamp::UNIX_EPOCH };
        let events = provider(&self.provider).parse(received).expect("it can be read");
        events.into_iter().map(|event| event.dedupe.event_id().to_string()).collect()
    }

    /// What it is on the wire.
    pub fn outgoing(&self) -> Outgoing {
        Outgoing::of(&self.headers, !self.body.is_empty())
    }

    /// The event that API Gateway makes of it.
    pub fn event(&self) -> ApiGatewayV2httpRequest {
        let mut event = ApiGatewayV2httpRequest::default();
        let outgoing = self.outgoing();
        let (path, query) =
            outgoing.path_and_query.split_once('?').unwrap_or((outgoing.path_and_query.as_str(), ""));
        event.raw_path = Some(format!("/webhooks/{}{path}", self.provider));
        event.raw_query_string = Some(query.to_owned()).filter(|query| !query.is_empty());
        event.request_context.http.method = outgoing.method.parse().expect("a method");
        event.request_context.http.source_ip = Some("203.0.113.7".to_owned());
        for (name, value) in outgoing.headers.iter() {
            let name: http::HeaderName = name.parse().expect("a header name");
            let value = match event.headers.get(&name) {
                Some(before) => format!("{},{value}", before.to_str().unwrap_or_default()),
                None => value.to_owned(),
            };
            event.headers.insert(name, value.parse().expect("a header value"));
        }
        match String::from_utf8(self.body.clone()) {
            Ok(text) => event.body = Some(text),
            Err(error) => {
                event.body = Some(BASE64_STANDARD.encode(error.as_bytes()));
                event.is_base64_encoded = true;
            }
        }
        event
    }
}

/// What an answer says its body is.
pub fn content_type(answer: &ApiGatewayV2httpResponse) -> &str {
    let said = answer.headers.get(http::header::CONTENT_TYPE);
    said.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The body of an answer.
pub fn text(answer: &ApiGatewayV2httpResponse) -> &str {
    match &answer.body {
        Some(Body::Text(text)) => text,
        _ => "",
    }
}

/// The body of an answer as JSON.
pub fn json(answer: &ApiGatewayV2httpResponse) -> serde_json::Value {
    serde_json::from_str(text(answer)).unwrap_or_default()
}

/// A payment whose note makes its body `size` bytes that compress to about half.
pub fn large(size: usize) -> Vec<u8> {
    let (_, body) =
        provider("square").sample("payment.updated", 7, "2026-11-23T23:00:00Z".parse().unwrap()).unwrap();
    let body = String::from_utf8(body).unwrap();
    let mut state = 1_u64;
    let room = size - body.len() - r#""note":"","#.len();
    let note: String = (0..room)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from_digit(u32::try_from(state >> 60).unwrap(), 16).unwrap()
        })
        .collect();
    body.replacen(r#""source_type""#, &format!(r#""note":"{note}","source_type""#), 1).into_bytes()
}
