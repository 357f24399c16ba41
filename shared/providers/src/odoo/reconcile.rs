//! Odoo's orders of its point of sale, by `write_date`. Odoo sends a webhook once, waits for a second and never comes again:
//! what was lost is found here alone.
//!
//! Facts ("External JSON-2 API", "External RPC API"): `search_read` takes a domain, an order and a limit; with `load` said to be
//! nothing, links are bare ids as they are in webhooks. From 19 on by JSON-2; up to 18 by JSON-RPC, which asks for the user's id
//! first. Orders are walked by their ids: those that are written meanwhile leave the window and are listed with the next one.
//!
//! Drafts are left out: they are the till's alone until they are paid. UNVERIFIED is that a webhook's rule selects as much as is
//! listed here; what it does not select, a webhook does not say.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tillwatch_domain::health::Trouble;

use super::check::code;
use crate::Headers;
use crate::call::{Call, Method, Response};
use crate::checks::{Judged, Subject, Unchecked, read};
use crate::json::Few;
use crate::reconcile::{Listed, Page, Reconciles, Whose, Window, millis, unreadable};
use crate::request::SUFFIX;

const LIMIT: usize = 200;
const FIELDS: [&str; 12] = [
    "amount_paid",
    "amount_total",
    "company_id",
    "config_id",
    "currency_id",
    "date_order",
    "name",
    "partner_id",
    "pos_reference",
    "session_id",
    "state",
    "write_date",
];

#[derive(Debug)]
pub(crate) struct OdooLists;

/// Where listing goes on: the user, where it is asked for, and the last order's id.
struct Place {
    user: Option<i64>,
    after: i64,
}

impl Place {
    fn read(of: &Subject<'_>, cursor: Option<&str>) -> Self {
        let said = of.own.get("user_id").and_then(|id| id.parse().ok());
        match cursor.and_then(|cursor| cursor.split_once(' ')) {
            Some((user, after)) => {
                Self { user: user.parse().ok().or(said), after: after.parse().unwrap_or(0) }
            }
            None => Self { user: said, after: 0 },
        }
    }

    fn text(&self) -> String {
        format!("{} {}", self.user.map_or_else(|| "-".to_owned(), |user| user.to_string()), self.after)
    }

    /// Whether the user is still to be asked for.
    fn asks_for_user(&self, of: &Subject<'_>) -> bool {
        of.own.get("login").is_some() && self.user.is_none()
    }
}

#[derive(Deserialize)]
struct Head {
    id: Option<i64>,
    write_date: Option<Value>,
}

#[derive(Deserialize)]
struct Answered {
    result: Few<Box<RawValue>>,
}

/// A time as Odoo writes it: UTC to the second, without saying so.
fn written(seconds: i64) -> String {
    let text = Window { from_ms: seconds * 1_000, to_ms: 0 }.from();
    text.trim_end_matches('Z').replace('T', " ")
}

fn domain(of: &Subject<'_>, window: Window, after: i64) -> Result<Value, Unchecked> {
    let (from, to) = window.in_units(1_000);
    let mut domain = vec![
        json!(["write_date", ">=", written(from)]),
        json!(["write_date", "<", written(to)]),
        json!(["state", "!=", "draft"]),
        json!(["id", ">", after]),
    ];
    for name in ["config_id", "company_id"] {
        if let Some(id) = of.own.get(name) {
            let id: i64 = id.parse().map_err(|_| Unchecked::Senseless(name, "is no number"))?;
            domain.push(json!([name, "=", id]));
        }
    }
    Ok(domain.into())
}

impl Reconciles for OdooLists {
    fn call(&self, whose: &Whose<'_>, window: Window, cursor: Option<&str>) -> Result<Call, Unchecked> {
        let of = &whose.of;
        let base = of.base(of.own("url")?.trim_end_matches('/'));
        let key = of.own("api_key")?;
        let place = Place::read(of, cursor);
        let Some(login) = of.own.get("login") else {
            let endpoint = "/json/2/pos.order/search_read";
            let call = Call::new(Method::Post, format!("{base}{endpoint}"), endpoint).bearer(key);
            let call = match of.own.get("database") {
                Some(database) => call.header("x-odoo-database", database),
                None => call,
            };
            return Ok(call.json(&json!({
                "domain": domain(of, window, place.after)?, "fields": FIELDS, "order": "id asc", "limit": LIMIT, "load": "",
            })));
        };
        let database = of.own("database")?;
        let (service, method, args) = match place.user.filter(|_| !place.asks_for_user(of)) {
            None => ("common", "authenticate", json!([database, login, key, {}])),
            Some(user) => {
                let how = json!({"fields": FIELDS, "order": "id asc", "limit": LIMIT, "load": ""});
                let domain = domain(of, window, place.after)?;
                (
                    "object",
                    "execute_kw",
                    json!([database, user, key, "pos.order", "search_read", [domain], how]),
                )
            }
        };
        let body = json!({
            "jsonrpc": "2.0", "method": "call", "id": 1,
            "params": {"service": service, "method": method, "args": args},
        });
        Ok(Call::new(Method::Post, format!("{base}/jsonrpc"), "/jsonrpc").json(&body))
    }

