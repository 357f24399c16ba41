//! Each of these happens to a few connections, and what is said of all of them is watched: which verdict, when, whose fault,
//! and no false word of those to which nothing happened. `cargo test -p tillwatch-tests --test watch scenarios -- --nocapture`
//! prints them as a table.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_tests::front::{AUTHORITY, Front, good_until};
use tillwatch_tests::server::Manner;
use tillwatch_tests::world::World;
use tillwatch_workflows::agenda::Why;
use tillwatch_workflows::tokens::Refreshed;

use super::beside::StatusPage;
use super::family::{self, loyverse};
use super::market::{AN_HOUR, Market};
use super::place::Place;
use super::told::Told;

const INTERVAL: Duration = Duration::from_mins(5);

/// The usual place, at peace.
async fn place() -> Place {
    place_in(World::new().await).await
}

async fn place_in(world: World) -> Place {
    place_of(world, &[("square", 4), ("stripe", 4), ("loyverse", 4)]).await
}

async fn place_of(world: World, counts: &[(&'static str, usize)]) -> Place {
    let place = Place::in_world(world, counts).await;
    place.begin().await;
    place.world.watch_for(INTERVAL).await;
    for (id, row) in rows(&place).await {
        assert_eq!(row["status"], "up", "{id}: {row}");
    }
    place
}

/// All that is said, by connection.
async fn rows(place: &Place) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for provider in place.providers.keys() {
        let page = place.world.get(&format!("/pos/health/{provider}/connections")).await;
        let rows = page["connections"].as_array().unwrap().iter();
        all.extend(rows.map(|row| (row["connection"].as_str().unwrap().to_owned(), row.clone())));
    }
    all
}

/// What is said of those to which nothing happened, and is not so.
async fn false_words(place: &Place, touched: &[&str]) -> Vec<String> {
    let is_false = |(id, row): &(String, Value)| {
        !touched.iter().any(|touched| id.starts_with(touched)) && row["status"] != "up"
    };
    let rows = rows(place).await.into_iter();
    rows.filter(is_false).map(|(id, row)| format!("{id} {}", row["status"])).collect()
}

/// Who is blamed for what happened to these.
async fn blamed(place: &Place, touched: &[&str]) -> BTreeSet<String> {
    let rows = rows(place).await.into_iter();
    let rows = rows.filter(|(id, _)| touched.iter().any(|touched| id.starts_with(touched)));
    rows.filter_map(|(_, row)| Some(row["blame"]["whose"].as_str()?.to_owned())).collect()
}

/// Watches until this is said of the connection, at most for so long; what it came to.
async fn until(
    place: &Place,
    what: &'static str,
    id: &str,
    status: &str,
    touched: &[&str],
    most: Duration,
) -> Told {
    let began = place.world.now();
    let mut said_falsely = Vec::new();
    loop {
        place.world.watch_for(Duration::from_secs(10)).await;
        let first = place.doing(id).await;
        let said = first["status"].as_str().unwrap().to_owned();
        said_falsely.extend(false_words(place, touched).await);
        let took = Duration::try_from(place.world.now().duration_since(began)).unwrap();
        if said == status {
            // A verdict that all give together needs all of them: by then whose fault it is is known or open, and no one is
            // blamed who is not in the end. A token that is refused is its tenant's matter until others are refused too.
            let mut blamed = blamed(place, touched).await;
            for _ in 0..60 {
                place.world.watch_for(Duration::from_secs(10)).await;
                blamed.extend(self::blamed(place, touched).await);
            }
            let row = place.doing(id).await;
            let last = row["blame"]["whose"].as_str().unwrap_or("unknown");
            let is_refused = first["trouble"]["kind"] == "token_refused";
            let is_fair = |whose: &str| [last, "unknown"].contains(&whose) || is_refused && whose == "tenant";
            let is_over = status == "up";
            assert!(is_over || blamed.iter().all(|whose| is_fair(whose)), "{what}: {blamed:?} and {last}");
            return Told::of(&row, what, took, &said_falsely);
        }
        assert!(took <= most, "{what}: {id} is {said} after {took:?}, and not {status}");
    }
}

#[tokio::test]
async fn a_provider_is_down() {
    let place = place().await;
    place.providers["square"].behave(Manner::Broken);
    let told = until(&place, "a provider is down", "square-1", "down", &["square"], INTERVAL * 2).await;
    told.is("down", "provider_error", "provider", INTERVAL * 2);
}

#[tokio::test]
async fn one_tenants_token_is_taken_back() {
    let place = place().await;
    place.providers["square"].refuse("square-token-2");
    let told =
        until(&place, "one tenant's token is taken back", "square-2", "down", &["square-2"], INTERVAL * 2);
    told.await.is("down", "token_refused", "tenant", INTERVAL * 2);
}

#[tokio::test]
async fn our_application_is_refused_everywhere_at_one_provider() {
    let place = place().await;
    for nth in 0..4 {
        place.providers["stripe"].refuse(&format!("stripe-token-{nth}"));
    }
    let told = until(
        &place,
        "all of a provider's tokens are refused at once",
        "stripe-1",
        "down",
        &["stripe"],
        INTERVAL * 2,
    );
    told.await.is("down", "token_refused", "us", INTERVAL * 2);
}

#[tokio::test]
async fn everything_is_down_at_once() {
    let place = place().await;
    for provider in place.providers.values() {
        provider.behave(Manner::Broken);
    }
    let all = &["square", "stripe", "loyverse"];
    let told =
        until(&place, "connections of all providers fail at once", "square-1", "down", all, INTERVAL * 2);
    told.await.is("down", "provider_error", "us", INTERVAL * 2);
}

#[tokio::test]
async fn it_works_now_and_then() {
    let place = place().await;
    let began = place.world.now();
    let (mut said, mut said_falsely, mut took) = (Vec::new(), Vec::new(), None);
    for turn in 0..40 {
        place.providers["loyverse"].behave(if turn % 2 == 0 { Manner::Broken } else { Manner::Well });
        place.world.do_with("POST", "/connections/loyverse-0/check", &json!({})).await;
        place.world.pass(Duration::from_secs(60));
        let status = place.status("loyverse-0").await;
        if status == "degraded" && took.is_none() {
            took = Duration::try_from(place.world.now().duration_since(began)).ok();
        }
        if said.last() != Some(&status) {
            said.push(status);
        }
        // Nobody checks the others meanwhile, so after three intervals nothing is known of them.
        if turn < 10 {
            said_falsely.extend(false_words(&place, &["loyverse-0"]).await);
        }
    }
    let row = place.doing("loyverse-0").await;
    let told = Told::of(&row, "it works now and then", took.unwrap(), &said_falsely);
    told.print();
    assert_eq!((told.status.as_str(), said_falsely.len()), ("degraded", 0));
    // It does not flap in what is said of it.
    assert!(said.len() <= 3, "{said:?}");
}

#[tokio::test]
async fn it_is_slow() {
    let place = place().await;
    place.providers["square"].take(Duration::from_millis(2_600));
    let told =
        until(&place, "a provider answers late", "square-1", "degraded", &["square"], INTERVAL * 4).await;
    told.is("degraded", "slow", "provider", INTERVAL * 4);
}

#[tokio::test]
async fn it_is_at_its_limit() {
    let place = place().await;
    place.providers["stripe"].behave(Manner::Limited(60));
    let told =
        until(&place, "a provider's limit is reached", "stripe-1", "degraded", &["stripe"], INTERVAL * 4);
    told.await.is("degraded", "rate_limited", "us", INTERVAL * 4);
}

#[tokio::test]
async fn one_blip_says_nothing() {
    let place = place().await;
    place.providers["square"].behave(Manner::Broken);
    place.world.do_with("POST", "/connections/square-0/check", &json!({})).await;
    place.providers["square"].behave(Manner::Well);
    let mut said_falsely = Vec::new();
    for _ in 0..60 {
        place.world.watch_for(Duration::from_secs(10)).await;
        assert_eq!(place.status("square-0").await, "up");
        said_falsely.extend(false_words(&place, &[]).await);
    }
    assert_eq!(said_falsely, Vec::<String>::new());
    let row = place.doing("square-0").await;
    Told::of(&row, "one check fails and the next does not", Duration::ZERO, &said_falsely).print();
}

#[tokio::test]
async fn it_recovers() {
    let place = place().await;
    place.providers["square"].behave(Manner::Broken);
    place.world.watch_for(INTERVAL * 3).await;
    assert_eq!(place.status("square-3").await, "down");
    place.providers["square"].behave(Manner::Well);
    let told =
        until(&place, "a provider that was down works again", "square-3", "up", &["square"], INTERVAL * 2);
    told.await.is("up", "-", "-", INTERVAL * 2);
}

#[tokio::test]
async fn nobody_can_be_reached_from_here() {
    let mut place = place().await;
    // Everyone is far away, and nobody is heard: neither the providers nor those who are asked about it.
    place.world.references = vec!["http://nowhere.invalid/".to_owned()];
    place.world.restart().await;
    for nth in 0..4 {
        for provider in ["square", "stripe"] {
            let token = Place::token(provider, nth);
            place.configure_at(provider, nth, &token, "https://provider.invalid").await;
        }
    }
    let told = until(
        &place,
        "nothing at all can be reached from here",
        "square-1",
        "unknown",
        &["square", "stripe"],
        INTERVAL * 4,
    );
    let told = told.await;
    told.is("unknown", "our_network", "us", INTERVAL * 4);
    for (id, row) in rows(&place).await {
        assert_ne!(row["status"], "down", "{id}");
    }
}

#[tokio::test]
async fn its_status_page_tells_of_an_outage_and_one_of_its_connections_fails() {
    let page = StatusPage::start().await;
    let mut world = World::new().await;
    world.beside.pages.insert("square".to_owned(), page.url());
    let place = place_in(world).await;
    page.tell("major", &["Elevated API errors"]);
    // Until it is read.
    place.world.watch_for(INTERVAL * 3 / 2).await;
    place.providers["square"].break_for("square-token-2");
    let what = "its status page tells of an outage, and one fails";
    let told = until(&place, what, "square-2", "down", &["square-2"], INTERVAL * 2).await;
    told.is("down", "provider_error", "provider", INTERVAL * 2);
    let blame = place.doing("square-2").await["blame"].clone();
    let said = |name: &str| blame[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (said("reason"), said("detail")),
        ("status_page".to_owned(), "Elevated API errors".to_owned())
    );
}

#[tokio::test]
async fn its_status_page_tells_of_an_outage_and_everything_works() {
    let page = StatusPage::start().await;
    let mut world = World::new().await;
    world.beside.pages.insert("square".to_owned(), page.url());
    let place = place_in(world).await;
    page.tell("critical", &["Everything is down"]);
    let mut said_falsely = Vec::new();
    for _ in 0..90 {
        place.world.watch_for(Duration::from_secs(10)).await;
        said_falsely.extend(false_words(&place, &[]).await);
    }
    let view = place.world.get("/pos/health/square").await;
    assert_eq!(
        (view["status"].as_str(), view["status_page"]["incident"].as_bool()),
        (Some("up"), Some(true))
    );
    let row = place.doing("square-1").await;
    let what = "its status page tells of an outage, and all works";
    let told = Told::of(&row, what, Duration::ZERO, &said_falsely);
    assert!(row["trouble"].is_null() && row["blame"].is_null(), "{row}");
    told.is("up", "-", "-", Duration::ZERO);
}

/// A place whose own address is asked, with so many days left of its certificate.
async fn place_behind(front: &Front, days: i64) -> Place {
    let mut world = World::new().await;
    let until = good_until().duration_since(world.now()) - jiff::SignedDuration::from_hours(days * 24);
    world.pass(Duration::try_from(until).unwrap());
    world.beside.public_url = Some(front.base.clone());
    world.outbound.roots = AUTHORITY;
    let place = Place::in_world(world, &[("stripe", 3)]).await;
    front.lead_to(place.world.stack());
    place.begin().await;
    place
}

/// Watches until this is said of our own address; what it came to.
async fn until_our_own(place: &Place, what: &'static str, status: &str, most: Duration) -> Told {
    let began = place.world.now();
    let mut said_falsely = Vec::new();
    loop {
        let row = place.world.get("/pos/health/stripe").await["endpoint"].clone();
        said_falsely.extend(false_words(place, &[]).await);
        let took = Duration::try_from(place.world.now().duration_since(began)).unwrap();
        if row["status"] == status {
            return Told::of(&row, what, took, &said_falsely);
        }
        assert!(took <= most, "{what}: it is {row} after {took:?}, and not {status}");
        place.world.watch_for(Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn the_certificate_of_our_own_address_is_near_its_end() {
    let front = Front::start().await;
    let place = place_behind(&front, 5).await;
    let told = until_our_own(&place, "our own certificate ends in 5 days", "degraded", INTERVAL * 4).await;
    told.is("degraded", "certificate_ends_soon", "us", INTERVAL * 4);
    let endpoint = place.world.get("/pos/health/stripe").await["endpoint"].clone();
    assert_eq!(endpoint["certificate_expires_at"], "2049-12-31T00:00:00Z");
    assert!(endpoint["trouble"]["detail"].as_str().unwrap().contains("2049-12-31"), "{endpoint}");
}

#[tokio::test]
async fn the_certificate_of_our_own_address_has_ended() {
    let front = Front::start().await;
    let place = place_behind(&front, 60).await;
    let told = until_our_own(&place, "our own certificate is good", "up", INTERVAL).await;
    told.is("up", "-", "-", INTERVAL);
    front.show_ended(true);
    let told = until_our_own(&place, "our own certificate has ended", "down", INTERVAL * 2).await;
    told.is("down", "certificate", "us", INTERVAL * 2);
    front.show_ended(false);
    let told = until_our_own(&place, "our own certificate was renewed", "up", INTERVAL * 2).await;
    told.is("up", "-", "-", INTERVAL * 2);
}

/// Those of these shops of which it is not said that their webhooks come as they always did.
async fn said_to_be_silent(market: &Market, shops: &[&str]) -> Vec<String> {
    let mut silent = Vec::new();
    for shop in shops {
        if market.health(shop).await["silence"]["state"] != "normal" {
            silent.push(format!("{shop} silent"));
        }
    }
    silent
}

#[tokio::test]
async fn a_shop_is_silent_on_a_working_day() {
    let market = Market::answering(&[("north", None), ("south", None), ("east", None)]).await;
    let (mut said_falsely, mut told) = (Vec::new(), None);
    for hour in 10..14 {
        for shop in ["north", "east"] {
            market.sell(shop, hour, AN_HOUR).await;
        }
        for minutes in (10..60).step_by(10) {
            market.at(hour, minutes).await;
            said_falsely.extend(said_to_be_silent(&market, &["north", "east"]).await);
            let row = market.health("south").await;
            if told.is_none() && row["silence"]["state"] == "silent" {
                let missed = Duration::from_mins((hour.unsigned_abs() - 10) * 60 + minutes.unsigned_abs());
                told = Some((row, missed));
            }
        }
    }
    let (row, took) = told.unwrap();
    let told = Told::of(&row, "a shop sends nothing on a working day", took, &said_falsely);
    // Nine are to be missed at least, and hours are counted when they are over.
    told.is("degraded", "silent", "tenant", Duration::from_mins(3 * 60 + 10));
}

#[tokio::test]
async fn a_shop_is_closed_on_a_holiday() {
    let weekly = |exceptions: Value| json!({"mode": "weekly", "wednesday": [{"open": "10:00", "close": "14:00"}], "exceptions": exceptions});
    let shops = [("north", None), ("closed", Some(weekly(json!({}))))];
    let market = Market::answering(&shops).await;
    let today = market.midnight_of_now().to_string();
    market.open("closed", Some(&weekly(json!({today[..10]: []})))).await;
    let mut said_falsely = Vec::new();
    for hour in 10..18 {
        if hour < 14 {
            market.sell("north", hour, AN_HOUR).await;
        }
        for minutes in [10, 40] {
            market.at(hour, minutes).await;
            said_falsely.extend(said_to_be_silent(&market, &["north", "closed"]).await);
        }
    }
    let row = market.health("closed").await;
    let told = Told::of(&row, "a shop is closed on a holiday", Duration::ZERO, &said_falsely);
    told.is("up", "-", "-", Duration::ZERO);
}

#[tokio::test]
async fn workers_race_for_a_token() {
    let place = place_of(World::new().await, &[("square", 4), ("stripe", 4)]).await;
    let (server, family) = loyverse().await;
    family::application(&place.world, "application-secret", &server.base);
    family::configure(&place.world, "harbour", "access-0", "refresh-0", &server.base).await;
    place.world.watch_for(INTERVAL).await;
    let mut said_falsely = Vec::new();
    for _ in 0..10 {
        place.world.pass(Duration::from_mins(5));
        let refresher = place.world.stack().refresher();
        let refresh = || refresher.refresh("harbour", Why::ByHand, None);
        let (one, two, three) = tokio::join!(refresh(), refresh(), refresh());
        let all = [one, two, three];
        let done = all.iter().filter(|refreshed| matches!(refreshed, Ok(Refreshed::Done))).count();
        assert_eq!(done, 1, "{all:?}");
        place.world.watch_for(INTERVAL).await;
        said_falsely.extend(false_words(&place, &[]).await);
    }
    {
        let family = family.lock().unwrap();
        assert!(!family.revoked && family.refreshes >= 10, "{}", family.refreshes);
    }
    let row = place.doing("harbour").await;
    let told = Told::of(&row, "three workers race for a token, ten times", Duration::ZERO, &said_falsely);
    told.is("up", "-", "-", Duration::ZERO);
}
