//! The paths of the watch.

use utoipa::OpenApi;

use super::super::beside::{EndpointView, IncidentView, StatusPageView, SyntheticView};
use super::super::health::ProviderHealth;
use super::super::watch::{
    BlameView, CallView, CallsPage, CheckMade, ChecksAsked, ConnectionHealth, ConnectionHealthDetail,
    ConnectionHealthPage, ProviderWatch, QuotaView, TroubleView, WatchView,
};
use super::Problems;

#[derive(OpenApi)]
#[openapi(
    paths(
        all,
        provider,
        connections,
        webhooks,
        test,
        at_location,
        at_location_pos,
        of_location,
        connection,
        check,
        calls
    ),
    components(schemas(
        BlameView,
        CallView,
        CallsPage,
        CheckMade,
        ChecksAsked,
        ConnectionHealth,
        ConnectionHealthDetail,
        ConnectionHealthPage,
        EndpointView,
        IncidentView,
        ProviderWatch,
        QuotaView,
        StatusPageView,
        SyntheticView,
        TroubleView,
        WatchView
    ))
)]
pub(super) struct Document;

/// Tells how all connections do, by provider, and which do worst.
#[utoipa::path(
    get, path = "/pos/health", tag = "watch",
    params(("business" = Option<String>, Query, description = "One business's alone")),
    responses((status = 200, description = "How they do", body = WatchView), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn all() {}

/// Tells how one provider's connections do together.
#[utoipa::path(
    get, path = "/pos/health/{provider}", tag = "watch",
    params(("provider" = String, Path), ("business" = Option<String>, Query, description = "One business's alone")),
    responses((status = 200, description = "How they do", body = ProviderWatch), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn provider() {}

/// Lists a provider's connections, the worst first.
#[utoipa::path(
    get, path = "/pos/health/{provider}/connections", tag = "watch",
    params(
        ("provider" = String, Path),
        ("status" = Option<String>, Query, description = "Only these: up, degraded, down, unknown, paused, with commas between them"),
        ("business" = Option<String>, Query, description = "One business's alone"),
        ("location" = Option<String>, Query, description = "One location's alone"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "At most so many; 100 unless told"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "One page", body = ConnectionHealthPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn connections() {}

/// Tells how one provider's webhooks are going.
#[utoipa::path(
    get, path = "/pos/health/{provider}/webhooks", tag = "watch",
    params(
        ("provider" = String, Path),
        ("hours" = Option<u32>, Query, minimum = 1, maximum = 720, description = "How far back; 24 unless told"),
    ),
    responses((status = 200, description = "How they go", body = ProviderHealth), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn webhooks() {}

/// Has all connections of a provider checked now.
#[utoipa::path(
    post, path = "/pos/health/{provider}/test", tag = "watch",
    params(("provider" = String, Path)),
    responses((status = 202, description = "They are being checked", body = ChecksAsked), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn test() {}

/// Tells how a location's connection to a provider does.
#[utoipa::path(
    get, path = "/health/locations/{location}/{provider}", tag = "watch",
    params(("location" = String, Path), ("provider" = String, Path)),
    responses((status = 200, description = "How it does", body = ConnectionHealthDetail), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn at_location() {}

/// The same.
#[utoipa::path(
    get, path = "/health/locations/{location}/pos/{provider}", tag = "watch",
    params(("location" = String, Path), ("provider" = String, Path)),
    responses((status = 200, description = "How it does", body = ConnectionHealthDetail), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn at_location_pos() {}

/// Tells how all connections of a location do, by their ids.
#[utoipa::path(
    get, path = "/pos-integration/{location}/health", tag = "watch",
    params(("location" = String, Path)),
    responses(
        (status = 200, description = "How they do", body = std::collections::BTreeMap<String, ConnectionHealthDetail>),
        Problems,
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn of_location() {}

/// Tells how a connection does, and what that is concluded from.
#[utoipa::path(
    get, path = "/connections/{id}/health", tag = "watch",
    params(("id" = String, Path)),
    responses((status = 200, description = "How it does", body = ConnectionHealthDetail), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn connection() {}

/// Checks a connection now, and tells how it does then.
#[utoipa::path(
    post, path = "/connections/{id}/check", tag = "watch",
    params(("id" = String, Path)),
    responses((status = 200, description = "How it does", body = ConnectionHealthDetail), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn check() {}

/// Lists the calls that were made to check a connection, of one UTC day, the latest first.
#[utoipa::path(
    get, path = "/connections/{id}/calls", tag = "watch",
    params(
        ("id" = String, Path),
        ("before" = Option<String>, Query, description = "Made before then, on the same UTC day; RFC 3339, now unless told"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "The calls of at most so many checks; 50 unless told"),
    ),
    responses((status = 200, description = "The calls", body = CallsPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn calls() {}
