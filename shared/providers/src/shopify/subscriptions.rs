//! Shopify's webhook subscriptions, by the GraphQL Admin API with the shop's own access token: one for each topic. Those in
//! an app's `shopify.app.toml` are not listed. They are signed with the app's secret, so there is no key to keep.
//!
//! Shopify deletes a subscription after eight failures in a row; so what is missing is made anew.

use serde_json::{Value, json};

use crate::call::{Call, Method, Response, Words};
use crate::subscriptions::{
    A_WHILE, Found, Fresh, Item, Kept, Made, Refused, Scope, Subscriptions, Wanted, is_code, list, success,
    text,
};

pub(super) const VERSION: &str = "2026-07";
const EVENTS: &[&str] = &[
    "orders/create",
    "orders/updated",
    "orders/paid",
    "orders/cancelled",
    "refunds/create",
    "order_transactions/create",
    "app/uninstalled",
];
const LIST: &str = "query($after:String){webhookSubscriptions(first:100,after:$after){nodes{id topic uri} \
                    pageInfo{hasNextPage endCursor}}}";
const CREATE: &str = "mutation($topic:WebhookSubscriptionTopic!,$webhook:WebhookSubscriptionInput!){\
                      webhookSubscriptionCreate(topic:$topic,webhookSubscription:$webhook){\
                      webhookSubscription{id} userErrors{field message}}}";
const UPDATE: &str = "mutation($id:ID!,$webhook:WebhookSubscriptionInput!){\
                      webhookSubscriptionUpdate(id:$id,webhookSubscription:$webhook){\
                      webhookSubscription{id} userErrors{field message}}}";
const DELETE: &str = "mutation($id:ID!){webhookSubscriptionDelete(id:$id){\
                      deletedWebhookSubscriptionId userErrors{field message}}}";
const ENDPOINT: &str = "/admin/api/{version}/graphql.json";

#[derive(Debug)]
pub(crate) struct ShopifySubscriptions;

