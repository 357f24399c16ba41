//! Tokens, refreshed at a server that takes the whole family back when a refresh token is used twice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_tests::faults::{Fault, Step};
use tillwatch_tests::server::{Manner, Server};
use tillwatch_tests::world::World;

use super::family::{self, Family, loyverse};
use super::interrupted::matters;

struct Place {
    world: World,
    server: Server,
    family: Arc<Mutex<Family>>,
}

const ID: &str = "harbour-loyverse";

impl Place {
    async fn new() -> Self {
        let (server, family) = loyverse().await;
        let mut world = World::new().await;
        world.outbound.whole = Duration::from_millis(300);
        world.restart().await;
        let place = Self { world, server, family };
        place.application("application-secret");
        place.configure("access-0", "refresh-0").await;
        place
    }

    fn application(&self, secret: &str) {
        family::application(&self.world, secret, &self.server.base);
    }

    async fn configure(&self, access: &str, refresh: &str) {
        family::configure(&self.world, ID, access, refresh, &self.server.base).await;
    }

    async fn token(&self) -> Value {
        self.world.get(&format!("/connections/{ID}/token")).await
    }

    /// The tokens that are kept.
    async fn kept(&self) -> (String, String) {
        let configuration = &self.world.stack().refresher().configuration;
        let tokens = configuration.tokens(ID, self.world.now()).await.unwrap().tokens;
        let text = |name: &str| secrecy::ExposeSecret::expose_secret(&tokens[name]).to_owned();
        (text("access_token"), text("refresh_token"))
    }

    /// Has it refreshed now.
    async fn refresh(&self) {
        self.world.do_with("POST", "/tokens/refresh", &json!({"connections": [ID]})).await;
        self.world.watch().await;
    }

    /// Lets so much time pass, minute by minute.
    async fn minutes(&self, count: u32) {
        for _ in 0..count {
            self.world.pass(Duration::from_mins(1));
            self.world.watch().await;
        }
    }

    /// That what is kept is what the provider gave last, or else that a person is asked for.
    async fn is_whole(&self, what: &str) {
        let token = self.token().await;
        let (current, revoked) = {
            let family = self.family.lock().unwrap();
            ((family.token("access"), family.token("refresh")), family.revoked)
        };
        assert!(!revoked, "{what}: the family was taken back: {token}");
        let is_asked_for = token["needs_a_person"] == true;
        assert!(self.kept().await == current || is_asked_for, "{what}: a token is lost in silence: {token}");
    }
}

#[tokio::test]
async fn a_token_is_refreshed_before_it_ends_again_and_again() {
    let place = Place::new().await;
    place.refresh().await;
    assert_eq!(place.kept().await, ("access-1".to_owned(), "refresh-1".to_owned()));
    let token = place.token().await;
    assert_eq!((&token["state"], &token["failures"]), (&"active".into(), &0.into()));
    let mut generations = Vec::new();
    for _ in 0..5 {
        place.minutes(60).await;
        generations.push(place.family.lock().unwrap().generation);
        place.is_whole("an hour").await;
    }
    // Each lives an hour, and is refreshed some minutes before.
    assert!(generations.windows(2).all(|pair| (1..=2).contains(&(pair[1] - pair[0]))), "{generations:?}");
    assert!(!serde_json::to_string(&place.token().await).unwrap().contains("refresh-"));
}

#[tokio::test]
async fn a_token_for_which_nobody_asks_is_refreshed_by_itself() {
    let place = Place::new().await;
    // When it ends is not told, so it is seen to at once; and then before its end.
    place.minutes(3).await;
    assert_eq!(place.family.lock().unwrap().generation, 1);
    place.minutes(180).await;
    let generation = place.family.lock().unwrap().generation;
    assert!((4..=6).contains(&generation), "{generation}");
    place.is_whole("three hours").await;
}

#[tokio::test]
async fn what_is_said_beside_a_token_in_doubt_leaves_it_in_doubt() {
    let place = Place::new().await;
    place.server.behave(Manner::Silent);
    place.refresh().await;
    assert_eq!(place.token().await["state"], "ambiguous");
    place.server.behave(Manner::Well);
    place.configure("access-9", "refresh-0").await;
    place.minutes(90).await;
    assert_eq!(place.family.lock().unwrap().refreshes, 0);
    assert_eq!(place.token().await["state"], "ambiguous");
}

#[tokio::test]
async fn a_connection_that_was_never_made_leaves_no_token_in_doubt() {
    let place = Place::new().await;
    family::application(&place.world, "application-secret", "http://127.0.0.1:1");
    place.minutes(3).await;
    let token = place.token().await;
    assert_eq!((&token["state"], &token["failure"]), (&"failing".into(), &"not_made".into()));
    place.application("application-secret");
    place.minutes(90).await;
    place.is_whole("nobody was there").await;
    assert_eq!(place.token().await["state"], "active");
}

