//! Payloads of Zettle's shape, for trying things out.

use jiff::Timestamp;

use crate::Headers;
use crate::template::fill;

pub(super) const KINDS: &[&str] =
    &["PurchaseCreated", "InventoryBalanceChanged", "ProductUpdated", "ProductCreated", "ProductDeleted"];

/// One organisation. A purchase's number is its amount in minor units, so that sums can be checked.
pub(super) fn sample(kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
    let place = KINDS.iter().position(|known| *known == kind)?;
    let text = match kind {
        "PurchaseCreated" => include_str!("sample/purchase.json"),
        "InventoryBalanceChanged" => include_str!("sample/balance.json"),
        "ProductUpdated" => include_str!("sample/changed_product.json"),
        _ => include_str!("sample/product.json"),
    };
    let (high, low) = (number >> 48, number & 0xffff_ffff_ffff);
    let id = format!("{high:08x}-a110-11eb-a7f9-{low:012x}");
    let organisation = "d3f03ffa-4a18-4282-bbfa-efd5f642ffb7";
    let payload = fill(
        text,
        &[
            ("$organisation", organisation),
            ("$id", &id),
            ("$number", &number.to_string()),
            ("$minor", &(number % 100_000 + 100).to_string()),
            ("$balance", &(number % 40).to_string()),
            ("$etag", &format!("D3605CCA2DDF8F2E{place:04X}{low:012X}")),
            ("$millisecond", &at.as_millisecond().to_string()),
            ("$time", &at.strftime("%Y-%m-%dT%H:%M:%S.%3f%z").to_string()),
        ],
    );
    let payload = serde_json::to_string(std::str::from_utf8(&payload).ok()?).ok()?;
    let message = format!("{high:08x}-a110-11eb-a{place:03x}-{low:012x}");
    let body = format!(
        r#"{{"organizationUuid":"{organisation}","messageUuid":"{message}","eventName":"{kind}","messageId":"{message}","payload":{payload},"timestamp":"{at}"}}"#
    );
    Some((Headers::new(), body.into_bytes()))
}
