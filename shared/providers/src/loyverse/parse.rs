//! Loyverse's envelope, and the receipts, stock levels or items inside it.

use jiff::Timestamp;
use serde::Deserialize;
use tillwatch_domain::{Change, DedupeKey, Event, Fields, Kind, RecordKey, Revision, Status};

use crate::json::{self, Exact, Few, Reader, nanoseconds};
use crate::{ParseError, digest};

#[derive(Deserialize)]
struct Envelope {
    merchant_id: String,
    #[serde(rename = "type")]
    kind: String,
    created_at: Option<String>,
}

/// The envelope once more, when its type has told which list it holds. Of other types the lists are left unread.
#[derive(Deserialize)]
struct Receipts {
    receipts: Few<Receipt>,
}

#[derive(Deserialize)]
struct Levels {
    inventory_levels: Few<Level>,
}

#[derive(Deserialize)]
struct Items {
    items: Few<Item>,
}

#[derive(Deserialize)]
struct Receipt {
    #[serde(rename = "receipt_number")]
    number: String,
    #[serde(rename = "receipt_type")]
    kind: Option<String>,
    refund_for: Option<String>,
    updated_at: Option<String>,
    cancelled_at: Option<String>,
    store_id: Option<String>,
    customer_id: Option<String>,
    total_money: Option<Exact>,
    payments: Option<Few<Payment>>,
}

#[derive(Deserialize)]
struct Payment {
    /// A word of Loyverse's: `CASH`, `CARD`. The name beside it is the merchant's own text.
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Level {
    variant_id: String,
    store_id: String,
    in_stock: Option<Exact>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    updated_at: Option<String>,
    deleted_at: Option<String>,
}

/// The merchant that a body speaks of.
pub(super) fn merchant(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Of {
        merchant_id: String,
    }
    serde_json::from_slice(body).ok().map(|of: Of| of.merchant_id)
}

/// The events in a verified body: one for each thing that it tells of.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Event>, ParseError> {
    let envelope: Envelope = json::read(body, "loyverse")?;
    let batch = Batch { reader: Reader { kind: &envelope.kind }, envelope: &envelope };
    let events: Vec<_> = match envelope.kind.as_str() {
        "receipts.update" | "receipts.create" => {
            let list: Receipts = json::read(body, &envelope.kind)?;
            list.receipts.0.into_iter().map(|receipt| batch.receipt(receipt)).collect::<Result<_, _>>()?
        }
        "inventory_levels.update" => {
            let list: Levels = json::read(body, &envelope.kind)?;
            list.inventory_levels.0.into_iter().map(|level| batch.level(level)).collect::<Result<_, _>>()?
        }
        "items.update" => {
            let list: Items = json::read(body, &envelope.kind)?;
            list.items.0.into_iter().map(|item| batch.item(item)).collect::<Result<_, _>>()?
        }
        _ => Vec::new(),
    };
    if events.is_empty() { Ok(vec![batch.whole(body)?]) } else { Ok(events) }
}

/// What all things in one body share.
struct Batch<'a> {
    reader: Reader<'a>,
    envelope: &'a Envelope,
}