/// Whether a shop's domain is one: the token goes there and nowhere else.
pub(super) fn is_shop(shop: &str) -> bool {
    let name = shop.strip_suffix(".myshopify.com").unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether it can stand in a path as the API's version.
pub(super) fn is_version(version: &str) -> bool {
    version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn call(wanted: &Wanted<'_>, query: &str, variables: &Value) -> Result<Call, Refused> {
    let shop = wanted.own("shop")?;
    if !is_shop(shop) {
        return Err(Refused::BadSetting("shop", "is no domain such as example.myshopify.com"));
    }
    let token = wanted.own("access_token")?;
    let version = wanted.own.get("api_version").unwrap_or(VERSION);
    if !is_version(version) {
        return Err(Refused::BadSetting("api_version", "is no version such as 2026-07"));
    }
    let url = format!("{}/admin/api/{version}/graphql.json", wanted.own_base(&format!("https://{shop}")));
    let call = Call::new(Method::Post, url, ENDPOINT).header("x-shopify-access-token", token);
    Ok(call.json(&json!({"query": query, "variables": variables})))
}

/// What GraphQL answers under `field`: most of what goes wrong comes with 200.
fn read(response: &Response, field: &str) -> Result<Value, Refused> {
    let mut answer = success(response, "access_token", |_| None)?;
    let status = response.status;
    if let Some(error) = answer.pointer("/errors/0") {
        return Err(match text(error, "/extensions/code") {
            Some("THROTTLED") => Refused::Limited(response.retry_after().unwrap_or(A_WHILE)),
            Some("ACCESS_DENIED") => Refused::Credentials { status: 403, setting: "access_token" },
            code => {
                let code = code.filter(|code| is_code(code)).map(str::to_owned);
                Refused::Rejected { status, code, advice: "check `api_version` and the app's permissions" }
            }
        });
    }
    let Some(value) = answer.pointer_mut(&format!("/data/{field}")).map(Value::take) else {
        return Err(Refused::Unreadable(status));
    };
    let errors = value["userErrors"].as_array();
    if let Some(error) = errors.and_then(|errors| errors.first()) {
        let field = error["field"].as_array().and_then(|path| path.last()).and_then(Value::as_str);
        let code = field.filter(|field| is_code(field)).map(|field| format!("userErrors.{field}"));
        let advice = "check the topic, the app's permissions for it, and that the URL is https and not taken";
        return Err(Refused::Rejected { status, code, advice });
    }
    Ok(value)
}

/// `orders/create` as GraphQL names it.
fn topic(event: &str) -> String {
    event.replace('/', "_").to_ascii_uppercase()
}

impl Subscriptions for ShopifySubscriptions {
    fn scopes(&self, _: &Words, _: &Words) -> &'static [Scope] {
        &[Scope::Own]
    }

    fn items(&self, wanted: &Wanted<'_>) -> Result<Vec<Item>, Refused> {
        let url = wanted.shared_url("shopify");
        let item = |event: String| Item { key: topic(&event), events: vec![topic(&event)], url: url.clone() };
        Ok(wanted.events(EVENTS).into_iter().map(item).collect())
    }

    fn lists(&self, wanted: &Wanted<'_>) -> Result<Vec<Call>, Refused> {
        Ok(vec![call(wanted, LIST, &json!({"after": null}))?])
    }

    fn listed(
        &self,
        wanted: &Wanted<'_>,
        _: usize,
        response: &Response,
    ) -> Result<(Vec<Found>, Option<Call>), Refused> {
        let page = read(response, "webhookSubscriptions")?;
        let found = list(&page, "/nodes", response.status)?.iter().map(|one| {
            let topic = text(one, "/topic").unwrap_or_default().to_owned();
            Found {
                key: Some(topic.clone()),
                id: text(one, "/id").unwrap_or_default().to_owned(),
                url: text(one, "/uri").unwrap_or_default().to_owned(),
                events: vec![topic],
                active: true,
                ..Found::default()
            }
        });
        let more = page.pointer("/pageInfo/hasNextPage") == Some(&Value::Bool(true));
        let after = text(&page, "/pageInfo/endCursor").filter(|_| more);
        let next = after.map(|after| call(wanted, LIST, &json!({"after": after}))).transpose()?;
        Ok((found.collect(), next))
    }

    fn create(&self, wanted: &Wanted<'_>, item: &Item, _: &Fresh) -> Result<Call, Refused> {
        let webhook = json!({"uri": item.url, "format": "JSON"});
        call(wanted, CREATE, &json!({"topic": item.key, "webhook": webhook}))
    }

    fn created(&self, _: &Wanted<'_>, _: &Item, _: &Fresh, response: &Response) -> Result<Made, Refused> {
        let answer = read(response, "webhookSubscriptionCreate")?;
        let id = text(&answer, "/webhookSubscription/id").ok_or(Refused::Unreadable(response.status))?;
        Ok(Made { id: id.to_owned(), ..Made::default() })
    }

    fn update(&self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<Option<Call>, Refused> {
        let variables = json!({"id": found.id, "webhook": {"uri": item.url}});
        call(wanted, UPDATE, &variables).map(Some)
    }

    fn updated(&self, _: &Item, response: &Response) -> Result<(), Refused> {
        read(response, "webhookSubscriptionUpdate").map(drop)
    }

    fn delete(&self, wanted: &Wanted<'_>, kept: &Kept) -> Result<Option<Call>, Refused> {
        call(wanted, DELETE, &json!({"id": kept.id})).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;

    fn answer(body: &Value) -> Response {
        Response { status: 200, headers: Headers::new(), body: body.to_string().into_bytes() }
    }

    #[test]
    fn a_token_goes_to_shops_alone() {
        assert!(is_shop("harbour-2.myshopify.com"));
        for other in
            ["myshopify.com", ".myshopify.com", "evil.com/.myshopify.com", "a.b.myshopify.com", "evil.com"]
        {
            assert!(!is_shop(other), "{other}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_200_is_seen_and_what_people_typed_is_not_repeated() {
        let user = json!({"data": {"webhookSubscriptionCreate": {"webhookSubscription": null,
            "userErrors": [{"field": ["webhookSubscription", "uri"], "message": "Address for this topic has been taken"}]}}});
        let error = read(&answer(&user), "webhookSubscriptionCreate").unwrap_err().to_string();
        assert!(error.contains("userErrors.uri") && !error.contains("Address for"), "{error}");
        let throttled = json!({"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]});
        assert!(matches!(read(&answer(&throttled), "x"), Err(Refused::Limited(_))));
    }
}
