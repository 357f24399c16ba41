//! Shopify's orders, refunds and transactions, under the topic that the headers name.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tillwatch_domain::{Change, DedupeKey, Event, Fields, Kind, Money, RecordKey, Revision, Status};

use super::headers::{Family, TEST};
use crate::json::{self, Exact, Reader, nanoseconds};
use crate::{Headers, ParseError};

#[derive(Deserialize)]
struct Order {
    id: Exact,
    admin_graphql_api_id: Option<String>,
    updated_at: String,
    name: Option<String>,
    cancelled_at: Option<String>,
    cancel_reason: Option<String>,
    closed_at: Option<String>,
    financial_status: Option<String>,
    fulfillment_status: Option<String>,
    currency: Option<String>,
    total_price: Option<Exact>,
    location_id: Option<Exact>,
    customer: Option<Customer>,
    refunds: Option<Vec<Refund>>,
    #[serde(default)]
    test: Option<bool>,
}

/// Its name, addresses and numbers are left unread.
#[derive(Deserialize)]
struct Customer {
    id: Option<Exact>,
}

#[derive(Deserialize)]
struct Refund {
    id: Option<Exact>,
    admin_graphql_api_id: Option<String>,
    /// Left out where the refund lies in its order.
    order_id: Option<Exact>,
    created_at: Option<String>,
    processed_at: Option<String>,
    transactions: Option<Vec<Transaction>>,
}

#[derive(Deserialize)]
struct Transaction {
    id: Exact,
    admin_graphql_api_id: Option<String>,
    parent_id: Option<Exact>,
    order_id: Option<Exact>,
    kind: String,
    status: String,
    amount: Option<Exact>,
    currency: Option<String>,
    gateway: Option<String>,
    error_code: Option<String>,
    location_id: Option<Exact>,
    created_at: Option<String>,
    processed_at: Option<String>,
    #[serde(default)]
    test: Option<bool>,
}

/// The event in a verified body: one, always.
pub(super) fn parse(headers: &Headers, body: &[u8]) -> Result<Vec<Event>, ParseError> {
    let family = Family::of(headers);
    let named = |name| match headers.get(name).map(str::trim) {
        None | Some("") => Err(ParseError::Header(name)),
        // No topic and no shop has a comma in it: gateways join what comes twice.
        Some(value) if value.contains(',') => Err(ParseError::Repeated(name)),
        Some(value) => Ok(value),
    };
    let (topic, shop) = (named(family.topic)?, named(family.shop)?);
    let test = headers.get(TEST).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let reader = Reader { kind: topic };
    let changes = match topic {
        _ if test => vec![],
        "orders/create"
        | "orders/updated"
        | "orders/paid"
        | "orders/cancelled"
        | "orders/fulfilled"
        | "orders/partially_fulfilled" => order_changes(reader, json::read(body, topic)?)?,
        "refunds/create" => {
            let refund: Refund = json::read(body, topic)?;
            reader.required("order_id", refund.order_id.as_ref())?;
            reader.required("transactions", refund.transactions.as_ref())?;
            vec![refund_change(reader, refund)?]
        }
        "order_transactions/create" => {
            payment_change(reader, json::read(body, topic)?)?.into_iter().collect()
        }
        _ => vec![],
    };
    // The test header is not signed: without a key of its own, a forged test would stand in for the real event.
    let mark = if test { "test/" } else { "" };
    let key = format!("{mark}{topic}/{}", hex::encode(Sha256::digest(body)));
    let triggered_at = headers.get(family.triggered_at).and_then(|at| at.parse().ok());
    Ok(vec![Event {
        dedupe: DedupeKey { provider: "shopify".into(), account: shop.to_ascii_lowercase(), key },
        kind: topic.to_owned(),
        provider_event_id: headers.get(family.delivery).map(str::to_owned),
        occurred_at: changes.first().map(|change: &Change| change.occurred_at).or(triggered_at),
        test,
        changes,
    }])
}

