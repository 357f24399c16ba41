//! Payloads of PetPooja's shape, for trying things out.

use jiff::Timestamp;

use crate::Headers;
use crate::request::SUFFIX;
use crate::template::fill;

pub(super) const KINDS: &[&str] = &[
    "order-status",
    "order",
    "inventory-update",
    "item-stock",
    "menu-update",
    "menu",
    "store-status-update",
];

/// One restaurant, behind one connection.
pub(super) fn sample(kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
    let text = match kind {
        "order-status" => include_str!("sample/order_status.json"),
        "order" => include_str!("sample/order.json"),
        "inventory-update" => include_str!("sample/inventory_update.json"),
        "item-stock" => include_str!("sample/item_stock.json"),
        "menu-update" => include_str!("sample/menu_update.json"),
        "menu" => include_str!("sample/menu.json"),
        "store-status-update" => include_str!("sample/store_status_update.json"),
        _ => return None,
    };
    let body = fill(
        text,
        &[
            ("$at", &at.to_string()),
            ("$restaurant", "hrb4x9wq"),
            ("$order", &format!("TW-{number}")),
            ("$number", &number.to_string()),
        ],
    );
    Some((Headers::from_iter([(SUFFIX, format!("/harbour-petpooja/{kind}"))]), body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Provider, Received, petpooja::PetPooja};

    #[test]
    fn every_sample_is_one_event_of_its_kind_and_restaurant() {
        let at = Timestamp::from_second(1_760_000_000).unwrap();
        for kind in KINDS {
            let (headers, body) = sample(kind, u64::MAX, at).unwrap();
            let events = PetPooja.parse(Received { headers: &headers, body: &body, at }).unwrap();
            let [event] = events.as_slice() else { panic!("{kind}: not one event") };
            assert_eq!((event.kind.as_str(), event.dedupe.account.as_str()), (*kind, "hrb4x9wq"));
            assert_eq!(PetPooja.claimed_account(&headers, &body).as_deref(), Some("hrb4x9wq"), "{kind}");
            assert!(event.changes.iter().all(|change| change.occurred_at == at), "{kind}");
        }
    }
}
