//! Shopify's list of orders, by when they were updated, each with the refunds in it: the resource that order webhooks hold.
//!
//! Facts ("REST Admin API: Order", "Paginated requests"): `updated_at_min` and `updated_at_max`; `status=any`, or only open ones
//! are listed; the header `link` says where the next page is, and a call for that may say nothing else. Orders older than sixty
//! days take a scope of their own. Shopify gives new public apps GraphQL alone: such a one is answered `403` here.
//!
//! Transactions, which make payments, are in no list: of what was paid the order's own state tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::check::code;
use super::headers::WEBHOOKS;
use super::shop;
use super::subscriptions::{VERSION, is_version};
use crate::Headers;
use crate::call::{Call, Method, Response, encoded};
use crate::checks::{Judged, Unchecked};
use crate::json::Few;
use crate::reconcile::{Listed, Page, Reconciles, Whose, Window, millis, page};

const LIMIT: usize = 50;
/// What is read of an order, and no more; of its customer nothing but the id is kept.
const FIELDS: &str = "id,admin_graphql_api_id,name,created_at,updated_at,cancelled_at,cancel_reason,closed_at,financial_status,fulfillment_status,currency,total_price,location_id,customer,refunds,test";

#[derive(Debug)]
pub(crate) struct ShopifyLists;

#[derive(Deserialize)]
struct Orders {
    orders: Few<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Head {
    updated_at: Option<String>,
}

impl Reconciles for ShopifyLists {
    fn call(&self, whose: &Whose<'_>, window: Window, cursor: Option<&str>) -> Result<Call, Unchecked> {
        let of = &whose.of;
        let shop = shop(of)?;
        let token = of.own("access_token")?;
        let version = of.own.get("api_version").unwrap_or(VERSION);
        if !is_version(version) {
            return Err(Unchecked::Senseless("api_version", "is no version such as 2026-07"));
        }
        let (from, to) = window.in_units(1_000);
        let moment = |seconds: i64| encoded(&Window { from_ms: seconds * 1_000, to_ms: 0 }.from());
        let what = match cursor {
            Some(page) => format!("page_info={}", encoded(page)),
            None => format!(
                "status=any&order=updated_at%20asc&updated_at_min={}&updated_at_max={}",
                moment(from),
                moment(to)
            ),
        };
        let base = of.base(&format!("https://{shop}"));
        let url = format!("{base}/admin/api/{version}/orders.json?limit={LIMIT}&fields={FIELDS}&{what}");
        let call = Call::new(Method::Get, url, "/admin/api/{version}/orders.json");
        Ok(call.header("x-shopify-access-token", token))
    }

