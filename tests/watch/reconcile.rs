//! What never came: found by asking the provider, fetched once, counted once, and told apart from what webhooks brought.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_tests::server::Manner;

use super::till::Till;

const BOTH: [&str; 2] = ["square", "stripe"];

fn told(state: &str, day: u64, ever: u64) -> (String, u64, u64) {
    (state.to_owned(), day, ever)
}

#[tokio::test]
async fn where_all_webhooks_came_nothing_is_missing_and_nothing_is_fetched() {
    for provider in BOTH {
        let till = Till::of(provider).await;
        for number in 0..4 {
            till.sell_and_tell(&format!("p{number}")).await;
            till.sell_and_tell(&format!("q{number}")).await;
            till.pass(1).await;
        }
        till.pass(2).await;
        assert_eq!(till.gap().await, told("complete", 0, 0), "{provider}");
        assert_eq!(till.world.deliveries(provider).await.len(), 8);
        assert_eq!(till.world.health(provider).await["reconciled"], 0);
        let view = till.told().await;
        let until: jiff::Timestamp = view["listed_until"].as_str().unwrap().parse().unwrap();
        assert!(till.world.now().duration_since(until).as_mins() <= 100, "{view}");
    }
}

#[tokio::test]
async fn what_no_webhook_told_of_is_fetched_once_and_counted_apart() {
    for provider in BOTH {
        let till = Till::of(provider).await;
        till.sell_and_tell("came").await;
        till.sell("lost");
        till.pass(4).await;
        let record = till.record("lost").await.unwrap();
        assert_eq!((&record["status"], &record["amount"]["value"]), (&json!("completed"), &json!("1.00")));
        assert_eq!(record["changes"].as_array().unwrap().len(), 1, "{record}");
        assert_eq!(record["changes"][0]["reconciled"], true);
        assert_eq!(till.record("came").await.unwrap()["changes"][0]["reconciled"], false);
        assert_eq!(till.gap().await, told("gap", 1, 1), "{provider}");
        let marks: Vec<_> =
            till.world.deliveries(provider).await.iter().map(|one| one["reconciled"].clone()).collect();
        assert_eq!(marks, [true, false], "{provider}");
        let health = till.world.health(provider).await;
        let counts = ["received", "applied", "reconciled"].map(|name| health[name].as_i64().unwrap());
        assert_eq!(counts, [1, 1, 1], "{provider}");
        assert_eq!(health["processing_time"]["count"], 1);
    }
}

#[tokio::test]
async fn a_webhook_that_comes_after_all_changes_nothing_and_is_no_error() {
    for (provider, deliveries) in [("square", 2), ("stripe", 1)] {
        let till = Till::of(provider).await;
        let sent = till.sell("late");
        till.pass(3).await;
        let before = till.record("late").await.unwrap();
        assert_eq!(till.world.post(&till.signed_now(sent)).await, 200);
        till.pass(3).await;
        let after = till.record("late").await.unwrap();
        assert_eq!(after, before, "{provider}");
        assert_eq!(after["uncertain"], false);
        let all = till.world.deliveries(provider).await;
        assert_eq!(all.len(), deliveries, "{provider}: of Stripe's the id is the same");
        let statuses: Vec<_> = all.iter().map(|one| one["status"].as_str().unwrap()).collect();
        assert!(statuses.iter().all(|status| ["applied", "superseded"].contains(status)), "{statuses:?}");
        assert_eq!(till.gap().await, told("gap", 1, 1), "{provider}");
    }
}

#[tokio::test]
async fn a_webhook_that_waits_to_be_processed_is_not_missing() {
    let till = Till::of("square").await;
    let sent = till.sell("waits");
    assert_eq!(till.world.post(&sent).await, 200);
    for _ in 0..18 {
        till.world.pass(Duration::from_mins(10));
        till.world.stack().schedule_checks(false).await.unwrap();
        while till.world.stack().reconcile_batch().await.unwrap() > 0 {}
    }
    assert_eq!(till.lists(), 0);
    till.pass(3).await;
    assert_eq!(till.gap().await, told("complete", 0, 0));
    assert_eq!(till.world.deliveries("square").await.len(), 1);
}

#[tokio::test]
async fn what_was_sold_before_the_connection_was_seen_is_not_fetched_by_itself_but_when_it_is_asked_for() {
    let till = Till::unseen("square").await;
    till.sell("old");
    till.world.pass(Duration::from_hours(2));
    let (from, to) = (till.world.now() - Duration::from_hours(3), till.world.now() - Duration::from_hours(1));
    till.configure(json!({})).await;
    till.pass(4).await;
    assert_eq!(till.record("old").await, None);

    let asked = json!({"from": from.to_string(), "to": to.to_string()});
    let answer = till.world.do_with("POST", "/connections/till/reconcile", &asked).await;
    assert_eq!(answer["connection"], "till");
    till.world.reconcile().await;
    assert!(till.record("old").await.is_some());
    assert_eq!(till.told().await["asked_from"], Value::Null);
    let early = json!({"from": (till.world.now() - Duration::from_hours(8 * 24)).to_string()});
    for senseless in
        [early, json!({"to": to.to_string()}), json!({"from": to.to_string(), "to": from.to_string()})]
    {
        let path = "/connections/till/reconcile";
        let (status, answer) =
            till.world.ask_with("POST", path, Some(tillwatch_tests::world::TOKEN), Some(&senseless)).await;
        assert_eq!(status, 422, "{senseless}: {answer}");
    }
}