#[tokio::test]
async fn a_configuration_that_still_says_the_first_token_puts_back_nothing() {
    let place = Place::new().await;
    place.refresh().await;
    place.refresh().await;
    place.configure("access-0", "refresh-0").await;
    assert_eq!(place.kept().await.1, "refresh-2");
    // What was signed in for anew is taken.
    place.configure("access-9", "refresh-9").await;
    assert_eq!(place.kept().await, ("access-9".to_owned(), "refresh-9".to_owned()));
}

#[tokio::test]
async fn a_refusal_is_believed_when_it_was_heard_three_times_and_then_a_person_is_asked_for() {
    let place = Place::new().await;
    place.family.lock().unwrap().generation = 7;
    // However often it is asked for within a minute.
    for _ in 0..4 {
        place.refresh().await;
    }
    let token = place.token().await;
    assert_eq!((&token["state"], &token["failure"]), (&"failing".into(), &"refused".into()));
    place.minutes(30).await;
    let token = place.token().await;
    assert_eq!((&token["state"], &token["needs_a_person"]), (&"refused".into(), &true.into()));
    assert_eq!(token["code"], "invalid_grant");
    let before = place.server.calls().len();
    assert!(before > 0);
    place.minutes(60).await;
    assert!(!place.server.calls().iter().any(|call| call.contains("/oauth/token")));
    // Until somebody has signed in anew.
    place.configure("access-7", "refresh-7").await;
    place.minutes(2).await;
    place.refresh().await;
    assert_eq!(place.token().await["state"], "active");
}

#[tokio::test]
async fn a_refusal_of_our_application_ends_no_token() {
    let place = Place::new().await;
    place.application("another-secret");
    place.world.pass(Duration::from_mins(2));
    place.refresh().await;
    let token = place.token().await;
    assert_eq!((&token["state"], &token["failure"]), (&"failing".into(), &"ours".into()));
    place.application("application-secret");
    place.minutes(90).await;
    assert_eq!(place.token().await["state"], "active");
    place.is_whole("our application was refused").await;
}

