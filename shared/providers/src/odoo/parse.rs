//! Odoo's calls: the head that all have, and the fields of the models that are read.

use jiff::Timestamp;
use serde::Deserialize;
use tillwatch_domain::{Change, Currency, DedupeKey, Event, Fields, Kind, RecordKey, Revision, Status};

use super::decimal;
use super::field::Field;
use crate::json::{self, Reader, nanoseconds};
use crate::{ParseError, Received, digest};

/// What every call says.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "_model")]
    model: String,
    #[serde(rename = "_id", default)]
    id: Field,
    #[serde(default)]
    write_date: Field,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Order {
    state: Field,
    name: Field,
    pos_reference: Field,
    amount_total: Field,
    amount_paid: Field,
    currency_id: Field,
    currency: Field,
    currency_name: Field,
    config_id: Field,
    partner_id: Field,
    refunded_order_id: Field,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Product {
    active: Field,
    available_in_pos: Field,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Quant {
    product_id: Field,
    quantity: Field,
}

/// The models that are read.
const MODELS: [&str; 4] = ["pos.order", "product.product", "product.template", "stock.quant"];

/// The record that a call is about.
struct Subject<'a> {
    reader: Reader<'a>,
    account: &'a str,
    id: &'a str,
    /// Its `write_date`, if the rule selects it.
    written: Option<Timestamp>,
    arrived: Timestamp,
}

/// The event in a verified body: one, always.
pub(super) fn parse(received: Received<'_>) -> Result<Vec<Event>, ParseError> {
    let head: Head = json::read(received.body, "odoo")?;
    let known = MODELS.into_iter().find(|model| *model == head.model);
    // A model that is not read may be called anything, so errors name only those that are.
    let reader = Reader { kind: known.unwrap_or("odoo") };
    let id = reader.required("_id", head.id.text(reader, "_id")?)?;
    let written = head.write_date.text(reader, "write_date").and_then(|text| {
        let told = text.map(|text| Ok((time(reader, &text)?, text)));
        told.transpose()
    });
    let written = if known.is_some() { written? } else { written.unwrap_or_default() };
    let account = received.headers.route(&[]).connection.unwrap_or_default();
    let subject = Subject {
        reader,
        account,
        id: &id,
        written: written.as_ref().map(|(at, _)| *at),
        arrived: received.at,
    };
    let changes = match known {
        Some("pos.order") => subject.order(json::read(received.body, reader.kind)?)?,
        Some("product.product") => vec![subject.product(&id, json::read(received.body, reader.kind)?)?],
        // Templates are counted apart from the products that they are templates of.
        Some("product.template") => {
            vec![subject.product(&format!("template:{id}"), json::read(received.body, reader.kind)?)?]
        }
        Some("stock.quant") => vec![subject.quant(json::read(received.body, reader.kind)?)?],
        _ => vec![],
    };
    // Without a time an event can't be told from its successor that says the same, so each arrival is one: to apply a
    // state twice does no harm, to leave one out does.
    let when =
        written.as_ref().map_or_else(|| received.at.as_millisecond().to_string(), |(_, text)| text.clone());
    let content = digest::of([received.body]);
    Ok(vec![Event {
        dedupe: DedupeKey {
            provider: "odoo".into(),
            account: account.to_owned(),
            key: format!("{}:{id}:{when}:{content}", head.model),
        },
        kind: head.model,
        provider_event_id: None,
        occurred_at: subject.written,
        test: false,
        changes,
    }])
}

/// UTC, unless the text says otherwise.
fn time(reader: Reader<'_>, text: &str) -> Result<Timestamp, ParseError> {
    reader
        .time("write_date", &format!("{text}Z"))
        .or_else(|_| reader.time("write_date", text))
        .map_err(|_| reader.wrong("write_date", "is not a time"))
}

/// An amount or a quantity, in plain digits.
fn number(reader: Reader<'_>, name: &'static str, field: Field) -> Result<Option<String>, ParseError> {
    let text = field.text(reader, name)?;
    text.map(|text| decimal::plain(&text).ok_or_else(|| reader.wrong(name, "is not a number"))).transpose()
}

impl Subject<'_> {
    /// Ids are unique within one database.
    fn change(&self, kind: Kind, id: &str, revision: Revision, status: Status, fields: Fields) -> Change {
        Change {
            record: RecordKey {
                provider: "odoo".into(),
                scope: self.account.to_owned(),
                kind,
                id: id.to_owned(),
            },
            revision,
            occurred_at: self.written.unwrap_or(self.arrived),
            status,
            fields,
        }
    }

    /// An order, and what was paid for it or back.
    fn order(&self, order: Order) -> Result<Vec<Change>, ParseError> {
        let reader = self.reader;
        let state = reader.required("state", order.state.text(reader, "state")?)?;
        let status = match state.as_str() {
            // It may be at a table already, but it is the till's alone until it is paid.
            "draft" => Status::Draft,
            "paid" | "done" | "invoiced" => Status::Completed,
            "cancel" => Status::Cancelled,
            _ => return Ok(vec![]),
        };
        let currency = [&order.currency_id, &order.currency, &order.currency_name];
        let currency: Option<Currency> =
            currency.into_iter().filter_map(Field::name).find_map(|name| name.parse().ok());
        let total = number(reader, "amount_total", order.amount_total)?;
        let paid = number(reader, "amount_paid", order.amount_paid)?;
        let name = order.name.text(reader, "name")?;
        let is_refund = total.as_deref().is_some_and(|total| total.starts_with('-'))
            || name.as_deref().is_some_and(|name| name.ends_with(" REFUND"));
        let fields = Fields {
            location: order.config_id.text(reader, "config_id")?,
            customer: order.partner_id.text(reader, "partner_id")?,
            number: order.pos_reference.text(reader, "pos_reference")?.or(name),
            ..Fields::default()
        };
        // An order's states have one way to go, whatever times are told; within one the time decides.
        let version = nanoseconds(self.written.unwrap_or(self.arrived));
        let change = |kind, status: Status, fields| {
            let revision = Revision { version, ..Revision::at(status.rank().into(), status) };
            self.change(kind, self.id, revision, status, fields)
        };
        if is_refund {
            let status = if status == Status::Draft { Status::Pending } else { status };
            let total = total.map(|total| total.trim_start_matches('-').to_owned());
            let refunded = order.refunded_order_id.text(reader, "refunded_order_id")?;
            let fields =
                amount(reader, "amount_total", total, currency, Fields { order: refunded, ..fields })?;
            return Ok(vec![change(Kind::Refund, status, fields)]);
        }
        let payment = if status == Status::Completed {
            let fields = Fields { order: Some(self.id.to_owned()), ..fields.clone() };
            let paid = paid.or_else(|| total.clone());
            Some(change(Kind::Payment, status, amount(reader, "amount_paid", paid, currency, fields)?))
        } else {
            None
        };
        let fields = amount(reader, "amount_total", total, currency, fields)?;
        Ok(std::iter::once(change(Kind::Order, status, fields)).chain(payment).collect())
    }

    fn product(&self, id: &str, product: Product) -> Result<Change, ParseError> {
        let active = product.active.flag(self.reader, "active")?;
        let offered = product.available_in_pos.flag(self.reader, "available_in_pos")?;
        let status = match (active, offered) {
            (Some(false), _) | (_, Some(false)) => Status::Unavailable,
            (_, Some(true)) => Status::Available,
            (_, None) => Status::Changed,
        };
        Ok(self.change(Kind::Item, id, self.latest(status), status, Fields::default()))
    }

    /// One product's stock at one location, perhaps of one lot: only a quant's own id tells all of these apart.
    fn quant(&self, quant: Quant) -> Result<Change, ParseError> {
        let quantity = number(self.reader, "quantity", quant.quantity)?;
        let product = quant.product_id.text(self.reader, "product_id")?;
        let id = product.map_or_else(|| self.id.to_owned(), |product| format!("{product}:{}", self.id));
        let status = match quantity.as_deref() {
            None => Status::Changed,
            Some(quantity) if quantity == "0" || quantity.starts_with('-') => Status::Unavailable,
            Some(_) => Status::Available,
        };
        let fields = Fields { quantity, ..Fields::default() };
        Ok(self.change(Kind::Stock, &id, self.latest(status), status, fields))
    }

    /// The place of a state that can follow any other: by its time, which Odoo tells in whole seconds, and where that does
    /// not decide by its arrival.
    fn latest(&self, status: Status) -> Revision {
        let told = nanoseconds(self.written.unwrap_or(self.arrived));
        Revision { version: self.arrived.as_millisecond(), ..Revision::at(told, status) }
    }
}

