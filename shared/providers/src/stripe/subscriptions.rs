//! Stripe's webhook endpoints. A connection with an API key of its own has its own endpoint; all others share the
//! platform's: one for our own account, and one (`connect`) for connected accounts. The signing secret is told once, in the
//! answer to the creation. An endpoint of ours whose secret was lost on the way is therefore replaced, and one that
//! someone else made is not touched.

use secrecy::SecretString;
use serde_json::Value;

use crate::call::{Call, Method, Response, Words, encoded};
use crate::subscriptions::{
    Found, Fresh, Item, Kept, Made, Refused, Scope, Subscriptions, Wanted, list, success, text, texts, union,
};

/// What is sent to us: as many as a list of events may be narrowed down to.
pub(super) const EVENTS: &[&str] = &[
    "charge.succeeded",
    "charge.captured",
    "charge.failed",
    "charge.refunded",
    "charge.updated",
    "charge.expired",
    "charge.pending",
    "payment_intent.created",
    "payment_intent.processing",
    "payment_intent.amount_capturable_updated",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
];
const ENDPOINT: &str = "/v1/webhook_endpoints";
const ONE: &str = "/v1/webhook_endpoints/{id}";
/// Our own account's, and connected accounts'.
const ACCOUNT: &str = "account";
const CONNECT: &str = "connect";

#[derive(Debug)]
pub(crate) struct StripeSubscriptions;

fn call(wanted: &Wanted<'_>, method: Method, rest: &str, endpoint: &'static str) -> Result<Call, Refused> {
    let (base, key) = match wanted.scope {
        Scope::Own => (wanted.own_base("https://api.stripe.com"), wanted.own("api_key")?),
        Scope::Shared => (wanted.shared_base("https://api.stripe.com"), wanted.shared("api_key")?),
    };
    Ok(Call::new(method, format!("{base}{ENDPOINT}{rest}"), endpoint).bearer(key))
}

fn read(response: &Response) -> Result<Value, Refused> {
    let code = |body: &Value| {
        let code = text(body, "/error/code").or_else(|| text(body, "/error/type"));
        code.map(str::to_owned)
    };
    success(response, "api_key", code)
}

impl Subscriptions for StripeSubscriptions {
    fn scopes(&self, own: &Words, _: &Words) -> &'static [Scope] {
        if own.get("api_key").is_some() { &[Scope::Own] } else { &[Scope::Shared] }
    }

    fn items(&self, wanted: &Wanted<'_>) -> Result<Vec<Item>, Refused> {
        let events = wanted.events(EVENTS);
        if wanted.scope == Scope::Own {
            return Ok(vec![Item { key: ACCOUNT.into(), events, url: wanted.own_url("stripe") }]);
        }
        let is_connected = |peer: &Words| peer.get("account").is_some();
        let kinds = [
            (ACCOUNT, wanted.peers.iter().any(|peer| !is_connected(peer))),
            (CONNECT, wanted.peers.iter().any(is_connected)),
        ];
        let url = wanted.shared_url("stripe");
        let item =
            |(key, _): (&str, bool)| Item { key: key.into(), events: events.clone(), url: url.clone() };
        Ok(kinds.into_iter().filter(|(_, is_wanted)| *is_wanted).map(item).collect())
    }

    fn lists(&self, wanted: &Wanted<'_>) -> Result<Vec<Call>, Refused> {
        Ok(vec![call(wanted, Method::Get, "?limit=100", ENDPOINT)?])
    }

    fn listed(
        &self,
        wanted: &Wanted<'_>,
        _: usize,
        response: &Response,
    ) -> Result<(Vec<Found>, Option<Call>), Refused> {
        let answer = read(response)?;
        let all = list(&answer, "/data", response.status)?;
        let found = all.iter().map(|one| {
            let mark = text(one, "/metadata/tillwatch");
            // The list does not say which endpoints hear of connected accounts.
            let key = mark.unwrap_or(ACCOUNT).to_owned();
            Found {
                key: Some(key),
                id: text(one, "/id").unwrap_or_default().to_owned(),
                url: text(one, "/url").unwrap_or_default().to_owned(),
                events: texts(&one["enabled_events"]),
                active: text(one, "/status") == Some("enabled"),
                marked: mark.is_some(),
                ..Found::default()
            }
        });
        let last = all.last().and_then(|one| text(one, "/id")).filter(|_| answer["has_more"] == true);
        let rest = last.map(|id| format!("?limit=100&starting_after={}", encoded(id)));
        let next = rest.map(|rest| call(wanted, Method::Get, &rest, ENDPOINT)).transpose()?;
        Ok((found.collect(), next))
    }

    fn create(&self, wanted: &Wanted<'_>, item: &Item, fresh: &Fresh) -> Result<Call, Refused> {
        let mut pairs = vec![
            ("url", item.url.as_str()),
            ("description", "Tillwatch"),
            ("metadata[tillwatch]", item.key.as_str()),
        ];
        if item.key == CONNECT {
            pairs.push(("connect", "true"));
        }
        pairs.extend(item.events.iter().map(|event| ("enabled_events[]", event.as_str())));
        let call = call(wanted, Method::Post, "", ENDPOINT)?;
        Ok(call.header("idempotency-key", fresh.id.as_str()).form(&pairs))
    }

    fn created(&self, _: &Wanted<'_>, _: &Item, _: &Fresh, response: &Response) -> Result<Made, Refused> {
        let answer = read(response)?;
        let unreadable = Refused::Unreadable(response.status);
        let (Some(id), Some(secret)) = (text(&answer, "/id"), text(&answer, "/secret")) else {
            return Err(unreadable);
        };
        Ok(Made { id: id.to_owned(), secret: Some(SecretString::from(secret)), ..Made::default() })
    }

    fn update(&self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<Option<Call>, Refused> {
        let events = union(&found.events, &item.events);
        let mut pairs = vec![("url", item.url.as_str()), ("disabled", "false")];
        let all = events.iter().any(|event| event == "*");
        let events = events.iter().map(String::as_str).filter(|event| !all || *event == "*");
        pairs.extend(events.map(|event| ("enabled_events[]", event)));
        let rest = format!("/{}", encoded(&found.id));
        Ok(Some(call(wanted, Method::Post, &rest, ONE)?.form(&pairs)))
    }

    fn updated(&self, _: &Item, response: &Response) -> Result<(), Refused> {
        read(response).map(drop)
    }

    fn delete(&self, wanted: &Wanted<'_>, kept: &Kept) -> Result<Option<Call>, Refused> {
        call(wanted, Method::Delete, &format!("/{}", encoded(&kept.id)), ONE).map(Some)
    }

    fn has_secret(&self) -> bool {
        true
    }
}
