//! What arrives: states of records, what changes none, a body too large for a message, and a flood.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tillwatch_providers::Headers;
use tillwatch_tests::sender::{Sent, large, sample, signed, square_payment};
use tillwatch_tests::world::{World, settings};

use super::invariants::{Expected, ExpectedRecord};
use super::life::{Scenario, deliver, survives, work};

fn body(bytes: impl Into<Vec<u8>>, now: Timestamp) -> Sent {
    signed("square", Headers::new(), bytes.into(), now, &settings("square"))
}

/// Delivers these requests, each with the status that must answer it, and does the work.
async fn deliver_all(world: &mut World, requests: &[(Sent, i64)]) -> Vec<usize> {
    let mut times = Vec::new();
    for (sent, expected) in requests {
        times.push(deliver(world, sent, *expected).await);
    }
    work(world).await;
    times
}

/// Two states of one payment, the older one last and of another amount, and a refund.
struct States;

impl Scenario for States {
    async fn begin(&self) -> World {
        World::new().await
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        let now = world.now();
        let older = now - SignedDuration::from_secs(30);
        let requests = [
            (body(square_payment("p1", "COMPLETED", 200, now, "newer"), now), 200),
            (body(square_payment("p1", "APPROVED", 90, older, "older"), now), 200),
            (sample("square", "refund.created", 2, now, &settings("square")), 200),
        ];
        deliver_all(world, &requests).await
    }

    fn expected(&self, _: &World, _: &[usize]) -> Expected {
        Expected {
            events: vec![
                ("payment.updated", &["applied", "superseded"], 2..=2),
                ("refund.created", &["applied"], 1..=1),
            ],
            rejected: None,
            arrive_again: 0,
            records: vec![
                ExpectedRecord {
                    path: "payments/square/p1",
                    cents: 200,
                    history: &["authorized", "completed"],
                    changes: 2,
                },
                ExpectedRecord::completed("refunds/square/ref0000000000000000002ZY", 102),
            ],
        }
    }
}

survives!(
    States,
    states_of_a_payment_and_a_refund_take_effect_once_whichever_step_goes_wrong,
    states_of_a_payment_and_a_refund_take_effect_once_whichever_two_steps_go_wrong
);

/// A type that is not modelled, a body that can't be read, and one that is not believed.
struct NoStates;

impl Scenario for NoStates {
    async fn begin(&self) -> World {
        World::new().await
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        let now = world.now();
        let unmodelled = br#"{"merchant_id":"M","type":"catalog.version.updated","event_id":"e"}"#;
        let unreadable = br#"{"merchant_id":"M","type":"#;
        let mut forged = sample("square", "payment.updated", 3, now, &settings("square"));
        forged.body.push(b' ');
        let requests = [(body(*unmodelled, now), 200), (body(*unreadable, now), 200), (forged, 401)];
        deliver_all(world, &requests).await
    }

    fn expected(&self, _: &World, sent: &[usize]) -> Expected {
        Expected {
            events: vec![
                ("catalog.version.updated", &["ignored"], 1..=1),
                // Whoever gets no answer comes again, and nothing but the request may tell the one from the other.
                ("", &["parked"], 1..=sent[1]),
                ("", &["rejected"], 1..=sent[2]),
            ],
            rejected: None,
            arrive_again: 0,
            records: vec![],
        }
    }
}

survives!(
    NoStates,
    what_changes_no_record_is_kept_whichever_step_goes_wrong,
    what_changes_no_record_is_kept_whichever_two_steps_go_wrong
);

/// A body that does not fit a message.
struct Large;

impl Scenario for Large {
    async fn begin(&self) -> World {
        World::new().await
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        let now = world.now();
        deliver_all(world, &[(body(large(700_000), now), 200)]).await
    }

    fn expected(&self, _: &World, _: &[usize]) -> Expected {
        Expected {
            events: vec![("payment.updated", &["applied"], 1..=1)],
            rejected: None,
            arrive_again: 0,
            records: vec![ExpectedRecord::completed("payments/square/pay0000000000000000007ZY", 107)],
        }
    }
}

survives!(
    Large,
    a_body_too_large_for_a_message_takes_effect_once_whichever_step_goes_wrong,
    a_body_too_large_for_a_message_takes_effect_once_whichever_two_steps_go_wrong
);

/// How many rejected requests of one source and minute are kept.
const CAP: usize = 60;

/// How many come above it.
const SHED: usize = 3;

/// Requests that are not believed, above the cap, and one that is.
struct Flood;

fn forged(now: Timestamp) -> Sent {
    let mut forged = sample("square", "payment.updated", 3, now, &settings("square"));
    forged.body.push(b' ');
    forged
}

impl Scenario for Flood {
    async fn begin(&self) -> World {
        let world = World::new().await;
        let forged = forged(world.now());
        for _ in 0..CAP {
            assert_eq!(world.post(&forged).await, 401);
        }
        world
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        let now = world.now();
        let mut times = vec![];
        for _ in 0..SHED {
            times.push(deliver(world, &forged(now), 401).await);
        }
        let payment = |number| sample("square", "payment.updated", number, now, &settings("square"));
        deliver(world, &payment(1), 200).await;
        world.pass(Duration::from_secs(61));
        times.push(deliver(world, &forged(now), 401).await);
        // By then, what could not be told with the minute's first request is told.
        deliver(world, &payment(2), 200).await;
        times
    }

    fn expected(&self, world: &World, sent: &[usize]) -> Expected {
        let above: usize = sent.iter().sum();
        // Whoever is told 401 need not come again; whoever got no answer does, and is rejected again. Numbers above the
        // cap are only in memory for their minute: they may end with the process.
        let least = if world.faults.has_killed() { CAP + 1 } else { CAP + sent.len() };
        Expected {
            events: vec![
                ("payment.updated", &["applied"], 2..=2),
                ("", &["rejected"], CAP + 1..=CAP + above),
            ],
            rejected: Some(least..=CAP + above),
            arrive_again: 0,
            records: vec![
                ExpectedRecord::completed("payments/square/pay0000000000000000001ZY", 101),
                ExpectedRecord::completed("payments/square/pay0000000000000000002ZY", 102),
            ],
        }
    }
}

survives!(
    Flood,
    a_flood_is_counted_and_lets_good_requests_through_whichever_step_goes_wrong,
    a_flood_is_counted_and_lets_good_requests_through_whichever_two_steps_go_wrong
);
