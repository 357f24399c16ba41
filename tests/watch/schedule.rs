//! When checks are made: each in its turn, spread, none twice, and none for what is paused or gone.

use std::time::Duration;

use serde_json::json;
use tillwatch::stack::{CONNECTIONS_TABLE, FIGURES_TABLE};
use tillwatch_platform::watched::{Of, Watched};
use tillwatch_workflows::agenda::Agenda;

use super::place::Place;

const INTERVAL: Duration = Duration::from_mins(5);

#[tokio::test]
async fn each_connection_is_checked_at_once_and_then_once_in_every_interval() {
    let place = Place::with(&[("square", 12)]).await;
    place.begin().await;
    let server = &place.providers["square"].server;
    assert_eq!(server.calls().len(), 12);
    // Its own moment comes after half an interval at least and one and a half at most.
    place.world.watch_for(INTERVAL * 3 / 2).await;
    let second = server.calls().len();
    assert!((12..=24).contains(&second), "{second}");
    for _ in 0..3 {
        place.world.watch_for(INTERVAL).await;
        assert_eq!(server.calls().len(), 12);
    }
}

#[tokio::test]
async fn checks_are_spread_over_the_interval() {
    let place = Place::with(&[("square", 30)]).await;
    place.begin().await;
    place.world.watch_for(INTERVAL * 2).await;
    place.providers["square"].server.calls();
    let mut of_a_minute = Vec::new();
    for _ in 0..5 {
        place.world.watch_for(Duration::from_mins(1)).await;
        of_a_minute.push(place.providers["square"].server.calls().len());
    }
    assert_eq!(of_a_minute.iter().sum::<usize>(), 30);
    assert!(of_a_minute.iter().all(|count| (1..=14).contains(count)), "{of_a_minute:?}");
}

#[tokio::test]
async fn what_is_paused_or_disabled_is_not_asked_and_said_to_be_so() {
    let place = Place::with(&[("square", 2)]).await;
    place.begin().await;
    place.world.do_with("POST", "/connections/square-0/pause", &json!({})).await;
    place.world.do_with("POST", "/connections/square-1/disable", &json!({})).await;
    place.providers["square"].server.calls();
    place.world.watch_for(INTERVAL * 2).await;
    assert_eq!(place.providers["square"].server.calls(), Vec::<String>::new());
    assert_eq!(place.status("square-0").await, "paused");
    let (status, problem) = place.world.ask("POST", "/connections/square-1/check").await;
    assert_eq!((status, problem["title"].as_str()), (409, Some("It is not checked")));
    place.world.do_with("POST", "/connections/square-0/resume", &json!({})).await;
    assert_eq!(place.status("square-0").await, "unknown");
    place.begin().await;
    assert_eq!(place.status("square-0").await, "up");
}

#[tokio::test]
async fn an_operator_has_one_or_all_checked_at_once() {
    let place = Place::with(&[("square", 45)]).await;
    place.begin().await;
    let server = &place.providers["square"].server;
    server.calls();
    let checked = place.world.do_with("POST", "/connections/square-7/check", &json!({})).await;
    assert_eq!((checked["status"].as_str(), server.calls().len()), (Some("up"), 1));
    let asked = place.world.do_with("POST", "/pos/health/square/test", &json!({})).await;
    assert_eq!(asked["connections"], 45);
    place.world.watch().await;
    assert_eq!(server.calls().len(), 45);
}

#[tokio::test]
async fn what_an_event_made_is_found_and_said_to_lack_what_it_is_asked_with() {
    let place = Place::with(&[("square", 0)]).await;
    let settings = tillwatch_tests::world::settings("square");
    let at = place.world.now();
    let event = tillwatch_tests::sender::sample("square", "payment.updated", 1, at, &settings);
    assert_eq!(place.world.post(&event).await, 200);
    place.world.work().await;
    place.world.stack().schedule_checks(true).await.unwrap();
    place.begin().await;
    let page = place.world.get("/pos/health/square/connections").await;
    let [one] = page["connections"].as_array().unwrap().as_slice() else { panic!("{page}") };
    assert_eq!(
        (one["status"].as_str(), one["trouble"]["kind"].as_str()),
        (Some("unknown"), Some("misconfigured"))
    );
    assert!(one["trouble"]["detail"].as_str().unwrap().contains("`access_token`"), "{one}");
}

#[tokio::test]
async fn a_clock_that_is_put_back_stops_nothing_for_long() {
    let place = Place::with(&[("square", 3)]).await;
    place.begin().await;
    place.world.clock().put_back(Duration::from_hours(30));
    place.providers["square"].server.calls();
    place.world.stack().schedule_checks(true).await.unwrap();
    place.world.watch_for(Duration::from_mins(1)).await;
    assert_eq!(place.providers["square"].server.calls().len(), 3);
    place.world.watch_for(INTERVAL * 3).await;
    assert!((2..=4).contains(&(place.providers["square"].server.calls().len() / 3)));
    assert_eq!(place.status("square-1").await, "up");
}

#[tokio::test]
async fn where_the_schedule_comes_once_a_minute_what_is_lost_is_sent_again_too() {
    let place = Place::with(&[("square", 1)]).await;
    place.begin().await;
    let ports = place.world.stack().ports();
    let names = [CONNECTIONS_TABLE, FIGURES_TABLE].map(str::to_owned);
    let [connections, figures] = names;
    let agenda = Agenda {
        watched: Watched::in_process(ports.table.clone(), Of::Health, connections, figures),
        jobs: ports.checks.clone(),
        clock: ports.clock.clone(),
        ahead: Duration::from_mins(1),
    };
    let mut sent = Vec::new();
    for minute in 0..60 {
        place.world.pass(Duration::from_millis(60_003));
        if agenda.send_due().await.unwrap() > 0 {
            sent.push(minute);
        }
        // Nobody ever makes the check.
    }
    assert!((4..=6).contains(&sent.len()), "{sent:?}");
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] <= 20), "{sent:?}");
}
