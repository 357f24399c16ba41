//! Square's Webhook Subscriptions API. It wants the application's own access token, no merchant's: one subscription brings
//! the events of all merchants that have let the application in. Its signature key can be asked for at any time.
//!
//! Square tries a failing URL for some days and disables the subscription after about three weeks.

use secrecy::SecretString;
use serde_json::{Value, json};

use crate::call::{Call, Method, Response, Words};
use crate::subscriptions::{
    Found, Fresh, Item, Kept, Made, Refused, Scope, Subscriptions, Trial, Wanted, list, success, text, texts,
    union,
};

/// The version whose events are asked for.
pub(super) const VERSION: &str = "2025-08-20";
const NAME: &str = "Tillwatch";
const EVENTS: &[&str] = &[
    "payment.created",
    "payment.updated",
    "refund.created",
    "refund.updated",
    "order.created",
    "order.updated",
];

#[derive(Debug)]
pub(crate) struct SquareSubscriptions;

fn base(wanted: &Wanted<'_>) -> String {
    format!("{}/v2/webhooks/subscriptions", wanted.shared_base(super::host(wanted.shared.get("environment"))))
}

fn call(wanted: &Wanted<'_>, method: Method, rest: &str, endpoint: &'static str) -> Result<Call, Refused> {
    let token = wanted.shared("access_token")?;
    let url = format!("{}{rest}", base(wanted));
    Ok(Call::new(method, url, endpoint).bearer(token).header("square-version", VERSION))
}

fn read(response: &Response) -> Result<Value, Refused> {
    success(response, "api.access_token", |body| text(body, "/errors/0/code").map(str::to_owned))
}

fn body(item: &Item, events: &[String]) -> Value {
    json!({"name": NAME, "enabled": true, "event_types": events, "notification_url": item.url})
}

impl Subscriptions for SquareSubscriptions {
    fn scopes(&self, _: &Words, _: &Words) -> &'static [Scope] {
        &[Scope::Shared]
    }

    fn items(&self, wanted: &Wanted<'_>) -> Result<Vec<Item>, Refused> {
        let url = wanted.webhook.notification_url.clone().filter(|url| !url.is_empty());
        let url = url.unwrap_or_else(|| wanted.shared_url("square"));
        Ok(vec![Item { key: "webhook".into(), events: wanted.events(EVENTS), url }])
    }

    fn lists(&self, wanted: &Wanted<'_>) -> Result<Vec<Call>, Refused> {
        let rest = "?include_disabled=true&limit=100";
        Ok(vec![call(wanted, Method::Get, rest, "/v2/webhooks/subscriptions")?])
    }

    fn listed(
        &self,
        wanted: &Wanted<'_>,
        _: usize,
        response: &Response,
    ) -> Result<(Vec<Found>, Option<Call>), Refused> {
        let answer = read(response)?;
        let all = match answer.get("subscriptions") {
            // Left out where there are none.
            None if answer.is_object() => &Vec::new(),
            _ => list(&answer, "/subscriptions", response.status)?,
        };
        let found = all.iter().map(|one| Found {
            key: Some("webhook".into()),
            id: text(one, "/id").unwrap_or_default().to_owned(),
            url: text(one, "/notification_url").unwrap_or_default().to_owned(),
            events: texts(&one["event_types"]),
            active: one["enabled"] == true,
            marked: text(one, "/name") == Some(NAME),
            secret: text(one, "/signature_key").map(SecretString::from),
            ..Found::default()
        });
        let next = text(&answer, "/cursor").filter(|cursor| !cursor.is_empty()).map(|cursor| {
            let rest = format!("?include_disabled=true&limit=100&cursor={}", crate::call::encoded(cursor));
            call(wanted, Method::Get, &rest, "/v2/webhooks/subscriptions")
        });
        Ok((found.collect(), next.transpose()?))
    }

    fn create(&self, wanted: &Wanted<'_>, item: &Item, fresh: &Fresh) -> Result<Call, Refused> {
        let mut subscription = body(item, &item.events);
        subscription["api_version"] = VERSION.into();
        let body = json!({"idempotency_key": fresh.id, "subscription": subscription});
        Ok(call(wanted, Method::Post, "", "/v2/webhooks/subscriptions")?.json(&body))
    }

    fn created(&self, _: &Wanted<'_>, _: &Item, _: &Fresh, response: &Response) -> Result<Made, Refused> {
        let answer = read(response)?;
        let id = text(&answer, "/subscription/id").ok_or(Refused::Unreadable(response.status))?.to_owned();
        let secret = text(&answer, "/subscription/signature_key").map(SecretString::from);
        Ok(Made { id, secret, ..Made::default() })
    }

    fn update(&self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<Option<Call>, Refused> {
        let body = json!({"subscription": body(item, &union(&found.events, &item.events))});
        let rest = format!("/{}", crate::call::encoded(&found.id));
        Ok(Some(call(wanted, Method::Put, &rest, "/v2/webhooks/subscriptions/{id}")?.json(&body)))
    }

    fn updated(&self, _: &Item, response: &Response) -> Result<(), Refused> {
        read(response).map(drop)
    }

    fn delete(&self, wanted: &Wanted<'_>, kept: &Kept) -> Result<Option<Call>, Refused> {
        let rest = format!("/{}", crate::call::encoded(&kept.id));
        call(wanted, Method::Delete, &rest, "/v2/webhooks/subscriptions/{id}").map(Some)
    }

    fn has_secret(&self) -> bool {
        true
    }

    fn secret(&self, wanted: &Wanted<'_>, found: &Found) -> Result<Option<Call>, Refused> {
        let rest = format!("/{}", crate::call::encoded(&found.id));
        call(wanted, Method::Get, &rest, "/v2/webhooks/subscriptions/{id}").map(Some)
    }

    fn told(&self, response: &Response) -> Result<SecretString, Refused> {
        let answer = read(response)?;
        text(&answer, "/subscription/signature_key").map(SecretString::from).ok_or(Refused::UnknownKey)
    }

    fn signs_url(&self) -> bool {
        true
    }

    fn trial(&self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<Trial, Refused> {
        let rest = format!("/{}/test", crate::call::encoded(&found.id));
        let call = call(wanted, Method::Post, &rest, "/v2/webhooks/subscriptions/{id}/test")?;
        Ok(Trial::Asked(call.json(&json!({"event_type": item.events.first()}))))
    }

    fn tried(&self, response: &Response) -> Result<u16, Refused> {
        let answer = read(response)?;
        let status = answer.pointer("/subscription_test_result/status_code").and_then(Value::as_u64);
        status.and_then(|status| u16::try_from(status).ok()).ok_or(Refused::Unreadable(response.status))
    }
}
