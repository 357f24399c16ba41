//! The paths of links by which somebody signs in anew.

use utoipa::OpenApi;

use super::super::reconnect::{LinkMade, LinkRequest, LinkRevoked};
use super::Problems;

#[derive(OpenApi)]
#[openapi(paths(make, revoke, open, come_back), components(schemas(LinkMade, LinkRequest, LinkRevoked)))]
pub(super) struct Document;

/// Makes a link by which somebody signs in at the provider anew, in the place of the one before.
#[utoipa::path(
    post, path = "/connections/{id}/reconnect", tag = "tokens",
    params(("id" = String, Path)),
    request_body = LinkRequest,
    responses((status = 201, description = "The link, told this once", body = LinkMade), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn make() {}

/// Takes a connection's link back.
#[utoipa::path(
    delete, path = "/connections/{id}/reconnect", tag = "tokens",
    params(("id" = String, Path)),
    responses((status = 200, description = "Whether there was one that held", body = LinkRevoked), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn revoke() {}

/// Sends whoever opens the link to the provider's page. For people: every answer is a page, and says no more than they know.
#[utoipa::path(
    get, path = "/connect/{token}", tag = "signing in", security(()),
    params(("token" = String, Path, description = "What is secret in the link")),
    responses(
        (status = 302, description = "On to the provider's page, with a cookie", body = String, content_type = "text/html; charset=utf-8"),
        (status = 404, description = "There is no such link, or there is no more", body = String, content_type = "text/html; charset=utf-8"),
        (status = 410, description = "Somebody has signed in by it", body = String, content_type = "text/html; charset=utf-8"),
        (status = 503, description = "Not available at the moment", body = String, content_type = "text/html; charset=utf-8"),
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn open() {}

/// Takes whoever comes back from the provider's page, in the browser in which the link was opened. To be registered at the
/// provider.
#[utoipa::path(
    get, path = "/connect/callback/{provider}", tag = "signing in", security(()),
    params(
        ("provider" = String, Path, description = "The provider's name"),
        ("state" = Option<String>, Query, description = "As it was sent"),
        ("code" = Option<String>, Query, description = "What is exchanged for tokens, once"),
        ("error" = Option<String>, Query, description = "Why there is none"),
    ),
    responses(
        (status = 200, description = "They have signed in, or did not agree to", body = String, content_type = "text/html; charset=utf-8"),
        (status = 400, description = "It could not be read, or is not the provider's", body = String, content_type = "text/html; charset=utf-8"),
        (status = 403, description = "It was begun in another browser", body = String, content_type = "text/html; charset=utf-8"),
        (status = 404, description = "There is no such link, or there is no more", body = String, content_type = "text/html; charset=utf-8"),
        (status = 409, description = "Another account, or one that may not do what is needed", body = String, content_type = "text/html; charset=utf-8"),
        (status = 410, description = "Somebody has signed in by it", body = String, content_type = "text/html; charset=utf-8"),
        (status = 502, description = "The provider did not go along", body = String, content_type = "text/html; charset=utf-8"),
        (status = 503, description = "Not available at the moment", body = String, content_type = "text/html; charset=utf-8"),
    ),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn come_back() {}
