//! Payloads of Stripe's shape, for trying things out. They are indented, as Stripe's are: whoever parses a body and
//! writes it anew breaks its signature.

use jiff::Timestamp;

use crate::Headers;
use crate::template::fill;

pub(super) const KINDS: &[&str] = &[
    "payment_intent.succeeded",
    "charge.succeeded",
    "charge.refunded",
    "refund.created",
    "checkout.session.completed",
    "payment_intent.created",
    "payment_intent.payment_failed",
];

/// One account's own events. A payment's number is its amount in cents, so that sums can be checked; an intent, a
/// charge and a refund of one number belong together.
pub(super) fn sample(kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
    let place = KINDS.iter().position(|known| *known == kind)?;
    let text = match kind {
        "charge.succeeded" | "charge.refunded" => include_str!("sample/charge.json"),
        "refund.created" => include_str!("sample/refund.json"),
        "checkout.session.completed" => include_str!("sample/checkout_session.json"),
        _ => include_str!("sample/payment_intent.json"),
    };
    let id = |prefix: &str| format!("{prefix}_3Pgc{number:020}");
    let cents = (number % 100_000 + 100).to_string();
    let quoted = |id: String| format!("\"{id}\"");
    let (charge, method, nothing) = (quoted(id("ch")), quoted(id("pm")), "null".to_owned());
    let (status, received, latest, method, error) = match kind {
        "payment_intent.created" => ("requires_payment_method", "0", &nothing, &nothing, "null"),
        "payment_intent.payment_failed" => (
            "requires_payment_method",
            "0",
            &charge,
            &nothing,
            r#"{ "code": "card_declined", "decline_code": "generic_decline", "type": "card_error" }"#,
        ),
        _ => ("succeeded", cents.as_str(), &charge, &method, "null"),
    };
    let refunded = kind == "charge.refunded";
    let body = fill(
        text,
        &[
            ("$event", &format!("evt_3Pgc{place}{number:020}")),
            ("$kind", kind),
            ("$number", &format!("{number:012x}")),
            ("$at", &at.as_second().to_string()),
            ("$cents", &cents),
            ("$intent", &id("pi")),
            ("$charge", &id("ch")),
            ("$back", if refunded { &cents } else { "0" }),
            ("$whole", if refunded { "true" } else { "false" }),
            ("$refund", &id("re")),
            ("$session", &id("cs_test")),
            ("$customer", &id("cus")),
            ("$status", status),
            ("$received", received),
            ("$latest", latest),
            ("$method", method),
            ("$error", error),
        ],
    );
    Some((Headers::new(), body))
}
