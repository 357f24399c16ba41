//! Square's lists of payments, refunds and orders, by when they were updated, with the merchant's own token.
//!
//! Facts ("List payments", "List payment refunds", "Search orders", "List locations"): lists follow what they list by seconds.
//! Payments are listed of one location at a time, orders of up to ten; so the locations come first, and say whose the token
//! is. What is empty is left out of an answer.
//!
//! `POST /v2/events`, which lists the events themselves, is not asked: it takes the application's own token, holds only what
//! happened while the search was enabled, and answers the same whether nothing happened or it was not.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tillwatch_domain::health::Trouble;

use super::check::code;
use super::subscriptions::VERSION;
use crate::call::{Call, Method, Response, encoded};
use crate::checks::{Judged, Unchecked};
use crate::digest;
use crate::json::Few;
use crate::reconcile::{Listed, Page, Reconciles, Whose, Window, millis, page, quoted, theirs, unreadable};

const LIMIT: usize = 100;
/// Of how many locations orders are searched at once.
const AT_ONCE: usize = 10;

const NO_ORDERS: &str = "orders are not listed, for the token lacks the scope ORDERS_READ; payments and refunds are. Sign in anew with it";

#[derive(Debug)]
pub(crate) struct SquareLists;

/// Where listing goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    list: List,
    /// The locations that are left, the present ones among them.
    left: Vec<String>,
    /// All of them.
    all: Vec<String>,
    cursor: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum List {
    Payments,
    Refunds,
    Orders,
}

impl Place {
    fn read(cursor: &str) -> Option<Self> {
        serde_json::from_str(cursor).ok()
    }

    /// How many of those that are left one call is of.
    fn at_once(&self) -> usize {
        let most = match self.list {
            List::Payments => 1,
            List::Refunds => self.left.len(),
            List::Orders => AT_ONCE,
        };
        most.min(self.left.len())
    }

