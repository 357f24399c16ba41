//! The description of replays, releases, pauses and logs.

use utoipa::{IntoResponses, OpenApi};

use crate::console::{
    DeliveryPage, Paused, PlanView, Problem, ReplayList, ReplayRequest, ReplayView, Retried,
};

#[derive(OpenApi)]
#[openapi(
    paths(
        logs,
        release,
        plan,
        start,
        replays,
        replay,
        cancel,
        pause_connection,
        resume_connection,
        pause_provider,
        resume_provider,
    ),
    components(schemas(
        DeliveryPage,
        Paused,
        PlanView,
        Problem,
        ReplayList,
        ReplayRequest,
        ReplayView,
        Retried
    ))
)]
pub(super) struct Document;

/// What any of these may be answered instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "stands for answers in the document")]
enum Refusals {
    /// The path, a parameter or the body makes no sense
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No token, or a wrong one
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// For operators alone
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// No such thing
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The method is not taken here
    #[response(status = 405, content_type = "application/problem+json")]
    MethodNotAllowed(Problem),
    /// Not as things stand
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The body is larger than 1 MiB
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// Not available at the moment
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// Lists events and rejected requests of all providers, newest first.
#[utoipa::path(
    get, path = "/webhooks/logs", tag = "deliveries",
    params(
        ("provider" = Option<String>, Query, description = "Only of this provider"),
        ("status" = Option<String>, Query, description = "Only of this status"),
        ("type" = Option<String>, Query, description = "Only of this type, as the provider names it"),
        ("connection" = Option<String>, Query, description = "Only of this connection, or sent to it"),
        ("cause" = Option<String>, Query, description = "Only with exactly this cause"),
        ("from" = Option<String>, Query, description = "Arrived then or later; RFC 3339"),
        ("to" = Option<String>, Query, description = "Arrived before then; RFC 3339"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "At most so many; 50 unless told"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "One page", body = DeliveryPage), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn logs() {}

/// Judges a rejected request by the present settings, and lets it take effect if it is believed.
#[utoipa::path(
    post, path = "/webhooks/release/{provider}/{id}", tag = "deliveries",
    params(("provider" = String, Path), ("id" = String, Path, description = "req_…")),
    responses((status = 202, description = "It is believed, and on the queue", body = Retried), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn release() {}

/// Says what a replay would do, and does nothing.
#[utoipa::path(
    post, path = "/replays/plan", tag = "replays",
    request_body = ReplayRequest,
    responses((status = 200, description = "What would be sent, and what not", body = PlanView), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn plan() {}

/// Starts a replay: events are sent through the queue again, and rejected requests released. One of the same id and filter is
/// answered as it stands.
#[utoipa::path(
    post, path = "/replays", tag = "replays",
    request_body = ReplayRequest,
    responses((status = 202, description = "It is under way", body = ReplayView), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn start() {}

/// Lists replays, those under way first.
#[utoipa::path(
    get, path = "/replays", tag = "replays",
    responses((status = 200, description = "The replays of the last 90 days", body = ReplayList), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn replays() {}

/// Shows a replay, and how far it is.
#[utoipa::path(
    get, path = "/replays/{id}", tag = "replays",
    params(("id" = String, Path)),
    responses((status = 200, description = "The replay", body = ReplayView), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn replay() {}

/// Stops a replay. What was sent stays sent.
#[utoipa::path(
    post, path = "/replays/{id}/cancel", tag = "replays",
    params(("id" = String, Path)),
    responses((status = 200, description = "As it stands now", body = ReplayView), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn cancel() {}

/// Pauses a connection: its events are kept, and held until it is resumed.
#[utoipa::path(
    post, path = "/connections/{id}/pause", tag = "pauses",
    params(("id" = String, Path)),
    responses((status = 200, description = "It is paused", body = Paused), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn pause_connection() {}

/// Ends a connection's pause, and lets what was held take effect.
#[utoipa::path(
    post, path = "/connections/{id}/resume", tag = "pauses",
    params(("id" = String, Path)),
    responses((status = 200, description = "It is enabled", body = Paused), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn resume_connection() {}

/// Pauses a provider: the events of all its connections are kept, and held until it is resumed.
#[utoipa::path(
    post, path = "/providers/{provider}/pause", tag = "pauses",
    params(("provider" = String, Path)),
    responses((status = 200, description = "It is paused", body = Paused), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn pause_provider() {}

/// Ends a provider's pause, and lets what was held take effect.
#[utoipa::path(
    post, path = "/providers/{provider}/resume", tag = "pauses",
    params(("provider" = String, Path)),
    responses((status = 200, description = "It is enabled", body = Paused), Refusals),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn resume_provider() {}
