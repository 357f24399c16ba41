//! Loyverse's list of receipts, by when they were updated. Before it, whose the token is: a receipt does not say.
//!
//! Facts ("Receipts", in part as public integrations quote it): `updated_at_min`, `updated_at_max`, `store_id`; pages are told
//! by `cursor`. A receipt is known by its number and `updated_at`, as a webhook's is: a webhook that comes after all is the
//! same event.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::check::code;
use crate::call::{Call, Method, Response, encoded};
use crate::checks::{Judged, Unchecked};
use crate::json::Few;
use crate::reconcile::{Listed, Page, Reconciles, Whose, Window, millis, page, quoted, theirs};

const LIMIT: usize = 100;
/// The cursor after the merchant is known, and before each of Loyverse's own.
const RECEIPTS: &str = "receipts:";

#[derive(Debug)]
pub(crate) struct LoyverseLists;

#[derive(Deserialize)]
struct Merchant {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Receipts {
    receipts: Few<Box<RawValue>>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    updated_at: Option<String>,
}

impl Reconciles for LoyverseLists {
    fn call(&self, whose: &Whose<'_>, window: Window, cursor: Option<&str>) -> Result<Call, Unchecked> {
        let of = &whose.of;
        let token = of.own("access_token")?;
        of.own("merchant_id")?;
        let base = of.base("https://api.loyverse.com/v1.0");
        let Some(cursor) = cursor.and_then(|cursor| cursor.strip_prefix(RECEIPTS)) else {
            return Ok(Call::new(Method::Get, format!("{base}/merchant/"), "/v1.0/merchant/").bearer(token));
        };
        let (from, to) = (encoded(&window.from()), encoded(&window.to()));
        let mut url = format!("{base}/receipts?updated_at_min={from}&updated_at_max={to}&limit={LIMIT}");
        if let Some(store) = of.own.get("store_id") {
            url.push_str(&format!("&store_id={}", encoded(store)));
        }
        if !cursor.is_empty() {
            url.push_str(&format!("&cursor={}", encoded(cursor)));
        }
        Ok(Call::new(Method::Get, url, "/v1.0/receipts").bearer(token))
    }

    fn read(&self, whose: &Whose<'_>, cursor: Option<&str>, response: &Response) -> Result<Page, Judged> {
        let wanted = whose.of.own.get("merchant_id");
        if cursor.is_none() {
            let merchant: Merchant = page(response, code)?;
            theirs(merchant.id.as_deref(), wanted, "other_merchant")?;
            return Ok(Page::new(Vec::new(), Some(RECEIPTS.to_owned())));
        }
        let receipts: Receipts = page(response, code)?;
        let listed = receipts.receipts.0.into_iter().map(|receipt| {
            let head: Option<Head> = serde_json::from_str(receipt.get()).ok();
            let updated_at = head.and_then(|head| head.updated_at);
            let body = format!(
                r#"{{"merchant_id":{},"type":"receipts.update","created_at":{},"receipts":[{receipt}]}}"#,
                quoted(wanted.unwrap_or_default()),
                updated_at.as_deref().map_or_else(|| "null".to_owned(), quoted),
            );
            Listed::new(body, millis(updated_at.as_deref()))
        });
        let next = receipts.cursor.filter(|cursor| !cursor.is_empty());
        Ok(Page::new(listed.collect(), next.map(|cursor| format!("{RECEIPTS}{cursor}"))))
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::health::Trouble;

    use super::*;
    use crate::reconcile::testing::{called, events, page, trouble, webhook};

    const OWN: &[(&str, &str)] =
        &[("access_token", "hunter2"), ("merchant_id", "m1"), ("store_id", "42dc2cec")];
    const RECEIPT: &str = r#"{"receipt_number":"2-1007","receipt_type":"SALE","refund_for":null,"order":null,"source":"point of sale","created_at":"2024-01-15T10:30:44.000Z","receipt_date":"2024-01-15T10:30:40.000Z","updated_at":"2024-01-15T10:30:44.000Z","cancelled_at":null,"store_id":"42dc2cec","total_money":10.5,"total_tax":0.5,"line_items":[],"payments":[{"payment_type_id":"2bb6eeb5","name":"Cash","type":"CASH","money_amount":10.5}]}"#;

    #[test]
    fn first_it_is_asked_whose_the_token_is_and_then_for_the_stores_receipts() {
        assert_eq!(called(&LoyverseLists, OWN, None), "GET https://api.loyverse.com/v1.0/merchant/");
        let first = page(&LoyverseLists, OWN, None, r#"{"id":"m1","business_name":"Harbour"}"#);
        assert_eq!(
            called(&LoyverseLists, OWN, first.next.as_deref()),
            "GET https://api.loyverse.com/v1.0/receipts?updated_at_min=2026-11-23T23%3A00%3A00Z&updated_at_max=2026-11-24T00%3A00%3A00Z&limit=100&store_id=42dc2cec"
        );
        let other = trouble(&LoyverseLists, OWN, None, 200, r#"{"id":"m2"}"#);
        assert_eq!(other, (Some(Trouble::Misconfigured), Some("other_merchant".into())));
    }

    #[test]
    fn a_listed_receipt_is_the_webhooks_event() {
        let answer = format!(r#"{{"receipts":[{RECEIPT}],"cursor":"abc="}}"#);
        let page = page(&LoyverseLists, OWN, Some(RECEIPTS), &answer);
        let sent = format!(
            r#"{{"merchant_id":"m1","type":"receipts.update","created_at":"2024-01-15T10:30:45.000Z","receipts":[{RECEIPT}]}}"#
        );
        assert_eq!(events("loyverse", &page), [webhook("loyverse", &[], &sent)]);
        assert_eq!(page.listed[0].at_ms, Some(1_705_314_644_000));
        let next = called(&LoyverseLists, OWN, page.next.as_deref());
        assert!(next.ends_with("&cursor=abc%3D"), "{next}");
    }

    #[test]
    fn without_a_cursor_that_was_all() {
        let last = page(&LoyverseLists, OWN, Some(RECEIPTS), r#"{"receipts":[]}"#);
        assert_eq!(last, Page::default());
    }
}
