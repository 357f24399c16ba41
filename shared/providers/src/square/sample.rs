//! Payloads of Square's shape, for trying things out.

use jiff::Timestamp;

use crate::Headers;

pub(super) const KINDS: &[&str] = &[
    "payment.updated",
    "payment.created",
    "refund.created",
    "order.created",
    "order.updated",
    "webhooks.test_notification",
];

/// Three locations of one merchant. A payment's number is its amount in cents, so that sums can be checked.
pub(super) fn sample(kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
    let merchant = "6SSW7HV8K2ST5";
    let location = ["S8GWD5R9QB376", "NAQ1FHV6ZJ8YV", "FPYCBCHYMXFK1"][usize::try_from(number % 3).ok()?];
    let place = KINDS.iter().position(|known| *known == kind)?;
    let event = format!("{number:08x}-5f28-54a1-a{place:03x}-{number:012x}");
    let (payment, order, refund) =
        (format!("pay{number:019}ZY"), format!("ord{number:019}ZY"), format!("ref{number:019}ZY"));
    let cents = number % 100_000 + 100;
    let money = format!(r#"{{"amount":{cents},"currency":"USD"}}"#);
    let (data_kind, data_id, object) = match kind {
        "payment.created" | "payment.updated" => {
            let status = if kind == "payment.created" { "APPROVED" } else { "COMPLETED" };
            let card = r#"{"status":"CAPTURED","entry_method":"KEYED","card":{"card_brand":"MASTERCARD","last_4":"9029","exp_month":11,"exp_year":2030}}"#;
            let object = format!(
                r#"{{"payment":{{"id":"{payment}","amount_money":{money},"approved_money":{money},"total_money":{money},"card_details":{card},"created_at":"{at}","updated_at":"{at}","delay_action":"CANCEL","delay_duration":"PT168H","location_id":"{location}","order_id":"{order}","receipt_number":"{number}","source_type":"CARD","status":"{status}","version_token":"bhC3b8qKJvNDdxqKzXaeDsAjS1oMFuAKxGgT32HbE6S6o"}}}}"#
            );
            ("payment", payment, object)
        }
        "refund.created" => {
            let object = format!(
                r#"{{"refund":{{"id":"{refund}","amount_money":{money},"created_at":"{at}","updated_at":"{at}","location_id":"{location}","order_id":"{order}","payment_id":"{payment}","status":"COMPLETED","version":10}}}}"#
            );
            ("refund", refund, object)
        }
        "order.created" | "order.updated" => {
            let name = kind.replace('.', "_");
            let (state, version) = if kind == "order.created" { ("OPEN", 1) } else { ("COMPLETED", 2) };
            let object = format!(
                r#"{{"{name}":{{"created_at":"{at}","location_id":"{location}","order_id":"{order}","state":"{state}","updated_at":"{at}","version":{version}}}}}"#
            );
            (if kind == "order.created" { "order_created" } else { "order_updated" }, order, object)
        }
        "webhooks.test_notification" => {
            let object = format!(r#"{{"test_notification":{{"created_at":"{at}","id":"{event}"}}}}"#);
            ("webhooks", event.clone(), object)
        }
        _ => return None,
    };
    let body = format!(
        r#"{{"merchant_id":"{merchant}","type":"{kind}","event_id":"{event}","created_at":"{at}","data":{{"type":"{data_kind}","id":"{data_id}","object":{object}}}}}"#
    );
    Some((Headers::new(), body.into_bytes()))
}
