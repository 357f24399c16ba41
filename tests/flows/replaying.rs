//! Replays: what failed for good is sent again in bulk, planned before it moves, at a bounded rate, and stopped in the middle.

use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_tests::sender::sample;
use tillwatch_tests::world::{TOKEN, World, settings};

/// A world in which so many payments of Square's are parked, and what parked them is mended.
async fn parked(count: u64) -> World {
    let policy = RetryPolicy { attempts: 1, outage: Duration::ZERO, ..RetryPolicy::default() };
    let mut world = World::with_policy(policy).await;
    world.faults.down(|step| step.starts_with("table.") && step.contains("R#"));
    for number in 0..count {
        let sent = sample("square", "payment.updated", number, world.now(), &settings("square"));
        assert_eq!(world.post(&sent).await, 200);
    }
    world.work().await;
    world.faults.up();
    world.restart_with_policy(RetryPolicy::default()).await;
    assert_eq!(world.health("square").await["parked"], json!(count));
    world.pass(Duration::from_secs(60));
    world
}

async fn start(world: &World, body: Value) -> Value {
    world.do_with("POST", "/replays", &body).await
}

async fn shown(world: &World, id: &str) -> Value {
    world.get(&format!("/replays/{id}")).await
}

#[tokio::test]
async fn a_plan_says_how_many_and_which_and_moves_nothing() {
    let world = parked(30).await;
    let plan = world.do_with("POST", "/replays/plan", &json!({"status": ["parked"]})).await;
    assert_eq!(
        (&plan["matched"], &plan["would_send"], &plan["estimated"]),
        (&json!(30), &json!(30), &json!(false))
    );
    assert_eq!(plan["first"].as_array().unwrap().len(), 20);
    let none = json!({"status": ["parked"], "providers": ["stripe"]});
    assert_eq!(world.do_with("POST", "/replays/plan", &none).await["matched"], 0);
    world.work().await;
    assert_eq!(world.health("square").await["parked"], 30);
    assert_eq!(world.get("/replays").await["replays"], json!([]));
}

#[tokio::test]
async fn a_replay_sends_all_that_it_names_at_its_rate_and_each_takes_effect_once() {
    let world = parked(70).await;
    let begun = world.now();
    let started = start(&world, json!({"id": "all", "status": ["parked"], "rate": 10})).await;
    assert_eq!((&started["planned"], &started["state"]), (&json!(70), &json!("running")));
    world.replay_once().await;
    assert_eq!(shown(&world, "all").await["sent"], 10);
    world.replay_once().await;
    assert_eq!(shown(&world, "all").await["sent"], 10, "the next second has not come");
    world.replay().await;
    let took = world.now().duration_since(begun).as_secs();
    assert!((6..=8).contains(&took), "{took} s");
    let done = shown(&world, "all").await;
    assert_eq!((&done["state"], &done["sent"], &done["skipped"]), (&json!("done"), &json!(70), &json!({})));
    let health = world.health("square").await;
    assert_eq!(
        (&health["applied"], &health["parked"], &health["received"]),
        (&json!(70), &json!(0), &json!(70))
    );
}

#[tokio::test]
async fn a_replay_that_is_cancelled_in_the_middle_leaves_the_rest_as_it_was() {
    let world = parked(40).await;
    start(&world, json!({"id": "all", "status": ["parked"], "rate": 10})).await;
    world.replay_once().await;
    let (status, cancelled) = world.ask("POST", "/replays/all/cancel").await;
    assert_eq!((status, &cancelled["state"], &cancelled["sent"]), (200, &json!("cancelled"), &json!(10)));
    world.replay().await;
    world.pass(Duration::from_secs(60));
    world.replay().await;
    let health = world.health("square").await;
    assert_eq!((&health["applied"], &health["parked"]), (&json!(10), &json!(30)));
    assert_eq!(
        world.ask("POST", "/replays/all/cancel").await.1["state"],
        "cancelled",
        "once more does no harm"
    );
}

#[tokio::test]
async fn two_operators_who_replay_the_same_at_once_do_no_harm() {
    let world = parked(30).await;
    let body = json!({"id": "mine", "status": ["parked"]});
    start(&world, body.clone()).await;
    assert_eq!(start(&world, body).await["id"], "mine", "the same again is the same replay");
    start(&world, json!({"id": "theirs", "status": ["parked"], "providers": ["square"]})).await;
    let other = json!({"id": "mine", "status": ["failed"]});
    let (status, problem) = world.ask_with("POST", "/replays", Some(TOKEN), Some(&other)).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:tillwatch:problem:other-replay")));
    let replays = world.stack().replays();
    let (one, another) = tokio::join!(replays.turn(), replays.turn());
    assert!(one.is_ok() && another.is_ok());
    world.replay().await;
    let health = world.health("square").await;
    assert_eq!(
        (&health["applied"], &health["parked"], &health["received"]),
        (&json!(30), &json!(0), &json!(30))
    );
    let listed = world.get("/replays").await;
    assert_eq!(listed["replays"].as_array().unwrap().len(), 2);
    assert!(listed["replays"].as_array().unwrap().iter().all(|one| one["state"] == "done"));
}

