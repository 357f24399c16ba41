//! Loyverse's webhooks, with the merchant's token: one for each type. Those made with an OAuth token are signed with the
//! app's secret, those made with a personal token not at all: they get a secret in their URL.
//!
//! Loyverse disables a webhook after two days without a 2xx; sent again under its id it is enabled.

use serde_json::{Value, json};

use crate::call::{Call, Method, Response, Words};
use crate::subscriptions::{
    Found, Fresh, Item, Kept, Made, Refused, Scope, Subscriptions, Wanted, list, success, text,
};

const EVENTS: &[&str] = &["receipts.update", "items.update", "inventory_levels.update"];

#[derive(Debug)]
pub(crate) struct LoyverseSubscriptions;

fn call(wanted: &Wanted<'_>, method: Method, rest: &str, endpoint: &'static str) -> Result<Call, Refused> {
    let token = wanted.own("access_token")?;
    let url = format!("{}/webhooks{rest}", wanted.own_base("https://api.loyverse.com/v1.0"));
    Ok(Call::new(method, url, endpoint).bearer(token))
}

fn read(response: &Response) -> Result<Value, Refused> {
    success(response, "access_token", |body| text(body, "/errors/0/code").map(str::to_owned))
}

impl Subscriptions for LoyverseSubscriptions {
    fn scopes(&self, _: &Words, _: &Words) -> &'static [Scope] {
        &[Scope::Own]
    }

    fn items(&self, wanted: &Wanted<'_>) -> Result<Vec<Item>, Refused> {
        let mut url = wanted.own_url("loyverse");
        if self.needs_url_key(wanted)
            && let Ok(keys) = wanted.webhook.live_url_keys(wanted.now)
        {
            url = format!("{url}?key={}", crate::call::encoded(keys.newest()));
        }
        let item = |event: String| Item { key: event.clone(), events: vec![event], url: url.clone() };
        Ok(wanted.events(EVENTS).into_iter().map(item).collect())
    }

    fn lists(&self, wanted: &Wanted<'_>) -> Result<Vec<Call>, Refused> {
        Ok(vec![call(wanted, Method::Get, "/", "/v1.0/webhooks/")?])
    }

    fn listed(
        &self,
        _: &Wanted<'_>,
        _: usize,
        response: &Response,
    ) -> Result<(Vec<Found>, Option<Call>), Refused> {
        let answer = read(response)?;
        let found = list(&answer, "/webhooks", response.status)?.iter().map(|one| {
            let kind = text(one, "/type").unwrap_or_default().to_owned();
            Found {
                key: Some(kind.clone()),
                id: text(one, "/id").unwrap_or_default().to_owned(),
                url: text(one, "/url").unwrap_or_default().to_owned(),
                events: vec![kind],
                active: text(one, "/status").is_none_or(|status| status == "ENABLED"),
                ..Found::default()
            }
        });
        Ok((found.collect(), None))
    }

    fn create(&self, wanted: &Wanted<'_>, item: &Item, _: &Fresh) -> Result<Call, Refused> {
        let body = json!({"url": item.url, "type": item.key, "status": "ENABLED"});
        Ok(call(wanted, Method::Post, "/", "/v1.0/webhooks/")?.json(&body))
    }

    fn created(&self, _: &Wanted<'_>, _: &Item, _: &Fresh, response: &Response) -> Result<Made, Refused> {
        let answer = read(response)?;
        let id = text(&answer, "/id").ok_or(Refused::Unreadable(response.status))?;
        Ok(Made { id: id.to_owned(), ..Made::default() })
    }

    fn update(&self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<Option<Call>, Refused> {
        let body = json!({"id": found.id, "url": item.url, "type": item.key, "status": "ENABLED"});
        Ok(Some(call(wanted, Method::Post, "/", "/v1.0/webhooks/")?.json(&body)))
    }

    fn updated(&self, _: &Item, response: &Response) -> Result<(), Refused> {
        read(response).map(drop)
    }

    fn delete(&self, wanted: &Wanted<'_>, kept: &Kept) -> Result<Option<Call>, Refused> {
        let rest = format!("/{}", crate::call::encoded(&kept.id));
        call(wanted, Method::Delete, &rest, "/v1.0/webhooks/{id}").map(Some)
    }

    fn needs_url_key(&self, wanted: &Wanted<'_>) -> bool {
        wanted.webhook.live_keys(wanted.now).is_err()
    }
}
