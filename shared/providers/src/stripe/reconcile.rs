//! Stripe's list of events: the very events that webhooks bring, under the same ids.
//!
//! Facts ("List all events", "The event object"): events of the last 30 days are listed, the newest first; `types` takes as
//! many as twenty names. UNVERIFIED is whether a connected account's event says its `account` when it is listed with the
//! platform's key, as its webhook does: where it does not, it is said here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::check::code;
use super::subscriptions::EVENTS;
use crate::call::{Call, Method, Response, encoded};
use crate::checks::{Judged, Unchecked};
use crate::json::Few;
use crate::reconcile::{Listed, Page, Reconciles, Told, Whose, Window, page, quoted};

/// An event holds whole objects: of a hundred an answer could be too large.
const LIMIT: usize = 50;

#[derive(Debug)]
pub(crate) struct StripeLists;

#[derive(Deserialize)]
struct Events {
    data: Few<Box<RawValue>>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Head {
    id: Option<String>,
    created: Option<i64>,
    account: Option<String>,
}

impl Reconciles for StripeLists {
    fn call(&self, whose: &Whose<'_>, window: Window, cursor: Option<&str>) -> Result<Call, Unchecked> {
        let of = &whose.of;
        let key = of.any("api_key").ok_or(Unchecked::Missing("api_key"))?;
        let (from, to) = window.in_units(1_000);
        let base = of.base_for("api_key", "https://api.stripe.com");
        let mut url = format!("{base}/v1/events?created%5Bgte%5D={from}&created%5Blt%5D={to}&limit={LIMIT}");
        for kind in EVENTS {
            url.push_str(&format!("&types%5B%5D={kind}"));
        }
        if let Some(last) = cursor {
            url.push_str(&format!("&starting_after={}", encoded(last)));
        }
        let call = Call::new(Method::Get, url, "/v1/events").bearer(key);
        // The platform's own key speaks for a connected account; an account's key is its own.
        Ok(match of.own.get("account").filter(|_| of.own.get("api_key").is_none()) {
            Some(account) => call.header("stripe-account", account),
            None => call,
        })
    }

    fn read(&self, whose: &Whose<'_>, _: Option<&str>, response: &Response) -> Result<Page, Judged> {
        let events: Events = page(response, code)?;
        let (mut listed, mut last) = (Vec::new(), None);
        for event in events.data.0 {
            let Ok(head) = serde_json::from_str::<Head>(event.get()) else { continue };
            last = head.id.or(last);
            let account = whose.of.own.get("account").filter(|_| head.account.is_none());
            let body = match account {
                Some(account) => of_account(event.get(), account),
                None => event.get().to_owned(),
            };
            listed.push(Listed::new(body, head.created.map(|seconds| seconds.saturating_mul(1_000))));
        }
        Ok(Page::new(listed, last.filter(|_| events.has_more)))
    }

    fn told(&self) -> Told {
        Told::ByEvent
    }
}

/// The event with whose it is; its parts stay the text that they are.
fn of_account(event: &str, account: &str) -> String {
    let parts = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(event);
    let said = parts.and_then(|mut parts| {
        parts.insert("account".to_owned(), RawValue::from_string(quoted(account))?);
        serde_json::to_string(&parts)
    });
    said.unwrap_or_else(|_| event.to_owned())
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::health::Trouble;

    use super::*;
    use crate::reconcile::testing::{called, events, page, trouble, webhook};

    const OWN: &[(&str, &str)] = &[("api_key", "rk_live_x")];
    const EVENT: &str = r#"{"id":"evt_1Pgc76B7WZ01zgkWwyRHS12y","object":"event","api_version":"2026-10-28.endive","created":1795474980,"type":"payment_intent.succeeded","livemode":true,"pending_webhooks":0,"request":{"id":null,"idempotency_key":null},"data":{"object":{"id":"pi_1","object":"payment_intent","amount":1099,"amount_received":1099,"currency":"usd","status":"succeeded"}}}"#;

    #[test]
    fn the_window_is_asked_for_in_seconds_and_by_the_types_that_are_sent_to_us() {
        let call = called(&StripeLists, OWN, None);
        let begin = "GET https://api.stripe.com/v1/events?created%5Bgte%5D=1795474800&created%5Blt%5D=1795478400&limit=50&types%5B%5D=charge.succeeded";
        assert!(call.starts_with(begin), "{call}");
        assert_eq!(call.matches("types%5B%5D").count(), 20);
        assert!(called(&StripeLists, OWN, Some("evt_9")).ends_with("&starting_after=evt_9"));
    }

    #[test]
    fn a_listed_event_is_the_webhooks_event() {
        let answer = format!(r#"{{"object":"list","url":"/v1/events","has_more":true,"data":[{EVENT}]}}"#);
        let page = page(&StripeLists, OWN, None, &answer);
        assert_eq!(page.next.as_deref(), Some("evt_1Pgc76B7WZ01zgkWwyRHS12y"));
        assert_eq!(page.listed[0].at_ms, Some(1_795_474_980_000));
        assert_eq!(events("stripe", &page), [webhook("stripe", &[], EVENT)]);
    }

    #[test]
    fn a_connected_accounts_event_says_whose_it_is_as_its_webhook_does() {
        let own = [OWN, &[("account", "acct_1")]].concat();
        let sent = EVENT.replacen('{', r#"{"account":"acct_1","#, 1);
        for listed in [EVENT.to_owned(), EVENT.replacen('{', r#"{"account":null,"#, 1), sent.clone()] {
            let answer = format!(r#"{{"object":"list","has_more":false,"data":[{listed}]}}"#);
            let page = page(&StripeLists, &own, None, &answer);
            assert_eq!(
                (page.next.clone(), events("stripe", &page)),
                (None, vec![webhook("stripe", &[], &sent)])
            );
        }
    }

    #[test]
    fn a_key_that_may_not_read_events_is_told_to_lack_a_scope() {
        let error = r#"{"error":{"type":"invalid_request_error","message":"The provided key does not have the required permissions"}}"#;
        let found = trouble(&StripeLists, OWN, None, 403, error);
        assert_eq!(found, (Some(Trouble::ScopeMissing), Some("invalid_request_error".into())));
    }
}
