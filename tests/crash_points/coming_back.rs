//! What comes back: a failed event that is due, a parked one that an operator tries again, and a dead letter.

use std::time::Duration;

use tillwatch_domain::retry::RetryPolicy;
use tillwatch_platform::queue::Outgoing;
use tillwatch_providers::Headers;
use tillwatch_tests::sender::{Sent, large, sample, signed};
use tillwatch_tests::world::{World, settings};

use super::invariants::{Expected, ExpectedRecord};
use super::life::{Scenario, deliver, retry, survives, work};

fn payment(world: &World) -> Sent {
    sample("square", "payment.updated", 1, world.now(), &settings("square"))
}

/// A payment has taken effect, once.
fn applied_once(record: ExpectedRecord) -> Expected {
    Expected {
        events: vec![("payment.updated", &["applied"], 1..=1)],
        rejected: None,
        arrive_again: 0,
        records: vec![record],
    }
}

/// What the small payment comes to.
const SMALL: ExpectedRecord = ExpectedRecord::completed("payments/square/pay0000000000000000001ZY", 101);

/// Everything about records fails, the events' own items do not.
fn records(step: &str) -> bool {
    step.starts_with("table.") && step.contains("R#")
}

/// What a payment needs fails until it waits in the table, and works again when it is due.
struct Due {
    fails: fn(&str) -> bool,
    payment: fn(&World) -> Sent,
    record: ExpectedRecord,
    /// Whether it waits already when steps begin to go wrong.
    waits: bool,
}

/// It is known by its event's id.
const UNWRITTEN: Due = Due { fails: records, payment, record: SMALL, waits: false };

/// It is known by its request's id as long as its body can't be fetched.
const UNREAD: Due = Due {
    fails: |step| step == "payloads.get",
    payment: |world| signed("square", Headers::new(), large(700_000), world.now(), &settings("square")),
    record: ExpectedRecord::completed("payments/square/pay0000000000000000007ZY", 107),
    waits: true,
};

impl Due {
    async fn fail(&self, world: &mut World) {
        let payment = (self.payment)(world);
        deliver(world, &payment, 200).await;
        world.faults.down(self.fails);
        work(world).await;
        world.faults.up();
    }
}

/// The jitter takes up to half of it, and what waits for no more than a minute stays on the queue.
const BACK_OFF: Duration = Duration::from_mins(5);

impl Scenario for Due {
    async fn begin(&self) -> World {
        let mut world = World::with_policy(RetryPolicy { first: BACK_OFF, ..RetryPolicy::default() }).await;
        if self.waits {
            self.fail(&mut world).await;
        }
        world
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        if !self.waits {
            self.fail(world).await;
        }
        self.wait(world).await;
        vec![]
    }

    fn expected(&self, _: &World, _: &[usize]) -> Expected {
        // Its body could not be fetched, so it was kept as a request.
        Expected { arrive_again: i64::from(self.waits), ..applied_once(self.record) }
    }

    async fn wait(&self, world: &World) {
        // A sweep that claims an event keeps others off for ten minutes.
        world.turn(Duration::from_secs(601)).await;
    }
}

survives!(
    UNWRITTEN,
    a_failed_event_takes_effect_once_when_it_is_due_whichever_step_goes_wrong,
    a_failed_event_takes_effect_once_when_it_is_due_whichever_two_steps_go_wrong
);

survives!(
    UNREAD,
    a_request_that_could_not_be_read_becomes_its_event_whichever_step_goes_wrong,
    a_request_that_could_not_be_read_becomes_its_event_whichever_two_steps_go_wrong
);

/// An operator tries a parked event again.
struct Parked;

impl Scenario for Parked {
    async fn begin(&self) -> World {
        let mut world =
            World::with_policy(RetryPolicy { attempts: 1, outage: Duration::ZERO, ..RetryPolicy::default() })
                .await;
        world.faults.down(records);
        assert_eq!(world.post(&payment(&world)).await, 200);
        world.work().await;
        assert_eq!(world.deliveries("square").await[0]["status"], "parked");
        world.faults.up();
        world.restart_with_policy(RetryPolicy::default()).await;
        world
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        retry(world, &payment(world).event_ids()[0]).await;
        work(world).await;
        vec![]
    }

    fn expected(&self, _: &World, _: &[usize]) -> Expected {
        applied_once(SMALL)
    }
}

survives!(
    Parked,
    a_parked_event_takes_effect_once_when_it_is_tried_again_whichever_step_goes_wrong,
    a_parked_event_takes_effect_once_when_it_is_tried_again_whichever_two_steps_go_wrong
);

/// A dead letter is parked, and an operator tries it again.
struct DeadLetter;

impl Scenario for DeadLetter {
    async fn begin(&self) -> World {
        let world = World::new().await;
        assert_eq!(world.post(&payment(&world)).await, 200);
        // As the queue does with what was received too often.
        let ports = world.stack().ports();
        let received = ports.events.receive(1, Duration::from_secs(1)).await.unwrap().remove(0);
        let letter = Outgoing { body: received.body, group: "square".into(), delay: Duration::ZERO };
        ports.dead_letters.send(letter).await.unwrap();
        ports.events.delete(vec![received.receipt]).await.unwrap();
        world
    }

    async fn live(&self, world: &mut World) -> Vec<usize> {
        work(world).await;
        retry(world, &payment(world).event_ids()[0]).await;
        work(world).await;
        vec![]
    }

    fn expected(&self, _: &World, _: &[usize]) -> Expected {
        applied_once(SMALL)
    }
}

survives!(
    DeadLetter,
    a_dead_letter_is_parked_and_tried_again_whichever_step_goes_wrong,
    a_dead_letter_is_parked_and_tried_again_whichever_two_steps_go_wrong
);
