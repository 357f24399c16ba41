//! Zettle's list of purchases, by when they were made. Before it, whose the token is.
//!
//! Facts ("Purchase API reference", "OAuth API: users/self"): `startDate` and `endDate` are UTC, without an offset; the next
//! page is told by `lastPurchaseHash`, and the last one is empty. A purchase never changes. One that a till made without a
//! network is listed by when it was made, however late it came: so windows overlap by hours.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::check::code;
use crate::call::{Call, Method, Response, encoded};
use crate::checks::{Judged, Unchecked};
use crate::json::Few;
use crate::reconcile::{Listed, Page, Reconciles, Whose, Window, millis, page, quoted, theirs};

const LIMIT: usize = 100;
/// The cursor after the organisation is known, and before each of Zettle's own.
const PURCHASES: &str = "purchases:";

#[derive(Debug)]
pub(crate) struct ZettleLists;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Myself {
    organization_uuid: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Purchases {
    purchases: Few<Box<RawValue>>,
    last_purchase_hash: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    timestamp: Option<String>,
}

/// A time as the list takes it: UTC to the second.
fn date(seconds: i64) -> String {
    let at = Offset::UTC.to_datetime(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH));
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

impl Reconciles for ZettleLists {
    fn call(&self, whose: &Whose<'_>, window: Window, cursor: Option<&str>) -> Result<Call, Unchecked> {
        let of = &whose.of;
        let token = of.own("access_token")?;
        of.own("organization_uuid")?;
        let Some(cursor) = cursor.and_then(|cursor| cursor.strip_prefix(PURCHASES)) else {
            let url = format!("{}/users/self", of.base("https://oauth.zettle.com"));
            return Ok(Call::new(Method::Get, url, "/users/self").bearer(token));
        };
        let (from, to) = window.in_units(1_000);
        let mut url = format!(
            "{}/purchases/v2?startDate={}&endDate={}&limit={LIMIT}&descending=false",
            of.base("https://purchase.izettle.com"),
            encoded(&date(from)),
            encoded(&date(to)),
        );
        if !cursor.is_empty() {
            url.push_str(&format!("&lastPurchaseHash={}", encoded(cursor)));
        }
        Ok(Call::new(Method::Get, url, "/purchases/v2").bearer(token))
    }

    fn read(&self, whose: &Whose<'_>, cursor: Option<&str>, response: &Response) -> Result<Page, Judged> {
        let wanted = whose.of.own.get("organization_uuid");
        if cursor.is_none() {
            let myself: Myself = page(response, code)?;
            theirs(myself.organization_uuid.as_deref(), wanted, "other_organization")?;
            return Ok(Page::new(Vec::new(), Some(PURCHASES.to_owned())));
        }
        let purchases: Purchases = page(response, code)?;
        let is_last = purchases.purchases.0.is_empty();
        let listed = purchases.purchases.0.into_iter().map(|purchase| {
            let head: Option<Head> = serde_json::from_str(purchase.get()).ok();
            let at_ms = head.and_then(|head| head.timestamp).and_then(|at| moment(&at));
            let sent = Timestamp::from_millisecond(at_ms.unwrap_or(0)).unwrap_or_default();
            let body = format!(
                r#"{{"organizationUuid":{},"eventName":"PurchaseCreated","payload":{},"timestamp":"{sent}"}}"#,
                quoted(wanted.unwrap_or_default()),
                quoted(purchase.get()),
            );
            Listed::new(body, at_ms)
        });
        let listed = listed.collect();
        let next = purchases.last_purchase_hash.filter(|hash| !is_last && !hash.is_empty());
        Ok(Page::new(listed, next.map(|hash| format!("{PURCHASES}{hash}"))))
    }

