//! Payloads as the providers publish them, and what they are read as.

use tillwatch_domain::Event;
use tillwatch_providers::{Headers, named};

struct Read {
    fixture: &'static str,
    /// The event's type, its account, and its id as the provider shows it.
    event: [&'static str; 3],
    /// The record that it changes, the record's status and its amount.
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
];

fn body(fixture: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(read: &Read) -> Event {
    let (provider, _) = read.fixture.split_once('/').expect("a folder for each provider");
    // Shopify names the topic and the shop in headers; to the others these mean nothing.
    let headers = Headers::from_iter([
        ("x-shopify-topic", read.event[0]),
        ("x-shopify-shop-domain", read.event[1]),
        ("x-shopify-webhook-id", read.event[2]),
    ]);
    let events = named(provider).expect("a provider of that name").parse(&headers, &body(read.fixture));
    let events = events.unwrap_or_else(|error| panic!("{}: {error}", read.fixture));
    assert_eq!(events.len(), 1, "{}", read.fixture);
    events.into_iter().next().expect("one event")
}

#[test]
fn every_fixture_is_read_as_what_it_says() {
    for read in READ {
        let event = parse(read);
        let id = event.provider_event_id.as_deref().unwrap_or_default();
        assert_eq!([&event.kind, &event.dedupe.account, id], read.event, "{}", read.fixture);
        let [change] = event.changes.as_slice() else { panic!("{}: not one change", read.fixture) };
        let amount = change.fields.amount.map_or("none".to_owned(), |amount| amount.to_string());
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
fn every_fixture_in_the_folders_is_read() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for folder in std::fs::read_dir(root).expect("the fixtures") {
        let folder = folder.expect("a folder").path();
        for file in std::fs::read_dir(&folder).expect("a provider's fixtures") {
            let file = file.expect("a fixture").path();
            assert!(READ.iter().any(|read| file.ends_with(read.fixture)), "{}", file.display());
        }
    }
}
