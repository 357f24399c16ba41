//! The process ends, or what it stands on fails, at any step of a reconciliation: what was lost is fetched all the same, once.

use std::time::Duration;

use serde_json::json;
use tillwatch_tests::faults::{Fault, Step};

use super::interrupted::matters;
use super::till::Till;

/// One thing was sold whose webhook came and one whose webhook was lost; steps go wrong while that is found out.
async fn lived(plan: &[(Step, Fault)]) -> (Till, Vec<Step>) {
    let mut till = Till::of("square").await;
    till.sell_and_tell("came").await;
    till.sell("lost");
    till.world.pass(Duration::from_hours(1));
    till.world.faults.plan(plan);
    let mut steps = Vec::new();
    for turn in 0..7 {
        till.world.pass(Duration::from_mins(20));
        till.world.reconcile().await;
        if turn % 3 == 2 {
            till.world.turn(Duration::ZERO).await;
        }
        if till.world.faults.is_dead() {
            till.world.restart().await;
        }
        // The first run and what comes of it.
        if turn == 3 {
            steps = till.world.faults.steps();
            steps.retain(|step| step.time == 1);
        }
    }
    till.world.faults.spare();
    for _ in 0..5 {
        till.world.turn(Duration::from_mins(20)).await;
        till.world.reconcile().await;
    }
    (till, steps)
}

async fn is_right(till: &Till, of: &str) {
    let record = till.record("lost").await.unwrap_or_else(|| panic!("{of}: it is lost"));
    assert_eq!(record["changes"].as_array().unwrap().len(), 1, "{of}: {record}");
    let all = till.world.deliveries("square").await;
    let fetched = all.iter().filter(|one| one["reconciled"] == true).count();
    assert_eq!((all.len(), fetched), (2, 1), "{of}: {all:?}");
    let (state, _, ever) = till.gap().await;
    assert_eq!((state.as_str(), ever), ("gap", 1), "{of}");
    let health = till.world.health("square").await;
    assert_eq!((&health["received"], &health["reconciled"]), (&json!(1), &json!(1)), "{of}");
}

/// Whether a step is of a run or of what comes of it.
fn is_of_it(step: &Step) -> bool {
    step.name.starts_with("queue.")
        || ["R#till", "E#evt", "R#square"].iter().any(|key| step.name.contains(key))
}

#[tokio::test]
async fn whatever_goes_wrong_here_what_was_lost_is_fetched_and_counted_once() {
    let (till, steps) = lived(&[]).await;
    is_right(&till, "nothing").await;
    let of_runs = |step: &&Step| step.name.contains("R#") || step.name == "queue.send";
    assert!(steps.iter().filter(of_runs).count() > 3, "{steps:?}");
    for fault in Fault::ALL {
        for step in steps.iter().filter(|step| matters(fault, step) && is_of_it(step)) {
            let (till, _) = lived(&[(step.clone(), fault)]).await;
            let _witness = till.world.faults.witness();
            assert!(till.world.faults.has_struck(), "{fault:?} comes to {step}");
            is_right(&till, &format!("{fault:?} at {step}")).await;
        }
    }
}