/// A body whose own id says that it is of another resource came under a topic that is not its own.
fn belongs(reader: Reader<'_>, id: Option<&str>, resource: &str) -> Result<(), ParseError> {
    let own =
        |id: &str| id.strip_prefix("gid://shopify/").and_then(|rest| rest.strip_prefix(resource)).is_some();
    if id.is_none_or(own) { Ok(()) } else { Err(reader.wrong("admin_graphql_api_id", "is not of its topic")) }
}

/// Shopify's ids are unique among all shops.
fn record(kind: Kind, id: Exact) -> RecordKey {
    RecordKey { provider: "shopify".into(), scope: String::new(), kind, id: id.into() }
}

/// The furthest that an order has come, in the order of [`Status::rank`].
fn order_status(order: &Order) -> Status {
    let (paid, sent) = (order.financial_status.as_deref(), order.fulfillment_status.as_deref());
    match (paid, sent) {
        _ if order.cancelled_at.is_some() => Status::Cancelled,
        (Some("refunded"), _) => Status::Refunded,
        (Some("partially_refunded"), _) => Status::PartiallyRefunded,
        _ if order.closed_at.is_some() => Status::Completed,
        (_, Some("fulfilled" | "partial")) => Status::Dispatched,
        _ => Status::Open,
    }
}

/// An order and the refunds in it: a refund that was pending is told of only here when its money has gone out.
fn order_changes(reader: Reader<'_>, mut order: Order) -> Result<Vec<Change>, ParseError> {
    let refunds = order.refunds.take().unwrap_or_default();
    let id = order.id.clone();
    let order = order_change(reader, order, &refunds)?;
    // Cut short as they may be there, what says which they are and when is enough.
    let refunds = refunds.into_iter().filter(|refund| {
        refund.id.is_some() && (refund.processed_at.is_some() || refund.created_at.is_some())
    });
    let refunds =
        refunds.map(|refund| refund_change(reader, Refund { order_id: Some(id.clone()), ..refund }));
    std::iter::once(Ok(order)).chain(refunds).collect()
}

fn order_change(reader: Reader<'_>, order: Order, refunds: &[Refund]) -> Result<Change, ParseError> {
    belongs(reader, order.admin_graphql_api_id.as_deref(), "Order/")?;
    let occurred_at = reader.time("updated_at", &order.updated_at)?;
    let status = order_status(&order);
    let amount = money(reader, order.total_price.as_ref(), order.currency.as_deref())?;
    let transactions = refunds.iter().filter_map(|refund| refund.transactions.as_ref()).flatten();
    // Given back in another currency than the order's, it can't be set against the order's total.
    let refunded = paid_back(reader, transactions, &["success"])
        .unwrap_or_default()
        .filter(|back| amount.is_some_and(|amount| amount.currency() == back.currency()));
    Ok(Change {
        record: record(Kind::Order, order.id),
        revision: Revision::at(nanoseconds(occurred_at), status),
        occurred_at,
        status,
        fields: Fields {
            amount,
            refunded,
            location: order.location_id.map(String::from),
            customer: order.customer.and_then(|customer| customer.id).map(String::from),
            reason: order.cancel_reason,
            number: order.name,
            test: order.test == Some(true),
            ..Fields::default()
        },
    })
}

fn refund_change(reader: Reader<'_>, refund: Refund) -> Result<Change, ParseError> {
    belongs(reader, refund.admin_graphql_api_id.as_deref(), "Refund/")?;
    let at = refund.processed_at.or(refund.created_at);
    let occurred_at = reader.time("processed_at", &reader.required("created_at", at)?)?;
    let transactions = refund.transactions.unwrap_or_default();
    let is = |wanted: &str| {
        let mut refunds = transactions.iter().filter(|transaction| transaction.kind == "refund");
        refunds.any(|transaction| transaction.status == wanted)
    };
    let status = if is("pending") {
        Status::Pending
    } else if is("success") || !(is("failure") || is("error")) {
        // Without a transaction there is no money to wait for: goods were taken back, or credit was given.
        Status::Completed
    } else {
        Status::Failed
    };
    Ok(Change {
        record: record(Kind::Refund, reader.required("id", refund.id)?),
        revision: Revision::at(nanoseconds(occurred_at), status),
        occurred_at,
        status,
        fields: Fields {
            amount: paid_back(reader, &transactions, &["success", "pending"])?,
            order: refund.order_id.map(String::from),
            test: transactions.iter().any(|transaction| transaction.test == Some(true)),
            ..Fields::default()
        },
    })
}

