//! Connections: one that the first event of an account makes, and one with a secret of its own.

use serde_json::json;
use tillwatch_domain::Connection;
use tillwatch_platform::connections::{Kind, Unknown};
use tillwatch_providers::{Headers, Settings};
use tillwatch_tests::connected::connection;
use tillwatch_tests::sender::{Sent, sample, signed, square_payment};
use tillwatch_tests::world::{SQUARE_URL, World, settings};

use super::invariants::{Expected, ExpectedRecord};
use super::life::{Scenario, deliver, survives, work};

const OWN_KEY: &str = "harbours-own-signing-key";
/// The merchant of `square_payment`.
const MERCHANT: &str = "M1";

fn payment(now: jiff::Timestamp, id: &str, settings: &Settings) -> Sent {
    signed("square", Headers::new(), square_payment(id, "COMPLETED", 100, now, id), now, settings)
}

fn applied(records: Vec<ExpectedRecord>) -> Expected {
    let count = records.len();
    Expected {
        events: vec![("payment.updated", &["applied"], count..=count)],
        rejected: None,
        arrive_again: 0,
        records,
    }
}

/// Asserts that these are all connections of Square's, each found by its account's events.
async fn connections_are(world: &World, expected: usize) {
    let connections = world.connections();
    let (all, more) = connections.documents::<Connection>(Kind::Connection, "square", "", 10).await.unwrap();
    assert!(!more && all.len() == expected, "{all:?}");
    for one in all {
        for account in &one.accounts {
            let found = connections.routes("square", account).await.unwrap();
            assert_eq!(found.len(), 1, "{account}: {found:?}");
            assert_eq!(found[0].connection, one.id);
        }
    }
}

/// The first events of two accounts, two of each.
struct Unheard;

impl Scenario for Unheard {
    async fn begin(&self) -> World {
        World::new().await
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        let now = world.now();
        for number in [1, 2] {
            deliver(world, &sample("square", "payment.updated", number, now, &settings("square")), 200).await;
            deliver(world, &payment(now, &format!("p{number}"), &settings("square")), 200).await;
        }
        work(world).await;
        vec![]
    }

    fn expected(&self, _: &World, _: &[usize]) -> Expected {
        applied(vec![
            ExpectedRecord::completed("payments/square/pay0000000000000000001ZY", 101),
            ExpectedRecord::completed("payments/square/pay0000000000000000002ZY", 102),
            ExpectedRecord::completed("payments/square/p1", 100),
            ExpectedRecord::completed("payments/square/p2", 100),
        ])
    }

    async fn also_holds(&self, world: &World) {
        connections_are(world, 2).await;
    }
}

survives!(
    Unheard,
    an_account_has_one_connection_made_by_its_first_events_whichever_step_goes_wrong,
    an_account_has_one_connection_made_by_its_first_events_whichever_two_steps_go_wrong
);

/// Events of a connection that has a key of its own, and one of a stranger's.
struct Own;

impl Scenario for Own {
    async fn begin(&self) -> World {
        let mut world = World::new().await;
        world.unknown = Unknown::Declared;
        world.restart().await;
        let own = json!({"signing_keys": [OWN_KEY]});
        world.declare_with(&connection("harbour-square", "square", &[MERCHANT]), &own).await;
        world
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        let (now, own) = (world.now(), Settings::with_keys([OWN_KEY]).with_url(SQUARE_URL));
        let stranger = Settings::with_keys(["a stranger's key"]).with_url(SQUARE_URL);
        deliver(world, &payment(now, "p1", &own), 200).await;
        let rejected = deliver(world, &payment(now, "p3", &stranger), 401).await;
        deliver(world, &payment(now, "p2", &own), 200).await;
        work(world).await;
        vec![rejected]
    }

    fn expected(&self, _: &World, sent: &[usize]) -> Expected {
        Expected {
            events: vec![("payment.updated", &["applied"], 2..=2), ("", &["rejected"], 1..=sent[0])],
            ..applied(vec![
                ExpectedRecord::completed("payments/square/p1", 100),
                ExpectedRecord::completed("payments/square/p2", 100),
            ])
        }
    }

    async fn also_holds(&self, world: &World) {
        connections_are(world, 1).await;
    }
}

survives!(
    Own,
    what_a_connections_own_key_proves_takes_effect_once_whichever_step_goes_wrong,
    what_a_connections_own_key_proves_takes_effect_once_whichever_two_steps_go_wrong
);