#[tokio::test]
async fn a_filter_narrows_what_is_sent() {
    let world = parked(10).await;
    let at = world.now().to_string();
    for (filter, sent) in [
        (json!({"status": ["parked"], "type": "refund.created"}), 0),
        (json!({"status": ["parked"], "from": at}), 0),
        (json!({"status": ["parked"], "accounts": ["nobody"]}), 0),
        (json!({"status": ["parked"], "cause": "process: it panicked"}), 0),
        (json!({"status": ["held", "unknown_connection", "ignored"]}), 0),
        (json!({"status": ["parked"], "to": at}), 10),
    ] {
        let id = start(&world, filter.clone()).await["id"].as_str().unwrap().to_owned();
        world.replay().await;
        assert_eq!(shown(&world, &id).await["sent"], json!(sent), "{filter}");
    }
}

#[tokio::test]
async fn a_replay_waits_for_what_it_stands_on_and_goes_on_where_it_stopped() {
    let world = parked(30).await;
    start(&world, json!({"id": "all", "status": ["parked"], "rate": 10})).await;
    world.replay_once().await;
    world.faults.down(|step| step == "queue.send");
    world.pass(Duration::from_secs(10));
    world.replay_once().await;
    let stuck = shown(&world, "all").await;
    assert_eq!((&stuck["state"], &stuck["sent"]), (&json!("running"), &json!(10)));
    assert!(stuck["trouble"].as_str().unwrap().contains("the log says more"), "{stuck}");
    world.faults.up();
    world.replay().await;
    let done = shown(&world, "all").await;
    assert_eq!((&done["state"], &done["sent"], &done["trouble"]), (&json!("done"), &json!(30), &json!(null)));
    assert_eq!(world.health("square").await["applied"], 30);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_field_that_does_not() {
    let world = World::new().await;
    for (body, says) in [
        (json!({}), "`status` lists one or more of parked, failed"),
        (json!({"status": ["applied"]}), "`status` lists one or more of"),
        (json!({"status": ["parked"], "rate": 0}), "`rate` is a whole number from 1 to 1000"),
        (json!({"status": ["parked"], "id": "Not An Id"}), "`id` is 1 to 64"),
        (json!({"status": ["parked"], "providers": ["paypal"]}), "No provider is called `paypal`"),
        (json!({"status": ["parked"], "from": "yesterday"}), "`from` is a time such as"),
        (json!({"statuses": ["parked"]}), "unknown field `statuses`"),
    ] {
        for path in ["/replays", "/replays/plan"] {
            let (status, problem) = world.ask_with("POST", path, Some(TOKEN), Some(&body)).await;
            assert_eq!(status, 400, "{path}: {body}");
            assert!(problem["detail"].as_str().unwrap().contains(says), "{path}: {body}: {problem}");
        }
    }
    let (status, problem) = world.ask("POST", "/replays").await;
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().starts_with("There is none."), "{problem}");
    let large = json!({"status": ["parked"], "cause": "x".repeat(1024 * 1024)});
    assert_eq!(world.ask_with("POST", "/replays", Some(TOKEN), Some(&large)).await.0, 413);
    assert_eq!(world.ask("GET", "/replays/none").await.0, 404);
    assert_eq!(world.ask("POST", "/replays/none/cancel").await.0, 404);
    assert_eq!(world.ask("DELETE", "/replays/none").await.0, 405);
}

#[tokio::test]
async fn a_list_names_each_once_and_leaves_none_out_whatever_waits_among_them() {
    let policy = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
    let world = World::with_policy(policy).await;
    world.faults.down(|step| step.starts_with("table.") && step.contains("R#"));
    let test =
        |number| sample("square", "webhooks.test_notification", number, world.now(), &settings("square"));
    let payment = |number| sample("square", "payment.updated", number, world.now(), &settings("square"));
    for number in 0..40 {
        world.pass(Duration::from_millis(1));
        let sent = if number % 10 == 0 { payment(number) } else { test(number) };
        assert_eq!(world.post(&sent).await, 200);
        world.work().await;
    }
    world.faults.up();
    assert_eq!(world.health("square").await["failed"], 4);
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/webhooks/deliveries/square?limit=1{cursor}")).await;
        ids.extend(page["deliveries"].as_array().unwrap().iter().map(|one| one["id"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (40, 40));
}

#[tokio::test]
async fn a_replay_adds_nothing_to_a_queue_that_is_not_worked_off() {
    let world = parked(20).await;
    for number in 100..320 {
        let sent = sample("square", "payment.updated", number, world.now(), &settings("square"));
        assert_eq!(world.post(&sent).await, 200);
    }
    start(&world, json!({"id": "all", "status": ["parked"]})).await;
    let replays = world.stack().replays();
    assert!(replays.turn().await.unwrap().is_some());
    assert_eq!(shown(&world, "all").await["sent"], 0);
    world.work().await;
    world.replay().await;
    assert_eq!(shown(&world, "all").await["sent"], 20);
    assert_eq!(world.health("square").await["applied"], 240);
}
