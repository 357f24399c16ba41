//! How a world lives through faults: senders and operators come again until they are answered, and a process that has
//! ended is followed by the next one.

use std::time::Duration;

use tillwatch_tests::faults::{Fault, Step, Witness};
use tillwatch_tests::sender::Sent;
use tillwatch_tests::world::World;

use super::invariants::{Expected, is_any_due};

/// Something that happens to a world, and what must have come of it.
pub(crate) trait Scenario {
    /// The world, as it is before anything goes wrong.
    async fn begin(&self) -> World;

    /// What happens while steps go wrong; how often each request was sent.
    async fn live(&self, world: &mut World) -> Vec<usize>;

    /// What must have come of it, by how often each request was sent.
    fn expected(&self, world: &World, sent: &[usize]) -> Expected;

    /// What else must hold afterwards.
    async fn also_holds(&self, _: &World) {}

    /// Lets time pass for what waits.
    async fn wait(&self, world: &World) {
        world.pass(LONGEST_WAIT);
    }
}

/// Longer than a message waits on the queue, a reception lasts, or a failure is remembered.
const LONGEST_WAIT: Duration = Duration::from_secs(301);

/// Lets every step of a scenario go wrong in every way, and none.
pub(crate) async fn every_step_goes_wrong(scenario: &impl Scenario) {
    let steps = every_view_is_right(scenario, &[]).await;
    for fault in Fault::ALL {
        for step in steps.iter().filter(|step| fault.is_of(step)) {
            let survived = survive(scenario, &[(step.clone(), fault)]).await;
            survived.expected.is_in_the_tables(&survived.world).await;
            // Events are processed side by side, so whether one finds a record written before it, and reads it again, is
            // not the same each time.
            assert!(step.time > 1 || survived.world.faults.has_struck(), "{fault:?} comes to {step}");
        }
    }
}

/// Lets two steps of a scenario go wrong, chosen by each of some numbers.
pub(crate) async fn two_steps_go_wrong(scenario: &impl Scenario) {
    let steps = every_view_is_right(scenario, &[]).await;
    for seed in 0..12_u64 {
        let mut state = seed;
        let mut one_of = |count| below(count, &mut state);
        let mut planned = || (steps[one_of(steps.len())].clone(), Fault::ALL[one_of(Fault::ALL.len())]);
        every_view_is_right(scenario, &[planned(), planned()]).await;
    }
}

/// The next of a sequence of numbers that seem to have nothing to do with each other (`SplitMix64`).
fn below(bound: usize, state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from(mixed ^ (mixed >> 31)).unwrap() % bound
}

/// Lets a scenario live through these faults, and asserts that it is right in the tables and as operators see it; the steps
/// that it took.
async fn every_view_is_right(scenario: &impl Scenario, plan: &[(Step, Fault)]) -> Vec<Step> {
    let Survived { world, expected, steps, witness: _witness } = survive(scenario, plan).await;
    let events = expected.is_in_the_tables(&world).await;
    expected.is_shown(&world, &events).await;
    steps
}

/// A world that has lived through faults, what must have come of it, and the steps that it took.
struct Survived {
    world: World,
    expected: Expected,
    steps: Vec<Step>,
    witness: Witness,
}

async fn survive(scenario: &impl Scenario, plan: &[(Step, Fault)]) -> Survived {
    let mut world = scenario.begin().await;
    world.faults.plan(plan);
    let witness = world.faults.witness();
    let sent = scenario.live(&mut world).await;
    let steps = world.faults.steps();
    rest(scenario, &mut world).await;
    world.faults.spare();
    scenario.also_holds(&world).await;
    let expected = scenario.expected(&world, &sent);
    Survived { world, expected, steps, witness }
}

/// Does what is left to do, however long it must wait for it.
async fn rest(scenario: &impl Scenario, world: &mut World) {
    for _ in 0..10 {
        let all_done = work(world).await;
        let ports = world.stack().ports();
        let gauges = [ports.events.gauge().await.unwrap(), ports.dead_letters.gauge().await.unwrap()];
        let is_empty = gauges.iter().all(|queue| queue.waiting + queue.delayed + queue.in_flight == 0);
        if all_done && is_empty && !is_any_due(world).await {
            return;
        }
        scenario.wait(world).await;
    }
    panic!("all comes to rest");
}

/// Does the work that is there, whether all of it. What the end of the process leaves is there for the next.
pub(crate) async fn work(world: &mut World) -> bool {
    let all_done = world.work().await;
    if world.faults.is_dead() {
        world.restart().await;
    }
    all_done
}

/// Sends a request until it is answered as it must be, as its provider does; how often that was.
pub(crate) async fn deliver(world: &mut World, sent: &Sent, expected: i64) -> usize {
    for times in 1..=6 {
        let status = world.post(sent).await;
        if is_answered(world, status, &[expected], &[503]).await {
            return times;
        }
    }
    panic!("a sender is answered in the end");
}

/// Tries an event again until that is taken, as an operator does, and has the work done meanwhile.
pub(crate) async fn retry(world: &mut World, id: &str) {
    for _ in 0..6 {
        let (status, _) = world.ask("POST", &format!("/webhooks/retry/square/{id}")).await;
        // It may have taken effect by an attempt whose answer was lost; it may not be there yet.
        let is_taken = is_answered(world, status, &[202, 409], &[404, 503]).await;
        work(world).await;
        if is_taken {
            return;
        }
    }
    panic!("an operator is answered in the end");
}

/// Whether the answer was one of those that are waited for. Else it is one of those that may come meanwhile, time passes,
/// and the next process starts if this one has ended.
pub(crate) async fn is_answered(world: &mut World, status: i64, expected: &[i64], meanwhile: &[i64]) -> bool {
    if world.faults.is_dead() {
        // Nobody is answered by a process that has ended.
        world.restart().await;
    } else if expected.contains(&status) {
        return true;
    } else {
        assert!(meanwhile.contains(&status), "{status}");
    }
    world.pass(LONGEST_WAIT);
    false
}

/// The two tests of a scenario.
macro_rules! survives {
    ($scenario:expr, $one:ident, $two:ident) => {
        #[tokio::test]
        async fn $one() {
            crate::crash_points::life::every_step_goes_wrong(&$scenario).await;
        }

        #[tokio::test]
        async fn $two() {
            crate::crash_points::life::two_steps_go_wrong(&$scenario).await;
        }
    };
}
pub(crate) use survives;
