//! Payloads of Loyverse's shape, for trying things out.

use jiff::Timestamp;

use crate::Headers;
use crate::template::{fill, major};

pub(super) const KINDS: &[&str] =
    &["receipts.update", "inventory_levels.update", "items.update", "shifts.create"];

/// Three stores of one merchant. A receipt's number is its amount in cents, so that sums can be checked.
pub(super) fn sample(kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
    let text = match kind {
        "receipts.update" => include_str!("sample/receipt.json"),
        "inventory_levels.update" => include_str!("sample/inventory_level.json"),
        "items.update" => include_str!("sample/item.json"),
        "shifts.create" => include_str!("sample/shift.json"),
        _ => return None,
    };
    let store = ["42dc2cec", "42dc2ced", "42dc2cee"][usize::try_from(number % 3).ok()?];
    let body = fill(
        text,
        &[
            ("$at", &at.to_string()),
            ("$store", store),
            ("$number", &number.to_string()),
            ("$id", &format!("{:08x}-7d0e-4bb3-a3b5-{:012x}", number >> 48, number & 0xffff_ffff_ffff)),
            ("$total", &major(number % 100_000 + 100)),
            ("$stock", &(number % 40).to_string()),
        ],
    );
    Some((Headers::new(), body))
}