    fn read(&self, whose: &Whose<'_>, cursor: Option<&str>, response: &Response) -> Result<Page, Judged> {
        let of = &whose.of;
        let body = read(response, code)?;
        let mut place = Place::read(of, cursor);
        let orders: Few<Box<RawValue>> = if of.own.get("login").is_none() {
            unreadable(serde_json::from_slice(&response.body).ok())?
        } else {
            refused(&body)?;
            if place.asks_for_user(of) {
                let refused = || Judged::of(Trouble::TokenRefused, None);
                place.user = Some(body["result"].as_i64().ok_or_else(refused)?);
                return Ok(Page::new(Vec::new(), Some(place.text())));
            }
            unreadable(serde_json::from_slice::<Answered>(&response.body).ok())?.result
        };
        let is_last = orders.0.len() < LIMIT;
        let mut listed = Vec::new();
        for order in &orders.0 {
            let head: Head = unreadable(serde_json::from_str(order.get()).ok())?;
            let id = unreadable(head.id)?;
            place.after = place.after.max(id);
            let at = head.write_date.as_ref().and_then(Value::as_str);
            // What does not say when it was written can't be told from what it was before.
            let Some(at_ms) = at.and_then(|at| millis(Some(&format!("{at}Z")))) else { continue };
            let rest = order.get().trim_start().trim_start_matches('{');
            let headers = Headers::from_iter([(SUFFIX, format!("/{}", whose.connection))]);
            let body = format!(r#"{{"_model":"pos.order","_id":{id},{rest}"#);
            listed.push(Listed { headers, ..Listed::new(body, Some(at_ms)) });
        }
        Ok(Page::new(listed, (!is_last).then(|| place.text())))
    }
}

/// What JSON-RPC says of an error, in an answer that is a success to HTTP.
fn refused(body: &Value) -> Result<(), Judged> {
    let word = code(body);
    match (body.get("error"), word) {
        (None, _) => Ok(()),
        (Some(_), Some("AccessDenied")) => Err(Judged::of(Trouble::TokenRefused, word)),
        (Some(_), Some("AccessError")) => Err(Judged::of(Trouble::ScopeMissing, word)),
        (Some(_), _) => Err(Judged::of(Trouble::ProviderError, word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::testing::{called, events, page, trouble, webhook};

    const OWN: &[(&str, &str)] =
        &[("url", "https://example.odoo.com"), ("api_key", "hunter2"), ("config_id", "2")];
    const OLD: &[(&str, &str)] = &[
        ("url", "https://example.odoo.com"),
        ("api_key", "hunter2"),
        ("login", "bot@example.com"),
        ("database", "example"),
    ];
    const ORDER: &str = r#"{"id":42,"amount_paid":23.0,"amount_total":23.0,"company_id":1,"config_id":2,"currency_id":1,"date_order":"2026-01-01 10:00:00","name":"Shop/0042","partner_id":false,"pos_reference":"Order 00001-002-0003","session_id":7,"state":"paid","write_date":"2026-01-01 10:00:01"}"#;

    #[test]
    fn orders_are_asked_for_by_when_they_were_written() {
        let call = called(&OdooLists, OWN, None);
        assert!(call.starts_with("POST https://example.odoo.com/json/2/pos.order/search_read {"), "{call}");
        let domain = r#""domain":[["write_date",">=","2026-11-23 23:00:00"],["write_date","<","2026-11-24 00:00:00"],["state","!=","draft"],["id",">",0],["config_id","=",2]]"#;
        assert!(call.contains(domain), "{call}");
    }

    #[test]
    fn up_to_18_the_user_is_asked_for_first() {
        assert!(called(&OdooLists, OLD, None).contains(r#""method":"authenticate""#));
        let user = page(&OdooLists, OLD, None, r#"{"jsonrpc":"2.0","id":1,"result":7}"#);
        let call = called(&OdooLists, OLD, user.next.as_deref());
        assert!(call.contains(r#""args":["example",7,"hunter2","pos.order","search_read","#), "{call}");
        let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":[{ORDER}]}}"#);
        assert_eq!(page(&OdooLists, OLD, user.next.as_deref(), &answer).listed.len(), 1);
        let refused = trouble(&OdooLists, OLD, None, 200, r#"{"jsonrpc":"2.0","id":1,"result":false}"#);
        assert_eq!(refused.0, Some(Trouble::TokenRefused));
        let error = r#"{"error":{"code":200,"data":{"name":"odoo.exceptions.AccessError"}}}"#;
        let found = trouble(&OdooLists, OLD, user.next.as_deref(), 200, error);
        assert_eq!(found, (Some(Trouble::ScopeMissing), Some("AccessError".into())));
    }

    #[test]
    fn a_listed_order_makes_the_webhooks_changes_of_the_same_records() {
        let page = page(&OdooLists, OWN, None, &format!("[{ORDER}]"));
        let sent = format!(
            r#"{{"_action":"POS order webhook(#318)","_id":42,"_model":"pos.order",{}"#,
            ORDER.trim_start_matches('{')
        );
        let sent = webhook("odoo", &[(SUFFIX, "/harbour")], &sent);
        assert_eq!(events("odoo", &page)[0].changes, sent.changes);
        assert_eq!(events("odoo", &page)[0].dedupe.account, "harbour");
        assert_eq!((page.listed[0].at_ms, page.next), (Some(1_767_261_601_000), None));
    }

    #[test]
    fn a_full_page_goes_on_after_its_last_order() {
        let orders: Vec<_> =
            (1..=LIMIT).map(|id| ORDER.replace("\"id\":42", &format!("\"id\":{id}"))).collect();
        let page = page(&OdooLists, OWN, None, &format!("[{}]", orders.join(",")));
        assert!(called(&OdooLists, OWN, page.next.as_deref()).contains(r#"["id",">",200]"#));
    }
}