/// The fields with the amount: as money where a currency is told, else as the number alone.
fn amount(
    reader: Reader<'_>,
    name: &'static str,
    number: Option<String>,
    currency: Option<Currency>,
    fields: Fields,
) -> Result<Fields, ParseError> {
    Ok(match (number, currency) {
        (Some(number), Some(currency)) => {
            Fields { amount: Some(reader.decimal(name, &number, currency)?), ..fields }
        }
        (number, _) => Fields { amount_major: number, ..fields },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;
    use crate::request::SUFFIX;

    const ORDER: &str = r#"{"_action":"POS order webhook(#318)","_id":42,"_model":"pos.order","amount_paid":23.0,"amount_tax":3.0,"amount_total":23.0,"company_id":1,"config_id":2,"currency_id":1,"date_order":"2026-01-01 10:00:00","id":42,"name":"Shop/0042","partner_id":false,"pos_reference":"Order 00001-002-0003","session_id":7,"state":"paid","write_date":"2026-01-01 10:00:01"}"#;
    const PRODUCT: &str = r#"{"_action":"p(#1)","_id":5,"_model":"product.product","active":true,"available_in_pos":true,"default_code":false,"write_date":"2026-01-01 10:00:01"}"#;
    const QUANT: &str = r#"{"_action":"q(#2)","_id":77,"_model":"stock.quant","location_id":8,"product_id":5,"quantity":12.0,"write_date":"2026-01-01 10:00:01"}"#;

    fn parsed(body: &str, arrived: i64) -> Result<Event, ParseError> {
        let headers = Headers::from_iter([(SUFFIX, "/harbour-odoo")]);
        let at = Timestamp::from_second(arrived).unwrap();
        parse(Received { headers: &headers, body: body.as_bytes(), at }).map(|mut events| events.remove(0))
    }

    fn event(body: &str) -> Event {
        parsed(body, 1_800_000_000).unwrap()
    }

    fn change(body: &str, kind: Kind) -> Change {
        event(body).changes.into_iter().find(|change| change.record.kind == kind).expect("such a record")
    }

    fn key(body: &str) -> String {
        event(body).dedupe.key
    }

    fn error(body: &str) -> String {
        parsed(body, 0).unwrap_err().to_string()
    }

    fn without(body: &str, field: &str) -> String {
        let mut value: serde_json::Value = serde_json::from_str(body).unwrap();
        value.as_object_mut().unwrap().remove(field).expect("the field");
        value.to_string()
    }

    #[test]
    fn an_order_is_read_with_its_status_place_number_and_time() {
        let event = event(ORDER);
        assert_eq!((event.kind.as_str(), event.dedupe.account.as_str()), ("pos.order", "harbour-odoo"));
        let order = &event.changes[0];
        assert_eq!((order.record.kind, order.record.id.as_str()), (Kind::Order, "42"));
        assert_eq!((order.record.scope.as_str(), order.status), ("harbour-odoo", Status::Completed));
        assert_eq!(order.fields.location.as_deref(), Some("2"));
        assert_eq!(order.fields.number.as_deref(), Some("Order 00001-002-0003"));
        assert_eq!(order.fields.customer, None);
        assert_eq!(order.occurred_at.to_string(), "2026-01-01T10:00:01Z");
    }

    #[test]
    fn an_amount_whose_currency_is_not_named_is_a_number_alone() {
        let fields = change(ORDER, Kind::Order).fields;
        assert_eq!((fields.amount, fields.amount_major.as_deref()), (None, Some("23")));
        let noisy = ORDER.replace(r#""amount_total":23.0"#, r#""amount_total":23.549999999999997"#);
        assert_eq!(change(&noisy, Kind::Order).fields.amount_major.as_deref(), Some("23.55"));
    }

    #[test]
    fn an_amount_whose_currency_is_named_in_whichever_field_is_money() {
        for named in [
            r#""currency_id":[1,"EUR"]"#,
            r#""currency_id":1,"currency":"EUR""#,
            r#""currency_id":false,"currency_name":"EUR""#,
        ] {
            let fields = change(&ORDER.replace(r#""currency_id":1"#, named), Kind::Order).fields;
            assert_eq!(fields.amount.unwrap().to_string(), "23.00 EUR", "{named}");
            assert_eq!(fields.amount_major, None, "{named}");
        }
        let nameless = ORDER.replace(r#""currency_id":1"#, r#""currency_id":[1,"Loyalty points"]"#);
        assert_eq!(change(&nameless, Kind::Order).fields.amount_major.as_deref(), Some("23"));
    }

    #[test]
    fn every_state_is_a_status_and_one_that_is_not_known_says_nothing() {
        for (state, status) in [
            ("draft", Status::Draft),
            ("paid", Status::Completed),
            ("done", Status::Completed),
            ("invoiced", Status::Completed),
            ("cancel", Status::Cancelled),
        ] {
            let body = ORDER.replace(r#""paid""#, &format!("{state:?}"));
            assert_eq!(change(&body, Kind::Order).status, status, "{state}");
        }
        assert_eq!(event(&ORDER.replace(r#""paid""#, r#""parked""#)).changes, []);
    }

    #[test]
    fn a_paid_order_has_a_payment_of_what_was_paid_and_another_has_none() {
        let payment = change(&ORDER.replace(r#""amount_paid":23.0"#, r#""amount_paid":24.5"#), Kind::Payment);
        assert_eq!((payment.record.id.as_str(), payment.status), ("42", Status::Completed));
        assert_eq!(payment.fields.order.as_deref(), Some("42"));
        assert_eq!(payment.fields.amount_major.as_deref(), Some("24.5"));
        for state in ["draft", "cancel"] {
            assert_eq!(event(&ORDER.replace(r#""paid""#, &format!("{state:?}"))).changes.len(), 1, "{state}");
        }
        let untold = without(ORDER, "amount_paid");
        assert_eq!(change(&untold, Kind::Payment).fields.amount_major.as_deref(), Some("23"));
    }

    #[test]
    fn an_order_with_a_negative_total_or_a_refunds_name_is_a_refund_and_nothing_else() {
        let negative = ORDER
            .replace(r#""amount_total":23.0"#, r#""amount_total":-23.0,"refunded_order_id":41"#)
            .replace(r#""amount_paid":23.0"#, r#""amount_paid":-23.0"#);
        let refund = change(&negative, Kind::Refund);
        assert_eq!((event(&negative).changes.len(), refund.status), (1, Status::Completed));
        assert_eq!(refund.fields.amount_major.as_deref(), Some("23"));
        assert_eq!(refund.fields.order.as_deref(), Some("41"));
        let named = ORDER.replace("Shop/0042", "Shop/0041 REFUND").replace(r#""paid""#, r#""draft""#);
        assert_eq!(change(&named, Kind::Refund).status, Status::Pending);
    }

    #[test]
    fn an_orders_states_are_ordered_by_their_rank_and_those_of_one_rank_by_their_time() {
        let revision = |body: &str| change(body, Kind::Order).revision;
        let draft = ORDER.replace(r#""paid""#, r#""draft""#);
        assert!(revision(&draft) < revision(ORDER));
        assert!(revision(&draft.replace("10:00:01", "10:00:02")) < revision(ORDER));
        assert!(revision(ORDER) < revision(&ORDER.replace("10:00:01", "10:00:01.000002")));
    }

    #[test]
    fn an_order_that_tells_no_time_is_ordered_by_its_rank_too() {
        let revision = |body: &str, arrived| parsed(body, arrived).unwrap().changes[0].revision;
        let (paid, draft) = (without(ORDER, "write_date"), ORDER.replace(r#""paid""#, r#""draft""#));
        assert!(revision(&without(&draft, "write_date"), 9) < revision(&paid, 5));
        assert_eq!(parsed(&paid, 5).unwrap().occurred_at, None);
        let cancelled = paid.replace(r#""paid""#, r#""cancel""#);
        assert!(revision(ORDER, 5) < revision(&cancelled, 5), "a rule may have ceased to tell the time");
    }

    #[test]
    fn a_product_can_be_had_if_it_is_active_and_offered_at_the_till() {
        let status = |from: &str, to: &str| change(&PRODUCT.replace(from, to), Kind::Item).status;
        assert_eq!(status("", ""), Status::Available);
        assert_eq!(status(r#""available_in_pos":true"#, r#""available_in_pos":false"#), Status::Unavailable);
        assert_eq!(status(r#""active":true"#, r#""active":false"#), Status::Unavailable);
        assert_eq!(status(r#""available_in_pos":true,"#, ""), Status::Changed);
    }

    #[test]
    fn a_template_is_not_taken_for_the_product_of_its_id() {
        let template = change(&PRODUCT.replace("product.product", "product.template"), Kind::Item);
        assert_eq!(template.record.id, "template:5");
        assert_eq!(change(PRODUCT, Kind::Item).record.id, "5");
    }

    #[test]
    fn stock_is_read_with_its_product_and_quantity() {
        let stock = change(QUANT, Kind::Stock);
        assert_eq!((stock.record.id.as_str(), stock.status), ("5:77", Status::Available));
        assert_eq!(stock.fields.quantity.as_deref(), Some("12"));
        for none in ["0.0", "-2.0"] {
            assert_eq!(change(&QUANT.replace("12.0", none), Kind::Stock).status, Status::Unavailable);
        }
        assert_eq!(change(&without(QUANT, "quantity"), Kind::Stock).status, Status::Changed);
        assert_eq!(change(&without(QUANT, "product_id"), Kind::Stock).record.id, "77");
    }

    #[test]
    fn a_state_that_can_follow_any_other_is_ordered_by_its_arrival_where_it_tells_no_time() {
        let body = without(PRODUCT, "write_date");
        let gone = body.replace(r#""active":true"#, r#""active":false"#);
        let revision = |body: &str, arrived| parsed(body, arrived).unwrap().changes[0].revision;
        assert!(revision(&gone, 5) < revision(&body, 9));
    }

    #[test]
    fn states_of_one_second_that_can_follow_any_other_are_ordered_by_their_arrival() {
        let at = |body: &str, arrived| parsed(body, arrived).unwrap();
        let (twelve, eleven) = (QUANT, QUANT.replace("12.0", "11.0"));
        let arrived = [at(twelve, 1), at(&eleven, 2), at(twelve, 3)];
        assert!(arrived.is_sorted_by(|one, other| one.changes[0].revision < other.changes[0].revision));
    }

    #[test]
    fn another_model_changes_nothing_whatever_it_holds() {
        let body = r#"{"_id":1,"_model":"res.partner","state":{},"write_date":"soon"}"#;
        let event = event(body);
        assert_eq!((event.kind.as_str(), event.changes.len()), ("res.partner", 0));
    }

    #[test]
    fn the_same_call_is_one_event_and_two_that_differ_in_anything_are_two() {
        assert_eq!(parsed(ORDER, 1).unwrap().dedupe, parsed(ORDER, 2).unwrap().dedupe);
        let draft = ORDER.replace(r#""paid""#, r#""draft""#);
        assert_ne!(key(ORDER), key(&draft), "one transaction writes both, at one time");
        assert_ne!(key(ORDER), key(&ORDER.replace("10:00:01", "10:00:02")));
    }

    #[test]
    fn calls_that_tell_no_time_are_an_event_each() {
        for body in [without(ORDER, "write_date"), ORDER.replace(r#""2026-01-01 10:00:01""#, "false")] {
            assert_eq!(parsed(&body, 1).unwrap().dedupe, parsed(&body, 1).unwrap().dedupe);
            assert_ne!(parsed(&body, 1).unwrap().dedupe, parsed(&body, 2).unwrap().dedupe);
        }
    }

    #[test]
    fn a_url_that_names_no_connection_names_no_account() {
        let received =
            Received { headers: &Headers::new(), body: ORDER.as_bytes(), at: Timestamp::UNIX_EPOCH };
        assert_eq!(parse(received).unwrap()[0].dedupe.account, "");
    }

    #[test]
    fn times_are_utc_unless_they_say_otherwise() {
        for (text, at) in [
            ("2026-01-01 10:00:01.5", "2026-01-01T10:00:01.5Z"),
            ("2026-01-01T10:00:01Z", "2026-01-01T10:00:01Z"),
            ("2026-01-01 10:00:01+02:00", "2026-01-01T08:00:01Z"),
        ] {
            let body = ORDER.replace("2026-01-01 10:00:01", text);
            assert_eq!(event(&body).occurred_at.unwrap().to_string(), at);
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(error(&without(ORDER, "_id")), "the field `_id` of a pos.order event is missing");
        assert_eq!(error(&without(ORDER, "state")), "the field `state` of a pos.order event is missing");
        let body = ORDER.replace("23.0", r#""lots""#);
        assert_eq!(error(&body), "the field `amount_total` of a pos.order event is not a number");
        let body = ORDER.replace("2026-01-01 10:00:01", "soon");
        assert_eq!(error(&body), "the field `write_date` of a pos.order event is not a time");
        assert!(error("{}").contains("unexpected shape"));
    }

    #[test]
    fn false_is_taken_for_nothing_in_every_field_but_the_state() {
        let value: serde_json::Value = serde_json::from_str(ORDER).unwrap();
        for field in value.as_object().unwrap().keys().filter(|field| !field.starts_with('_')) {
            let mut value = value.clone();
            value[field] = false.into();
            assert_eq!(parsed(&value.to_string(), 0).is_ok(), field != "state", "{field}");
        }
    }
}
