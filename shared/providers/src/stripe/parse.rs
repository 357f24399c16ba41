//! Stripe's envelope, and the payment intent, charge, refund or checkout session inside it.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tillwatch_domain::{
    Change, Currency, DedupeKey, Event, Fields, Kind, Money, RecordKey, Revision, Status,
};

use crate::ParseError;
use crate::json::{self, Exact, Reader};

#[derive(Deserialize)]
struct Envelope {
    id: String,
    object: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    account: Option<String>,
    /// Seconds since 1970; RFC 3339 in a thin event.
    created: Option<Exact>,
    /// False for what is only tried out.
    livemode: Option<bool>,
    /// By which the object is written: `2025-03-31.basil`; before names, the day alone.
    api_version: Option<String>,
}

/// The envelope once more, when its type has told what `T` is.
#[derive(Deserialize)]
struct About<T> {
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    object: T,
}

/// An object's id, or the object itself where it was expanded.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reference {
    Id(String),
    Object { id: String },
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        match reference {
            Reference::Id(id) | Reference::Object { id } => id,
        }
    }
}

#[derive(Deserialize)]
struct PaymentIntent {
    id: String,
    status: String,
    amount: Option<i64>,
    amount_received: Option<i64>,
    currency: Option<String>,
    customer: Option<Reference>,
    cancellation_reason: Option<String>,
    last_payment_error: Option<PaymentError>,
}

#[derive(Deserialize)]
struct PaymentError {
    code: Option<String>,
}

#[derive(Deserialize)]
struct Charge {
    id: String,
    status: String,
    payment_intent: Option<Reference>,
    amount: Option<i64>,
    amount_captured: Option<i64>,
    amount_refunded: Option<i64>,
    currency: Option<String>,
    #[serde(default)]
    captured: bool,
    #[serde(default)]
    refunded: bool,
    customer: Option<Reference>,
    failure_code: Option<String>,
    receipt_number: Option<String>,
    payment_method_details: Option<Method>,
}

#[derive(Deserialize)]
struct Method {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Refund {
    id: String,
    status: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    charge: Option<Reference>,
    payment_intent: Option<Reference>,
    reason: Option<String>,
    failure_reason: Option<String>,
}

#[derive(Deserialize)]
struct CheckoutSession {
    id: String,
    status: Option<String>,
    payment_status: String,
    amount_total: Option<i64>,
    currency: Option<String>,
    customer: Option<Reference>,
    payment_intent: Option<Reference>,
}

/// The first version by which `amount_refunded` counts refunds alone. Before it, what a capture left of an authorization
/// counted too.
const REFUNDS_ONLY_SINCE: &str = "2025-03-31";

/// The connected account that a body speaks of; empty: our own.
pub(super) fn account(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Of {
        account: Option<String>,
    }
    serde_json::from_slice(body).ok().map(|of: Of| of.account.unwrap_or_default())
}

/// The event in a verified body: one, always.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Event>, ParseError> {
    let envelope: Envelope = json::read(body, "stripe")?;
    let kind = envelope.kind.as_str();
    let reader = Reader { kind };
    let occurred_at = envelope.created.as_ref().map(|created| time(reader, created)).transpose()?;
    let at = || reader.required("created", occurred_at);
    // A thin event holds no object, only its id: what it says must be fetched.
    let thin = envelope.object.as_deref() == Some("v2.core.event");
    let refunds_releases =
        envelope.api_version.as_deref().is_some_and(|version| version < REFUNDS_ONLY_SINCE);
    let mut change = match kind {
        _ if thin => None,
        _ if kind.starts_with("payment_intent.") => payment_intent(reader, about(body, kind)?, at()?)?,
        "charge.succeeded" | "charge.failed" | "charge.captured" | "charge.pending" | "charge.updated"
        | "charge.refunded" | "charge.expired" => {
            charge(reader, about(body, kind)?, at()?, refunds_releases)?
        }
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            refund(reader, about(body, kind)?, at()?)?
        }
        "checkout.session.completed"
        | "checkout.session.expired"
        | "checkout.session.async_payment_succeeded"
        | "checkout.session.async_payment_failed" => Some(checkout(reader, about(body, kind)?, at()?)?),
        _ => None,
    };
    if let Some(change) = &mut change {
        change.fields.test = envelope.livemode == Some(false);
    }
    Ok(vec![Event {
        dedupe: DedupeKey {
            provider: "stripe".into(),
            account: envelope.account.unwrap_or_default(),
            key: envelope.id.clone(),
        },
        test: kind == "v2.core.event_destination.ping",
        kind: envelope.kind,
        provider_event_id: Some(envelope.id),
        occurred_at,
        changes: change.into_iter().collect(),
    }])
}