    fn overlap(&self) -> Duration {
        Duration::from_hours(3)
    }
}

/// `2021-01-13T21:34:22.069+0000`, with or without a colon in the offset.
fn moment(text: &str) -> Option<i64> {
    millis(Some(text)).or_else(|| {
        let at = Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?;
        Some(at.as_millisecond())
    })
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::health::Trouble;
    use tillwatch_domain::{Kind, Record};

    use super::*;
    use crate::reconcile::testing::{called, events, page, trouble, webhook};

    const ORGANISATION: &str = "d3f03ffa-4a18-4282-bbfa-efd5f642ffb7";
    const OWN: &[(&str, &str)] = &[("access_token", "hunter2"), ("organization_uuid", ORGANISATION)];
    /// From the Purchase API's documentation, shortened.
    const REFUND: &str = r#"{"source":"POS","purchaseUUID":"1x6BTNcFQ-esnIMUSdX8mQ","purchaseUUID1":"d71e814c-d705-43e7-ac9c-831449d5fc99","amount":-10000,"vatAmount":-1071,"country":"SE","currency":"SEK","timestamp":"2021-01-13T21:34:22.069+0000","purchaseNumber":33,"products":[{"quantity":"-1","unitPrice":10000,"name":"T-shirt","type":"PRODUCT"}],"payments":[{"uuid":"5fdf1688-56ab-4686-857f-4ada4361a205","amount":-10000,"type":"IZETTLE_CASH"}],"created":"2021-01-13T21:34:22.069+0000","refund":true,"refunded":false,"refundsPurchaseUUID1":"6a7d7a9c-efd8-4a93-b0ff-45d55d212774"}"#;
    const SALE: &str = r#"{"source":"POS","purchaseUUID":"fN9K4qEQEeun-STP74wpcA","purchaseUUID1":"7cdf4ae2-a110-11eb-a7f9-24cfef8c2970","amount":35300,"vatAmount":3656,"country":"GB","currency":"GBP","timestamp":"2021-04-19T13:09:40.798+0000","purchaseNumber":12776,"products":[],"payments":[{"uuid":"8031c38c","amount":35300,"type":"IZETTLE_CASH"}],"created":"2021-04-19T13:09:40.798+0000","refund":false,"refunded":false}"#;
    /// From the Pusher API's documentation, shortened.
    const PUSHED: &str = r#"{"organizationUuid":"d3f03ffa-4a18-4282-bbfa-efd5f642ffb7","messageUuid":"803f68c0-a110-11eb-a1cd-f7dd79ee0866","eventName":"PurchaseCreated","messageId":"2895af2a-faba-5f51-a1cd-f7dd79ee0866","payload":"{\"purchaseUuid\":\"7cdf4ae2-a110-11eb-a7f9-24cfef8c2970\",\"source\":\"POS\",\"currency\":\"GBP\",\"country\":\"GB\",\"amount\":35300,\"vatAmount\":3656,\"timestamp\":1618837780798,\"created\":\"2021-04-19T13:09:40.798+0000\",\"purchaseNumber\":12776,\"organizationUuid\":\"d3f03ffa-4a18-4282-bbfa-efd5f642ffb7\",\"products\":[],\"payments\":[{\"uuid\":\"8031c38c-a110-11eb-a6f8-25ceee8d2871\",\"amount\":35300,\"type\":\"IZETTLE_CASH\"}]}","timestamp":"2021-04-19T13:09:40.812Z"}"#;

    #[test]
    fn first_it_is_asked_whose_the_token_is_and_then_for_purchases() {
        assert_eq!(called(&ZettleLists, OWN, None), "GET https://oauth.zettle.com/users/self");
        let first = format!(r#"{{"uuid":"u","organizationUuid":"{ORGANISATION}"}}"#);
        let first = page(&ZettleLists, OWN, None, &first);
        assert_eq!(
            called(&ZettleLists, OWN, first.next.as_deref()),
            "GET https://purchase.izettle.com/purchases/v2?startDate=2026-11-23T23%3A00%3A00&endDate=2026-11-24T00%3A00%3A00&limit=100&descending=false"
        );
        let other = trouble(&ZettleLists, OWN, None, 200, r#"{"organizationUuid":"another"}"#);
        assert_eq!(other, (Some(Trouble::Misconfigured), Some("other_organization".into())));
    }

    #[test]
    fn a_listed_purchase_makes_the_webhooks_change_of_the_same_record() {
        let answer = format!(
            r#"{{"purchases":[{SALE},{REFUND}],"firstPurchaseHash":"a","lastPurchaseHash":"1610573662069x","linkUrls":[]}}"#
        );
        let page = page(&ZettleLists, OWN, Some(PURCHASES), &answer);
        let (events, sent) = (events("zettle", &page), webhook("zettle", &[], PUSHED));
        assert_eq!(events[0].changes, sent.changes);
        assert_eq!(events[0].dedupe.account, sent.dedupe.account);
        // So that the webhook, should it come, says nothing new.
        let first = Record::merge(None, &events[0].changes[0], ORGANISATION, "listed", "t").unwrap().record;
        let late = Record::merge(Some(first), &sent.changes[0], ORGANISATION, "sent", "t").unwrap();
        assert!(!late.changed && !late.record.is_uncertain());
        assert_eq!(events[1].changes[0].record.kind, Kind::Refund);
        assert_eq!(page.listed[1].at_ms, Some(1_610_573_662_069));
        assert!(
            called(&ZettleLists, OWN, page.next.as_deref()).ends_with("&lastPurchaseHash=1610573662069x")
        );
    }

    #[test]
    fn an_empty_page_is_the_last() {
        let last = page(&ZettleLists, OWN, Some(PURCHASES), r#"{"purchases":[],"linkUrls":[]}"#);
        assert_eq!(last, Page::default());
    }
}
