//! The API's description, generated from its types; `docs/openapi.json` is a copy that a test keeps true.

use std::sync::OnceLock;

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

mod connections;
mod operating;
mod reconciliations;
mod reconnect;
mod statistics;
mod subscriptions;
mod tokens;
mod watch;

use super::{DeliveryDetail, DeliveryPage, Health, Problem, RecordView, Retried};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tillwatch",
        description = "What the webhooks of point-of-sale, payment and messaging providers brought, and what became of it.",
    ),
    paths(webhook, deliveries, delivery, retry, health, record),
    components(schemas(Acknowledged, Taken, TakenOtherwise, DeliveryDetail, DeliveryPage, Health, Problem, RecordView, Retried)),
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

/// What any request of an operator's or a business's may be answered instead.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "stands for answers in the document")]
enum Problems {
    /// The path, a parameter or the body makes no sense
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No token, or a wrong one
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// For operators alone
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// No such thing, or not yours
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The method is not taken here
    #[response(status = 405, content_type = "application/problem+json")]
    MethodNotAllowed(Problem),
    /// It contradicts what is there
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// Larger than is taken
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// It can't be configured so
    #[response(status = 422, content_type = "application/problem+json")]
    Refused(Problem),
    /// Not available at the moment
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// What the sender of a webhook is answered, unless its provider looks for something else.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct Taken {
    /// The request's id, by which `GET /webhooks/deliveries/{provider}/{id}` finds what became of it.
    id: String,
}

/// What PetPooja looks for, each of its callbacks for others of these fields. Empty for Zettle's trial of a URL.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct TakenOtherwise {
    success: Option<String>,
    code: Option<String>,
    http_code: Option<u16>,
    status: Option<String>,
    store_status: Option<String>,
    /// Names the request's id.
    message: Option<String>,
}

#[derive(serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "stands for the webhook functions in the document")]
enum Acknowledged {
    Usual(Taken),
    Otherwise(TakenOtherwise),
}

/// The OpenAPI document as JSON. Made once: whoever asks for it over and over shall cost nothing.
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut document = Document::openapi();
        document.merge(connections::Document::openapi());
        document.merge(operating::Document::openapi());
        document.merge(reconciliations::Document::openapi());
        document.merge(statistics::Document::openapi());
        document.merge(reconnect::Document::openapi());
        document.merge(subscriptions::Document::openapi());
        document.merge(tokens::Document::openapi());
        document.merge(watch::Document::openapi());
        document.to_pretty_json().unwrap_or_default()
    })
}

/// Takes a provider's webhook. A connection's id may follow in the path, and after it what the provider appends. Twilio's
/// webhooks and Meta's question whether a URL is ours also come by `GET`.
#[utoipa::path(
    post, path = "/webhooks/{provider}", tag = "webhooks", security(()),
    params(("provider" = String, Path, description = "The provider's name, as `GET /providers` lists them")),
    request_body(content = String, description = "The provider's body, proved by the provider's rule"),
    responses(
        (
            status = 200, description = "Verified and durable, in the form that the provider reads",
            content((Acknowledged = "application/json"), (String = "text/xml"), (String = "text/plain"))
        ),
        (status = 400, description = "No body, or one that can't be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not believed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Proved by the secret of another account, from an address that is not let in, or a word that is not ours", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such provider, or no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Larger than 4 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many from there were not believed", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Our fault: send it again", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "stands for the webhook functions in the document")]
fn webhook() {}

/// Lists events and rejected requests, newest first.
#[utoipa::path(
    get, path = "/webhooks/deliveries/{provider}", tag = "deliveries",
    params(
        ("provider" = String, Path, description = "The provider's name; `unknown` for messages that were no envelopes"),
        ("status" = Option<String>, Query, description = "Only of this status"),
        ("type" = Option<String>, Query, description = "Only of this type, as the provider names it"),
        ("connection" = Option<String>, Query, description = "Only of this connection, or sent to it"),
        ("cause" = Option<String>, Query, description = "Only with exactly this cause"),
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

/// Tries an event again that took no effect.
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
        Problems,
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn health() {}

/// Shows a payment, refund or order with its history.
#[utoipa::path(
    get, path = "/records/{kind}/{provider}/{external_id}", tag = "records",
    params(
        ("kind" = String, Path, description = "payments, refunds, orders, items, stocks, messages, calendars or ads"),
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
