//! The paths of statistics, objectives and metrics.

use utoipa::OpenApi;

use super::super::statistics::{
    ConnectionStatistics, ConnectionWebhooks, HourView, KeptView, ObjectiveView, ObjectivesView, SilenceView,
    Statistics, Trend, WindowView,
};
use super::{Problem, Problems};

#[derive(OpenApi)]
#[openapi(
    paths(statistics, objectives, webhooks, metrics),
    components(schemas(
        ConnectionStatistics,
        ConnectionWebhooks,
        HourView,
        KeptView,
        ObjectiveView,
        ObjectivesView,
        SilenceView,
        Statistics,
        Trend,
        WindowView
    ))
)]
pub(super) struct Document;

/// Tells how connections went over a span, against as long a span before: those with the most webhooks first.
#[utoipa::path(
    get, path = "/statistics", tag = "watch",
    params(
        ("hours" = Option<i64>, Query, description = "How many hours back; 24 if not given, 720 at most"),
        ("provider" = Option<String>, Query, description = "One provider's alone"),
        ("business" = Option<String>, Query, description = "One business's alone"),
        ("location" = Option<String>, Query, description = "One location's alone"),
        ("connection" = Option<String>, Query, description = "This one alone"),
        ("limit" = Option<i64>, Query, description = "At most so many; 100 if not given, 500 at most"),
    ),
    responses((status = 200, description = "How they went", body = Statistics), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn statistics() {}

/// Tells how well objectives are kept, how much of what may go wrong is left, and how fast it goes.
#[utoipa::path(
    get, path = "/objectives", tag = "watch",
    params(("provider" = Option<String>, Query, description = "One provider's alone")),
    responses((status = 200, description = "How well they are kept", body = ObjectivesView), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn objectives() {}

/// Tells how one connection's webhooks go: by type, by hour, and whether they fell silent.
#[utoipa::path(
    get, path = "/connections/{id}/webhooks", tag = "watch",
    params(
        ("id" = String, Path),
        ("hours" = Option<i64>, Query, description = "How many hours back; 24 if not given, 168 at most"),
    ),
    responses((status = 200, description = "How they go", body = ConnectionWebhooks), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn webhooks() {}

/// Tells what Prometheus scrapes, in its text format.
#[utoipa::path(
    get, path = "/metrics", tag = "watch",
    responses(
        (status = 200, description = "Series", body = String, content_type = "text/plain; version=0.0.4; charset=utf-8"),
        (status = 401, description = "No token, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "For operators alone", body = Problem, content_type = "application/problem+json"),
        (status = 405, description = "The method is not taken here", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn metrics() {}
