//! The process ends, or what it stands on fails, at any step of a check: it is made again, and nothing is said that was not
//! so.

use std::time::Duration;

use tillwatch_tests::faults::{Fault, Step};
use tillwatch_tests::server::Manner;

use super::place::Place;

/// A connection that was up is watched for a while while steps go wrong, by a process that is followed by
/// the next when it has ended; what was said of it, and the steps.
async fn lived(is_broken: bool, plan: &[(Step, Fault)]) -> (Place, Vec<String>, Vec<Step>) {
    let mut place = Place::with(&[("square", 1)]).await;
    place.begin().await;
    if is_broken {
        place.providers["square"].behave(Manner::Broken);
    }
    place.world.faults.plan(plan);
    let mut said = Vec::new();
    let mut steps = Vec::new();
    for turn in 0..13 {
        place.world.pass(Duration::from_mins(2));
        place.world.watch().await;
        if place.world.faults.is_dead() {
            place.world.restart().await;
        }
        // What is kept of the first rounds is what the others are like.
        if turn == 6 {
            // What comes again is like what came first.
            steps = place.world.faults.steps();
            steps.retain(|step| step.time == 1);
        }
    }
    place.world.faults.spare();
    for _ in 0..3 {
        place.world.pass(Duration::from_mins(1));
        place.world.watch().await;
        said.push(place.status("square-0").await);
    }
    (place, said, steps)
}

#[tokio::test]
async fn whatever_goes_wrong_here_a_provider_that_works_is_said_to() {
    let (_, said, steps) = lived(false, &[]).await;
    assert_eq!(said, ["up"; 3]);
    for fault in Fault::ALL {
        for step in steps.iter().filter(|step| matters(fault, step)) {
            let (place, said, _) = lived(false, &[(step.clone(), fault)]).await;
            assert_eq!(said, ["up"; 3], "{fault:?} at {step}");
            assert!(place.world.faults.has_struck(), "{fault:?} comes to {step}");
            is_still_checked(&place).await;
        }
    }
}

#[tokio::test]
async fn whatever_goes_wrong_here_a_provider_that_is_down_is_said_to_be() {
    let (_, said, steps) = lived(true, &[]).await;
    assert_eq!(said, ["down"; 3]);
    for fault in Fault::ALL {
        for step in steps.iter().filter(|step| matters(fault, step)) {
            let (place, said, _) = lived(true, &[(step.clone(), fault)]).await;
            assert_eq!(said, ["down"; 3], "{fault:?} at {step}");
            is_still_checked(&place).await;
        }
    }
}

/// A call of the table that fails once is made again by who makes it.
pub(super) fn matters(fault: Fault, step: &Step) -> bool {
    let fails_once = matches!(fault, Fault::FailsBefore | Fault::FailsAfter);
    fault.is_of(step) && !(fails_once && step.name.starts_with("table."))
}

/// That its checks go on.
async fn is_still_checked(place: &Place) {
    let doing = place.doing("square-0").await;
    let checked: jiff::Timestamp = doing["checked_at"].as_str().unwrap().parse().unwrap();
    let age = place.world.now().duration_since(checked);
    assert!(age.as_mins() <= 11, "{age:?}: {doing}");
}

#[tokio::test]
async fn a_job_that_is_lost_is_sent_again() {
    let place = Place::with(&[("square", 1)]).await;
    place.begin().await;
    let server = &place.providers["square"].server;
    server.calls();
    // What is sent never comes: the one who makes checks is away.
    for _ in 0..8 {
        place.world.pass(Duration::from_mins(1));
        place.world.stack().schedule_checks(false).await.unwrap();
    }
    let queue = &place.world.stack().ports().checks;
    let lost = queue.receive(10, Duration::from_secs(1)).await.unwrap();
    assert!(!lost.is_empty());
    queue.delete(lost.into_iter().map(|message| message.receipt).collect()).await.unwrap();
    assert_eq!(place.world.watch().await, 0);
    place.world.watch_for(Duration::from_mins(21)).await;
    assert!(!server.calls().is_empty());
}
