//! The paths of tokens.

use utoipa::OpenApi;

use super::super::tokens::{RefreshRequest, RefreshesAsked, TokenPage, TokenView};
use super::Problems;

#[derive(OpenApi)]
#[openapi(
    paths(all, refresh, one),
    components(schemas(RefreshRequest, RefreshesAsked, TokenPage, TokenView))
)]
pub(super) struct Document;

/// Lists how connections' tokens stand: those that need a person first, then those that fail, then by when they end.
#[utoipa::path(
    get, path = "/tokens", tag = "tokens",
    params(
        ("provider" = Option<String>, Query, description = "One provider's alone"),
        ("business" = Option<String>, Query, description = "One business's alone"),
        ("state" = Option<String>, Query, description = "Only those that are active, failing, refused, ambiguous or static"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10_000, description = "At most so many; 100 unless told"),
    ),
    responses((status = 200, description = "The tokens", body = TokenPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn all() {}

/// Has tokens refreshed now: of some connections, of a business, of a provider, or all.
#[utoipa::path(
    post, path = "/tokens/refresh", tag = "tokens",
    request_body = RefreshRequest,
    responses((status = 202, description = "They are being refreshed", body = RefreshesAsked), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn refresh() {}

/// Tells how a connection's token stands.
#[utoipa::path(
    get, path = "/connections/{id}/token", tag = "tokens",
    params(("id" = String, Path)),
    responses((status = 200, description = "How it stands", body = TokenView), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn one() {}
