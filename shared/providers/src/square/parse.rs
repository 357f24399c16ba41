//! Square's envelope, and the payment, refund and order inside it.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tillwatch_domain::{Change, DedupeKey, Event, Fields, Kind, Money, RecordKey, Revision, Status};

use crate::ParseError;
use crate::json::{self, Reader, nanoseconds};

#[derive(Deserialize)]
struct Envelope {
    merchant_id: String,
    #[serde(rename = "type")]
    kind: String,
    event_id: String,
    created_at: Option<String>,
}

/// The envelope once more, when its type has told what `T` is. Of other types the object is left unread.
#[derive(Deserialize)]
struct About<T> {
    data: Option<Data<T>>,
}

#[derive(Deserialize)]
struct Data<T> {
    object: Option<T>,
}

/// The object that the event is about, under the key that its kind gives it.
#[derive(Deserialize)]
struct PaymentObject {
    payment: Option<Payment>,
}

#[derive(Deserialize)]
struct RefundObject {
    refund: Option<Refund>,
}

#[derive(Deserialize)]
struct OrderObject {
    #[serde(alias = "order_updated", alias = "order_fulfillment_updated")]
    order_created: Option<Order>,
}

#[derive(Deserialize)]
struct Amount {
    amount: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Payment {
    id: String,
    status: String,
    created_at: String,
    updated_at: Option<String>,
    total_money: Option<Amount>,
    amount_money: Option<Amount>,
    refunded_money: Option<Amount>,
    location_id: Option<String>,
    order_id: Option<String>,
    customer_id: Option<String>,
    source_type: Option<String>,
    receipt_number: Option<String>,
}

#[derive(Deserialize)]
struct Refund {
    id: String,
    status: Option<String>,
    created_at: String,
    updated_at: Option<String>,
    amount_money: Option<Amount>,
    payment_id: Option<String>,
    order_id: Option<String>,
    location_id: Option<String>,
    reason: Option<String>,
    version: Option<i64>,
}

#[derive(Deserialize)]
struct Order {
    #[serde(rename = "order_id")]
    id: String,
    version: Option<i64>,
    state: Option<String>,
    location_id: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// The merchant that a body speaks of.
pub(super) fn merchant(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Of {
        merchant_id: String,
    }
    serde_json::from_slice(body).ok().map(|of: Of| of.merchant_id)
}

/// The event in a verified body: one, always.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Event>, ParseError> {
    let envelope: Envelope = json::read(body, "square")?;
    let reader = Reader { kind: &envelope.kind };
    let occurred_at = envelope.created_at.as_deref().map(|at| reader.time("created_at", at)).transpose()?;
    let change = match envelope.kind.as_str() {
        "payment.created" | "payment.updated" => {
            let payment = object(body, reader)?.and_then(|object: PaymentObject| object.payment);
            payment_change(reader, reader.required("data.object.payment", payment)?)?
        }
        "refund.created" | "refund.updated" => {
            let refund = object(body, reader)?.and_then(|object: RefundObject| object.refund);
            refund_change(reader, reader.required("data.object.refund", refund)?)?
        }
        "order.created" | "order.updated" | "order.fulfillment.updated" => {
            let order = object(body, reader)?.and_then(|object: OrderObject| object.order_created);
            let order = reader.required("data.object.order_created or order_updated", order)?;
            order_change(reader, order, occurred_at)?
        }
        _ => None,
    };
    let test = envelope.kind == "webhooks.test_notification";
    Ok(vec![Event {
        dedupe: DedupeKey {
            provider: "square".into(),
            account: envelope.merchant_id,
            key: envelope.event_id.clone(),
        },
        kind: envelope.kind,
        provider_event_id: Some(envelope.event_id),
        occurred_at,
        test,
        changes: change.into_iter().collect(),
    }])
}

fn object<T: DeserializeOwned>(body: &[u8], reader: Reader<'_>) -> Result<Option<T>, ParseError> {
    Ok(json::read::<About<T>>(body, reader.kind)?.data.and_then(|data| data.object))
}

/// A state's place in Square's order: by its time, and of one time by its version. Not every order has a version.
fn revision(occurred_at: Timestamp, version: Option<i64>, status: Status) -> Revision {
    Revision { version: version.unwrap_or(0), ..Revision::at(nanoseconds(occurred_at), status) }
}

/// Square's ids are unique among all merchants.
fn record(kind: Kind, id: String) -> RecordKey {
    RecordKey { provider: "square".into(), scope: String::new(), kind, id }
}

fn money(
    reader: Reader<'_>,
    field: &'static str,
    amount: Option<Amount>,
) -> Result<Option<Money>, ParseError> {
    amount
        .map(|amount| Ok(Money::from_minor(amount.amount, reader.currency(field, &amount.currency)?)))
        .transpose()
}

/// None for a status that is not known here: it says nothing that could be told.
fn payment_change(reader: Reader<'_>, payment: Payment) -> Result<Option<Change>, ParseError> {
    let updated = payment.updated_at.as_deref().unwrap_or(&payment.created_at);
    let occurred_at = reader.time("data.object.payment.updated_at", updated)?;
    let total = payment.total_money.or(payment.amount_money);
    let refunded = payment.refunded_money.as_ref().map_or(0, |money| money.amount);
    let status = match payment.status.as_str() {
        "APPROVED" => Status::Authorized,
        "COMPLETED" if refunded == 0 => Status::Completed,
        "COMPLETED" if total.as_ref().is_some_and(|total| refunded >= total.amount) => Status::Refunded,
        "COMPLETED" => Status::PartiallyRefunded,
        "CANCELED" => Status::Cancelled,
        "FAILED" => Status::Failed,
        "PENDING" => Status::Pending,
        _ => return Ok(None),
    };
    Ok(Some(Change {
        record: record(Kind::Payment, payment.id),
        revision: revision(occurred_at, None, status),
        occurred_at,
        status,
        fields: Fields {
            amount: money(reader, "data.object.payment.total_money.currency", total)?,
            refunded: money(reader, "data.object.payment.refunded_money.currency", payment.refunded_money)?,
            order: payment.order_id,
            location: payment.location_id,
            customer: payment.customer_id,
            method: payment.source_type.map(|method| method.to_ascii_lowercase()),
            number: payment.receipt_number,
            ..Fields::default()
        },
    }))
}

fn refund_change(reader: Reader<'_>, refund: Refund) -> Result<Option<Change>, ParseError> {
    let updated = refund.updated_at.as_deref().unwrap_or(&refund.created_at);
    let occurred_at = reader.time("data.object.refund.updated_at", updated)?;
    let status = match refund.status.as_deref() {
        Some("COMPLETED") => Status::Completed,
        Some("REJECTED") => Status::Rejected,
        Some("FAILED") => Status::Failed,
        Some("PENDING") | None => Status::Pending,
        Some(_) => return Ok(None),
    };
    Ok(Some(Change {
        record: record(Kind::Refund, refund.id),
        revision: revision(occurred_at, refund.version, status),
        occurred_at,
        status,
        fields: Fields {
            amount: money(reader, "data.object.refund.amount_money.currency", refund.amount_money)?,
            order: refund.order_id,
            payment: refund.payment_id,
            location: refund.location_id,
            reason: refund.reason,
            ..Fields::default()
        },
    }))
}

fn order_change(
    reader: Reader<'_>,
    order: Order,
    occurred_at: Option<Timestamp>,
) -> Result<Option<Change>, ParseError> {
    let updated = order.updated_at.or(order.created_at);
    let occurred_at = match updated.as_deref() {
        Some(at) => reader.time("data.object.order_updated.updated_at", at)?,
        None => reader.required("created_at", occurred_at)?,
    };
    let status = match order.state.as_deref() {
        Some("COMPLETED") => Status::Completed,
        Some("CANCELED") => Status::Cancelled,
        Some("DRAFT") => Status::Draft,
        Some("OPEN") | None => Status::Open,
        Some(_) => return Ok(None),
    };
    Ok(Some(Change {
        record: record(Kind::Order, order.id),
        revision: revision(occurred_at, order.version, status),
        occurred_at,
        status,
        fields: Fields { location: order.location_id, ..Fields::default() },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYMENT: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"payment.updated","event_id":"6a8f5f28","created_at":"2020-02-06T21:27:34.308Z","data":{"type":"payment","id":"hYy9","object":{"payment":{"id":"hYy9","amount_money":{"amount":100,"currency":"USD"},"total_money":{"amount":100,"currency":"USD"},"created_at":"2020-11-22T21:16:51.086Z","updated_at":"2020-11-22T21:19:00.831Z","location_id":"S8GWD5R9QB376","order_id":"03O3","receipt_number":"hYy9","source_type":"CARD","status":"COMPLETED","version_token":"x"}}}}"#;

    #[test]
    fn a_payment_is_read_with_its_amount_status_and_order() {
        let event = parse(PAYMENT.as_bytes()).unwrap().remove(0);
        let change = &event.changes[0];
        assert_eq!((event.kind.as_str(), change.status), ("payment.updated", Status::Completed));
        assert_eq!(change.fields.amount.unwrap().to_string(), "1.00 USD");
        assert_eq!(change.fields.order.as_deref(), Some("03O3"));
        assert_eq!(change.occurred_at.to_string(), "2020-11-22T21:19:00.831Z");
    }

    #[test]
    fn a_payment_is_completed_until_some_or_all_of_it_is_paid_back() {
        for (refunded, status) in
            [(0, Status::Completed), (40, Status::PartiallyRefunded), (100, Status::Refunded)]
        {
            let back = format!(r#""refunded_money":{{"amount":{refunded},"currency":"USD"}},"location_id""#);
            let body = PAYMENT.replace(r#""location_id""#, &back);
            let change = parse(body.as_bytes()).unwrap().remove(0).changes.remove(0);
            assert_eq!((change.status, change.fields.refunded.unwrap().minor()), (status, refunded));
        }
    }

    const ORDER: &str = r#"{"merchant_id":"M","type":"order.updated","event_id":"e","created_at":"2020-04-16T23:14:26.359Z","data":{"type":"order_updated","id":"o","object":{"order_updated":{"created_at":"2020-04-16T23:14:26.129Z","location_id":"L","order_id":"o","state":"OPEN","updated_at":"2020-04-16T23:14:26.359Z","version":2}}}}"#;

    #[test]
    fn an_order_is_ordered_by_its_time_and_then_by_its_version() {
        let revision = |body: &str| parse(body.as_bytes()).unwrap().remove(0).changes[0].revision;
        let second = revision(ORDER);
        assert_eq!((second.version, second.rank), (2, Status::Open.rank()));
        assert!(second < revision(&ORDER.replace(r#""version":2"#, r#""version":3"#)));
        let later = ORDER
            .replace(r#""updated_at":"2020-04-16T23:14:26.359Z""#, r#""updated_at":"2020-04-16T23:14:27Z""#);
        assert!(second < revision(&later.replace(r#","version":2"#, "")), "orders of a till have no version");
    }

    #[test]
    fn a_fulfilment_is_an_orders_news_and_an_order_without_a_state_is_open() {
        let body = ORDER
            .replace("order.updated", "order.fulfillment.updated")
            .replace("order_updated", "order_fulfillment_updated");
        let body = body.replace(r#""state":"OPEN","#, "");
        let change = parse(body.as_bytes()).unwrap().remove(0).changes.remove(0);
        assert_eq!((change.record.id.as_str(), change.status), ("o", Status::Open));
    }

    #[test]
    fn a_time_that_was_never_set_is_the_oldest_and_one_that_never_comes_is_refused() {
        let of = |at: &str| parse(PAYMENT.replace("2020-11-22T21:19:00.831Z", at).as_bytes());
        let revision = |at: &str| of(at).unwrap().remove(0).changes[0].revision;
        assert!(revision("0001-01-01T00:00:00Z") < revision("1999-01-01T00:00:00Z"));
        assert!(of("2300-01-01T00:00:00Z").is_err());
    }

    #[test]
    fn a_status_that_is_not_known_says_nothing() {
        let body = PAYMENT.replace("COMPLETED", "REVIEWED");
        assert_eq!(parse(body.as_bytes()).unwrap().remove(0).changes, []);
    }

    #[test]
    fn a_type_that_is_not_modelled_may_hold_whatever_it_likes() {
        let body = br#"{"merchant_id":"M","type":"loyalty.event.created","event_id":"e","data":{"object":{"payment":7,"refund":[],"order_created":"x"}}}"#;
        assert_eq!(parse(body).unwrap().remove(0).changes, []);
    }

    #[test]
    fn an_unknown_type_and_a_test_change_nothing() {
        let body = br#"{"merchant_id":"M","type":"catalog.version.updated","event_id":"e","created_at":"2020-04-16T23:14:26.359Z","data":{"type":"catalog","id":"","object":{"catalog_version":{"updated_at":"x"}}}}"#;
        let event = parse(body).unwrap().remove(0);
        assert_eq!((event.changes.len(), event.test), (0, false));
        let body = br#"{"merchant_id":"M","type":"webhooks.test_notification","event_id":"e"}"#;
        let event = parse(body).unwrap().remove(0);
        assert_eq!((event.changes.len(), event.test), (0, true));
    }

    #[test]
    fn a_modelled_type_without_its_object_is_an_error_that_names_the_field() {
        let body = br#"{"merchant_id":"M","type":"payment.updated","event_id":"e","data":{"object":{}}}"#;
        let error = parse(body).unwrap_err().to_string();
        assert_eq!(error, "the field `data.object.payment` of a payment.updated event is missing");
    }
}
