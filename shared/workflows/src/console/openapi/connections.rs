//! The description of connections, providers and the configuration.

use utoipa::OpenApi;

use super::Problems;
use crate::configuration::{Resealed, Rotated};
use crate::console::connections::RotationRequest;
use crate::console::{ConnectionPage, ConnectionTest, ConnectionView, RingRotated};

#[derive(OpenApi)]
#[openapi(
    paths(
        connections,
        connection,
        test,
        rotate,
        enable,
        disable,
        providers,
        provider,
        rotate_provider,
        rotate_ring,
        reseal,
        merged,
        integrate,
        status,
        test_location,
        rotate_at,
        configuration,
        mode,
        business,
        defaults,
        location,
        business_connection,
    ),
    components(schemas(
        ConnectionPage,
        ConnectionTest,
        ConnectionView,
        RingRotated,
        Resealed,
        Rotated,
        RotationRequest
    ))
)]
pub(super) struct Document;

/// Lists connections, by provider and id.
#[utoipa::path(
    get, path = "/connections", tag = "connections",
    params(
        ("provider" = Option<String>, Query, description = "Only to this provider"),
        ("business" = Option<String>, Query, description = "Only of this business"),
        ("location" = Option<String>, Query, description = "Only of this location"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "At most so many; 100 unless told"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "One page", body = ConnectionPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn connections() {}

/// Shows a connection with what is in force for it.
#[utoipa::path(
    get, path = "/connections/{id}", tag = "connections", params(("id" = String, Path)),
    responses((status = 200, description = "The connection", body = ConnectionView), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn connection() {}

/// Tries whether a connection's webhooks would be believed and found.
#[utoipa::path(
    post, path = "/connections/{id}/test", tag = "connections", params(("id" = String, Path)),
    responses((status = 200, description = "What was tried", body = ConnectionTest), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn test() {}

/// Gives a connection's webhooks a new secret; the old ones stay live for a while.
#[utoipa::path(
    post, path = "/connections/{id}/rotate-secret", tag = "connections", params(("id" = String, Path)),
    request_body = RotationRequest,
    responses((status = 200, description = "What is live now", body = Rotated), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn rotate() {}

/// Has a connection's events take effect again.
#[utoipa::path(
    post, path = "/connections/{id}/enable", tag = "connections", params(("id" = String, Path)),
    responses((status = 200, description = "The connection", body = ConnectionView), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn enable() {}

/// Has a connection's events held, and nothing about it checked.
#[utoipa::path(
    post, path = "/connections/{id}/disable", tag = "connections", params(("id" = String, Path)),
    responses((status = 200, description = "The connection", body = ConnectionView), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn disable() {}

/// Lists the providers, and what may be said of a connection to each.
#[utoipa::path(
    get, path = "/providers", tag = "providers",
    responses((status = 200, description = "By name", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn providers() {}

/// Shows what may be said of a connection to a provider.
#[utoipa::path(
    get, path = "/providers/{provider}", tag = "providers", params(("provider" = String, Path)),
    responses((status = 200, description = "The provider", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn provider() {}

/// Gives a provider's webhooks a new secret, which all its connections share; the old ones stay live for a while.
#[utoipa::path(
    post, path = "/providers/{provider}/rotate-secret", tag = "providers", params(("provider" = String, Path)),
    request_body = RotationRequest,
    responses((status = 200, description = "What is live now", body = Rotated), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn rotate_provider() {}

/// Puts a new key on a vault's ring.
#[utoipa::path(
    post, path = "/vault/{ring}/rotate", tag = "vault",
    params(("ring" = String, Path, description = "webhooks or tokens")),
    responses((status = 200, description = "The new key's name", body = RingRotated), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn rotate_ring() {}

/// Seals anew what older keys of a ring sealed, some connections at a time.
#[utoipa::path(
    post, path = "/vault/{ring}/reseal", tag = "vault",
    params(
        ("ring" = String, Path, description = "webhooks or tokens"),
        ("cursor" = Option<String>, Query, description = "`next` of the answer before"),
    ),
    responses((status = 200, description = "How far it has come", body = Resealed), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn reseal() {}

/// Shows a location's connection to a provider, its settings merged with the defaults.
#[utoipa::path(
    get, path = "/pos-config/{location}/{provider}", tag = "configuration",
    params(("location" = String, Path), ("provider" = String, Path)),
    responses((status = 200, description = "The connection", body = ConnectionView), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn merged() {}

/// Makes or changes one connection of a location: `provider`, and whatever its settings are.
#[utoipa::path(
    post, path = "/pos-integration/{location}", tag = "configuration", params(("location" = String, Path)),
    request_body = serde_json::Value,
    responses((status = 200, description = "What changed", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn integrate() {}

/// Shows all connections of a location.
#[utoipa::path(
    get, path = "/pos-integration/{location}/status", tag = "configuration", params(("location" = String, Path)),
    responses((status = 200, description = "The connections", body = ConnectionPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn status() {}

/// Tries all connections of a location, by their ids.
#[utoipa::path(
    post, path = "/pos-integration/{location}/test", tag = "configuration", params(("location" = String, Path)),
    responses((status = 200, description = "What was tried", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn test_location() {}

/// Gives the webhooks of a location's connection a new secret.
#[utoipa::path(
    post, path = "/pos-integration/{location}/{provider}/rotate-secret", tag = "configuration",
    params(("location" = String, Path), ("provider" = String, Path)),
    request_body = RotationRequest,
    responses((status = 200, description = "What is live now", body = Rotated), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn rotate_at() {}

/// Shows the configuration that is in force, without secrets, a page of locations at a time.
#[utoipa::path(
    get, path = "/config", tag = "configuration",
    params(("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "One page", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn configuration() {}

/// Says what becomes of verified events of accounts that no connection has: `{"connections": "auto"}` or `"declared"`.
#[utoipa::path(
    put, path = "/config/mode", tag = "configuration", request_body = serde_json::Value,
    responses((status = 200, description = "Said", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn mode() {}

/// Writes a business.
#[utoipa::path(
    put, path = "/config/businesses/{id}", tag = "configuration",
    params(("id" = String, Path), ("dry_run" = Option<bool>, Query, description = "Only say what would change")),
    request_body = serde_json::Value,
    responses((status = 200, description = "What changed", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn business() {}

/// Writes a provider's settings for connections that say nothing else.
#[utoipa::path(
    put, path = "/config/providers/{provider}", tag = "configuration",
    params(("provider" = String, Path), ("dry_run" = Option<bool>, Query, description = "Only say what would change")),
    request_body = serde_json::Value,
    responses((status = 200, description = "What changed", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn defaults() {}

/// Writes a location with its connections. Those that it had and has no more are disabled.
#[utoipa::path(
    put, path = "/config/locations/{id}", tag = "configuration",
    params(("id" = String, Path), ("dry_run" = Option<bool>, Query, description = "Only say what would change")),
    request_body = serde_json::Value,
    responses((status = 200, description = "What changed", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn location() {}

/// Writes a connection of a whole business.
#[utoipa::path(
    put, path = "/config/business-connections/{id}", tag = "configuration",
    params(("id" = String, Path), ("dry_run" = Option<bool>, Query, description = "Only say what would change")),
    request_body = serde_json::Value,
    responses((status = 200, description = "What changed", body = serde_json::Value), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn business_connection() {}
