//! Shopify's header names, of which there are two families: webhooks begin theirs with `x-`, the newer Events do not.

use crate::Headers;

/// The names that one family gives to what verification and parsing read.
pub(super) struct Family {
    pub(super) signature: &'static str,
    pub(super) topic: &'static str,
    pub(super) shop: &'static str,
    pub(super) delivery: &'static str,
    pub(super) triggered_at: &'static str,
}

pub(super) const WEBHOOKS: Family = Family {
    signature: "x-shopify-hmac-sha256",
    topic: "x-shopify-topic",
    shop: "x-shopify-shop-domain",
    delivery: "x-shopify-webhook-id",
    triggered_at: "x-shopify-triggered-at",
};

pub(super) const EVENTS: Family = Family {
    signature: "shopify-hmac-sha256",
    topic: "shopify-topic",
    shop: "shopify-shop-domain",
    delivery: "shopify-webhook-id",
    triggered_at: "shopify-triggered-at",
};

/// `true` on what the test button of the admin page and the command-line tool send.
pub(super) const TEST: &str = "x-shopify-test";

pub(super) const KEPT: &[&str] = &[
    WEBHOOKS.signature,
    WEBHOOKS.topic,
    WEBHOOKS.shop,
    WEBHOOKS.delivery,
    WEBHOOKS.triggered_at,
    TEST,
    "x-shopify-event-id",
    "x-shopify-api-version",
    "x-shopify-sub-topic",
    "x-shopify-name",
    EVENTS.signature,
    EVENTS.topic,
    EVENTS.shop,
    EVENTS.delivery,
    EVENTS.triggered_at,
    "shopify-event-id",
    "shopify-api-version",
    "shopify-handle",
    "shopify-action",
    "shopify-resource-id",
    "user-agent",
];

impl Family {
    /// The family of a request: the one that its signature belongs to, as Shopify's own library decides.
    pub(super) fn of(headers: &Headers) -> &'static Self {
        if headers.get(EVENTS.signature).is_some() { &EVENTS } else { &WEBHOOKS }
    }
}
