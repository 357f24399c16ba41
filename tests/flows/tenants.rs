//! Businesses beside each other: what one of them may do, and what changes hands between them, gives neither the other's
//! events nor its secrets.

use serde_json::{Value, json};
use tillwatch_providers::Settings;
use tillwatch_tests::sender::{sample, signed};
use tillwatch_tests::world::{TOKEN, World, settings};

const HARBOUR: &str = "token-of-the-harbour-group";
const BONDI: &str = "token-of-the-bondi-group";
const MERCHANT: &str = "6SSW7HV8K2ST5";
/// The place of the samples whose number is a multiple of three.
const PLACE: &str = "S8GWD5R9QB376";

/// A world with two locations of two businesses, without providers.
async fn world() -> World {
    let world = World::new().await;
    let businesses = json!({"harbour-group": [HARBOUR], "bondi-group": [BONDI]});
    world.secrets.put("console", Some(json!({"tokens": [TOKEN], "businesses": businesses})));
    for id in ["harbour", "bondi"] {
        location(&world, id, &format!("{id}-group"), json!({})).await;
    }
    world
}

async fn location(world: &World, id: &str, business: &str, providers: Value) -> Value {
    let body = json!({"id": id, "business": business, "providers": providers});
    let path = format!("/config/locations/{id}");
    let (status, answer) = world.ask_with("PUT", &path, Some(TOKEN), Some(&body)).await;
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

async fn post(world: &World, token: &str, path: &str, body: Value) -> (i64, Value) {
    world.ask_with("POST", path, Some(token), Some(&body)).await
}

fn square(place: &str) -> Value {
    json!({"merchant_id": MERCHANT, "location_id": place, "access_token": "a token of this business's"})
}

fn url_of(answer: &Value, connection: &str) -> Option<String> {
    let what = format!("connection {connection}");
    let change = answer["changes"].as_array().unwrap().iter().find(|change| change["what"] == what)?;
    change["webhook_url"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_business_gives_an_account_that_it_shares_no_key_of_its_own() {
    let world = world().await;
    location(&world, "harbour", "harbour-group", json!({"square": square(PLACE)})).await;
    location(&world, "bondi", "bondi-group", json!({"square": square("NAQ1FHV6ZJ8YV")})).await;
    let mut said = square(PLACE);
    said["provider"] = "square".into();
    assert_eq!(post(&world, HARBOUR, "/pos-integration/harbour", said.clone()).await.0, 200);
    said["signing_key"] = "a key to forge the others' events with".into();
    let (status, answer) = post(&world, HARBOUR, "/pos-integration/harbour", said).await;
    assert!(status == 409 && !answer.to_string().contains("bondi"), "{answer}");
}

#[tokio::test]
async fn a_business_does_not_lie_in_wait_at_an_id_that_will_be_anothers() {
    let world = world().await;
    let said = json!({"provider": "odoo", "id": "bondi-odoo", "url": "https://harbour.example.com"});
    assert_eq!(post(&world, HARBOUR, "/pos-integration/harbour", said).await.0, 409);
    assert_eq!(world.ask("GET", "/connections/bondi-odoo").await.0, 404);
}

#[tokio::test]
async fn a_connection_that_goes_to_another_business_goes_without_its_secrets() {
    let world = world().await;
    let odoo =
        json!({"odoo": {"url": "https://odoo.example.com", "database": "d", "user_id": "2", "api_key": "k"}});
    let first = location(&world, "harbour", "harbour-group", odoo.clone()).await;
    let former = url_of(&first, "harbour-odoo").expect("it is told its URL");
    assert_eq!(url_of(&location(&world, "harbour", "harbour-group", odoo).await, "harbour-odoo"), None);
    let theirs =
        json!({"odoo": {"url": "https://odoo.example.com", "database": "d", "user_id": "2", "api_key": "l"}});
    let second = location(&world, "harbour", "bondi-group", theirs).await;
    let now = url_of(&second, "harbour-odoo").expect("it is told another URL");
    let asked = async |url: &str| {
        let (_, query) = url.split_once('?').unwrap();
        let settings = Settings::with_url_keys([query.strip_prefix("key=").unwrap()]);
        let provider = tillwatch_tests::sender::provider("odoo");
        let (headers, body) = provider.sample(provider.sample_kinds()[0], 1, world.now()).unwrap();
        let mut at: tillwatch_providers::Headers =
            headers.iter().filter(|(name, _)| *name != ":suffix").collect();
        at.push(":suffix", "/harbour-odoo");
        world.post(&signed("odoo", at, body, world.now(), &settings)).await
    };
    assert_eq!((asked(&former).await, asked(&now).await), (401, 200));
    assert_eq!(post(&world, HARBOUR, "/connections/harbour-odoo/disable", json!({})).await.0, 404);
}

#[tokio::test]
async fn an_account_that_was_given_to_another_is_not_taken_back() {
    let world = world().await;
    location(&world, "harbour", "harbour-group", json!({"square": square(PLACE)})).await;
    assert_eq!(post(&world, TOKEN, "/connections/harbour-square/disable", json!({})).await.0, 200);
    location(&world, "bondi", "bondi-group", json!({"square": square(PLACE)})).await;
    assert_eq!(post(&world, BONDI, "/connections/bondi-square/disable", json!({})).await.0, 200);
    let (status, answer) = post(&world, HARBOUR, "/connections/harbour-square/enable", json!({})).await;
    assert!(status == 409 && !answer.to_string().contains("bondi"), "{answer}");
    let mut said = square(PLACE);
    said["provider"] = "square".into();
    assert_eq!(post(&world, HARBOUR, "/pos-integration/harbour", said).await.0, 409);
    let sent = sample("square", "payment.updated", 0, world.now(), &settings("square"));
    assert_eq!(world.post(&sent).await, 200);
    world.work().await;
    assert_eq!(world.deliveries("square").await[0]["status"], "held");
}

#[tokio::test]
async fn a_business_that_pages_through_the_configuration_learns_no_others_ids() {
    let world = World::new().await;
    world.secrets.put("console", Some(json!({"tokens": [TOKEN], "businesses": {"last": [HARBOUR]}})));
    for number in 0..120 {
        location(&world, &format!("of-another-{number:03}"), "another", json!({})).await;
    }
    location(&world, "the-last", "last", json!({})).await;
    let (_, page) = world.ask_as("GET", "/config", Some(HARBOUR)).await;
    assert_eq!(page["locations"][0]["id"], "the-last", "{page}");
    assert!(!page.to_string().contains("another"), "{page}");
}