impl Batch<'_> {
    /// A body that is not modelled, or tells of nothing, is known by its bytes.
    fn whole(&self, body: &[u8]) -> Result<Event, ParseError> {
        let at = self.envelope.created_at.as_deref();
        let occurred_at = at.map(|at| self.reader.time("created_at", at)).transpose()?;
        Ok(self.event(&[body], occurred_at, Vec::new()))
    }

    fn event(&self, key: &[&[u8]], occurred_at: Option<Timestamp>, changes: Vec<Change>) -> Event {
        let parts: Vec<_> =
            std::iter::once(self.envelope.kind.as_bytes()).chain(key.iter().copied()).collect();
        Event {
            dedupe: DedupeKey {
                provider: "loyverse".into(),
                account: self.envelope.merchant_id.clone(),
                key: digest::of(parts.iter().copied()),
            },
            kind: self.envelope.kind.clone(),
            provider_event_id: None,
            occurred_at,
            test: false,
            changes,
        }
    }

    /// The text of the time at which something was changed, and the time.
    fn updated<'a>(
        &'a self,
        field: &'static str,
        updated_at: Option<&'a str>,
    ) -> Result<(&'a str, Timestamp), ParseError> {
        let text = updated_at.or(self.envelope.created_at.as_deref());
        let text = self.reader.required(field, text)?;
        Ok((text, self.reader.time(field, text)?))
    }

    fn id(&self, field: &'static str, id: String) -> Result<String, ParseError> {
        if id.is_empty() { Err(self.reader.wrong(field, "is empty")) } else { Ok(id) }
    }

    fn change(&self, kind: Kind, id: String, at: Timestamp, status: Status, fields: Fields) -> Change {
        let (provider, scope) = ("loyverse".to_owned(), self.envelope.merchant_id.clone());
        Change {
            record: RecordKey { provider, scope, kind, id },
            revision: Revision::at(nanoseconds(at), status),
            occurred_at: at,
            status,
            fields,
        }
    }

    /// A sale is an order that is closed and the payment that closes it; of what is given back only that is told. No
    /// changes for a kind of receipt that is not known here.
    fn receipt(&self, receipt: Receipt) -> Result<Event, ParseError> {
        let number = self.id("receipts[].receipt_number", receipt.number)?;
        let (updated_at, at) = self.updated("receipts[].updated_at", receipt.updated_at.as_deref())?;
        let cancelled_at = receipt.cancelled_at.as_deref().unwrap_or_default();
        let key = [number.as_bytes(), updated_at.as_bytes(), cancelled_at.as_bytes()];
        let total = receipt.total_money.as_ref().map(Exact::as_str);
        let total = total.map(|total| self.reader.plain("receipts[].total_money", total)).transpose()?;
        let status = if receipt.cancelled_at.is_some() { Status::Cancelled } else { Status::Completed };
        let common = Fields {
            location: receipt.store_id,
            customer: receipt.customer_id,
            number: Some(number.clone()),
            ..Fields::default()
        };
        let change = |kind, fields| self.change(kind, number.clone(), at, status, fields);
        let changes = match receipt.kind.as_deref() {
            Some("SALE") => {
                let order = Fields { amount_major: total.clone(), ..common.clone() };
                let method = receipt.payments.and_then(|payments| method(payments.0));
                let payment = Fields { amount_major: total, order: Some(number.clone()), method, ..common };
                vec![change(Kind::Order, order), change(Kind::Payment, payment)]
            }
            Some("REFUND") => {
                let total = total.map(|total| total.trim_start_matches('-').to_owned());
                let (order, payment) = (receipt.refund_for.clone(), receipt.refund_for);
                vec![change(Kind::Refund, Fields { amount_major: total, order, payment, ..common })]
            }
            _ => Vec::new(),
        };
        Ok(self.event(&key, Some(at), changes))
    }

    /// No changes for a level of what is not counted.
    fn level(&self, level: Level) -> Result<Event, ParseError> {
        let variant = self.id("inventory_levels[].variant_id", level.variant_id)?;
        let store = self.id("inventory_levels[].store_id", level.store_id)?;
        let (updated_at, at) = self.updated("inventory_levels[].updated_at", level.updated_at.as_deref())?;
        let key = [variant.as_bytes(), store.as_bytes(), updated_at.as_bytes()];
        let stock = level.in_stock.as_ref().map(Exact::as_str);
        let stock = stock.map(|stock| self.reader.plain("inventory_levels[].in_stock", stock)).transpose()?;
        let change = stock.map(|stock| {
            let none = stock == "0" || stock.starts_with('-');
            let status = if none { Status::Unavailable } else { Status::Available };
            let fields = Fields { location: Some(store.clone()), quantity: Some(stock), ..Fields::default() };
            self.change(Kind::Stock, format!("{variant}@{store}"), at, status, fields)
        });
        Ok(self.event(&key, Some(at), change.into_iter().collect()))
    }

    fn item(&self, item: Item) -> Result<Event, ParseError> {
        let id = self.id("items[].id", item.id)?;
        let (updated_at, at) = self.updated("items[].updated_at", item.updated_at.as_deref())?;
        let deleted_at = item.deleted_at.as_deref().unwrap_or_default();
        let key = [id.as_bytes(), updated_at.as_bytes(), deleted_at.as_bytes()];
        let status = if item.deleted_at.is_some() { Status::Deleted } else { Status::Changed };
        let change = self.change(Kind::Item, id.clone(), at, status, Fields::default());
        Ok(self.event(&key, Some(at), vec![change]))
    }
}

