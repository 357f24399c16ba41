//! The API's description, generated from its types; `docs/openapi.json` is a copy that a test keeps true.

use std::sync::OnceLock;

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::{DeliveryDetail, DeliveryPage, Health, Problem, RecordView, Retried};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tillwatch",
        description = "What the webhooks of point-of-sale, payment and messaging providers brought, and what became of it.",
    ),
    paths(webhook, deliveries, delivery, retry, health, record),
    components(schemas(Taken, DeliveryDetail, DeliveryPage, Health, Problem, RecordView, Retried)),
    modifiers(&Token),
    security(("token" = [])),
)]
struct Document;

struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = document.components.as_mut() {
            components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        }
    }
}

/// What the sender of a webhook is answered.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct Taken {
    /// The request's id, by which `GET /webhooks/deliveries/{provider}/{id}` finds what became of it.
    id: String,
}

/// The OpenAPI document as JSON. Made once: whoever asks for it over and over shall cost nothing.
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| Document::openapi().to_pretty_json().unwrap_or_default())
}

/// Takes a provider's webhook.
#[utoipa::path(
    post, path = "/webhooks/{provider}", tag = "webhooks", security(()),
    params(("provider" = String, Path, description = "square, shopify or stripe")),
    request_body(content = String, description = "The provider's body, signed by the provider's rule"),
    responses(
        (status = 200, description = "Verified and durable", body = Taken),
        (status = 400, description = "No body, or one that can't be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not believed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such provider", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Larger than 4 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Our fault: send it again", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "stands for the webhook functions in the document")]
fn webhook() {}

/// Lists events and rejected requests, newest first.
#[utoipa::path(
    get, path = "/webhooks/deliveries/{provider}", tag = "deliveries",
    params(
        ("provider" = String, Path, description = "square, shopify or stripe; `unknown` for messages that were no envelopes"),
        ("status" = Option<String>, Query, description = "Only of this status"),
        ("type" = Option<String>, Query, description = "Only of this type, as the provider names it"),
        ("from" = Option<String>, Query, description = "Arrived then or later; RFC 3339"),
        ("to" = Option<String>, Query, description = "Arrived before then; RFC 3339"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "At most so many; 50 unless told"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, description = "One page", body = DeliveryPage),
        (status = 400, description = "A parameter makes no sense", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such provider", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn deliveries() {}

/// Shows one event or rejected request whole.
#[utoipa::path(
    get, path = "/webhooks/deliveries/{provider}/{id}", tag = "deliveries",
    params(("provider" = String, Path), ("id" = String, Path, description = "evt_… or req_…")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryDetail),
        (status = 400, description = "The path or a parameter makes no sense", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such delivery", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn delivery() {}

/// Tries a parked or failed event again.
#[utoipa::path(
    post, path = "/webhooks/retry/{provider}/{id}", tag = "deliveries",
    params(("provider" = String, Path), ("id" = String, Path, description = "evt_…")),
    responses(
        (status = 202, description = "It is on the queue", body = Retried),
        (status = 400, description = "The path or a parameter makes no sense", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such delivery", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has taken effect, or was never verified", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn retry() {}

/// Tells how webhooks are going.
#[utoipa::path(
    get, path = "/webhooks/health", tag = "health",
    params(("hours" = Option<u32>, Query, minimum = 1, maximum = 720, description = "How far back; 24 unless told, above 48 in whole days")),
    responses(
        (status = 200, description = "How it goes", body = Health),
        (status = 400, description = "A parameter makes no sense", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn health() {}

/// Shows a payment, refund or order with its history.
#[utoipa::path(
    get, path = "/records/{kind}/{provider}/{external_id}", tag = "records",
    params(
        ("kind" = String, Path, description = "payments, refunds or orders"),
        ("provider" = String, Path),
        ("external_id" = String, Path, description = "The provider's id, percent-encoded"),
        ("account" = Option<String>, Query, description = "Where the provider's ids are unique only within an account"),
    ),
    responses(
        (status = 200, description = "The record", body = RecordView),
        (status = 400, description = "The path or a parameter makes no sense", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such record", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn record() {}