    /// What follows, when an answer has told where it goes on; none, if that was all.
    fn then(mut self, cursor: Option<String>) -> Option<Self> {
        self.cursor = cursor.filter(|cursor| !cursor.is_empty());
        if self.cursor.is_some() {
            return Some(self);
        }
        self.left.drain(..self.at_once());
        if self.left.is_empty() {
            self.list = match self.list {
                List::Payments => List::Refunds,
                List::Refunds => List::Orders,
                List::Orders => return None,
            };
            self.left.clone_from(&self.all);
        }
        Some(self)
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Locations {
    locations: Few<Location>,
}

#[derive(Deserialize)]
struct Location {
    id: String,
    merchant_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    payments: Few<Box<RawValue>>,
    refunds: Few<Box<RawValue>>,
    orders: Few<Box<RawValue>>,
    cursor: Option<String>,
}

/// What is read of a payment, a refund or an order to make a webhook of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    id: Option<String>,
    version: Option<i64>,
    state: Option<String>,
    location_id: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl Reconciles for SquareLists {
    fn call(&self, whose: &Whose<'_>, window: Window, cursor: Option<&str>) -> Result<Call, Unchecked> {
        let of = &whose.of;
        let token = of.own("access_token")?;
        of.own("merchant_id")?;
        let base = of.base(super::host(of.any("environment")));
        let call = |method, rest: &str, endpoint| {
            let call = Call::new(method, format!("{base}{rest}"), endpoint);
            call.bearer(token).header("square-version", VERSION)
        };
        let Some(place) = cursor.and_then(Place::read) else {
            return Ok(call(Method::Get, "/v2/locations", "/v2/locations"));
        };
        let (from, to) = (window.from(), window.to());
        let mut query = format!(
            "?sort_field=UPDATED_AT&sort_order=ASC&limit={LIMIT}&updated_at_begin_time={}&updated_at_end_time={}",
            encoded(&from),
            encoded(&to)
        );
        if let Some(cursor) = &place.cursor {
            query.push_str(&format!("&cursor={}", encoded(cursor)));
        }
        // One place's refunds can be had alone; of all of them they are not told apart.
        let one = place.left.first().filter(|_| place.at_once() == 1);
        if let Some(location) = one {
            query.push_str(&format!("&location_id={}", encoded(location)));
        }
        Ok(match place.list {
            List::Payments => call(Method::Get, &format!("/v2/payments{query}"), "/v2/payments"),
            List::Refunds => call(Method::Get, &format!("/v2/refunds{query}"), "/v2/refunds"),
            List::Orders => {
                let mut body = json!({
                    "location_ids": place.left[..place.at_once()],
                    "limit": LIMIT,
                    "query": {
                        "filter": {"date_time_filter": {"updated_at": {"start_at": from, "end_at": to}}},
                        "sort": {"sort_field": "UPDATED_AT", "sort_order": "ASC"},
                    },
                });
                if let Some(cursor) = &place.cursor {
                    body["cursor"] = cursor.as_str().into();
                }
                call(Method::Post, "/v2/orders/search", "/v2/orders/search").json(&body)
            }
        })
    }

    fn read(&self, whose: &Whose<'_>, cursor: Option<&str>, response: &Response) -> Result<Page, Judged> {
        let own = whose.of.own;
        let merchant = own.get("merchant_id").unwrap_or_default();
        let Some(cursor) = cursor else {
            let locations: Locations = page(response, code)?;
            let told = locations.locations.0.first().and_then(|location| location.merchant_id.as_deref());
            theirs(told, Some(merchant), "other_merchant")?;
            let all: Vec<String> = match own.get("location_id") {
                Some(location) => vec![location.to_owned()],
                None => locations.locations.0.into_iter().map(|location| location.id).collect(),
            };
            let first = Place { list: List::Payments, left: all.clone(), all, cursor: None };
            return Ok(Page::new(Vec::new(), Some(first.text())));
        };
        let place = unreadable(Place::read(cursor))?;
        let answer: Answer = match page(response, code) {
            // Orders come last and have a scope of their own; payments and refunds are listed by then.
            Err(judged) if place.list == List::Orders && judged.trouble == Some(Trouble::ScopeMissing) => {
                return Ok(Page { barred: Some(NO_ORDERS), ..Page::default() });
            }
            answer => answer?,
        };
        let listed = match place.list {
            List::Payments => answer.payments.0.iter().map(|raw| listed(merchant, "payment", raw)).collect(),
            List::Refunds => answer.refunds.0.iter().map(|raw| listed(merchant, "refund", raw)).collect(),
            List::Orders => answer.orders.0.iter().map(|raw| listed(merchant, "order", raw)).collect(),
        };
        Ok(Page::new(listed, place.then(answer.cursor).map(|place| place.text())))
    }
}

/// What is listed as the webhook of its update. Its id is made of what is listed, so that it is the same each time.
fn listed(merchant: &str, what: &str, raw: &RawValue) -> Listed {
    let head: Head = serde_json::from_str(raw.get()).unwrap_or_default();
    let at = head.updated_at.clone().or_else(|| head.created_at.clone());
    let id = head.id.clone().unwrap_or_default();
    let version = head.version.unwrap_or(0).to_string();
    let state = digest::of([raw.get().as_bytes()]);
    // A payment has no version: of two states of one time only what they say is different.
    let parts =
        [what, &id, at.as_deref().unwrap_or_default(), if what == "payment" { &state } else { &version }];
    let event = digest::of(parts.map(str::as_bytes));
    let (data, object) = if what == "order" {
        let order = json!({
            "order_id": head.id, "version": head.version, "state": head.state, "location_id": head.location_id,
            "created_at": head.created_at, "updated_at": head.updated_at,
        });
        ("order_updated", format!(r#"{{"order_updated":{order}}}"#))
    } else {
        (what, format!(r#"{{"{what}":{raw}}}"#))
    };
    let at_ms = millis(at.as_deref());
    let body = format!(
        r#"{{"merchant_id":{},"type":"{what}.updated","event_id":"reconciled-{event}","created_at":{},"data":{{"type":"{data}","id":{},"object":{object}}}}}"#,
        quoted(merchant),
        at.as_deref().map_or_else(|| "null".to_owned(), quoted),
        quoted(&id),
    );
    Listed::new(body, at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::answer;
    use crate::reconcile::testing::{called, events, page, trouble, webhook, with};

    const OWN: &[(&str, &str)] =
        &[("access_token", "hunter2"), ("merchant_id", "6SSW7HV8K2ST5"), ("location_id", "S8GWD5R9QB376")];
    const LOCATIONS: &str = r#"{"locations":[{"id":"S8GWD5R9QB376","name":"Harbour","merchant_id":"6SSW7HV8K2ST5","status":"ACTIVE"},{"id":"NAQ1FHV6ZJ8YV","merchant_id":"6SSW7HV8K2ST5"}]}"#;
    const PAYMENT: &str = r#"{"id":"hYy9pRFVxpDsO1FB05SunFWUe9JZY","amount_money":{"amount":100,"currency":"USD"},"total_money":{"amount":100,"currency":"USD"},"created_at":"2020-11-22T21:16:51.086Z","updated_at":"2020-11-22T21:19:00.831Z","location_id":"S8GWD5R9QB376","order_id":"03O3USaPaAaFnI6kkwB1JxGgBsUZY","receipt_number":"hYy9","source_type":"CARD","status":"COMPLETED","version_token":"bhC3b8qKJvNDdxqKzXaeDsAjS1oMFuAKxGgT32HbE6S6o"}"#;
    const REFUND: &str = r#"{"id":"KkAkhdMs_pt","amount_money":{"amount":1000,"currency":"USD"},"created_at":"2020-02-06T21:27:41.836Z","updated_at":"2020-02-06T22:14:16.381Z","location_id":"NAQ1FHV6ZJ8YV","order_id":"haOyDu","payment_id":"KkAkhdMs","status":"COMPLETED","version":10}"#;
    const ORDER: &str = r#"{"id":"eA3vssLHKJrv9H0IdJCM3gNqfdcZY","location_id":"FPYCBCHYMXFK1","line_items":[{"uid":"1","quantity":"1","name":"Latte"}],"created_at":"2020-04-16T23:14:26.129Z","updated_at":"2020-04-16T23:14:26.359Z","state":"OPEN","version":2,"total_money":{"amount":100,"currency":"USD"}}"#;

    /// The calls from the first to the last, each answered by the page of its list.
    fn walked(own: &[(&str, &str)]) -> Vec<String> {
        let (mut calls, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let call = called(&SquareLists, own, cursor.as_deref());
            let answer = if call.ends_with("/v2/locations") { LOCATIONS } else { "{}" };
            calls.push(call);
            cursor = page(&SquareLists, own, cursor.as_deref(), answer).next;
            if cursor.is_none() {
                return calls;
            }
        }
    }

    fn at(list: List) -> String {
        let all = vec!["S8GWD5R9QB376".to_owned()];
        Place { list, left: all.clone(), all, cursor: None }.text()
    }

    #[test]
    fn a_locations_payments_refunds_and_orders_are_listed_by_when_they_were_updated() {
        let calls = walked(OWN);
        let query = "?sort_field=UPDATED_AT&sort_order=ASC&limit=100&updated_at_begin_time=2026-11-23T23%3A00%3A00Z&updated_at_end_time=2026-11-24T00%3A00%3A00Z&location_id=S8GWD5R9QB376";
        assert_eq!(calls[0], "GET https://connect.squareup.com/v2/locations");
        assert_eq!(calls[1], format!("GET https://connect.squareup.com/v2/payments{query}"));
        assert_eq!(calls[2], format!("GET https://connect.squareup.com/v2/refunds{query}"));
        let search = "POST https://connect.squareup.com/v2/orders/search {";
        assert!(
            calls[3].starts_with(search) && calls[3].contains(r#""location_ids":["S8GWD5R9QB376"]"#),
            "{calls:?}"
        );
        assert_eq!(calls.len(), 4);
    }

    #[test]
    fn of_a_merchant_as_a_whole_payments_are_listed_location_by_location() {
        let calls = walked(&OWN[..2]);
        let paths: Vec<_> = calls
            .iter()
            .map(|call| call.split(['?', '{']).next().unwrap().rsplit("/v2/").next().unwrap().trim())
            .collect();
        assert_eq!(paths, ["locations", "payments", "payments", "refunds", "orders/search"]);
        assert!(!calls[3].contains("location_id="), "{}", calls[3]);
    }

    #[test]
    fn a_token_that_may_list_no_orders_lists_the_rest() {
        let denied = r#"{"errors":[{"category":"AUTHENTICATION_ERROR","code":"INSUFFICIENT_SCOPES"}]}"#;
        for list in [List::Payments, List::Refunds] {
            let found = trouble(&SquareLists, OWN, Some(&at(list)), 403, denied);
            assert_eq!(found, (Some(Trouble::ScopeMissing), Some("INSUFFICIENT_SCOPES".into())));
        }
        let orders = with(OWN, |whose| {
            SquareLists.read(whose, Some(&at(List::Orders)), &answer(403, denied)).unwrap()
        });
        assert_eq!((orders.listed.len(), orders.next, orders.barred), (0, None, Some(NO_ORDERS)));
    }

    #[test]
    fn a_token_of_another_merchant_lists_nothing() {
        let other = LOCATIONS.replace("6SSW7HV8K2ST5", "ANOTHER");
        let found = trouble(&SquareLists, OWN, None, 200, &other);
        assert_eq!(found, (Some(Trouble::Misconfigured), Some("other_merchant".into())));
    }

    #[test]
    fn what_is_listed_makes_the_webhooks_changes_of_the_same_records() {
        for (list, answer, kind, object) in [
            (List::Payments, format!(r#"{{"payments":[{PAYMENT}]}}"#), "payment", format!(r#"{{"payment":{PAYMENT}}}"#)),
            (List::Refunds, format!(r#"{{"refunds":[{REFUND}]}}"#), "refund", format!(r#"{{"refund":{REFUND}}}"#)),
            (
                List::Orders,
                format!(r#"{{"orders":[{ORDER}]}}"#),
                "order",
                r#"{"order_updated":{"created_at":"2020-04-16T23:14:26.129Z","location_id":"FPYCBCHYMXFK1","order_id":"eA3vssLHKJrv9H0IdJCM3gNqfdcZY","state":"OPEN","updated_at":"2020-04-16T23:14:26.359Z","version":2}}"#.to_owned(),
            ),
        ] {
            let page = page(&SquareLists, OWN, Some(&at(list)), &answer);
            let sent = format!(
                r#"{{"merchant_id":"6SSW7HV8K2ST5","type":"{kind}.updated","event_id":"e1","created_at":"2020-12-01T00:00:00Z","data":{{"type":"x","id":"y","object":{object}}}}}"#
            );
            let (events, sent) = (events("square", &page), webhook("square", &[], &sent));
            assert_eq!(events[0].changes, sent.changes, "{kind}");
            assert_eq!((&events[0].kind, &events[0].dedupe.account), (&sent.kind, &sent.dedupe.account));
            assert!(events[0].dedupe.key.starts_with("reconciled-"), "{kind}");
        }
    }

    #[test]
    fn what_is_listed_again_is_the_same_event_and_what_has_changed_since_is_another() {
        let id = |payment: &str| {
            let answer = format!(r#"{{"payments":[{payment}]}}"#);
            events("square", &page(&SquareLists, OWN, Some(&at(List::Payments)), &answer))[0]
                .dedupe
                .event_id()
        };
        assert_eq!(id(PAYMENT), id(PAYMENT));
        assert_ne!(id(PAYMENT), id(&PAYMENT.replace("21:19:00.831Z", "21:20:00.831Z")));
    }

    #[test]
    fn a_list_goes_on_where_the_last_page_ended() {
        let answer = format!(r#"{{"payments":[{PAYMENT}],"cursor":"abc=="}}"#);
        let page = page(&SquareLists, OWN, Some(&at(List::Payments)), &answer);
        assert!(called(&SquareLists, OWN, page.next.as_deref()).contains("&cursor=abc%3D%3D"));
    }
}