/// How a receipt was paid, if in one way.
fn method(payments: Vec<Payment>) -> Option<String> {
    let mut kinds = payments.into_iter().map(|payment| payment.kind);
    let first = kinds.next()??;
    kinds.all(|kind| kind.as_ref() == Some(&first)).then(|| first.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALE: &str = r#"{"merchant_id":"c4c4a4a0-0000-4000-8000-000000000001","type":"receipts.update","created_at":"2024-01-15T10:30:45.000Z","receipts":[{"receipt_number":"2-1007","receipt_type":"SALE","refund_for":null,"order":null,"source":"point of sale","created_at":"2024-01-15T10:30:44.000Z","receipt_date":"2024-01-15T10:30:40.000Z","updated_at":"2024-01-15T10:30:44.000Z","cancelled_at":null,"store_id":"42dc2cec","customer_id":"4a54ba69","total_money":10.50,"total_tax":0.5,"line_items":[{"item_name":"Latte","variant_id":"06929667","quantity":1,"price":10.5,"total_money":10.5}],"payments":[{"payment_type_id":"2bb6eeb5","name":"Cash","type":"CASH","money_amount":10.5}]}]}"#;

    fn events(body: &str) -> Vec<Event> {
        parse(body.as_bytes()).unwrap()
    }

    fn event(body: &str) -> Event {
        let [event] = <[Event; 1]>::try_from(events(body)).unwrap();
        event
    }

    fn error(body: &str) -> String {
        parse(body.as_bytes()).unwrap_err().to_string()
    }

    fn refund() -> String {
        SALE.replace("SALE", "REFUND").replace(r#""refund_for":null"#, r#""refund_for":"2-1006""#)
    }

    #[test]
    fn a_sale_is_a_closed_order_and_the_payment_that_closes_it() {
        let event = event(SALE);
        assert_eq!(event.occurred_at.unwrap().to_string(), "2024-01-15T10:30:44Z");
        let [order, payment] = event.changes.as_slice() else { panic!("two records") };
        assert_eq!(order.record.to_string(), "orders/loyverse/2-1007");
        assert_eq!(payment.record.to_string(), "payments/loyverse/2-1007");
        for change in [order, payment] {
            assert_eq!(change.status, Status::Completed);
            assert_eq!(change.fields.amount_major.as_deref(), Some("10.5"));
            assert_eq!(change.fields.amount, None, "no currency is named");
            assert_eq!(change.fields.location.as_deref(), Some("42dc2cec"));
            assert_eq!(change.fields.customer.as_deref(), Some("4a54ba69"));
            assert_eq!(change.fields.number.as_deref(), Some("2-1007"));
        }
        assert_eq!((order.fields.order.as_deref(), payment.fields.order.as_deref()), (None, Some("2-1007")));
        assert_eq!((order.fields.method.as_deref(), payment.fields.method.as_deref()), (None, Some("cash")));
    }

    #[test]
    fn a_receipts_number_is_its_merchants_alone() {
        let other = SALE.replace("0001", "0002");
        assert_ne!(event(SALE).changes[0].record, event(&other).changes[0].record);
        assert_ne!(event(SALE).dedupe, event(&other).dedupe);
    }

    #[test]
    fn a_way_to_pay_is_told_only_if_there_is_one() {
        let method = |payments: &str| {
            let body = SALE.replace(
                r#"[{"payment_type_id":"2bb6eeb5","name":"Cash","type":"CASH","money_amount":10.5}]"#,
                payments,
            );
            event(&body).changes[1].fields.method.clone()
        };
        assert_eq!(method(r#"[{"type":"CARD"},{"type":"CARD"}]"#).as_deref(), Some("card"));
        for payments in [
            r#"[{"type":"CARD"},{"type":"CASH"}]"#,
            r#"[{"type":"CARD"},{}]"#,
            r#"[{"name":"Cash"}]"#,
            "[]",
            "null",
        ] {
            assert_eq!(method(payments), None, "{payments}");
        }
    }

    #[test]
    fn a_refund_belongs_to_the_sale_that_it_gives_back() {
        let event = event(&refund());
        let [change] = event.changes.as_slice() else { panic!("one record") };
        assert_eq!((change.record.kind, change.status), (Kind::Refund, Status::Completed));
        assert_eq!(change.fields.payment.as_deref(), Some("2-1006"));
        assert_eq!(change.fields.order.as_deref(), Some("2-1006"));
        assert_eq!(change.fields.amount_major.as_deref(), Some("10.5"));
    }

    #[test]
    fn what_is_given_back_is_the_same_whichever_sign_it_has() {
        let negative = refund().replace(r#""total_money":10.50"#, r#""total_money":-10.50"#);
        assert_eq!(event(&refund()).changes, event(&negative).changes);
    }

    #[test]
    fn a_receipt_that_was_cancelled_is_cancelled_whatever_it_was_and_another_event_than_before() {
        for body in [SALE.to_owned(), refund()] {
            let cancelled =
                body.replace(r#""cancelled_at":null"#, r#""cancelled_at":"2024-01-15T10:40:00.000Z""#);
            let (before, after) = (event(&body), event(&cancelled));
            assert!(after.changes.iter().all(|change| change.status == Status::Cancelled));
            assert!(before.changes[0].revision < after.changes[0].revision, "of one time the end counts");
            assert_ne!(before.dedupe, after.dedupe);
        }
    }

    #[test]
    fn states_of_a_receipt_are_ordered_by_its_time() {
        let later = SALE.replace(
            r#""updated_at":"2024-01-15T10:30:44.000Z""#,
            r#""updated_at":"2024-01-15T10:30:44.001Z""#,
        );
        assert!(event(SALE).changes[0].revision < event(&later).changes[0].revision);
        assert_ne!(event(SALE).dedupe, event(&later).dedupe);
    }

    #[test]
    fn a_receipt_without_a_time_of_its_own_has_its_bodys_and_one_without_either_is_an_error() {
        let body = SALE.replace(r#""updated_at":"2024-01-15T10:30:44.000Z","#, "");
        assert_eq!(event(&body).occurred_at.unwrap().to_string(), "2024-01-15T10:30:45Z");
        let body = body.replace(r#""created_at":"2024-01-15T10:30:45.000Z","#, "");
        assert_eq!(error(&body), "the field `receipts[].updated_at` of a receipts.update event is missing");
    }

    #[test]
    fn several_receipts_in_one_body_are_several_events_the_same_as_if_they_came_alone() {
        let second = SALE.replace("2-1007", "2-1008");
        let list = |body: &str| {
            let (_, list) = body.split_once(r#""receipts":["#).unwrap();
            list.strip_suffix("]}").unwrap().to_owned()
        };
        let both = format!("{},{}]}}", SALE.strip_suffix("]}").unwrap(), list(&second));
        let alone: Vec<_> = [SALE, &second].into_iter().flat_map(events).collect();
        assert_eq!(events(&both), alone);
        assert_ne!(alone[0].dedupe, alone[1].dedupe);
    }

    #[test]
    fn a_kind_of_receipt_that_is_not_known_or_not_said_changes_nothing() {
        for body in [SALE.replace("SALE", "QUOTE"), SALE.replace(r#""receipt_type":"SALE","#, "")] {
            let event = event(&body);
            assert_eq!((event.kind.as_str(), event.changes.len()), ("receipts.update", 0));
        }
    }

    #[test]
    fn a_receipt_that_was_created_is_read_as_one_that_was_updated() {
        let created = event(&SALE.replace("receipts.update", "receipts.create"));
        assert_eq!(created.changes, event(SALE).changes);
        assert_eq!(created.kind, "receipts.create");
    }

    const LEVELS: &str = r#"{"merchant_id":"c4c4a4a0","type":"inventory_levels.update","created_at":"2024-01-15T10:30:45.000Z","inventory_levels":[{"variant_id":"06929667","store_id":"42dc2cec","in_stock":12.250,"updated_at":"2024-01-15T10:30:44.500Z"}]}"#;

    #[test]
    fn a_stock_level_is_of_a_variant_at_a_store() {
        let event = event(LEVELS);
        let change = &event.changes[0];
        assert_eq!(change.record.to_string(), "stocks/loyverse/06929667@42dc2cec");
        assert_eq!(change.fields.location.as_deref(), Some("42dc2cec"));
        assert_eq!(change.fields.quantity.as_deref(), Some("12.25"));
        assert_eq!(change.occurred_at.to_string(), "2024-01-15T10:30:44.5Z");
    }

    #[test]
    fn an_item_can_be_had_while_there_is_more_than_none_of_it() {
        for (level, status) in [
            ("0.001", Status::Available),
            (r#""3""#, Status::Available),
            ("0", Status::Unavailable),
            ("-0.0", Status::Unavailable),
            ("-2", Status::Unavailable),
        ] {
            assert_eq!(event(&LEVELS.replace("12.250", level)).changes[0].status, status, "{level}");
        }
        assert_eq!(event(&LEVELS.replace("12.250", "null")).changes, [], "what is not counted");
    }

    #[test]
    fn a_part_of_a_levels_id_that_is_empty_is_an_error() {
        let body = LEVELS.replace("42dc2cec", "");
        assert_eq!(
            error(&body),
            "the field `inventory_levels[].store_id` of a inventory_levels.update event is empty"
        );
    }

    const ITEMS: &str = r#"{"merchant_id":"c4c4a4a0","type":"items.update","created_at":"2024-01-15T10:30:45.000Z","items":[{"id":"5d2cc3c2","item_name":"Latte","updated_at":"2024-01-15T10:30:44.000Z","deleted_at":null,"variants":[]}]}"#;

    #[test]
    fn an_item_is_changed_until_it_is_deleted() {
        let deleted = ITEMS.replace(r#""deleted_at":null"#, r#""deleted_at":"2024-01-15T10:30:44.000Z""#);
        for (body, status) in [(ITEMS, Status::Changed), (&deleted, Status::Deleted)] {
            let change = event(body).changes.remove(0);
            assert_eq!(
                (change.record.to_string().as_str(), change.status),
                ("items/loyverse/5d2cc3c2", status)
            );
        }
        assert_ne!(event(ITEMS).dedupe, event(&deleted).dedupe);
    }

    #[test]
    fn a_type_that_is_not_modelled_is_known_by_its_body_and_may_hold_whatever_it_likes() {
        let body = r#"{"merchant_id":"M","type":"customers.update","created_at":"2024-01-15T10:30:45Z","customers":7,"receipts":"x"}"#;
        let first = event(body);
        assert_eq!((first.kind.as_str(), first.changes.len()), ("customers.update", 0));
        assert_ne!(first.dedupe, event(&body.replace('7', "8")).dedupe);
        assert_eq!(first.dedupe, event(body).dedupe);
    }

    #[test]
    fn a_list_of_nothing_is_an_event_without_changes_and_a_missing_one_an_error() {
        assert_eq!(event(r#"{"merchant_id":"M","type":"receipts.update","receipts":[]}"#).changes, []);
        assert!(parse(br#"{"merchant_id":"M","type":"receipts.update"}"#).is_err());
    }

    #[test]
    fn hostile_bodies_are_errors() {
        let many =
            format!(r#"{{"merchant_id":"M","type":"items.update","items":[{}{{}}]}}"#, "{},".repeat(300_000));
        let deep = SALE.replace(r#"[{"item_name""#, &format!("{}[{{\"item_name\"", "[".repeat(100_000)));
        for body in [
            many,
            deep,
            SALE.replace("10.50", r#""ten""#),
            SALE.replace("10.50", "1e999999999"),
            SALE.replace("10.50", "[]"),
            SALE.replace("2-1007", ""),
            SALE.replace("2024-01-15T10:30:44.000Z", "yesterday"),
            SALE.replace(r#""merchant_id""#, r#""merchant_id":"M","merchant_id""#),
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{}", &body[..body.len().min(200)]);
        }
        assert!(
            parse(
                &SALE
                    .as_bytes()
                    .iter()
                    .map(|&byte| if byte == b'L' { 0xff } else { byte })
                    .collect::<Vec<_>>()
            )
            .is_err()
        );
    }
}