fn about<T: DeserializeOwned>(body: &[u8], kind: &str) -> Result<T, ParseError> {
    Ok(json::read::<About<T>>(body, kind)?.data.object)
}

fn time(reader: Reader<'_>, created: &Exact) -> Result<Timestamp, ParseError> {
    match created.as_str().parse() {
        Ok(seconds) => reader.unix("created", seconds),
        Err(_) => reader.time("created", created.as_str()),
    }
}

/// Stripe's ids are unique among all accounts.
fn record(kind: Kind, id: String) -> RecordKey {
    RecordKey { provider: "stripe".into(), scope: String::new(), kind, id }
}

/// The place of a state among those of its second. Of a payment intent and its charge that say the same, the intent is
/// the later: it speaks of the payment whole.
fn revision(at: Timestamp, status: Status, intent: bool) -> Revision {
    let rank = status.rank().saturating_mul(2).saturating_add(u8::from(intent));
    Revision { rank, ..Revision::at(at.as_second(), status) }
}

/// None for a status that is not known here: it says nothing that could be told.
fn payment_intent(
    reader: Reader<'_>,
    intent: PaymentIntent,
    at: Timestamp,
) -> Result<Option<Change>, ParseError> {
    let failed = intent.last_payment_error.is_some();
    let status = match intent.status.as_str() {
        "succeeded" => Status::Completed,
        "requires_capture" => Status::Authorized,
        "requires_action" => Status::ActionRequired,
        "canceled" => Status::Cancelled,
        // After a failed attempt it waits for another method, as it did before the first.
        "requires_payment_method" if failed => Status::Failed,
        "requires_payment_method" | "requires_confirmation" | "processing" => Status::Pending,
        _ => return Ok(None),
    };
    let error = intent.last_payment_error.and_then(|error| error.code).filter(|_| status == Status::Failed);
    // Less may be captured than was authorized.
    let amount = intent.amount_received.filter(|_| status == Status::Completed).or(intent.amount);
    Ok(Some(Change {
        record: record(Kind::Payment, intent.id),
        revision: revision(at, status, true),
        occurred_at: at,
        status,
        fields: Fields {
            amount: money(reader, "data.object.amount", amount, intent.currency.as_deref())?,
            customer: intent.customer.map(String::from),
            reason: intent.cancellation_reason.or(error),
            ..Fields::default()
        },
    }))
}

/// A charge as its payment intent's state, or its own where it was made without one. None for later news of an attempt
/// that failed, or of money that was only reserved: the intent has told, and may have gone on since. `refunds_releases`:
/// the charge counts as refunded what a capture left of it.
fn charge(
    reader: Reader<'_>,
    charge: Charge,
    at: Timestamp,
    refunds_releases: bool,
) -> Result<Option<Change>, ParseError> {
    let late = reader.kind == "charge.updated" && charge.payment_intent.is_some();
    let released = match (charge.amount, charge.amount_captured) {
        (Some(whole), Some(captured)) if refunds_releases && charge.captured => {
            whole.saturating_sub(captured).max(0)
        }
        _ => 0,
    };
    let refunded = charge.amount_refunded.map(|back| back.saturating_sub(released).max(0));
    let back = refunded.unwrap_or(0);
    let status = match charge.status.as_str() {
        "failed" if reader.kind != "charge.failed" && charge.payment_intent.is_some() => return Ok(None),
        "failed" => Status::Failed,
        // What was only reserved is released. Until 2025 Stripe called that refunded; no money came or went.
        "succeeded" if !charge.captured && (charge.refunded || reader.kind == "charge.expired") => {
            Status::Cancelled
        }
        "succeeded" if !charge.captured && late => return Ok(None),
        "succeeded" if !charge.captured => Status::Authorized,
        "succeeded" if charge.refunded => Status::Refunded,
        "succeeded" if back > 0 => Status::PartiallyRefunded,
        "succeeded" => Status::Completed,
        "pending" => Status::Pending,
        _ => return Ok(None),
    };
    let currency = charge.currency.as_deref();
    let amount = charge.amount_captured.filter(|_| charge.captured).or(charge.amount);
    let refunded = refunded.filter(|_| charge.captured);
    Ok(Some(Change {
        record: record(Kind::Payment, charge.payment_intent.map_or(charge.id, String::from)),
        revision: revision(at, status, false),
        occurred_at: at,
        status,
        fields: Fields {
            amount: money(reader, "data.object.amount", amount, currency)?,
            refunded: money(reader, "data.object.amount_refunded", refunded, currency)?,
            customer: charge.customer.map(String::from),
            method: charge.payment_method_details.and_then(|method| method.kind),
            reason: charge.failure_code,
            number: charge.receipt_number,
            ..Fields::default()
        },
    }))
}

