//! Sources that normally send and do not: told with what speaks for it, and not told of those that are closed, young or quiet.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tillwatch_providers::Headers;
use tillwatch_tests::sender::{json, signed};
use tillwatch_tests::world::settings;

use super::market::{AN_HOUR, HOUR, Market};

#[tokio::test]
async fn a_shop_that_sends_nothing_on_a_working_day_is_silent_and_the_others_are_not() {
    let market = Market::with(&[("north", None), ("south", None), ("east", None), ("west", None)]).await;
    for hour in 10..13 {
        for shop in ["north", "east", "west"] {
            market.sell(shop, hour, AN_HOUR).await;
        }
    }
    market.at(13, 10).await;
    let south = market.health("south").await;
    assert_eq!((&south["status"], &south["trouble"]["kind"]), (&json!("degraded"), &json!("silent")));
    assert_eq!(south["silence"]["expected"], 12, "{south}");
    assert_eq!((&south["silence"]["least"], &south["silence"]["weeks"]), (&json!(12), &json!(4)));
    assert_eq!(south["blame"]["whose"], "tenant", "others of the provider's send: {south}");
    assert!(south["reasons"].as_array().unwrap().contains(&json!("silent")));
    let detail = south["trouble"]["detail"].as_str().unwrap();
    assert!(detail.contains("12 came on average"), "{detail}");
    for shop in ["north", "east", "west"] {
        let other = market.health(shop).await;
        assert_eq!(other["silence"]["state"], "normal", "{other}");
        assert_ne!(other["trouble"]["kind"], "silent");
    }
    // It is over when one comes.
    market.sell("south", 14, 1).await;
    market.at(15, 10).await;
    assert_eq!(market.health("south").await["silence"]["state"], "normal");
}

#[tokio::test]
async fn a_shop_that_is_closed_on_a_holiday_is_not_missed() {
    let weekly = |exceptions: Value| json!({"mode": "weekly", "wednesday": [{"open": "10:00", "close": "14:00"}], "exceptions": exceptions});
    let shops = [("open", Some(weekly(json!({})))), ("closed", Some(weekly(json!({})))), ("other", None)];
    let market = Market::with(&shops).await;
    let today = market.midnight_of_now().to_string();
    let today = today.split_once('T').unwrap().0;
    market.open("closed", Some(&weekly(json!({today: []})))).await;
    for hour in 10..13 {
        market.sell("other", hour, AN_HOUR).await;
    }
    market.at(13, 10).await;
    assert_eq!(market.health("open").await["silence"]["state"], "silent");
    assert_eq!(market.health("closed").await["silence"]["state"], "normal");
}

#[tokio::test]
async fn when_processing_is_behind_nobody_is_called_silent() {
    let market = Market::with(&[("north", None)]).await;
    market.go_to(market.midnight_of_now() + SignedDuration::from_hours(10));
    let now = market.world.now();
    let body = tillwatch_tests::sender::square_payment("late", "COMPLETED", 700, now, "late");
    let sent = signed("square", Headers::new(), body, now, &settings("square"));
    assert_eq!(json(&market.world.send(&sent).await)["id"].as_str().map(str::len), Some(36));
    // It waits on the queue, and so may others.
    market.at(14, 10).await;
    assert_eq!(market.health("north").await["silence"]["state"], "normal");
    market.world.work().await;
    market.world.pass(HOUR);
    market.at(16, 10).await;
    assert_eq!(market.health("north").await["silence"]["state"], "silent");
}

#[tokio::test]
async fn what_waited_on_the_queue_for_hours_is_counted_once_it_is_processed() {
    let market = Market::with(&[("north", None)]).await;
    market.go_to(market.midnight_of_now() + SignedDuration::from_hours(10));
    market.send("north").await;
    market.at(14, 10).await;
    market.world.work().await;
    market.at(14, 20).await;
    let of = market.world.get("/connections/north-square/webhooks?hours=12").await;
    assert_eq!(of["all"]["received"], 1, "{of}");
    market.at(20, 10).await;
    let of = market.world.get("/connections/north-square/webhooks?hours=12").await;
    assert_eq!(of["all"]["received"], 1, "{of}");
}

