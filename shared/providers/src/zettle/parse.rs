//! Zettle's payloads: a purchase, a product or balances of stock.

use jiff::Timestamp;
use serde::Deserialize;
use tillwatch_domain::{Change, DedupeKey, Event, Fields, Kind, Money, RecordKey, Revision, Status};

use super::envelope::Envelope;
use super::shape::{Shape, end, expected, shape};
use crate::json::{self, Exact, Few, Reader, nanoseconds};
use crate::{ParseError, digest};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Purchase {
    #[serde(rename = "purchaseUuid")]
    uuid: Option<String>,
    #[serde(rename = "purchaseUUID1")]
    uuid1: Option<String>,
    amount: i64,
    currency: String,
    timestamp: Option<Exact>,
    created: Option<Exact>,
    #[serde(rename = "purchaseNumber")]
    number: Option<Exact>,
    payments: Option<Few<Payment>>,
    refund: Option<bool>,
    refunds_purchase_uuid: Option<String>,
    #[serde(rename = "refundsPurchaseUUID1")]
    refunds_purchase_uuid1: Option<String>,
}

#[derive(Deserialize)]
struct Payment {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Product {
    uuid: String,
    updated: Option<Exact>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangedProduct {
    new_entity: Product,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Balances {
    balance_after: Few<Balance>,
    updated: Option<Updated>,
}

#[derive(Deserialize)]
struct Updated {
    timestamp: Option<Exact>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Balance {
    location_uuid: Option<String>,
    product_uuid: Option<String>,
    variant_uuid: Option<String>,
    #[serde(rename = "balance")]
    quantity: Option<Exact>,
    created: Option<Exact>,
}

/// The event in a verified body: one, always.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Event>, ParseError> {
    let envelope = Envelope::read(body)?;
    let name = Reader { kind: "zettle" }.required("eventName", envelope.event_name.as_deref())?;
    let reader = Reader { kind: name };
    let payload = envelope.payload.as_str();
    let at = reader.time("timestamp", &envelope.timestamp)?;
    let account = envelope.signed_organisation().or_else(|| envelope.organization_uuid.clone());
    let account = reader.required("organizationUuid", account.filter(|account| !account.is_empty()))?;
    let is = shape(payload);
    let expected = expected(name);
    // Of products or stock, a payload in a form that is not documented says nothing.
    let may_be_other = !matches!(expected, Some(Shape::Purchase | Shape::Ended));
    if expected.is_some_and(|expected| is != expected) && !(is == Shape::Other && may_be_other) {
        return Err(reader.wrong("payload", "is not that of its event type"));
    }
    let changes = match expected.filter(|expected| *expected == is) {
        Some(Shape::Purchase) => {
            vec![purchase(reader, json::read(payload.as_bytes(), name)?, at)?]
        }
        Some(Shape::Product) => {
            vec![product(reader, &json::read(payload.as_bytes(), name)?, at)?]
        }
        Some(Shape::ChangedProduct) => {
            let changed: ChangedProduct = json::read(payload.as_bytes(), name)?;
            vec![product(reader, &changed.new_entity, at)?]
        }
        Some(Shape::Balances) => balances(reader, json::read(payload.as_bytes(), name)?, at)?,
        _ => Vec::new(),
    };
    let kind = end(payload).filter(|_| expected == Some(Shape::Ended)).unwrap_or_else(|| name.to_owned());
    Ok(vec![Event {
        dedupe: DedupeKey {
            provider: "zettle".into(),
            account,
            key: digest::of([envelope.timestamp.as_bytes(), payload.as_bytes()]),
        },
        kind,
        provider_event_id: envelope.message_id.clone(),
        occurred_at: Some(at),
        test: name == "TestMessage",
        changes,
    }])
}

/// Zettle's ids are unique among all organisations.
fn change(kind: Kind, id: String, at: Timestamp, status: Status, fields: Fields) -> Change {
    Change {
        record: RecordKey { provider: "zettle".into(), scope: String::new(), kind, id },
        revision: Revision::at(nanoseconds(at), status),
        occurred_at: at,
        status,
        fields,
    }
}

/// A time in milliseconds since 1970, or in RFC 3339 with or without a colon in the offset.
fn time(
    reader: Reader<'_>,
    field: &'static str,
    sent: Option<&Exact>,
    otherwise: Timestamp,
) -> Result<Timestamp, ParseError> {
    let Some(sent) = sent else { return Ok(otherwise) };
    match sent.as_str().parse() {
        Ok(milliseconds) => reader.unix_milliseconds(field, milliseconds),
        Err(_) => reader.time(field, sent.as_str()),
    }
}

fn id(reader: Reader<'_>, field: &'static str, id: Option<String>) -> Result<String, ParseError> {
    reader.required(field, id.filter(|id| !id.is_empty()))
}

/// A purchase is settled when it is told of, and is a refund where money goes back.
fn purchase(reader: Reader<'_>, purchase: Purchase, sent: Timestamp) -> Result<Change, ParseError> {
    let id = id(reader, "payload.purchaseUuid", purchase.uuid.or(purchase.uuid1))?;
    let at = time(reader, "payload.created", purchase.created.as_ref(), sent)?;
    let at = time(reader, "payload.timestamp", purchase.timestamp.as_ref(), at)?;
    let currency = reader.currency("payload.currency", &purchase.currency)?;
    let refund = purchase.amount < 0 || purchase.refund == Some(true);
    let amount = if refund { purchase.amount.checked_abs() } else { Some(purchase.amount) };
    let amount = amount.ok_or_else(|| reader.wrong("payload.amount", "is not an amount of money"))?;
    let fields = Fields {
        amount: Some(Money::from_minor(amount, currency)),
        payment: purchase.refunds_purchase_uuid.or(purchase.refunds_purchase_uuid1).filter(|_| refund),
        method: purchase.payments.and_then(|payments| method(payments.0)),
        number: purchase.number.map(String::from),
        ..Fields::default()
    };
    let kind = if refund { Kind::Refund } else { Kind::Payment };
    Ok(change(kind, id, at, Status::Completed, fields))
}

/// How a purchase was paid, if in one way: `card` for `IZETTLE_CARD`.
fn method(payments: Vec<Payment>) -> Option<String> {
    let mut kinds = payments.into_iter().map(|payment| payment.kind);
    let first = kinds.next()??;
    let one = kinds.all(|kind| kind.as_ref() == Some(&first));
    one.then(|| first.trim_start_matches("IZETTLE_").to_ascii_lowercase())
}

fn product(reader: Reader<'_>, product: &Product, sent: Timestamp) -> Result<Change, ParseError> {
    let id = id(reader, "payload.uuid", Some(product.uuid.clone()))?;
    let at = time(reader, "payload.updated", product.updated.as_ref(), sent)?;
    let status = if reader.kind == "ProductDeleted" { Status::Deleted } else { Status::Changed };
    Ok(change(Kind::Item, id, at, status, Fields::default()))
}

/// A balance that does not say of what, where or how much is passed over.
fn balances(reader: Reader<'_>, balances: Balances, sent: Timestamp) -> Result<Vec<Change>, ParseError> {
    let updated = balances.updated.and_then(|updated| updated.timestamp);
    let updated = time(reader, "payload.updated.timestamp", updated.as_ref(), sent)?;
    let mut changes = Vec::new();
    for entry in balances.balance_after.0 {
        let item = entry.variant_uuid.or(entry.product_uuid).filter(|id| !id.is_empty());
        let location = entry.location_uuid.filter(|id| !id.is_empty());
        let (Some(item), Some(location), Some(quantity)) = (item, location, entry.quantity) else { continue };
        let at = time(reader, "payload.balanceAfter[].created", entry.created.as_ref(), updated)?;
        let quantity = reader.plain("payload.balanceAfter[].balance", quantity.as_str())?;
        let none = quantity == "0" || quantity.starts_with('-');
        let status = if none { Status::Unavailable } else { Status::Available };
        let id = format!("{item}@{location}");
        let fields = Fields { location: Some(location), quantity: Some(quantity), ..Fields::default() };
        changes.push(change(Kind::Stock, id, at, status, fields));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURCHASE: &str = r#"{"purchaseUuid":"7cdf4ae2","source":"POS","userUuid":"7a1abbf4","currency":"GBP","country":"GB","amount":35300,"vatAmount":3656,"timestamp":1618837780798,"created":"2021-04-19T13:09:40.700+0000","purchaseNumber":12776,"userDisplayName":"Till 1","organizationUuid":"d3f03ffa","products":[],"payments":[{"uuid":"8031c38c","amount":35300,"type":"IZETTLE_CASH","attributes":{}}]}"#;
    const PRODUCT: &str = r#"{"uuid":"e4cc8750","organizationUuid":"d3f03ffa","name":"Juice","variants":[{"uuid":"4745e110"}],"updated":"2021-04-19T13:15:37.904+0000","created":"2021-04-19T13:15:37.904+0000"}"#;
    const CHANGED: &str = r#"{"organizationUuid":"d3f03ffa","newEntity":{"uuid":"e4cc8750","variants":[],"updated":"2021-04-19T13:16:53.135+0000"},"oldEntity":{"uuid":"e4cc8750","variants":[],"updated":"2021-04-19T13:15:37.904+0000"}}"#;
    const BALANCE: &str = r#"{"organizationUuid":"d3f03ffa","updated":{"timestamp":"2021-04-19T13:18:11.966+0000"},"balanceBefore":[{"locationUuid":"fd4a39a0","productUuid":"e4cc8750","variantUuid":"4745e110","balance":"0"}],"balanceAfter":[{"locationUuid":"fd4a39a0","productUuid":"e4cc8750","variantUuid":"4745e110","created":"2021-04-19T13:18:11.992+0000","balance":"5"}],"externalUuid":null}"#;
    const TRACKING: &str = r#"{"organizationUuid":"d3f03ffa","productUuid":"e4cc8750","created":{"timestamp":"2021-04-19T13:17:56.572+0000"}}"#;
    const ENDED: &str = r#"{"type":"ApplicationConnectionRemoved"}"#;
    const ORGANISATION: &str = r#"{"uuid":"d3f03ffa","name":"Demo GB","country":"GB","currency":"GBP"}"#;

    fn body(name: &str, payload: &str) -> String {
        let payload = serde_json::to_string(payload).unwrap();
        format!(
            r#"{{"organizationUuid":"d3f03ffa","messageUuid":"803f68c0","eventName":"{name}","messageId":"2895af2a","payload":{payload},"timestamp":"2021-04-19T13:09:40.812Z"}}"#
        )
    }

    fn read(name: &str, payload: &str) -> Result<Event, ParseError> {
        let [event] = <[Event; 1]>::try_from(parse(body(name, payload).as_bytes())?).unwrap();
        Ok(event)
    }

    fn change(name: &str, payload: &str) -> Change {
        let [change] = <[Change; 1]>::try_from(read(name, payload).unwrap().changes).unwrap();
        change
    }

    #[test]
    fn a_purchase_is_a_payment_that_is_settled() {
        let event = read("PurchaseCreated", PURCHASE).unwrap();
        assert_eq!(
            (event.dedupe.account.as_str(), event.provider_event_id.as_deref()),
            ("d3f03ffa", Some("2895af2a"))
        );
        assert_eq!(event.occurred_at.unwrap().to_string(), "2021-04-19T13:09:40.812Z");
        let change = &event.changes[0];
        assert_eq!(
            (change.record.to_string().as_str(), change.status),
            ("payments/zettle/7cdf4ae2", Status::Completed)
        );
        assert_eq!(change.occurred_at.to_string(), "2021-04-19T13:09:40.798Z");
        assert_eq!(change.fields.amount.unwrap().to_string(), "353.00 GBP");
        assert_eq!(
            (change.fields.number.as_deref(), change.fields.method.as_deref()),
            (Some("12776"), Some("cash"))
        );
        assert_eq!(change.fields.location, None);
    }

    #[test]
    fn a_purchase_of_less_than_nothing_or_that_says_so_is_a_refund_of_more_than_nothing() {
        let negative = PURCHASE.replace("\"amount\":35300,\"vat", "\"amount\":-35300,\"vat");
        let said = PURCHASE.replace("\"source\"", "\"refund\":true,\"source\"");
        for payload in [negative, said] {
            let refund = change("PurchaseCreated", &payload);
            assert_eq!(refund.record.to_string(), "refunds/zettle/7cdf4ae2");
            assert_eq!(refund.fields.amount.unwrap().to_string(), "353.00 GBP");
        }
        assert_eq!(change("PurchaseCreated", &PURCHASE.replace("35300", "0")).record.kind, Kind::Payment);
    }

    #[test]
    fn a_refund_names_its_purchase_by_either_name_and_a_purchase_none() {
        for name in ["refundsPurchaseUuid", "refundsPurchaseUUID1"] {
            let named = PURCHASE.replace("\"source\"", &format!("\"{name}\":\"6a7d7a9c\",\"source\""));
            assert_eq!(change("PurchaseCreated", &named).fields.payment, None);
            let refund = change("PurchaseCreated", &named.replace("35300", "-35300"));
            assert_eq!(refund.fields.payment.as_deref(), Some("6a7d7a9c"), "{name}");
        }
    }

    #[test]
    fn a_purchase_by_the_purchase_apis_names_is_the_same() {
        let other = PURCHASE
            .replace("purchaseUuid", "purchaseUUID1")
            .replace("1618837780798", "\"2021-04-19T13:09:40.798+0000\"");
        assert_eq!(change("PurchaseCreated", &other), change("PurchaseCreated", PURCHASE));
    }

    #[test]
    fn a_purchase_happened_when_it_says_or_was_created_or_else_when_it_was_told_of() {
        let at = |payload: &str| change("PurchaseCreated", payload).occurred_at.to_string();
        let untimed = PURCHASE.replace("\"timestamp\":1618837780798,", "");
        assert_eq!(at(&untimed), "2021-04-19T13:09:40.7Z");
        let untimed = untimed.replace("\"created\":\"2021-04-19T13:09:40.700+0000\",", "");
        assert_eq!(at(&untimed), "2021-04-19T13:09:40.812Z");
    }

    #[test]
    fn a_way_to_pay_is_told_only_if_there_is_one() {
        let method = |payments: &str| {
            let (before, _) = PURCHASE.split_once("\"payments\":").unwrap();
            change("PurchaseCreated", &format!("{before}\"payments\":{payments}}}")).fields.method
        };
        assert_eq!(method(r#"[{"type":"IZETTLE_CARD"},{"type":"IZETTLE_CARD"}]"#).as_deref(), Some("card"));
        for payments in [r#"[{"type":"IZETTLE_CARD"},{"type":"SWISH"}]"#, "[{}]", "[]", "null"] {
            assert_eq!(method(payments), None, "{payments}");
        }
    }

    #[test]
    fn a_purchase_that_cannot_be_is_an_error_that_names_the_field() {
        for (from, to, field) in [
            ("\"purchaseUuid\":\"7cdf4ae2\"", "\"purchaseUuid\":\"\"", "payload.purchaseUuid"),
            ("GBP", "pounds", "payload.currency"),
            ("1618837780798", "9999999999999999999", "payload.timestamp"),
            ("1618837780798", "9223372036854775807", "payload.timestamp"),
            ("1618837780798", "9999999999999", "payload.timestamp"),
            ("35300,\"vat", "-9223372036854775808,\"vat", "payload.amount"),
        ] {
            let error = read("PurchaseCreated", &PURCHASE.replace(from, to)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the field `{field}` of a PurchaseCreated event")), "{error}");
        }
        for (from, to) in
            [("35300,\"vat", "1.5,\"vat"), ("35300,\"vat", "\"x\",\"vat"), ("[{\"uuid\"", "{\"uuid\"")]
        {
            assert!(read("PurchaseCreated", &PURCHASE.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn an_event_is_known_by_what_is_signed_and_nothing_else() {
        let id = |body: &str| parse(body.as_bytes()).unwrap()[0].dedupe.event_id();
        let body = body("PurchaseCreated", PURCHASE);
        for (unsigned, other) in
            [("803f68c0", "x"), ("2895af2a", "x"), ("\"PurchaseCreated", "\"PurchaseArchived")]
        {
            assert_eq!(id(&body), id(&body.replace(unsigned, other)), "{unsigned}");
        }
        for (signed, other) in [("40.812Z", "40.813Z"), ("12776", "12777")] {
            assert_ne!(id(&body), id(&body.replace(signed, other)), "{signed}");
        }
    }

    #[test]
    fn the_organisation_is_the_signed_one_or_else_the_envelopes() {
        let account = |payload: &str| read("Unheard", payload).unwrap().dedupe.account;
        assert_eq!(account(r#"{"organizationUuid":"signed"}"#), "signed");
        assert_eq!(account(ENDED), "d3f03ffa");
        let nobodys = body("Unheard", ENDED).replace(r#""organizationUuid":"d3f03ffa","#, "");
        let error = parse(nobodys.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "the field `organizationUuid` of a Unheard event is missing");
    }

    #[test]
    fn a_product_is_changed_until_it_is_deleted() {
        for (name, payload, status, at) in [
            ("ProductCreated", PRODUCT, Status::Changed, "2021-04-19T13:15:37.904Z"),
            ("ProductUpdated", CHANGED, Status::Changed, "2021-04-19T13:16:53.135Z"),
            ("ProductDeleted", PRODUCT, Status::Deleted, "2021-04-19T13:15:37.904Z"),
        ] {
            let change = change(name, payload);
            assert_eq!(
                (change.record.to_string().as_str(), change.status),
                ("items/zettle/e4cc8750", status)
            );
            assert_eq!(change.occurred_at.to_string(), at, "{name}");
        }
    }

    #[test]
    fn a_balance_is_the_stock_of_a_variant_at_a_location() {
        let stock = change("InventoryBalanceChanged", BALANCE);
        assert_eq!(
            (stock.record.to_string().as_str(), stock.status),
            ("stocks/zettle/4745e110@fd4a39a0", Status::Available)
        );
        assert_eq!(
            (stock.fields.quantity.as_deref(), stock.fields.location.as_deref()),
            (Some("5"), Some("fd4a39a0"))
        );
        assert_eq!(stock.occurred_at.to_string(), "2021-04-19T13:18:11.992Z");
        for none in ["0", "-1", "0.00"] {
            let payload = BALANCE.replace("\"5\"", &format!("\"{none}\""));
            assert_eq!(change("InventoryBalanceChanged", &payload).status, Status::Unavailable, "{none}");
        }
        let untimed = BALANCE.replace(r#""created":"2021-04-19T13:18:11.992+0000","#, "");
        assert_eq!(
            change("InventoryBalanceChanged", &untimed).occurred_at.to_string(),
            "2021-04-19T13:18:11.966Z"
        );
    }

    #[test]
    fn balances_of_several_are_as_many_changes_and_one_that_does_not_say_of_what_is_passed_over() {
        let entry = |fields: &str| format!("\"balanceAfter\":[{{{fields}\"balance\":\"5\"}},");
        let several = |fields: &str| BALANCE.replace("\"balanceAfter\":[", &entry(fields));
        let ids = |payload: &str| -> Vec<String> {
            let event = read("InventoryBalanceChanged", payload).unwrap();
            event.changes.into_iter().map(|change| change.record.id).collect()
        };
        let product = several(r#""locationUuid":"fd4a87c0","productUuid":"e4cc8750","#);
        assert_eq!(ids(&product), ["e4cc8750@fd4a87c0", "4745e110@fd4a39a0"]);
        for fields in ["", r#""locationUuid":"fd4a87c0","#, r#""variantUuid":"4745e110","locationUuid":"","#]
        {
            assert_eq!(ids(&several(fields)), ["4745e110@fd4a39a0"], "{fields}");
        }
    }

    #[test]
    fn a_payload_that_is_plainly_another_events_is_an_error_under_a_modelled_name() {
        let payloads = [PURCHASE, PRODUCT, CHANGED, BALANCE, TRACKING, ENDED];
        let names = [
            ("PurchaseCreated", PURCHASE),
            ("ProductCreated", PRODUCT),
            ("ProductDeleted", PRODUCT),
            ("ProductUpdated", CHANGED),
            ("InventoryBalanceChanged", BALANCE),
            ("InventoryTrackingStarted", TRACKING),
            ("InventoryTrackingStopped", TRACKING),
            ("ApplicationConnectionRemoved", ENDED),
            ("PersonalAssertionDeleted", ENDED),
        ];
        for (name, own) in names {
            for payload in payloads {
                assert_eq!(read(name, payload).is_ok(), payload == own, "{name}: {payload}");
            }
        }
    }

    #[test]
    fn a_payload_that_could_be_anything_is_no_purchase_and_no_end_and_of_stock_or_products_says_nothing() {
        for payload in [ORGANISATION, "{}", "null", "no JSON", "[]", r#"{"purchaseUuid":null}"#] {
            for name in ["PurchaseCreated", "ApplicationConnectionRemoved", "PersonalAssertionDeleted"] {
                assert!(read(name, payload).is_err(), "{name}: {payload}");
            }
            for name in
                ["ProductUpdated", "ProductDeleted", "InventoryBalanceChanged", "InventoryTrackingStarted"]
            {
                assert_eq!(read(name, payload).unwrap().changes, [], "{name}: {payload}");
            }
        }
    }

    #[test]
    fn an_end_is_known_by_its_signed_name() {
        let signed = r#"{"type":"PersonalAssertionDeleted"}"#;
        assert_eq!(read("ApplicationConnectionRemoved", signed).unwrap().kind, "PersonalAssertionDeleted");
        assert_eq!(read("ApplicationConnectionRemoved", ENDED).unwrap().kind, "ApplicationConnectionRemoved");
        assert!(read("ApplicationConnectionRemoved", r#"{"type":"Else"}"#).is_err());
    }

    #[test]
    fn a_name_that_is_not_modelled_changes_nothing_whatever_its_payload() {
        for name in ["OrganizationUpdated", "Unheard"] {
            for payload in [ORGANISATION, PURCHASE, PRODUCT, BALANCE, ENDED, "no JSON"] {
                let event = read(name, payload).unwrap();
                assert_eq!(
                    (event.kind.as_str(), event.changes.len(), event.test),
                    (name, 0, false),
                    "{payload}"
                );
            }
        }
        assert!(read("TestMessage", "{}").unwrap().test);
    }

    #[test]
    fn hostile_bodies_are_errors() {
        let deep = |open: &str| open.repeat(100_000);
        let many =
            BALANCE.replace("\"balanceAfter\":[", &format!("\"balanceAfter\":[{}", "{},".repeat(200_000)));
        assert!(read("InventoryBalanceChanged", &many).is_err());
        assert!(read("PurchaseCreated", &deep("[")).is_err());
        assert!(
            read(
                "PurchaseCreated",
                &PURCHASE.replace("\"products\":[]", &format!("\"products\":{}", deep("[")))
            )
            .is_err()
        );
        assert!(
            read(
                "PurchaseCreated",
                &PURCHASE.replace("\"amount\":35300,\"vat", "\"amount\":1,\"amount\":35300,\"vat")
            )
            .is_err()
        );
        for broken in
            ["", "{", "null", "[]", "{}", "\"text\"", r#"{"timestamp":"t","payload":"p"}"#, &deep("{\"a\":")]
        {
            assert!(parse(broken.as_bytes()).is_err());
        }
        let body = body("PurchaseCreated", PURCHASE);
        assert!(parse(body.replace("2021-04-19T13:09:40.812Z", "soon").as_bytes()).is_err());
        assert!(parse(&[body.as_bytes(), b"\xff"].concat()).is_err());
        let bytes: Vec<_> = body.bytes().map(|byte| if byte == b'P' { 0xff } else { byte }).collect();
        assert!(parse(&bytes).is_err());
    }
}