/// A transaction as a payment. A capture and a void belong to the authorization that is their parent, so that one
/// payment is one record; of several captures each is a part of it. None for what says nothing of a payment: refunds
/// (`refunds/create` brings those), change given in cash, a capture or void that did not happen (the money is still held,
/// or taken before), and a kind or status that is not known here.
fn payment_change(reader: Reader<'_>, transaction: Transaction) -> Result<Option<Change>, ParseError> {
    belongs(reader, transaction.admin_graphql_api_id.as_deref(), "OrderTransaction/")?;
    let status = match (transaction.kind.as_str(), transaction.status.as_str()) {
        ("sale" | "capture", "success") => Status::Completed,
        ("authorization" | "emv_authorization", "success") => Status::Authorized,
        ("void", "success") => Status::Cancelled,
        ("sale" | "authorization" | "emv_authorization", "failure" | "error") => Status::Failed,
        ("sale" | "authorization" | "emv_authorization", "pending" | "awaiting_response") => Status::Pending,
        _ => return Ok(None),
    };
    let amount = money(reader, transaction.amount.as_ref(), transaction.currency.as_deref())?;
    let at = transaction.processed_at.or(transaction.created_at);
    let occurred_at = reader.time("processed_at", &reader.required("created_at", at)?)?;
    let parts = match (transaction.kind.as_str(), &transaction.parent_id, amount) {
        ("capture", Some(_), Some(amount)) => [(String::from(transaction.id.clone()), amount)].into(),
        _ => BTreeMap::new(),
    };
    // What a capture took is a part; what a void releases is no amount of the payment's.
    let amount = amount.filter(|_| parts.is_empty() && status != Status::Cancelled);
    Ok(Some(Change {
        record: record(Kind::Payment, transaction.parent_id.unwrap_or(transaction.id)),
        revision: Revision::at(nanoseconds(occurred_at), status),
        occurred_at,
        status,
        fields: Fields {
            amount,
            parts,
            test: transaction.test == Some(true),
            order: transaction.order_id.map(String::from),
            location: transaction.location_id.map(String::from),
            method: transaction.gateway.map(|gateway| gateway.to_ascii_lowercase()),
            reason: transaction.error_code,
            ..Fields::default()
        },
    }))
}

fn money(
    reader: Reader<'_>,
    amount: Option<&Exact>,
    currency: Option<&str>,
) -> Result<Option<Money>, ParseError> {
    let Some(amount) = amount else { return Ok(None) };
    let currency = reader.currency("currency", reader.required("currency", currency)?)?;
    reader.decimal("amount", amount.as_str(), currency).map(Some)
}

