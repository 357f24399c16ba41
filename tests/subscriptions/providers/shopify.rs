//! Shopify: GraphQL with the shop's token; what the user did wrong comes with 200.

use serde_json::{Value, json};

use super::super::fake::{Answer, Api, Request};
use super::{ELSEWHERE, is_https};

const TOPICS: [&str; 8] = [
    "ORDERS_CREATE",
    "ORDERS_UPDATED",
    "ORDERS_PAID",
    "ORDERS_CANCELLED",
    "REFUNDS_CREATE",
    "ORDER_TRANSACTIONS_CREATE",
    "APP_UNINSTALLED",
    "PRODUCTS_UPDATE",
];

#[derive(Default)]
pub(crate) struct Shopify {
    all: Vec<Value>,
    made: u32,
}

fn user_error(mutation: &str, field: &str, message: &str) -> Answer {
    let error = json!({"field": ["webhookSubscription", field], "message": message});
    (200, json!({"data": {mutation: {"webhookSubscription": null, "userErrors": [error]}}}))
}

impl Api for Shopify {
    fn answer(&mut self, request: &Request) -> Answer {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/admin/api/2026-07/graphql.json")
        );
        if request.header("x-shopify-access-token") != "shopify-token" {
            return (401, json!({"errors": "[API] Invalid API key or access token"}));
        }
        let Some(body) = request.json() else { return (415, json!({"errors": "json"})) };
        let (query, variables) = (body["query"].as_str().unwrap(), &body["variables"]);
        if query.contains("webhookSubscriptionCreate") {
            let mutation = "webhookSubscriptionCreate";
            let (topic, uri) = (variables["topic"].as_str().unwrap(), variables["webhook"]["uri"].as_str());
            if !TOPICS.contains(&topic) {
                let error = json!({"message": "invalid value", "extensions": {"code": "INVALID_VARIABLE"}});
                return (200, json!({"errors": [error]}));
            }
            if !is_https(uri) {
                return user_error(mutation, "uri", "Address protocol http:// is not supported");
            }
            if self.all.iter().any(|one| one["topic"] == topic && one["uri"].as_str() == uri) {
                return user_error(mutation, "uri", "Address for this topic has already been taken");
            }
            self.made += 1;
            let id = format!("gid://shopify/WebhookSubscription/{}", self.made);
            self.all.push(json!({"id": id, "topic": topic, "uri": uri}));
            return (200, json!({"data": {mutation: {"webhookSubscription": {"id": id}, "userErrors": []}}}));
        }
        if query.contains("webhookSubscriptionUpdate") {
            let mutation = "webhookSubscriptionUpdate";
            let Some(one) = self.all.iter_mut().find(|one| one["id"] == variables["id"]) else {
                return user_error(mutation, "id", "Webhook subscription does not exist");
            };
            one["uri"] = variables["webhook"]["uri"].clone();
            return (
                200,
                json!({"data": {mutation: {"webhookSubscription": {"id": one["id"]}, "userErrors": []}}}),
            );
        }
        // Two a page, so that pages are turned.
        let after: usize = variables["after"].as_str().map_or(0, |after| after.parse().unwrap());
        let nodes: Vec<_> = self.all.iter().skip(after).take(2).cloned().collect();
        let end = after + nodes.len();
        let info = json!({"hasNextPage": end < self.all.len(), "endCursor": end.to_string()});
        (200, json!({"data": {"webhookSubscriptions": {"nodes": nodes, "pageInfo": info}}}))
    }

    fn sending(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut all: Vec<_> = self.all.iter().map(|one| (text(&one["topic"]), text(&one["uri"]))).collect();
        all.sort();
        all
    }

    fn disable(&mut self) -> bool {
        false
    }

    fn delete(&mut self) -> bool {
        self.all.clear();
        true
    }

    fn redirect(&mut self) -> bool {
        self.all.iter_mut().for_each(|one| one["uri"] = ELSEWHERE.into());
        true
    }
}