fn refund(reader: Reader<'_>, refund: Refund, at: Timestamp) -> Result<Option<Change>, ParseError> {
    let status = match refund.status.as_deref() {
        Some("succeeded") => Status::Completed,
        Some("requires_action") => Status::ActionRequired,
        Some("failed") => Status::Failed,
        Some("canceled") => Status::Cancelled,
        Some("pending") | None => Status::Pending,
        Some(_) => return Ok(None),
    };
    // Unlike a payment, a refund is not tried again: a bank may return one that had succeeded, and that is its end.
    let standing = if status == Status::Failed { Status::Rejected } else { status };
    Ok(Some(Change {
        record: record(Kind::Refund, refund.id),
        revision: revision(at, standing, false),
        occurred_at: at,
        status,
        fields: Fields {
            amount: money(reader, "data.object.amount", refund.amount, refund.currency.as_deref())?,
            payment: refund.payment_intent.or(refund.charge).map(String::from),
            reason: refund.failure_reason.or(refund.reason),
            ..Fields::default()
        },
    }))
}

fn checkout(reader: Reader<'_>, session: CheckoutSession, at: Timestamp) -> Result<Change, ParseError> {
    let status = match (session.status.as_deref(), session.payment_status.as_str()) {
        (Some("expired"), _) => Status::Cancelled,
        _ if reader.kind == "checkout.session.async_payment_failed" => Status::Failed,
        (Some("complete"), "paid" | "no_payment_required") => Status::Completed,
        // Completed by the customer; the money is still to come.
        _ => Status::Open,
    };
    Ok(Change {
        record: record(Kind::Order, session.id),
        revision: revision(at, status, false),
        occurred_at: at,
        status,
        fields: Fields {
            amount: money(
                reader,
                "data.object.amount_total",
                session.amount_total,
                session.currency.as_deref(),
            )?,
            payment: session.payment_intent.map(String::from),
            customer: session.customer.map(String::from),
            ..Fields::default()
        },
    })
}