/// The exact sum of the refunds in these states; none, if there are none.
fn paid_back<'a>(
    reader: Reader<'_>,
    transactions: impl IntoIterator<Item = &'a Transaction>,
    states: &[&str],
) -> Result<Option<Money>, ParseError> {
    let refunds = transactions
        .into_iter()
        .filter(|transaction| transaction.kind == "refund" && states.contains(&transaction.status.as_str()));
    refunds.into_iter().try_fold(None::<Money>, |sum, refund| {
        let amount = money(reader, refund.amount.as_ref(), refund.currency.as_deref())?;
        match (sum, amount) {
            (Some(sum), Some(amount)) => {
                sum.plus(amount).map(Some).map_err(|_| reader.wrong("transactions", "does not add up"))
            }
            (sum, amount) => Ok(amount.or(sum)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::headers::{EVENTS, WEBHOOKS};
    use super::*;

    fn headers(topic: &str) -> Headers {
        Headers::from_iter([(WEBHOOKS.topic, topic), (WEBHOOKS.shop, "Shop.myshopify.com")])
    }

    fn event(topic: &str, body: &str) -> Event {
        parse(&headers(topic), body.as_bytes()).unwrap().remove(0)
    }

    fn change(topic: &str, body: &str) -> Change {
        event(topic, body).changes.remove(0)
    }

    fn problem(topic: &str, body: &str) -> String {
        parse(&headers(topic), body.as_bytes()).unwrap_err().to_string()
    }

    const ORDER: &str = r##"{"id":820982911946154508,"admin_graphql_api_id":"gid:\/\/shopify\/Order\/820982911946154508","name":"#9999","updated_at":"2021-12-31T19:00:00-05:00","cancelled_at":null,"closed_at":null,"currency":"USD","total_price":"388.00","financial_status":"pending","fulfillment_status":null,"location_id":null,"customer":{"id":115310627314723954},"test":true}"##;
    const REFUND: &str = r#"{"id":890088186047892319,"order_id":820982911946154508,"created_at":"2021-12-31T19:00:00-05:00","transactions":[{"id":1,"kind":"refund","status":"success","amount":"155.575","currency":"JPY"}]}"#;
    const SALE: &str = r#"{"id":389404469,"parent_id":null,"order_id":450789469,"kind":"sale","status":"success","amount":"10.00","currency":"USD","gateway":"Cash","created_at":"2021-12-31T19:00:00-05:00"}"#;

    #[test]
    fn an_order_is_read_with_its_large_id_and_its_amount() {
        let change = change("orders/create", ORDER);
        assert_eq!(change.record.to_string(), "orders/shopify/820982911946154508");
        assert_eq!(change.fields.amount.unwrap().to_string(), "388.00 USD");
        assert_eq!(change.fields.customer.as_deref(), Some("115310627314723954"));
        assert_eq!(change.fields.number.as_deref(), Some("#9999"));
        assert_eq!(change.occurred_at.to_string(), "2022-01-01T00:00:00Z");
    }

    #[test]
    fn an_order_is_as_far_as_the_furthest_of_its_signs() {
        let status = |signs: &[(&str, &str)]| {
            let order = signs.iter().fold(ORDER.to_owned(), |order, (from, to)| order.replace(from, to));
            change("orders/updated", &order).status
        };
        let cancelled = (r#""cancelled_at":null"#, r#""cancelled_at":"2021-12-31T19:00:00-05:00""#);
        let closed = (r#""closed_at":null"#, r#""closed_at":"2021-12-31T19:00:00-05:00""#);
        let partial = (r#""fulfillment_status":null"#, r#""fulfillment_status":"partial""#);
        assert_eq!(status(&[]), Status::Open);
        assert_eq!(status(&[("pending", "paid")]), Status::Open);
        assert_eq!(status(&[partial]), Status::Dispatched);
        assert_eq!(status(&[partial, closed]), Status::Completed);
        assert_eq!(status(&[closed, ("pending", "partially_refunded")]), Status::PartiallyRefunded);
        assert_eq!(status(&[closed, ("pending", "refunded")]), Status::Refunded);
        assert_eq!(status(&[closed, ("pending", "refunded"), cancelled]), Status::Cancelled);
    }

    #[test]
    fn an_order_says_what_of_it_was_paid_back_in_its_own_currency() {
        let refunded = |currency: &str| {
            let back = |status: &str| {
                format!(
                    r#"{{"transactions":[{{"id":1,"kind":"refund","status":"{status}","amount":"1.10","currency":"{currency}"}}]}}"#
                )
            };
            let refunds = format!(r#""refunds":[{0},{0},{1}],"test""#, back("success"), back("failure"));
            let change = change("orders/updated", &ORDER.replace(r#""test""#, &refunds));
            change.fields.refunded.map(|money| money.to_string())
        };
        assert_eq!(refunded("USD").as_deref(), Some("2.20 USD"));
        assert_eq!(refunded("CAD"), None);
    }

    #[test]
    fn a_refund_is_the_exact_sum_of_its_transactions() {
        let change = change("refunds/create", REFUND);
        assert_eq!(change.fields.amount.unwrap().to_string(), "155.575 JPY");
        assert_eq!(change.fields.order.as_deref(), Some("820982911946154508"));
        assert_eq!(change.status, Status::Completed);
    }

    #[test]
    fn a_refund_is_pending_while_a_transaction_is_and_failed_when_none_went_through() {
        let refund = |states: &[&str]| {
            let transactions: Vec<_> = states
                .iter()
                .map(|state| {
                    format!(
                        r#"{{"id":1,"kind":"refund","status":"{state}","amount":"1.25","currency":"USD"}}"#
                    )
                })
                .collect();
            let body = format!(
                r#"{{"id":1,"order_id":2,"created_at":"2021-12-31T19:00:00Z","transactions":[{}]}}"#,
                transactions.join(",")
            );
            let change = change("refunds/create", &body);
            (change.status, change.fields.amount.map(|money| money.to_string()))
        };
        assert_eq!(refund(&["success", "success"]), (Status::Completed, Some("2.50 USD".into())));
        assert_eq!(refund(&["success", "failure"]), (Status::Completed, Some("1.25 USD".into())));
        assert_eq!(refund(&["pending", "success"]), (Status::Pending, Some("2.50 USD".into())));
        assert_eq!(refund(&["failure", "error"]), (Status::Failed, None));
        assert_eq!(refund(&[]), (Status::Completed, None));
    }

    #[test]
    fn a_refund_in_two_currencies_is_not_added_up() {
        let other = r#"},{"id":2,"kind":"refund","status":"success","amount":"1","currency":"USD"}]"#;
        let problem = problem("refunds/create", &REFUND.replace("}]", other));
        assert_eq!(problem, "the field `transactions` of a refunds/create event does not add up");
    }

    #[test]
    fn a_transaction_is_a_payment_by_its_kind_and_status() {
        let payment = |kind: &str, state: &str| {
            let body = SALE
                .replace(r#""sale""#, &format!("{kind:?}"))
                .replace(r#""success""#, &format!("{state:?}"));
            event("order_transactions/create", &body).changes.first().map(|change| change.status)
        };
        assert_eq!(payment("sale", "success"), Some(Status::Completed));
        assert_eq!(payment("capture", "success"), Some(Status::Completed));
        assert_eq!(payment("authorization", "success"), Some(Status::Authorized));
        assert_eq!(payment("void", "success"), Some(Status::Cancelled));
        assert_eq!(payment("sale", "failure"), Some(Status::Failed));
        assert_eq!(payment("capture", "error"), None);
        assert_eq!(payment("authorization", "pending"), Some(Status::Pending));
        assert_eq!(payment("authorization", "unheard of"), None);
        assert_eq!(payment("void", "failure"), None);
        assert_eq!(payment("refund", "success"), None);
        assert_eq!(payment("change", "success"), None);
    }

    #[test]
    fn each_capture_of_an_authorization_is_a_part_of_one_payment() {
        let capture = SALE.replace("sale", "capture").replace(r#""parent_id":null"#, r#""parent_id":7"#);
        let fields = change("order_transactions/create", &capture).fields;
        assert_eq!((fields.amount, fields.parts.len()), (None, 1));
        assert_eq!(fields.whole(), change("order_transactions/create", SALE).fields.amount);
    }

    #[test]
    fn an_order_tells_of_its_refunds_too() {
        let refund = REFUND.replacen(r#""order_id":820982911946154508,"#, "", 1);
        let body = ORDER.replace(r#""test":true"#, &format!(r#""refunds":[{refund}],"test":true"#));
        let changes = event("orders/updated", &body).changes;
        assert_eq!(changes[1..], [change("refunds/create", REFUND)]);
        assert!(changes[0].fields.test, "it was made to try things out");
        let error = problem("refunds/create", &refund);
        assert_eq!(error, "the field `order_id` of a refunds/create event is missing");
    }

    #[test]
    fn a_capture_is_of_the_payment_that_was_authorized() {
        let capture = SALE.replace("sale", "capture").replace(r#""parent_id":null"#, r#""parent_id":7"#);
        let change = change("order_transactions/create", &capture);
        assert_eq!(change.record.to_string(), "payments/shopify/7");
        assert_eq!(change.fields.method.as_deref(), Some("cash"));
    }

    #[test]
    fn topic_and_shop_must_be_named() {
        let error = parse(&Headers::from_iter([(WEBHOOKS.shop, "s")]), ORDER.as_bytes()).unwrap_err();
        assert_eq!(error, ParseError::Header(WEBHOOKS.topic));
        let error = parse(&Headers::from_iter([(WEBHOOKS.topic, "orders/create")]), b"{}").unwrap_err();
        assert_eq!(error, ParseError::Header(WEBHOOKS.shop));
        let error = parse(&headers("orders/create,orders/create"), ORDER.as_bytes()).unwrap_err();
        assert_eq!(error, ParseError::Repeated(WEBHOOKS.topic));
    }

    #[test]
    fn an_event_of_the_newer_family_is_read_by_that_familys_headers() {
        let mut headers = headers("app/uninstalled");
        for (name, value) in [
            (EVENTS.signature, "…"),
            (EVENTS.topic, "orders/create"),
            (EVENTS.shop, "other.myshopify.com"),
            (EVENTS.delivery, "b54557e4"),
        ] {
            headers.push(name, value);
        }
        let event = parse(&headers, ORDER.as_bytes()).unwrap().remove(0);
        assert_eq!(
            (event.kind.as_str(), event.dedupe.account.as_str()),
            ("orders/create", "other.myshopify.com")
        );
        assert_eq!(event.provider_event_id.as_deref(), Some("b54557e4"));
    }

    #[test]
    fn an_event_is_known_by_what_is_signed_and_not_by_the_ids_in_headers() {
        let mut again = headers("orders/create");
        again.push(WEBHOOKS.delivery, "another delivery");
        let again = parse(&again, ORDER.as_bytes()).unwrap().remove(0);
        assert_eq!(again.dedupe, event("orders/create", ORDER).dedupe);
        assert_ne!(again.dedupe, event("orders/create", &ORDER.replace("388", "389")).dedupe);
        assert_ne!(again.dedupe, event("orders/paid", ORDER).dedupe);
    }

    #[test]
    fn a_test_changes_nothing_and_does_not_stand_in_for_the_real_event() {
        let mut headers = headers("orders/create");
        headers.push(TEST, "true");
        let test = parse(&headers, ORDER.as_bytes()).unwrap().remove(0);
        assert_eq!((test.test, test.changes.len()), (true, 0));
        let real = event("orders/create", ORDER);
        assert_eq!((real.test, real.changes.len()), (false, 1));
        assert_ne!(test.dedupe, real.dedupe);
    }

    #[test]
    fn a_body_under_the_topic_of_another_resource_is_refused() {
        let bodies = [
            ("orders/create", ORDER),
            ("refunds/create", REFUND),
            ("order_transactions/create", SALE),
            (
                "products/update",
                r#"{"id":1,"admin_graphql_api_id":"gid:\/\/shopify\/Product\/1","updated_at":"2021-12-31T19:00:00-05:00"}"#,
            ),
        ];
        for (own, body) in bodies {
            for topic in ["orders/create", "refunds/create", "order_transactions/create"] {
                let parsed = parse(&headers(topic), body.as_bytes());
                assert_eq!(parsed.is_ok(), topic == own, "{own} under {topic}: {parsed:?}");
            }
        }
        assert_eq!(
            problem("orders/create", bodies[3].1),
            "the field `admin_graphql_api_id` of a orders/create event is not of its topic"
        );
    }

    #[test]
    fn a_topic_that_is_not_modelled_is_kept_whatever_its_body() {
        let mut headers = headers("app/uninstalled");
        headers.push(WEBHOOKS.triggered_at, "2023-03-29T18:00:27.877041743Z");
        let event = parse(&headers, b"<shop/>").unwrap().remove(0);
        assert_eq!((event.kind.as_str(), event.changes.len()), ("app/uninstalled", 0));
        assert_eq!(event.occurred_at.unwrap().to_string(), "2023-03-29T18:00:27.877041743Z");
    }
}
