//! What is replayed: a parked event is sent again and a rejected request released, whichever step of that goes wrong.

use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_tests::sender::{Sent, sample};
use tillwatch_tests::world::{SQUARE_URL, TOKEN, World, settings};

use super::invariants::{Expected, ExpectedRecord};
use super::life::{Scenario, is_answered, survives};

/// What the provider signs with after its key was changed there and not here.
const NEW_KEY: &str = "new-square-key";

fn keys(keys: &[&str]) -> Value {
    json!({"signing_keys": keys, "notification_url": SQUARE_URL})
}

fn payment(world: &World, number: u64, settings: &tillwatch_providers::Settings) -> Sent {
    sample("square", "payment.updated", number, world.now(), settings)
}

/// An event that was parked and a request that was rejected, both for what has been mended, are replayed.
struct Replayed;

impl Scenario for Replayed {
    async fn begin(&self) -> World {
        let policy = RetryPolicy { attempts: 1, outage: Duration::ZERO, ..RetryPolicy::default() };
        let mut world = World::with_policy(policy).await;
        world.faults.down(|step| step.starts_with("table.") && step.contains("R#"));
        assert_eq!(world.post(&payment(&world, 1, &settings("square"))).await, 200);
        let new = serde_json::from_value(keys(&[NEW_KEY])).unwrap();
        assert_eq!(world.post(&payment(&world, 2, &new)).await, 401);
        world.work().await;
        let statuses: Vec<_> =
            world.deliveries("square").await.iter().map(|one| one["status"].clone()).collect();
        assert!(["parked", "rejected"].iter().all(|status| statuses.contains(&json!(status))));
        world.faults.up();
        world.secrets.put("square", Some(keys(&[NEW_KEY, "square-key"])));
        world.restart_with_policy(RetryPolicy::default()).await;
        world
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        let body = json!({"id": "all", "status": ["parked", "rejected"], "providers": ["square"]});
        for _ in 0..6 {
            let (status, _) = world.ask_with("POST", "/replays", Some(TOKEN), Some(&body)).await;
            if is_answered(world, status, &[202], &[503]).await {
                break;
            }
        }
        for _ in 0..20 {
            world.replay_once().await;
            let (status, replay) = world.ask("GET", "/replays/all").await;
            if is_answered(world, status, &[200], &[503]).await {
                if replay["state"] == "done" {
                    return vec![];
                }
                // Longer than a lease, so that a runner that has ended holds nobody up.
                world.pass(Duration::from_secs(61));
            }
        }
        panic!("a replay comes to its end");
    }

    fn expected(&self, _: &World, _: &[usize]) -> Expected {
        Expected {
            events: vec![("payment.updated", &["applied"], 2..=2)],
            rejected: Some(0..=0),
            arrive_again: 0,
            records: vec![
                ExpectedRecord::completed("payments/square/pay0000000000000000001ZY", 101),
                ExpectedRecord::completed("payments/square/pay0000000000000000002ZY", 102),
            ],
        }
    }
}

survives!(
    Replayed,
    what_is_replayed_takes_effect_once_whichever_step_goes_wrong,
    what_is_replayed_takes_effect_once_whichever_two_steps_go_wrong
);