#[tokio::test]
async fn a_connection_that_goes_to_another_business_leaves_behind_what_it_sent() {
    let market = Market::with(&[("north", None)]).await;
    market.sell("north", 10, 3).await;
    market.at(11, 10).await;
    let location = json!({"id": "north", "business": "another", "timezone": "UTC",
        "providers": {"square": {"merchant_id": "north"}}});
    market.world.do_with("PUT", "/config/locations/north", &location).await;
    let of = market.world.get("/connections/north-square/webhooks?hours=24").await;
    assert_eq!((&of["all"]["received"], &of["last_received_at"]), (&json!(0), &Value::Null), "{of}");
    market.sell("north", 12, 2).await;
    market.at(13, 10).await;
    let of = market.world.get("/connections/north-square/webhooks?hours=24").await;
    assert_eq!(of["all"]["received"], 2, "{of}");
    let week = market.world.get("/statistics?hours=144").await;
    let north = &week["connections"][0];
    assert_eq!((&north["business"], &north["webhooks"]["received"]), (&json!("another"), &json!(2)));
    assert_eq!(north["before"]["received"], 0, "{week}");
    // It is not missed for what it sent before either.
    market.next_week();
    market.at(14, 10).await;
    assert_eq!(market.health("north").await["silence"]["state"], "unknown");
}

#[tokio::test]
async fn of_a_young_connection_nothing_is_said() {
    let market = Market::with(&[("north", None)]).await;
    market.open("new", None).await;
    for hour in 10..14 {
        market.sell("new", hour, AN_HOUR).await;
    }
    market.next_week();
    market.at(14, 10).await;
    assert_eq!(market.health("new").await["silence"]["state"], "unknown");
    assert_eq!(market.health("north").await["silence"]["state"], "silent");
}

#[tokio::test]
async fn each_connections_webhooks_are_counted_by_type_and_hour_and_set_against_the_span_before() {
    let market = Market::with(&[("north", None), ("south", None)]).await;
    market.sell("north", 10, 3).await;
    market.sell("south", 10, 1).await;
    market.sell("north", 11, 2).await;
    market.at(12, 10).await;
    let of = market.world.get("/connections/north-square/webhooks?hours=24").await;
    assert_eq!((&of["all"]["received"], &of["all"]["applied"]), (&json!(5), &json!(5)));
    assert_eq!(of["types"]["payment.updated"]["success_per_mille"], 1_000);
    let hours: Vec<_> = of["hours"].as_array().unwrap().iter().map(|hour| hour["received"].clone()).collect();
    assert_eq!(hours, [json!(2), json!(3)]);
    assert!(of["last_received_at"].as_str().unwrap().contains("T11:00"), "{of}");
    let week = market.world.get("/statistics?hours=144").await;
    assert_eq!(week["total"], 2);
    let north = &week["connections"][0];
    assert_eq!((&north["connection"], &north["webhooks"]["received"]), (&json!("north-square"), &json!(5)));
    assert_eq!(
        (&north["before"]["received"], &north["before"]["received_change_percent"]),
        (&json!(16), &json!(-68))
    );
}

#[tokio::test]
async fn what_is_counted_twice_or_after_an_end_of_the_process_is_the_same() {
    let mut market = Market::with(&[("north", None)]).await;
    market.sell("north", 10, 3).await;
    market.at(11, 10).await;
    market.world.restart().await;
    market.sell("north", 11, 2).await;
    market.at(12, 10).await;
    for _ in 0..3 {
        market.world.pass(Duration::from_mins(6));
        market.world.tally().await;
    }
    let count = async |market: &Market| {
        let of = market.world.get("/connections/north-square/webhooks?hours=24").await;
        of["all"]["received"].clone()
    };
    assert_eq!(count(&market).await, 5);
    // Settled by hour, and by day.
    market.go_to(market.midnight_of_now() + SignedDuration::from_hours(20));
    market.world.tally().await;
    assert_eq!(count(&market).await, 5);
    market.go_to(market.midnight_of_now() + SignedDuration::from_hours(60));
    market.world.tally().await;
    let of = market.world.get("/statistics?hours=96&connection=north-square").await;
    assert_eq!(of["connections"][0]["webhooks"]["received"], 5);
}
