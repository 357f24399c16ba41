//! The paths of webhook subscriptions.

use utoipa::OpenApi;

use super::super::subscriptions::SubscriptionsPage;
use super::Problems;
use crate::subscriptions::{Noticed, Standing, SubscriptionItem, SubscriptionView, TestView};

#[derive(OpenApi)]
#[openapi(
    paths(subscriptions, ensure, test, repair),
    components(schemas(Noticed, Standing, SubscriptionItem, SubscriptionView, SubscriptionsPage, TestView))
)]
pub(super) struct Document;

/// Lists the webhook subscriptions: what is kept of them, or, where asked live, what the providers say.
#[utoipa::path(
    get, path = "/subscriptions", tag = "subscriptions",
    params(
        ("provider" = Option<String>, Query, description = "One provider's alone"),
        ("connection" = Option<String>, Query, description = "What this connection needs, what it shares included"),
        ("live" = Option<bool>, Query, description = "Ask the providers"),
        ("from" = Option<String>, Query, description = "`next` of the answer before"),
    ),
    responses((status = 200, description = "What there is", body = SubscriptionsPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn subscriptions() {}

/// Makes the subscriptions that are missing, and mends those that are wrong. Asked again it changes nothing.
#[utoipa::path(
    post, path = "/subscriptions/ensure", tag = "subscriptions",
    params(
        ("provider" = Option<String>, Query, description = "One provider's alone"),
        ("connection" = Option<String>, Query, description = "What this connection needs, what it shares included"),
        ("from" = Option<String>, Query, description = "`next` of the answer before"),
    ),
    responses((status = 200, description = "What there is now", body = SubscriptionsPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn ensure() {}

/// Has the providers send a test where they have one, and sees whether it arrives.
#[utoipa::path(
    post, path = "/subscriptions/test", tag = "subscriptions",
    params(
        ("provider" = Option<String>, Query, description = "One provider's alone"),
        ("connection" = Option<String>, Query, description = "What this connection needs, what it shares included"),
        ("from" = Option<String>, Query, description = "`next` of the answer before"),
    ),
    responses((status = 200, description = "What came of it", body = SubscriptionsPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn test() {}

/// Mends what was subscribed to and is disabled, deleted, changed or about to end.
#[utoipa::path(
    post, path = "/subscriptions/repair", tag = "subscriptions",
    params(
        ("provider" = Option<String>, Query, description = "One provider's alone"),
        ("connection" = Option<String>, Query, description = "What this connection needs, what it shares included"),
        ("from" = Option<String>, Query, description = "`next` of the answer before"),
    ),
    responses((status = 200, description = "What there is now", body = SubscriptionsPage), Problems),
)]
#[expect(dead_code, reason = "stands for the route in the document")]
fn repair() {}
