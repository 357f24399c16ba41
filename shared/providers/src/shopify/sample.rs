//! Payloads of Shopify's shape, for trying things out. They hold `\/` for every slash, as Shopify's do: whoever parses
//! a body and writes it anew breaks its signature.

use jiff::{Timestamp, tz};

use super::headers::WEBHOOKS;
use crate::Headers;
use crate::template::{fill, major};

pub(super) const KINDS: &[&str] = &[
    "orders/create",
    "orders/paid",
    "refunds/create",
    "order_transactions/create",
    "orders/fulfilled",
    "orders/updated",
    "orders/cancelled",
];

/// Three locations of one shop. An order's number is its amount in cents, so that sums can be checked.
pub(super) fn sample(kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
    let place = KINDS.iter().position(|known| *known == kind)?;
    let text = match kind {
        "refunds/create" => include_str!("sample/refund.json"),
        "order_transactions/create" => include_str!("sample/transaction.json"),
        _ => include_str!("sample/order.json"),
    };
    // Whole seconds at the shop's offset, as Shopify writes times.
    let second = Timestamp::from_second(at.as_second()).ok()?.display_with_offset(tz::offset(-5)).to_string();
    let id = |first: u64| first.wrapping_add(number).to_string();
    let cancelled = format!("\"{second}\"");
    let (why, cancelled) =
        if kind == "orders/cancelled" { ("\"customer\"", cancelled.as_str()) } else { ("null", "null") };
    let body = fill(
        text,
        &[
            ("$amount", &major(number % 100_000 + 100)),
            ("$at", &second),
            ("$order", &id(820_982_911_946_154_508)),
            ("$refund", &id(890_088_186_047_892_319)),
            ("$transaction", &id(245_135_271_310_201_194)),
            ("$payment", &id(389_404_469_310_201_194)),
            ("$customer", &id(115_310_627_314_723_954)),
            ("$line", &id(466_157_049_310_201_194)),
            ("$location", ["655441491", "655441492", "655441493"][usize::try_from(number % 3).ok()?]),
            ("$number", &number.to_string()),
            ("$paid", if kind == "orders/create" { "pending" } else { "paid" }),
            ("$sent", if kind == "orders/fulfilled" { "\"fulfilled\"" } else { "null" }),
            ("$why", why),
            ("$cancelled", cancelled),
        ],
    );
    let headers = Headers::from_iter([
        (WEBHOOKS.topic, kind),
        (WEBHOOKS.shop, "sample-kitchen.myshopify.com"),
        (WEBHOOKS.delivery, &format!("b54557e4-bdd9-4b37-8{place:03x}-{number:012x}")),
        (WEBHOOKS.triggered_at, &at.to_string()),
        ("x-shopify-api-version", "2026-07"),
    ]);
    Some((headers, body))
}
