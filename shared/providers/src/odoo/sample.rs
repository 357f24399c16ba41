//! Payloads of Odoo's shape, for trying things out.

use jiff::Timestamp;

use crate::Headers;
use crate::request::SUFFIX;
use crate::template::{fill, major};

pub(super) const KINDS: &[&str] = &["pos.order", "product.product", "stock.quant"];

/// Three points of sale of one database. An order's number is its amount in cents, so that sums can be checked.
pub(super) fn sample(kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
    let text = match kind {
        "pos.order" => include_str!("sample/order.json"),
        "product.product" => include_str!("sample/product.json"),
        "stock.quant" => include_str!("sample/quant.json"),
        _ => return None,
    };
    let body = fill(
        text,
        &[
            ("$amount", &major(number % 100_000 + 100)),
            ("$at", &at.strftime("%Y-%m-%d %H:%M:%S").to_string()),
            ("$id", &number.to_string()),
            ("$config", ["1", "2", "3"][usize::try_from(number % 3).ok()?]),
            ("$reference", &format!("{:05}-{:03}-{:04}", number / 10_000, number % 3 + 1, number % 10_000)),
        ],
    );
    Some((Headers::from_iter([(SUFFIX, "/harbour-odoo")]), body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Provider, Received, odoo::Odoo};

    #[test]
    fn every_sample_is_one_event_of_its_kind_and_time() {
        let at = Timestamp::from_second(1_760_000_000).unwrap();
        for kind in KINDS {
            let (headers, body) = sample(kind, u64::MAX, at).unwrap();
            let received = Received { headers: &headers, body: &body, at: Timestamp::UNIX_EPOCH };
            let events = Odoo.parse(received).unwrap();
            let [event] = events.as_slice() else { panic!("{kind}: not one event") };
            assert_eq!((event.kind.as_str(), event.dedupe.account.as_str()), (*kind, "harbour-odoo"));
            assert!(!event.changes.is_empty() && event.changes.iter().all(|change| change.occurred_at == at));
        }
    }
}
