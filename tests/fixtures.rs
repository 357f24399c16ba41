//! Payloads as the providers publish them, and what they are read as.

use jiff::Timestamp;
use tillwatch_domain::{Change, Event};
use tillwatch_providers::request::SUFFIX;
use tillwatch_providers::{Headers, Received, named};

struct Read {
    fixture: &'static str,
    /// The event's type, its account, and its id as the provider shows it.
    event: [&'static str; 3],
    /// The record that it changes, the record's status and its amount. An event that changes several has a line for each.
    change: [&'static str; 3],
    order: Option<&'static str>,
    payment: Option<&'static str>,
    location: Option<&'static str>,
}

const READ: &[Read] = &[
    Read {
        fixture: "square/payment.updated.json",
        event: ["payment.updated", "6SSW7HV8K2ST5", "6a8f5f28-54a1-4eb0-a98a-3111513fd4fc"],
        change: ["payments/square/hYy9pRFVxpDsO1FB05SunFWUe9JZY", "completed", "1.00 USD"],
        order: Some("03O3USaPaAaFnI6kkwB1JxGgBsUZY"),
        payment: None,
        location: Some("S8GWD5R9QB376"),
    },
    Read {
        fixture: "square/refund.updated.json",
        event: ["refund.updated", "6SSW7HV8K2ST5", "bc316346-6691-4243-88ed-6d651a0d0c47"],
        change: [
            "refunds/square/KkAkhdMsgzn59SM8A89WgKwekxLZY_ptNBVqHYxt5gAdfcobBe4u1AZsXhoz06KTtuq9Ls24P",
            "completed",
            "10.00 USD",
        ],
        order: Some("haOyDuHiqtAXMk0d8pDKXpL7Jg4F"),
        payment: Some("KkAkhdMsgzn59SM8A89WgKwekxLZY"),
        location: Some("NAQ1FHV6ZJ8YV"),
    },
    Read {
        fixture: "square/order.updated.json",
        event: ["order.updated", "5S9MXCS9Y99KK", "4b8e5c91-9f17-4cf1-900a-4a0629f81add"],
        change: ["orders/square/eA3vssLHKJrv9H0IdJCM3gNqfdcZY", "open", "none"],
        order: None,
        payment: None,
        location: Some("FPYCBCHYMXFK1"),
    },
    Read {
        fixture: "shopify/orders-create.json",
        event: ["orders/create", "sample.myshopify.com", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"],
        change: ["orders/shopify/820982911946154508", "open", "388.00 USD"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "shopify/refunds-create.json",
        event: ["refunds/create", "sample.myshopify.com", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"],
        change: ["refunds/shopify/890088186047892319", "completed", "155.575 JPY"],
        order: Some("820982911946154508"),
        payment: None,
        location: None,
    },
    Read {
        fixture: "shopify/order_transactions-create.json",
        event: ["order_transactions/create", "sample.myshopify.com", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"],
        change: ["payments/shopify/120560818172775265", "authorized", "403.00 USD"],
        order: Some("820982911946154508"),
        payment: None,
        location: None,
    },
    Read {
        fixture: "zettle/PurchaseCreated.json",
        event: [
            "PurchaseCreated",
            "d3f03ffa-4a18-4282-bbfa-efd5f642ffb7",
            "2895af2a-faba-5f51-a1cd-f7dd79ee0866",
        ],
        change: ["payments/zettle/7cdf4ae2-a110-11eb-a7f9-24cfef8c2970", "completed", "353.00 GBP"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "zettle/PurchaseCreated-refund.json",
        event: [
            "PurchaseCreated",
            "d3f03ffa-4a18-4282-bbfa-efd5f642ffb7",
            "5c0f3a1e-faba-5f51-a1cd-f7dd79ee0866",
        ],
        change: ["refunds/zettle/d71e814c-d705-43e7-ac9c-831449d5fc99", "completed", "100.00 SEK"],
        order: None,
        payment: Some("6a7d7a9c-efd8-4a93-b0ff-45d55d212774"),
        location: None,
    },
    Read {
        fixture: "zettle/ProductUpdated.json",
        event: [
            "ProductUpdated",
            "d3f03ffa-4a18-4282-bbfa-efd5f642ffb7",
            "b3155e41-7478-5c04-ae5c-06b6f17d9862",
        ],
        change: ["items/zettle/e4cc8750-a110-11eb-adc0-ffd446d76f99", "changed", "none"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "zettle/ProductDeleted.json",
        event: [
            "ProductDeleted",
            "d3f03ffa-4a18-4282-bbfa-efd5f642ffb7",
            "c10924f2-4fdb-585b-83ae-7c05c9e5be57",
        ],
        change: ["items/zettle/e4cc8750-a110-11eb-adc0-ffd446d76f99", "deleted", "none"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "zettle/InventoryBalanceChanged.json",
        event: [
            "InventoryBalanceChanged",
            "d3f03ffa-4a18-4282-bbfa-efd5f642ffb7",
            "79bfa251-04d5-5f8c-89a6-faa68186fd9c",
        ],
        change: [
            "stocks/zettle/4745e110-a111-11eb-adc0-ffd446d76f99@fd4a39a0-e2ef-11e6-ba64-85247ae2a737",
            "available",
            "none",
        ],
        order: None,
        payment: None,
        location: Some("fd4a39a0-e2ef-11e6-ba64-85247ae2a737"),
    },
    Read {
        fixture: "loyverse/receipts.update.json",
        event: ["receipts.update", "c4c4a4a0-0000-4000-8000-000000000001", ""],
        change: ["orders/loyverse/2-1007", "completed", "10.5"],
        order: None,
        payment: None,
        location: Some("42dc2cec-6f40-11ea-bde9-1269e7c5a22d"),
    },
    Read {
        fixture: "loyverse/receipts.update.json",
        event: ["receipts.update", "c4c4a4a0-0000-4000-8000-000000000001", ""],
        change: ["payments/loyverse/2-1007", "completed", "10.5"],
        order: Some("2-1007"),
        payment: None,
        location: Some("42dc2cec-6f40-11ea-bde9-1269e7c5a22d"),
    },
    Read {
        fixture: "loyverse/receipts.update-refund.json",
        event: ["receipts.update", "c4c4a4a0-0000-4000-8000-000000000001", ""],
        change: ["refunds/loyverse/2-1008", "completed", "10.5"],
        order: Some("2-1007"),
        payment: Some("2-1007"),
        location: Some("42dc2cec-6f40-11ea-bde9-1269e7c5a22d"),
    },
    Read {
        fixture: "loyverse/inventory_levels.update.json",
        event: ["inventory_levels.update", "c4c4a4a0-0000-4000-8000-000000000001", ""],
        change: [
            "stocks/loyverse/06929667-cc44-4bbb-b226-6758285d7033@42dc2cec-6f40-11ea-bde9-1269e7c5a22d",
            "available",
            "none",
        ],
        order: None,
        payment: None,
        location: Some("42dc2cec-6f40-11ea-bde9-1269e7c5a22d"),
    },
    Read {
        fixture: "loyverse/items.update.json",
        event: ["items.update", "c4c4a4a0-0000-4000-8000-000000000001", ""],
        change: ["items/loyverse/5d2cc3c2-cc44-4bbb-b226-6758285d7033", "deleted", "none"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "stripe/payment_intent.succeeded.json",
        event: ["payment_intent.succeeded", "", "evt_1Pgc76B7WZ01zgkWwyRHS12y"],
        change: ["payments/stripe/pi_1PgafyB7WZ01zgkWSjxsAJo3", "completed", "10.99 USD"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "stripe/refund.created.json",
        event: ["refund.created", "", "evt_1Pgc76B7WZ01zgkWwyRHS13z"],
        change: ["refunds/stripe/re_1Pgc72B7WZ01zgkWqPvrRrPE", "completed", "1.00 USD"],
        order: None,
        payment: Some("ch_1PgafuB7WZ01zgkWXYmPNZs8"),
        location: None,
    },
    Read {
        fixture: "twilio/status-delivered.txt",
        event: ["message.delivered", "AC00000000000000000000000000000001", ""],
        change: ["messages/twilio/SM2b7c3d9e2604a8f97d0e4b62c18fa35a", "delivered", "none"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "twilio/status-undelivered.txt",
        event: ["message.undelivered", "AC00000000000000000000000000000001", ""],
        change: ["messages/twilio/SM2b7c3d9e2604a8f97d0e4b62c18fa35b", "undelivered", "none"],
        order: None,
        payment: None,
        location: Some("MG00000000000000000000000000000001"),
    },
    Read {
        fixture: "twilio/whatsapp-received.txt",
        event: ["message.received", "AC00000000000000000000000000000001", ""],
        change: ["messages/twilio/SM00000000000000000000000000000001", "received", "none"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "meta/whatsapp-message.json",
        event: ["message.received", "102290129340398", ""],
        change: [
            "messages/meta/wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=",
            "received",
            "none",
        ],
        order: None,
        payment: None,
        location: Some("106540352242922"),
    },
    Read {
        fixture: "meta/whatsapp-status.json",
        event: ["message.failed", "102290129340398", ""],
        change: [
            "messages/meta/wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0RjE5QjdDMDVBODIzNkQ0RUUA",
            "undelivered",
            "none",
        ],
        order: None,
        payment: None,
        location: Some("106540352242922"),
    },
    Read {
        fixture: "meta/with-issues-ad-objects.json",
        event: ["ad_account.with_issues_ad_objects", "1029384756", ""],
        change: ["ads/meta/23850000000000001", "changed", "none"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "google_calendar/exists.http",
        event: ["exists", "4ba78bf0-6a47-11e2-bcfd-0800200c9a66", ""],
        change: ["calendars/google_calendar/ret08u3rv24htgh289g", "changed", "none"],
        order: None,
        payment: None,
        location: None,
    },
    Read {
        fixture: "google_calendar/not_exists.http",
        event: ["not_exists", "4ba78bf0-6a47-11e2-bcfd-0800200c9a66", ""],
        change: ["calendars/google_calendar/ret08u3rv24htgh289g", "deleted", "none"],
        order: None,
        payment: None,
        location: None,
    },
];

/// What says by its URL what it is or whose, or changes none or several records.
struct Routed {
    fixture: &'static str,
    suffix: &'static str,
    /// The event's type and its account.
    event: [&'static str; 2],
    /// Each record that it changes, the record's status and what it tells of an amount or a quantity.
    changes: &'static [[&'static str; 3]],
}

const ROUTED: &[Routed] = &[
    Routed {
        fixture: "odoo/pos.order.json",
        suffix: "/harbour-odoo",
        event: ["pos.order", "harbour-odoo"],
        changes: &[["orders/odoo/42", "completed", "23"], ["payments/odoo/42", "completed", "23"]],
    },
    Routed {
        fixture: "odoo/pos.order-refund.json",
        suffix: "/harbour-odoo",
        event: ["pos.order", "harbour-odoo"],
        changes: &[["refunds/odoo/43", "completed", "23.00 EUR"]],
    },
    Routed {
        fixture: "odoo/product.product.json",
        suffix: "/harbour-odoo",
        event: ["product.product", "harbour-odoo"],
        changes: &[["items/odoo/58", "unavailable", "none"]],
    },
    Routed {
        fixture: "odoo/stock.quant.json",
        suffix: "",
        event: ["stock.quant", ""],
        changes: &[["stocks/odoo/58:771", "available", "12"]],
    },
    Routed {
        fixture: "petpooja/order.json",
        suffix: "/harbour-petpooja/order",
        event: ["order", "xxxxxx"],
        changes: &[["orders/petpooja/A-1", "confirmed", "none"]],
    },
    Routed {
        fixture: "petpooja/order-status.json",
        suffix: "/harbour-petpooja/order-status",
        event: ["order-status", "xxxxxx"],
        changes: &[["orders/petpooja/A-1", "dispatched", "none"]],
    },
    Routed {
        fixture: "petpooja/item-stock.json",
        suffix: "/item-stock",
        event: ["item-stock", "xxxxxx"],
        changes: &[
            ["stocks/petpooja/7765809", "unavailable", "none"],
            ["stocks/petpooja/7765810", "unavailable", "none"],
        ],
    },
    Routed {
        fixture: "petpooja/inventory-update.json",
        suffix: "/inventory-update",
        event: ["inventory-update", "xxxxxx"],
        changes: &[["stocks/petpooja/7765809", "available", "none"]],
    },
    Routed {
        fixture: "petpooja/menu-update.json",
        suffix: "/harbour-petpooja",
        event: ["menu-update", "xxxxxx"],
        changes: &[
            ["items/petpooja/7765809", "changed", "none"],
            ["items/petpooja/7765810", "changed", "none"],
        ],
    },
    Routed {
        fixture: "petpooja/menu.json",
        suffix: "",
        event: ["menu", "xxxxxx"],
        changes: &[["items/petpooja/7765809", "changed", "none"]],
    },
    Routed {
        fixture: "petpooja/store-status.json",
        suffix: "",
        event: ["store-status", "xxxxxx"],
        changes: &[],
    },
    Routed {
        fixture: "petpooja/store-status-update.json",
        suffix: "/store-status-update",
        event: ["store-status-update", "xxxxxx"],
        changes: &[],
    },
];

/// The headers and the body. `.http` begins with its headers, up to an empty line; a form, `.txt`, has no line's end.
fn request(fixture: &str) -> (Headers, Vec<u8>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = || std::str::from_utf8(&bytes).expect("text");
    match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("http") => {
            let (headers, body) = text().split_once("\n\n").expect("an empty line after the headers");
            let headers = headers.lines().map(|line| line.split_once(": ").expect("a name and a value"));
            (headers.collect(), body.into())
        }
        Some("txt") => (Headers::new(), text().trim_end().into()),
        _ => (Headers::new(), bytes),
    }
}

fn parse(fixture: &str, headers: &Headers) -> Event {
    let (provider, _) = fixture.split_once('/').expect("a folder for each provider");
    let (own, body) = request(fixture);
    let headers: Headers = own.iter().chain(headers.iter()).collect();
    let received = Received { headers: &headers, body: &body, at: Timestamp::UNIX_EPOCH };
    let events = named(provider).expect("a provider of that name").parse(received);
    let events = events.unwrap_or_else(|error| panic!("{fixture}: {error}"));
    assert_eq!(events.len(), 1, "{fixture}");
    events.into_iter().next().expect("one event")
}

fn headers(read: &Read) -> Headers {
    // Shopify names the topic and the shop in headers; to the others these mean nothing.
    Headers::from_iter([
        ("x-shopify-topic", read.event[0]),
        ("x-shopify-shop-domain", read.event[1]),
        ("x-shopify-webhook-id", read.event[2]),
    ])
}

#[test]
fn every_fixture_is_read_as_what_it_says() {
    for read in READ {
        let event = parse(read.fixture, &headers(read));
        let id = event.provider_event_id.as_deref().unwrap_or_default();
        assert_eq!([&event.kind, &event.dedupe.account, id], read.event, "{}", read.fixture);
        let lines = READ.iter().filter(|other| other.fixture == read.fixture).count();
        assert_eq!(event.changes.len(), lines, "{}", read.fixture);
        let change = event.changes.iter().find(|change| change.record.to_string() == read.change[0]);
        let change = change.unwrap_or_else(|| panic!("{}: no {}", read.fixture, read.change[0]));
        let amount = change.fields.amount.map(|amount| amount.to_string());
        let amount =
            amount.or_else(|| change.fields.amount_major.clone()).unwrap_or_else(|| "none".to_owned());
        assert_eq!(
            [&change.record.to_string(), change.status.name(), &amount],
            read.change,
            "{}",
            read.fixture
        );
        let fields = &change.fields;
        assert_eq!(
            [fields.order.as_deref(), fields.payment.as_deref(), fields.location.as_deref()],
            [read.order, read.payment, read.location],
            "{}",
            read.fixture
        );
        assert!(!event.test, "{}", read.fixture);
    }
}

#[test]
fn every_fixture_that_is_routed_is_read_as_what_it_says() {
    let told = |change: &Change| {
        let fields = &change.fields;
        let amount = fields.amount.map(|amount| amount.to_string());
        let told = amount.or_else(|| fields.amount_major.clone()).or_else(|| fields.quantity.clone());
        [change.record.to_string(), change.status.name().to_owned(), told.unwrap_or("none".to_owned())]
    };
    for routed in ROUTED {
        let event = parse(routed.fixture, &Headers::from_iter([(SUFFIX, routed.suffix)]));
        assert_eq!([&event.kind, &event.dedupe.account], routed.event, "{}", routed.fixture);
        let changes: Vec<_> = event.changes.iter().map(told).collect();
        assert_eq!(changes, routed.changes, "{}", routed.fixture);
    }
}

#[test]
fn every_fixture_in_the_folders_is_read() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for folder in std::fs::read_dir(root).expect("the fixtures") {
        let folder = folder.expect("a folder").path();
        for file in std::fs::read_dir(&folder).expect("a provider's fixtures") {
            let file = file.expect("a fixture").path();
            let mut read = READ.iter().map(|read| read.fixture).chain(ROUTED.iter().map(|read| read.fixture));
            let is_read = read.any(|fixture| file.ends_with(fixture));
            assert!(is_read, "{} is in neither READ nor ROUTED", file.display());
        }
    }
}