/// Decimals of the unit in which Stripe counts a currency. ISK and UGX have none any more and are counted in hundredths
/// all the same; MGA is counted whole, though ISO gives it two.
fn decimals(currency: Currency) -> u8 {
    match currency.code() {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

fn money(
    reader: Reader<'_>,
    field: &'static str,
    units: Option<i64>,
    currency: Option<&str>,
) -> Result<Option<Money>, ParseError> {
    let Some(units) = units else { return Ok(None) };
    let field_of_currency = "data.object.currency";
    let currency = reader.currency(field_of_currency, reader.required(field_of_currency, currency)?)?;
    let money = Money::from_scaled(units, decimals(currency), currency);
    money.map(Some).map_err(|_| reader.wrong(field, "is not an amount of money"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, object: &str) -> Event {
        let body = format!(
            r#"{{"id":"evt_1","object":"event","created":1700000000,"type":"{kind}","data":{{"object":{object}}}}}"#
        );
        parse(body.as_bytes()).unwrap().remove(0)
    }

    fn change(kind: &str, object: &str) -> Change {
        event(kind, object).changes.remove(0)
    }

    const CHARGE: &str = r#"{"id":"ch_1","object":"charge","amount":1000,"amount_refunded":0,"captured":true,"currency":"usd","payment_intent":"pi_1","payment_method_details":{"card":{"last4":"4242"},"type":"card"},"refunded":false,"status":"succeeded"}"#;
    const INTENT: &str =
        r#"{"id":"pi_1","object":"payment_intent","amount":1000,"currency":"usd","status":"succeeded"}"#;

    #[test]
    fn a_payment_intent_and_its_charge_are_one_payment_and_the_intent_is_the_later_of_a_second() {
        let (intent, charge) =
            (change("payment_intent.succeeded", INTENT), change("charge.succeeded", CHARGE));
        assert_eq!(intent.record, charge.record);
        assert_eq!((intent.status, charge.status), (Status::Completed, Status::Completed));
        assert!(charge.revision < intent.revision);
        assert_eq!(
            intent.revision,
            Revision { major: 1_700_000_000, version: 0, rank: Status::Completed.rank() * 2 + 1 }
        );
        let refunded = CHARGE.replace(r#""amount_refunded":0"#, r#""amount_refunded":1"#);
        assert!(intent.revision < change("charge.refunded", &refunded).revision);
    }

    #[test]
    fn a_charge_without_a_payment_intent_is_a_payment_of_its_own() {
        let charge = change("charge.succeeded", &CHARGE.replace(r#""pi_1""#, "null"));
        assert_eq!(charge.record.id, "ch_1");
        assert_eq!(charge.fields.method.as_deref(), Some("card"));
    }

    #[test]
    fn the_states_of_a_payment_intent_are_told_apart() {
        for (state, status) in [
            ("requires_payment_method", Status::Pending),
            ("requires_confirmation", Status::Pending),
            ("requires_action", Status::ActionRequired),
            ("processing", Status::Pending),
            ("requires_capture", Status::Authorized),
            ("canceled", Status::Cancelled),
            ("succeeded", Status::Completed),
        ] {
            let intent = INTENT.replace("succeeded", state);
            assert_eq!(change("payment_intent.created", &intent).status, status, "{state}");
        }
        let failed = INTENT.replace(
            r#""succeeded""#,
            r#""requires_payment_method","last_payment_error":{"code":"card_declined"}"#,
        );
        let failed = change("payment_intent.payment_failed", &failed);
        assert_eq!((failed.status, failed.fields.reason.as_deref()), (Status::Failed, Some("card_declined")));
    }

    #[test]
    fn a_charge_is_authorized_captured_and_paid_back_in_part_or_whole() {
        let with = |captured: bool, refunded: bool, back: i64| {
            let flags = format!(r#""captured":{captured},"refunded":{refunded},"amount_refunded":{back}"#);
            let object = CHARGE
                .replace(r#""captured":true,"#, "")
                .replace(r#""refunded":false,"#, "")
                .replace(r#""amount_refunded":0"#, &flags);
            let change = change("charge.refunded", &object);
            (change.status, change.fields.refunded.map(|money| money.minor()))
        };
        assert_eq!(with(false, false, 0), (Status::Authorized, None));
        assert_eq!(with(false, true, 1000), (Status::Cancelled, None));
        assert_eq!(with(true, false, 0), (Status::Completed, Some(0)));
        assert_eq!(with(true, false, 250), (Status::PartiallyRefunded, Some(250)));
        assert_eq!(with(true, true, 1000), (Status::Refunded, Some(1000)));
    }

    #[test]
    fn what_was_captured_is_the_amount_of_a_payment_that_was_authorized_for_more() {
        let charge = CHARGE.replace(r#""captured""#, r#""amount_captured":600,"captured""#);
        let intent = INTENT.replace(r#""currency""#, r#""amount_received":600,"currency""#);
        let authorized = intent.replace("succeeded", "requires_capture");
        let amount = |kind, object: &str| change(kind, object).fields.amount.unwrap().minor();
        assert_eq!(amount("charge.captured", &charge), 600);
        assert_eq!(amount("payment_intent.succeeded", &intent), 600);
        assert_eq!(amount("payment_intent.amount_capturable_updated", &authorized), 1000);
    }

    #[test]
    fn what_a_capture_left_is_no_refund_whatever_the_version_calls_it() {
        let charge = CHARGE.replace(
            r#""amount_refunded":0,"captured""#,
            r#""amount_captured":600,"amount_refunded":400,"captured""#,
        );
        let of = |version: &str| {
            let body = format!(
                r#"{{"id":"evt_1","object":"event","api_version":"{version}","created":1700000000,"type":"charge.captured","data":{{"object":{charge}}}}}"#
            );
            let told = parse(body.as_bytes()).unwrap().remove(0).changes.remove(0);
            (told.status, told.fields.refunded.map(|money| money.minor()))
        };
        assert_eq!(of("2024-06-20"), (Status::Completed, Some(0)));
        assert_eq!(of("2025-03-31.basil"), (Status::PartiallyRefunded, Some(400)));
    }

    #[test]
    fn what_is_only_tried_out_says_so() {
        let of = |livemode: &str| {
            let body = format!(
                r#"{{"id":"evt_1","object":"event","livemode":{livemode},"created":1700000000,"type":"charge.succeeded","data":{{"object":{CHARGE}}}}}"#
            );
            parse(body.as_bytes()).unwrap().remove(0).changes.remove(0).fields.test
        };
        assert_eq!((of("true"), of("false"), of("null")), (false, true, false));
    }

    #[test]
    fn late_news_of_money_that_was_only_reserved_say_nothing() {
        let reserved = CHARGE.replace(r#""captured":true"#, r#""captured":false"#);
        assert_eq!(event("charge.updated", &reserved).changes, []);
        assert_eq!(change("charge.succeeded", &reserved).status, Status::Authorized);
    }

    #[test]
    fn late_news_of_a_failed_charge_say_nothing_of_its_payment() {
        let failed = CHARGE.replace("succeeded", "failed");
        assert_eq!(change("charge.failed", &failed).status, Status::Failed);
        assert_eq!(event("charge.updated", &failed).changes, []);
    }

    #[test]
    fn a_refund_that_fails_in_the_second_of_its_success_has_failed() {
        let refund = |state: &str| {
            let object = format!(
                r#"{{"id":"re_1","amount":100,"currency":"usd","charge":"ch_1","payment_intent":"pi_1","status":"{state}"}}"#
            );
            change("refund.updated", &object)
        };
        let (succeeded, failed) = (refund("succeeded"), refund("failed"));
        assert_eq!((succeeded.status, failed.status), (Status::Completed, Status::Failed));
        assert!(succeeded.revision < failed.revision);
        assert_eq!(succeeded.fields.payment.as_deref(), Some("pi_1"));
    }

    #[test]
    fn a_checkout_is_an_order_that_is_open_until_the_money_comes() {
        let session = |kind: &str, state: &str, paid: &str| {
            let object = format!(
                r#"{{"id":"cs_1","amount_total":2000,"currency":"eur","status":"{state}","payment_status":"{paid}"}}"#
            );
            change(&format!("checkout.session.{kind}"), &object).status
        };
        assert_eq!(session("completed", "complete", "paid"), Status::Completed);
        assert_eq!(session("completed", "complete", "no_payment_required"), Status::Completed);
        assert_eq!(session("completed", "complete", "unpaid"), Status::Open);
        assert_eq!(session("async_payment_succeeded", "complete", "paid"), Status::Completed);
        assert_eq!(session("async_payment_failed", "complete", "unpaid"), Status::Failed);
        assert_eq!(session("expired", "expired", "unpaid"), Status::Cancelled);
    }

    #[test]
    fn amounts_are_counted_in_stripes_units() {
        for (units, currency, amount) in [
            (1099, "usd", "10.99 USD"),
            (500, "jpy", "500 JPY"),
            (5120, "kwd", "5.120 KWD"),
            (500, "isk", "5 ISK"),
            (500, "ugx", "5 UGX"),
            (1045, "huf", "10.45 HUF"),
            (5, "mga", "5.00 MGA"),
        ] {
            let object = INTENT.replace("1000", &units.to_string()).replace("usd", currency);
            let money = change("payment_intent.succeeded", &object).fields.amount.unwrap();
            assert_eq!(money.to_string(), amount);
        }
    }

    #[test]
    fn an_expanded_object_is_known_by_its_id() {
        let expanded = CHARGE.replace(r#""pi_1""#, r#"{"id":"pi_9","object":"payment_intent"}"#);
        assert_eq!(change("charge.succeeded", &expanded).record.id, "pi_9");
    }

    #[test]
    fn a_thin_event_and_an_unknown_type_are_kept_without_changes() {
        let body = br#"{"id":"evt_2","object":"v2.core.event","type":"v1.charge.refunded","created":"2026-10-28T12:00:00.5Z","related_object":{"id":"ch_1"}}"#;
        let thin = parse(body).unwrap().remove(0);
        assert_eq!(thin.occurred_at.unwrap().to_string(), "2026-10-28T12:00:00.5Z");
        assert_eq!(thin.changes, []);
        assert_eq!(event("customer.created", r#"{"id":"cus_1"}"#).changes, []);
    }

    #[test]
    fn the_account_of_a_connected_event_is_part_of_what_makes_it_itself() {
        let own = event("customer.created", "{}");
        let body = br#"{"id":"evt_1","object":"event","created":1700000000,"type":"customer.created","account":"acct_1","data":{"object":{}}}"#;
        let connected = parse(body).unwrap().remove(0);
        assert_eq!((own.dedupe.account.as_str(), connected.dedupe.account.as_str()), ("", "acct_1"));
        assert_ne!(own.dedupe.event_id(), connected.dedupe.event_id());
    }
}
