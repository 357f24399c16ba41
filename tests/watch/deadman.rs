//! The dead-man switch: it is told while all is at work, and not when a part is not.

use std::time::Duration;

use serde_json::Value;
use tillwatch_platform::beats::Part;
use tillwatch_platform::connections::Kind;
use tillwatch_tests::server::{Manner, Reply, Server};
use tillwatch_tests::world::World;
use tillwatch_workflows::deadman::Told;

use super::place::Place;

const MINUTE: Duration = Duration::from_mins(1);

/// A world, and who is told.
async fn told_world() -> (World, Server) {
    let server = Server::start(|_| Reply::json(200, Value::Null)).await;
    let mut world = World::new().await;
    world.deadman_url = Some(format!("{}/ping/hunter2", server.base));
    world.restart().await;
    world.turn(MINUTE).await;
    (world, server)
}

async fn tell(world: &World) -> Told {
    world.stack().tell_deadman().await.unwrap()
}

#[tokio::test]
async fn it_is_told_once_a_minute_while_all_is_at_work() {
    let (world, server) = told_world().await;
    assert_eq!((tell(&world).await, tell(&world).await), (Told::Yes, Told::NotNow));
    for _ in 0..5 {
        world.turn(MINUTE).await;
        assert_eq!(tell(&world).await, Told::Yes);
    }
    assert_eq!(server.calls().len(), 6);
}

#[tokio::test]
async fn it_is_not_told_when_nothing_is_processed_any_more_and_again_when_it_is() {
    let (world, server) = told_world().await;
    assert_eq!(tell(&world).await, Told::Yes);
    // The schedule goes on, and nobody works on what it sends.
    for _ in 0..6 {
        world.pass(MINUTE);
        world.stack().heartbeat(world.now()).await.unwrap();
        tell(&world).await;
    }
    server.calls();
    world.pass(MINUTE);
    assert_eq!(tell(&world).await, Told::Missing(Part::Processor));
    assert_eq!(server.calls(), Vec::<String>::new());
    world.turn(MINUTE).await;
    assert_eq!(tell(&world).await, Told::Yes);
}

/// A minute in which all is done that there is to do.
async fn minute(world: &World) {
    world.turn(MINUTE).await;
    world.watch().await;
}

#[tokio::test]
async fn it_is_told_for_hours_after_the_last_connection_has_gone() {
    let (world, _server) = told_world().await;
    let place = Place::in_world(world, &[("stripe", 1)]).await;
    place.begin().await;
    let connections = place.world.connections();
    connections.delete_document(Kind::Connection, "stripe-0").await.unwrap();
    for nth in 0..90 {
        minute(&place.world).await;
        assert_eq!(tell(&place.world).await, Told::Yes, "minute {nth}");
    }
}

#[tokio::test]
async fn it_is_not_told_when_nothing_is_scheduled_or_checked_any_more() {
    let (world, _server) = told_world().await;
    minute(&world).await;
    assert_eq!(tell(&world).await, Told::Yes);
    for _ in 0..6 {
        world.turn(MINUTE).await;
    }
    assert_eq!(tell(&world).await, Told::Missing(Part::Scheduler));
    for _ in 0..20 {
        world.turn(MINUTE).await;
        world.stack().schedule_checks(false).await.unwrap();
    }
    assert_eq!(tell(&world).await, Told::Missing(Part::Checks));
    minute(&world).await;
    assert_eq!(tell(&world).await, Told::Yes);
}

#[tokio::test]
async fn it_is_not_told_when_webhooks_are_not_tallied_any_more() {
    let (world, _server) = told_world().await;
    world.tally().await;
    for _ in 0..19 {
        minute(&world).await;
        assert_eq!(tell(&world).await, Told::Yes);
    }
    minute(&world).await;
    minute(&world).await;
    assert_eq!(tell(&world).await, Told::Missing(Part::Tally));
}

#[tokio::test]
async fn one_who_does_not_answer_stops_nothing_and_is_told_the_next_minute() {
    let (world, server) = told_world().await;
    server.behave(Manner::Broken);
    assert_eq!(tell(&world).await, Told::Failed);
    server.behave(Manner::Well);
    world.turn(MINUTE).await;
    assert_eq!(tell(&world).await, Told::Yes);
}

#[tokio::test]
async fn without_one_nobody_is_told() {
    let world = World::new().await;
    assert_eq!(tell(&world).await, Told::NotNow);
}