    fn read(&self, whose: &Whose<'_>, _: Option<&str>, response: &Response) -> Result<Page, Judged> {
        let orders: Orders = page(response, code)?;
        let shop = whose.of.own.get("shop").unwrap_or_default();
        let listed = orders.orders.0.into_iter().map(|order| {
            let head: Option<Head> = serde_json::from_str(order.get()).ok();
            let at_ms = millis(head.and_then(|head| head.updated_at).as_deref());
            let headers = Headers::from_iter([(WEBHOOKS.topic, "orders/updated"), (WEBHOOKS.shop, shop)]);
            Listed { headers, ..Listed::new(without_names(order.get()), at_ms) }
        });
        Ok(Page::new(listed.collect(), response.headers.get("link").and_then(next)))
    }
}

/// The order with no more of its customer than the id; its parts stay the text that they are.
fn without_names(order: &str) -> String {
    #[derive(Deserialize, Serialize)]
    struct Customer {
        id: Option<Box<RawValue>>,
    }
    let Ok(mut parts) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(order) else {
        return order.to_owned();
    };
    let customer = parts.remove("customer");
    let customer = customer.and_then(|customer| serde_json::from_str::<Customer>(customer.get()).ok());
    if let Some(customer) = customer.and_then(|customer| serde_json::value::to_raw_value(&customer).ok()) {
        parts.insert("customer".to_owned(), customer);
    }
    serde_json::to_string(&parts).unwrap_or_else(|_| order.to_owned())
}

/// Where the next page is: `<https://…/orders.json?limit=50&page_info=…>; rel="next"`, beside one before perhaps.
fn next(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let (_, rest) = next.split_once("page_info=")?;
    let place = rest.split(['&', '>']).next()?;
    (!place.is_empty()).then(|| place.to_owned())
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::health::Trouble;

    use super::*;
    use crate::checks::testing::answer;
    use crate::reconcile::testing::{called, events, page, trouble, webhook, with};

    const OWN: &[(&str, &str)] = &[("access_token", "hunter2"), ("shop", "Sample-kitchen.myshopify.com")];
    const ORDER: &str = r##"{"id":820982911946154508,"admin_graphql_api_id":"gid:\/\/shopify\/Order\/820982911946154508","name":"#9999","created_at":"2021-12-31T19:00:00-05:00","updated_at":"2021-12-31T19:00:00-05:00","currency":"USD","total_price":"388.00","financial_status":"partially_refunded","fulfillment_status":null,"cancelled_at":null,"closed_at":null,"cancel_reason":null,"location_id":655441491,"customer":{"id":115310627314723954,"email":"guest@example.com","first_name":"Sam"},"test":false,"refunds":[{"id":890088186047892319,"admin_graphql_api_id":"gid:\/\/shopify\/Refund\/890088186047892319","created_at":"2021-12-31T19:00:00-05:00","processed_at":"2021-12-31T19:00:00-05:00","refund_line_items":[{"subtotal":89.99,"total_tax":0.0}],"transactions":[{"id":245135271310201194,"order_id":820982911946154508,"amount":"155.57","kind":"refund","status":"success","currency":"USD"}]}]}"##;

    #[test]
    fn all_orders_of_the_window_are_asked_for_and_then_page_by_page() {
        let first = called(&ShopifyLists, OWN, None);
        let begin =
            "GET https://Sample-kitchen.myshopify.com/admin/api/2026-07/orders.json?limit=50&fields=id,";
        assert!(first.starts_with(begin), "{first}");
        assert!(first.ends_with("&status=any&order=updated_at%20asc&updated_at_min=2026-11-23T23%3A00%3A00Z&updated_at_max=2026-11-24T00%3A00%3A00Z"), "{first}");
        let headers = Headers::from_iter([(
            "link",
            r#"<https://x.myshopify.com/admin/api/2026-07/orders.json?limit=50&page_info=before>; rel="previous", <https://x.myshopify.com/admin/api/2026-07/orders.json?limit=50&page_info=eyJsYXN0>; rel="next""#,
        )]);
        let response = Response { headers, ..answer(200, r#"{"orders":[]}"#) };
        let page = with(OWN, |whose| ShopifyLists.read(whose, None, &response).unwrap());
        let second = called(&ShopifyLists, OWN, page.next.as_deref());
        assert!(second.ends_with("&page_info=eyJsYXN0") && !second.contains("updated_at_min"), "{second}");
    }

    #[test]
    fn a_listed_order_makes_the_webhooks_changes_of_the_same_records() {
        let page = page(&ShopifyLists, OWN, None, &format!(r#"{{"orders":[{ORDER}]}}"#));
        let headers = [(WEBHOOKS.topic, "orders/updated"), (WEBHOOKS.shop, "sample-kitchen.myshopify.com")];
        let sent = webhook("shopify", &headers, ORDER);
        assert_eq!(events("shopify", &page)[0].changes, sent.changes);
        assert_eq!(events("shopify", &page)[0].dedupe.account, sent.dedupe.account);
        let body = String::from_utf8_lossy(&page.listed[0].body);
        assert!(body.contains("115310627314723954") && !body.contains("guest"), "{body}");
        assert_eq!((sent.changes.len(), page.next), (2, None));
    }

    #[test]
    fn what_may_not_be_read_is_told() {
        let error = r#"{"errors":"[API] This action requires merchant approval for read_orders scope."}"#;
        assert_eq!(trouble(&ShopifyLists, OWN, None, 403, error).0, Some(Trouble::ScopeMissing));
    }
}