#[tokio::test]
async fn trouble_of_the_providers_is_waited_out() {
    let place = Place::new().await;
    for manner in [Manner::Broken, Manner::Limited(300)] {
        place.server.behave(manner.clone());
        place.refresh().await;
        assert_eq!(place.token().await["failure"], "unavailable", "{manner:?}");
        place.server.behave(Manner::Well);
        place.minutes(70).await;
        place.is_whole("trouble").await;
        assert_eq!(place.token().await["state"], "active", "{manner:?}");
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_a_token_in_doubt_and_not_used_twice() {
    let place = Place::new().await;
    place.server.behave(Manner::Silent);
    place.refresh().await;
    let token = place.token().await;
    assert_eq!((&token["state"], &token["needs_a_person"]), (&"ambiguous".into(), &true.into()));
    place.server.behave(Manner::Well);
    place.minutes(120).await;
    assert_eq!(place.family.lock().unwrap().refreshes, 0);
}

#[tokio::test]
async fn lives_of_every_length_are_kept_up_with() {
    for lives in [Some(60), Some(30 * 86_400), None] {
        let place = Place::new().await;
        place.family.lock().unwrap().lives = lives;
        place.refresh().await;
        place.minutes(60).await;
        place.is_whole(&format!("{lives:?}")).await;
        let refreshes = place.family.lock().unwrap().refreshes;
        match lives {
            // A look a minute is too coarse for less than that.
            Some(60) => assert!(refreshes >= 30, "{refreshes}"),
            _ => assert_eq!(refreshes, 1),
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_put_back_stops_no_refresh_for_long() {
    let place = Place::new().await;
    place.minutes(3).await;
    assert_eq!(place.family.lock().unwrap().generation, 1);
    place.world.clock().put_back(Duration::from_hours(30));
    place.world.stack().schedule_checks(true).await.unwrap();
    place.minutes(3).await;
    assert_eq!(place.family.lock().unwrap().generation, 2);
    place.is_whole("the clock was put back").await;
}

#[tokio::test]
async fn two_workers_at_once_refresh_once() {
    let place = Place::new().await;
    let refresher = place.world.stack().refresher();
    let refresh = || refresher.refresh(ID, tillwatch_workflows::agenda::Why::ByHand, None);
    let (one, two, three) = tokio::join!(refresh(), refresh(), refresh());
    let done = [one, two, three]
        .into_iter()
        .filter(|done| matches!(done, Ok(done) if format!("{done:?}") == "Done"));
    assert_eq!(done.count(), 1);
    place.is_whole("three workers").await;
    assert_eq!(place.family.lock().unwrap().refreshes, 1);
}

#[tokio::test]
async fn an_access_token_that_is_configured_while_it_is_refreshed_costs_no_refresh_token() {
    let place = Place::new().await;
    place.minutes(2).await;
    let (_, refresh_token) = place.kept().await;
    place.server.calls();
    let refresher = place.world.stack().refresher();
    let configured = async {
        while !place.server.calls().iter().any(|call| call.contains("/oauth/token")) {
            tokio::task::yield_now().await;
        }
        place.configure("access-9", &refresh_token).await;
    };
    let refreshing = refresher.refresh(ID, tillwatch_workflows::agenda::Why::ByHand, None);
    let (done, ()) = tokio::join!(refreshing, configured);
    assert_eq!(format!("{done:?}"), "Ok(Done)");
    place.is_whole("configured meanwhile").await;
    place.minutes(5).await;
    assert_eq!(place.kept().await.0, place.family.lock().unwrap().token("access"));
    assert_eq!(place.token().await["state"], "active");
}

/// A refresh in which this goes wrong, by workers that are followed by others when they have ended, and what comes after
/// it; the steps of the refresh.
async fn lived(plan: &[(Step, Fault)]) -> (Place, Vec<Step>) {
    let mut place = Place::new().await;
    place.minutes(2).await;
    place.world.do_with("POST", "/tokens/refresh", &json!({"connections": [ID]})).await;
    place.world.faults.plan(plan);
    for _ in 0..12 {
        place.world.watch().await;
        if place.world.faults.is_dead() {
            place.world.restart().await;
        }
        place.world.pass(Duration::from_mins(1));
    }
    let is_of_refresh =
        |step: &Step| !step.name.starts_with("table.Query") && !step.name.contains("H#") && step.time <= 2;
    let steps = place.world.faults.steps().into_iter().filter(is_of_refresh).collect();
    place.world.faults.spare();
    for _ in 0..3 {
        place.world.pass(Duration::from_mins(5));
        place.world.watch().await;
    }
    (place, steps)
}

#[tokio::test]
async fn wherever_a_worker_ends_no_family_is_taken_back_and_no_token_lost_in_silence() {
    let (place, steps) = lived(&[]).await;
    place.is_whole("nothing goes wrong").await;
    assert_eq!(place.token().await["state"], "active");
    assert!(steps.iter().any(|step| step.name.contains("S#")), "{steps:?}");
    let mut in_doubt = 0;
    for fault in Fault::ALL {
        for step in steps.iter().filter(|step| matters(fault, step)) {
            let what = format!("{fault:?} at {step}");
            let (place, _) = lived(&[(step.clone(), fault)]).await;
            place.is_whole(&what).await;
            in_doubt += u32::from(place.token().await["state"] == "ambiguous");
        }
    }
    // Only who ends between the call and its write leaves it in doubt.
    assert!((1..=4).contains(&in_doubt), "{in_doubt}");
}

#[tokio::test]
async fn new_tokens_that_the_table_does_not_take_are_kept_when_it_does() {
    let place = Place::new().await;
    place.minutes(2).await;
    let (before, refreshes) = (place.kept().await.1, place.family.lock().unwrap().refreshes);
    // The lease is taken, and then the table is away.
    let family = Arc::clone(&place.family);
    let is_away =
        move |step: &str| step.starts_with("table.PutItem") && family.lock().unwrap().refreshes > refreshes;
    place.world.faults.down(is_away);
    place.world.do_with("POST", "/tokens/refresh", &json!({"connections": [ID]})).await;
    place.world.watch().await;
    assert_eq!(place.kept().await.1, before);
    place.world.faults.up();
    place.minutes(10).await;
    place.is_whole("the table was away").await;
    assert_eq!(place.kept().await.1, place.family.lock().unwrap().token("refresh"));
    assert_eq!(place.token().await["state"], "active");
}

#[tokio::test]
async fn a_token_that_ended_because_our_application_is_refused_is_our_fault() {
    let place = Place::new().await;
    place.minutes(1).await;
    place.application("a-secret-that-was-taken-back");
    place.minutes(3).await;
    place.refresh().await;
    assert_eq!(place.token().await["failure"], "ours");
    place.family.lock().unwrap().ended = true;
    place.minutes(10).await;
    let doing = place.world.get(&format!("/connections/{ID}/health")).await;
    assert_eq!(
        (&doing["status"], &doing["trouble"]["kind"]),
        (&json!("down"), &json!("token_refused")),
        "{doing}"
    );
    let blame = &doing["blame"];
    assert_eq!((&blame["whose"], &blame["reason"]), (&json!("us"), &json!("application_refused")), "{doing}");
    // It is taken again, and the token was revoked by the tenant: that is another matter.
    place.application("application-secret");
    place.minutes(2).await;
    place.refresh().await;
    place.minutes(10).await;
    let blame = place.world.get(&format!("/connections/{ID}/health")).await["blame"].clone();
    assert_eq!(blame["whose"], "tenant");
}
