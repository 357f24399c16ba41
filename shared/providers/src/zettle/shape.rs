//! What a payload plainly is: its event's name is not signed, so the payload must bear it out.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What a payload plainly is, whatever name it comes under.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Purchase,
    Product,
    /// A product as it was and as it is.
    ChangedProduct,
    Balances,
    /// Of one product: that its stock is counted, or no longer.
    Tracking,
    /// That the merchant has ended the connection.
    Ended,
    Other,
}

/// The fields that tell the payloads apart.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Marks {
    purchase_uuid: Option<IgnoredAny>,
    #[serde(rename = "purchaseUUID1")]
    purchase_uuid1: Option<IgnoredAny>,
    new_entity: Option<IgnoredAny>,
    balance_after: Option<IgnoredAny>,
    product_uuid: Option<IgnoredAny>,
    uuid: Option<IgnoredAny>,
    variants: Option<IgnoredAny>,
}

/// What the payload is. What is no JSON object could be anything.
pub(super) fn shape(payload: &str) -> Shape {
    let marks: Marks = serde_json::from_str(payload).unwrap_or_default();
    if marks.purchase_uuid.is_some() || marks.purchase_uuid1.is_some() {
        Shape::Purchase
    } else if marks.new_entity.is_some() {
        Shape::ChangedProduct
    } else if marks.balance_after.is_some() {
        Shape::Balances
    } else if marks.product_uuid.is_some() {
        Shape::Tracking
    } else if marks.uuid.is_some() && marks.variants.is_some() {
        Shape::Product
    } else if end(payload).is_some() {
        Shape::Ended
    } else {
        Shape::Other
    }
}

/// The end that a payload names, which is signed where the event's name is not.
pub(super) fn end(payload: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "type")]
        kind: String,
    }
    let named: Named = serde_json::from_str(payload).ok()?;
    (expected(&named.kind) == Some(Shape::Ended)).then_some(named.kind)
}

/// What the payload of an event of that name is; none for a name that is not modelled.
pub(super) fn expected(name: &str) -> Option<Shape> {
    match name {
        "PurchaseCreated" => Some(Shape::Purchase),
        "ProductCreated" | "ProductDeleted" => Some(Shape::Product),
        "ProductUpdated" => Some(Shape::ChangedProduct),
        "InventoryBalanceChanged" => Some(Shape::Balances),
        "InventoryTrackingStarted" | "InventoryTrackingStopped" => Some(Shape::Tracking),
        "ApplicationConnectionRemoved" | "PersonalAssertionDeleted" => Some(Shape::Ended),
        _ => None,
    }
}