#[tokio::test]
async fn two_workers_at_once_fetch_one_thing_once_and_count_it_once() {
    for provider in BOTH {
        let till = Till::of(provider).await;
        till.sell("lost");
        till.world.pass(Duration::from_hours(2));
        let reconciler = till.world.stack().reconciler();
        let (one, other) = tokio::join!(reconciler.reconcile("till"), reconciler.reconcile("till"));
        one.unwrap();
        other.unwrap();
        till.pass(3).await;
        assert_eq!(till.gap().await, told("gap", 1, 1), "{provider}");
        assert_eq!(till.world.deliveries(provider).await.len(), 1, "{provider}");
        assert_eq!(till.record("lost").await.unwrap()["changes"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_gap_of_three_days_is_worked_off_page_by_page_and_slice_by_slice() {
    for provider in BOTH {
        let till = Till::of(provider).await;
        // Nothing runs here for three days, and nothing comes.
        for number in 0..36 {
            till.sell(&format!("p{number}"));
            if number % 4 == 0 {
                till.sell(&format!("q{number}"));
            }
            till.world.pass(Duration::from_hours(2));
        }
        till.pass(4).await;
        let (state, day, ever) = till.gap().await;
        assert_eq!((state.as_str(), day, ever), ("gap", 45, 45), "{provider}");
        for number in 0..36 {
            assert!(till.record(&format!("p{number}")).await.is_some(), "{provider} p{number}");
        }
        assert_eq!(till.world.deliveries(provider).await.len(), 45, "{provider}");
        let view = till.told().await;
        let until: jiff::Timestamp = view["listed_until"].as_str().unwrap().parse().unwrap();
        assert!(till.world.now().duration_since(until).as_mins() <= 100, "{view}");
    }
}

#[tokio::test]
async fn where_a_provider_does_not_list_the_position_stays_and_what_was_lost_is_found_afterwards() {
    for manner in [Manner::Limited(120), Manner::Broken, Manner::Html, Manner::Silent, Manner::Huge] {
        let till = Till::of("square").await;
        till.sell("lost");
        till.server.behave(manner.clone());
        let before = till.told().await["listed_until"].clone();
        till.pass(6).await;
        let view = till.told().await;
        assert_eq!((&view["state"], &view["listed_until"]), (&json!("failing"), &before), "{manner:?}");
        assert!(view["trouble"].is_string() && view["failures"].as_u64().unwrap() > 2, "{view}");
        let asked = till.server.calls().len();
        // What is too large is asked for in ever smaller parts first.
        assert!(asked <= 16, "{manner:?}: {asked} calls in six hours");
        till.server.behave(Manner::Well);
        till.pass(3).await;
        assert_eq!(till.gap().await, told("gap", 1, 1), "{manner:?}");
        assert!(till.record("lost").await.is_some());
    }
}

#[tokio::test]
async fn what_its_token_may_not_list_is_told_and_asked_for_seldom_and_takes_no_connection_down() {
    let till = Till::of("square").await;
    till.refuses.store(403, Ordering::SeqCst);
    till.pass(13).await;
    let view = till.told().await;
    assert_eq!((&view["state"], &view["trouble"]), (&json!("unable"), &json!("scope_missing")));
    assert_eq!(view["code"], "INSUFFICIENT_SCOPES");
    let lists = till.lists();
    assert!((1..=4).contains(&lists), "{lists} lists in thirteen hours");
    till.world.watch_for(Duration::from_mins(11)).await;
    assert_eq!(till.world.get("/connections/till/health").await["status"], "up");
    let all = till.world.get("/reconciliations?provider=square&business=harbour").await;
    assert_eq!((&all["total"], &all["reconciliations"][0]["state"]), (&json!(1), &json!("unable")));
    // Changed, it is asked for again within the usual time.
    till.refuses.store(0, Ordering::SeqCst);
    till.configure(json!({"location_id": "L1"})).await;
    till.pass(2).await;
    assert_eq!(till.told().await["trouble"], Value::Null);
}

#[tokio::test]
async fn without_a_token_nothing_is_asked_and_what_is_missing_is_named() {
    let till = Till::of("square").await;
    till.server.calls();
    let bare = json!({
        "id": "bare", "provider": "square", "business": "harbour", "merchant_id": "M2", "base_url": till.server.base,
    });
    till.world.do_with("PUT", "/config/business-connections/bare", &bare).await;
    for _ in 0..12 {
        till.world.pass(Duration::from_mins(10));
        till.world.stack().schedule_checks(false).await.unwrap();
        till.world.stack().reconciler().reconcile("bare").await.unwrap();
    }
    let view = till.world.get("/connections/bare/reconciliation").await;
    assert_eq!((&view["state"], &view["trouble"]), (&json!("unable"), &json!("misconfigured")));
    assert!(view["advice"].as_str().unwrap().contains("`access_token`"), "{view}");
    assert!(till.server.calls().is_empty());
}

#[tokio::test]
async fn one_that_is_paused_is_not_asked_and_what_was_held_meanwhile_is_not_missing() {
    let till = Till::of("square").await;
    till.world.do_with("POST", "/connections/till/pause", &Value::Null).await;
    till.sell_and_tell("held").await;
    till.sell("lost");
    till.pass(5).await;
    assert_eq!((till.lists(), till.gap().await), (0, told("paused", 0, 0)));
    till.world.do_with("POST", "/connections/till/resume", &Value::Null).await;
    till.world.replay().await;
    till.pass(3).await;
    assert_eq!(till.gap().await, told("gap", 1, 1));
    let (held, lost) = (till.record("held").await.unwrap(), till.record("lost").await.unwrap());
    assert_eq!(
        (&held["changes"][0]["reconciled"], &lost["changes"][0]["reconciled"]),
        (&json!(false), &json!(true))
    );
    // The same where its provider is.
    till.world.do_with("POST", "/providers/square/pause", &Value::Null).await;
    till.lists();
    till.pass(5).await;
    assert_eq!(till.lists(), 0);
}

#[tokio::test]
async fn what_came_in_shadow_takes_no_effect_when_the_shadow_ends() {
    let till = Till::of("square").await;
    till.configure(json!({"role": "shadow"})).await;
    till.sell_and_tell("in_shadow").await;
    till.pass(5).await;
    till.configure(json!({"role": "primary"})).await;
    till.pass(4).await;
    assert_eq!((till.record("in_shadow").await, till.gap().await), (None, told("complete", 0, 0)));
    till.sell("lost");
    till.pass(4).await;
    assert!(till.record("lost").await.is_some());
    assert_eq!(till.gap().await, told("gap", 1, 1));
}

#[tokio::test]
async fn when_its_token_is_taken_again_it_is_asked_within_the_usual_time() {
    let till = Till::of("square").await;
    till.refuses.store(401, Ordering::SeqCst);
    till.pass(3).await;
    let view = till.told().await;
    assert_eq!((&view["state"], &view["trouble"]), (&json!("unable"), &json!("token_refused")));
    till.refuses.store(0, Ordering::SeqCst);
    till.pass(2).await;
    assert_eq!(till.told().await["state"], "complete");
}

#[tokio::test]
async fn what_happened_at_another_place_is_left_to_the_connection_of_that_place() {
    let till = Till::of("square").await;
    till.configure(json!({"location_id": "L2"})).await;
    till.sell("elsewhere");
    till.pass(3).await;
    assert_eq!(till.gap().await, told("complete", 0, 0));
    assert_eq!(till.record("elsewhere").await, None);
}

#[tokio::test]
async fn a_run_that_finds_nothing_missing_costs_one_small_write() {
    let till = Till::of("square").await;
    till.sell_and_tell("came").await;
    till.pass(2).await;
    let runs = |view: &Value| view["ran_at"].clone();
    let before = (runs(&till.told().await), till.world.meter.total());
    let count =
        |calls: &std::collections::BTreeMap<String, u64>, name: &str| calls.get(name).copied().unwrap_or(0);
    let mut made = 0;
    for _ in 0..12 {
        till.world.pass(Duration::from_mins(30));
        let ran = runs(&till.told().await);
        while till.world.stack().reconcile_batch().await.unwrap() > 0 {}
        till.world.stack().reconciler().reconcile("till").await.unwrap();
        made += u64::from(runs(&till.told().await) != ran);
    }
    let used = till.world.meter.total().since(&before.1);
    assert!(made >= 5, "{made}");
    assert_eq!(count(&used.calls, "PutItem tillwatch-connections"), made, "{:?}", used.calls);
    assert!(used.write_milliunits <= made * 3_000, "{} for {made} runs", used.write_milliunits);
    let writes = ["PutItem tillwatch", "UpdateItem tillwatch", "DeleteItem tillwatch"];
    assert!(writes.iter().all(|name| count(&used.calls, name) == 0), "{:?}", used.calls);
}

#[tokio::test]
async fn what_was_missing_is_measured_by_provider_and_outcome_alone() {
    let till = Till::of("square").await;
    till.sell("lost");
    till.pass(3).await;
    let lines: Vec<Value> =
        till.world.metrics.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcomes: Vec<_> = lines
        .iter()
        .filter(|line| line.get("Reconciled").is_some())
        .map(|line| (line["outcome"].as_str().unwrap(), line["Reconciled"].clone()))
        .collect();
    assert_eq!(outcomes.iter().map(|(outcome, _)| *outcome).collect::<Vec<_>>(), ["missing", "applied"]);
    let is_of_it = |line: &&Value| line.get("Reconciled").is_some();
    for line in lines.iter().filter(is_of_it) {
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["provider", "outcome"]]));
        assert!(line.get("Events").is_none(), "{line}");
    }
}
