//! What is watched beside connections: status pages, and our own address as providers reach it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tillwatch_platform::connections::Kind;
use tillwatch_tests::front::{AUTHORITY, Front, good_until};
use tillwatch_tests::sender::{sample, text};
use tillwatch_tests::server::{Manner, Reply, Server};
use tillwatch_tests::world::{World, settings};
use tillwatch_workflows::receive::{synthetic, trial};

use super::place::Place;

const INTERVAL: Duration = Duration::from_mins(5);

/// A provider's status page, in Statuspage's form.
pub(super) struct StatusPage {
    pub(super) server: Server,
    told: Arc<Mutex<Value>>,
}

impl StatusPage {
    pub(super) async fn start() -> Self {
        let told = Arc::new(Mutex::new(Value::Null));
        let telling = Arc::clone(&told);
        let server = Server::start(move |_| Reply::json(200, telling.lock().unwrap().clone())).await;
        let page = Self { server, told };
        page.tell("none", &[]);
        page
    }

    pub(super) fn url(&self) -> String {
        format!("{}/api/v2/summary.json", self.server.base)
    }

    /// From now on it tells this.
    pub(super) fn tell(&self, indicator: &str, incidents: &[&str]) {
        let incident = |name: &&str| json!({"name": name, "status": "investigating", "impact": "major"});
        let incidents: Vec<_> = incidents.iter().map(incident).collect();
        *self.told.lock().unwrap() = json!({"status": {"indicator": indicator}, "incidents": incidents});
    }
}

/// A place with connections to Square and Stripe, of which Square has a status page.
async fn with_page() -> (Place, StatusPage) {
    let page = StatusPage::start().await;
    let mut world = World::new().await;
    world.beside.pages.insert("square".to_owned(), page.url());
    let place = Place::in_world(world, &[("square", 4), ("stripe", 1)]).await;
    place.begin().await;
    place.world.watch_for(Duration::from_secs(30)).await;
    (place, page)
}

async fn page_of(place: &Place, provider: &str) -> Value {
    place.world.get(&format!("/pos/health/{provider}")).await["status_page"].clone()
}

#[tokio::test]
async fn a_page_is_read_every_five_minutes_and_told_of_its_provider_alone() {
    let (place, page) = with_page().await;
    page.tell("minor", &["Elevated \u{1b}[31merrors\u{202e}"]);
    page.server.calls();
    place.world.watch_for(INTERVAL * 4).await;
    assert!((3..=5).contains(&page.server.calls().len()));
    let told = page_of(&place, "square").await;
    assert_eq!((told["status"].as_str(), told["incident"].as_bool()), (Some("minor"), Some(true)), "{told}");
    assert_eq!(told["incidents"], json!([{"name": "Elevated [31merrors", "concerns": true}]));
    assert_eq!(told["url"], page.url());
    assert_eq!(page_of(&place, "stripe").await, Value::Null);
}

#[tokio::test]
async fn pages_and_addresses_are_among_no_connections() {
    let (place, _page) = with_page().await;
    let view = place.world.get("/pos/health/square").await;
    assert_eq!(
        (view["connections"].as_u64(), view["by_status"]["up"].as_u64()),
        (Some(4), Some(4)),
        "{view}"
    );
    let listed = place.world.get("/pos/health/square/connections").await["connections"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 4);
    let (status, _) = place.world.ask("GET", "/connections/provider:square/health").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_page_that_can_not_be_read_says_nothing() {
    let (place, page) = with_page().await;
    place.providers["square"].break_for("square-token-2");
    for manner in [Manner::Silent, Manner::Html, Manner::Huge, Manner::Elsewhere, Manner::Broken] {
        page.server.behave(Manner::Well);
        page.tell("critical", &["Everything is down"]);
        place.world.watch_for(INTERVAL * 3 / 2).await;
        assert_eq!(place.doing("square-2").await["blame"]["whose"], "provider");
        page.server.behave(manner.clone());
        place.world.watch_for(INTERVAL * 4).await;
        let told = page_of(&place, "square").await;
        assert_eq!(
            (told["status"].as_str(), &told["incident"]),
            (Some("unknown"), &Value::Null),
            "{manner:?}"
        );
        assert_eq!(told["incidents"], json!([]), "{manner:?}");
        assert!(told["read_at"].is_string(), "{manner:?}");
        let doing = place.doing("square-2").await;
        assert_eq!((&doing["blame"]["whose"], &doing["blame"]["detail"]), (&json!("tenant"), &Value::Null));
        assert_eq!(place.status("square-1").await, "up", "{manner:?}");
    }
}

#[tokio::test]
async fn without_connections_of_its_provider_a_page_is_not_read() {
    let (place, page) = with_page().await;
    for nth in 0..4 {
        let connections = place.world.connections();
        connections.delete_document(Kind::Connection, &format!("square-{nth}")).await.unwrap();
    }
    place.world.watch_for(INTERVAL * 2).await;
    page.server.calls();
    place.world.watch_for(INTERVAL * 4).await;
    assert_eq!(page.server.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_clock_that_is_put_back_keeps_no_page_from_being_read() {
    let (place, page) = with_page().await;
    place.world.clock().put_back(Duration::from_hours(30));
    page.server.calls();
    place.world.stack().schedule_checks(true).await.unwrap();
    place.world.watch_for(Duration::from_mins(1)).await;
    assert_eq!(page.server.calls().len(), 1);
}

/// A place with one connection to Stripe, whose webhooks come to the front.
async fn behind(front: &Front) -> Place {
    let mut world = World::new().await;
    world.beside.public_url = Some(front.base.clone());
    world.outbound.roots = AUTHORITY;
    let place = Place::in_world(world, &[("stripe", 1)]).await;
    place.begin().await;
    place
}

async fn our_own(place: &Place) -> Value {
    place.world.get("/pos/health/stripe").await["endpoint"].clone()
}

#[tokio::test]
async fn our_own_address_is_up_if_the_webhook_function_answers_there_and_nothing_is_kept_of_that() {
    let front = Front::start().await;
    let place = behind(&front).await;
    front.lead_to(place.world.stack());
    for _ in 0..30 {
        place.world.watch_for(Duration::from_secs(30)).await;
        place.world.work().await;
    }
    let row = our_own(&place).await;
    assert_eq!((row["status"].as_str(), &row["trouble"]), (Some("up"), &Value::Null), "{row}");
    assert_eq!(row["url"], format!("{}/webhooks/stripe", front.base));
    assert!(row["certificate_expires_at"].is_string() && row["since"].is_string(), "{row}");
    // But for the synthetic webhooks, which took the whole way and no effect.
    let deliveries = place.world.deliveries("stripe").await;
    assert!((2..=4).contains(&deliveries.len()), "{deliveries:?}");
    for delivery in deliveries {
        let told = (&delivery["status"], &delivery["source"], &delivery["connection"]);
        assert_eq!(told, (&json!("ignored"), &json!("synthetic"), &Value::Null));
    }
    let took_ms = row["synthetic"]["took_ms"].as_u64().unwrap();
    assert!(took_ms <= 30_000 && row["synthetic"]["sent_at"].is_string(), "{row}");
    // As of a provider of which nothing came.
    assert_eq!(place.world.health("stripe").await, place.world.health("zettle").await);
    let written = place.world.metrics.lines().join("\n");
    assert!(!written.contains("Requests"), "{written}");
}

#[tokio::test]
async fn our_own_address_is_down_if_something_else_answers_or_no_webhook_could_be_taken() {
    let front = Front::start().await;
    let place = behind(&front).await;
    place.world.watch_for(INTERVAL * 2).await;
    let row = our_own(&place).await;
    assert_eq!((&row["status"], &row["trouble"]["kind"]), (&json!("down"), &json!("unreadable")), "{row}");
    assert_eq!(row["blame"]["whose"], "us");
    assert_eq!(place.status("stripe-0").await, "up");
    // The function answers, and could take no webhook: its secret makes no sense.
    place.world.secrets.put("stripe", Some(json!("nonsense")));
    front.lead_to(place.world.stack());
    place.world.watch_for(INTERVAL * 2).await;
    let row = our_own(&place).await;
    assert_eq!(
        (&row["status"], &row["trouble"]["kind"]),
        (&json!("down"), &json!("provider_error")),
        "{row}"
    );
}

#[tokio::test]
async fn a_certificate_of_a_tenants_own_server_that_is_near_its_end_is_told_with_its_connection() {
    let front = Front::start().await;
    front.answer("{\"lang\":\"en_US\",\"uid\":2}");
    let mut world = World::new().await;
    let until = good_until().duration_since(world.now()) - jiff::SignedDuration::from_hours(5 * 24);
    world.pass(Duration::try_from(until).unwrap());
    world.outbound.roots = AUTHORITY;
    let place = Place::in_world(world, &[("stripe", 1)]).await;
    let said = json!({"id": "odoo-0", "provider": "odoo", "business": "b", "url": front.base, "database": "d",
        "user_id": "2", "api_key": "odoo-key", "company_id": "1"});
    place.world.do_with("PUT", "/config/business-connections/odoo-0", &said).await;
    place.world.watch_for(INTERVAL * 4).await;
    let doing = place.doing("odoo-0").await;
    let told = (&doing["status"], &doing["trouble"]["kind"], &doing["blame"]["whose"]);
    assert_eq!(told, (&json!("degraded"), &json!("certificate_ends_soon"), &json!("tenant")), "{doing}");
    assert!(doing["trouble"]["detail"].as_str().unwrap().contains("2049-12-31"), "{doing}");
}

#[tokio::test]
async fn where_our_own_address_is_not_called_from_here_nobody_can_tell_how_it_does() {
    let mut world = World::new().await;
    world.beside.public_url = Some("http://localhost:1".to_owned());
    world.outbound.allow_private = false;
    let place = Place::in_world(world, &[("stripe", 1)]).await;
    place.world.watch_for(INTERVAL * 2).await;
    let row = our_own(&place).await;
    assert_eq!(
        (&row["status"], &row["trouble"]["kind"]),
        (&json!("unknown"), &json!("misconfigured")),
        "{row}"
    );
}

#[tokio::test]
async fn a_trial_is_answered_to_who_has_the_ring_alone_and_for_the_provider_that_it_is_for() {
    let world = World::new().await;
    let ring = world.stack().ports().webhook_vault.ring();
    let mut statuses = Vec::new();
    for sealed in [
        trial::sealed(&ring, "stripe", "word").expose_secret().to_owned(),
        trial::sealed(&ring, "square", "word").expose_secret().to_owned(),
        "k9:bm9uc2Vuc2U=".to_owned(),
        "word".to_owned(),
        "k1:".to_owned() + &"A".repeat(400),
    ] {
        let mut event = sample("stripe", "charge.succeeded", 1, world.now(), &settings("stripe")).event();
        event.headers.clear();
        event.headers.insert(trial::HEADER, HeaderValue::from_str(&sealed).unwrap());
        let answer = world.stack().http(event).await;
        statuses.push((answer.status_code, text(&answer) == "word"));
    }
    let refused = statuses.split_off(1);
    assert_eq!(statuses, [(200, true)]);
    assert!(refused.iter().all(|(status, is_word)| (400..500).contains(status) && !is_word), "{refused:?}");
    world.work().await;
    // Those were judged as anyone's requests are.
    assert_eq!(world.deliveries("stripe").await.len(), 4);
}

#[tokio::test]
async fn where_what_is_taken_is_not_processed_our_own_address_does_badly_until_it_is() {
    let front = Front::start().await;
    let place = behind(&front).await;
    front.lead_to(place.world.stack());
    place.world.watch_for(INTERVAL * 6).await;
    let row = our_own(&place).await;
    assert_eq!(
        (&row["status"], &row["trouble"]["kind"]),
        (&json!("degraded"), &json!("unprocessed")),
        "{row}"
    );
    assert_eq!((&row["blame"]["whose"], &row["synthetic"]), (&json!("us"), &Value::Null));
    for _ in 0..60 {
        place.world.work().await;
        place.world.watch_for(Duration::from_secs(30)).await;
    }
    let row = our_own(&place).await;
    assert_eq!((&row["status"], row["synthetic"].is_object()), (&json!("up"), true), "{row}");
}

#[tokio::test]
async fn a_mark_holds_for_its_own_body_alone() {
    let world = World::new().await;
    let ring = world.stack().ports().webhook_vault.ring();
    let sent =
        |number| sample("stripe", "payment_intent.succeeded", number, world.now(), &settings("stripe"));
    let (first, second) = (sent(1), sent(2));
    let marked = synthetic::mark(&ring, "stripe", &first.body);
    for sent in [&first, &second] {
        let mut event = sent.event();
        let mark = HeaderValue::from_str(marked.expose_secret()).unwrap();
        event.headers.insert(synthetic::HEADER, mark);
        assert_eq!(world.stack().http(event).await.status_code, 200);
    }
    world.work().await;
    let health = world.health("stripe").await;
    assert_eq!((&health["received"], &health["applied"]), (&json!(1), &json!(1)), "{health}");
    let deliveries = world.deliveries("stripe").await;
    let ours = deliveries.iter().filter(|delivery| delivery["source"] == "synthetic").count();
    assert_eq!((deliveries.len(), ours), (2, 1));
}

#[tokio::test]
async fn our_own_webhooks_pass_a_list_of_addresses_and_are_no_forgeries_where_they_are_refused() {
    let world = World::new().await;
    let ring = world.stack().ports().webhook_vault.ring();
    let listed = json!({"signing_keys": ["stripe-key"], "allowed_addresses": ["192.0.2.0/24"]});
    world.secrets.put("stripe", Some(listed));
    let sent = |number, key: &str| {
        let settings = serde_json::from_value(json!({"signing_keys": [key]})).unwrap();
        sample("stripe", "payment_intent.succeeded", number, world.now(), &settings)
    };
    let post = async |sent: &tillwatch_tests::sender::Sent, mark: Option<&str>| {
        let mut event = sent.event();
        if let Some(mark) = mark {
            event.headers.insert(synthetic::HEADER, HeaderValue::from_str(mark).unwrap());
        }
        world.stack().http(event).await.status_code
    };
    let marked = |sent: &tillwatch_tests::sender::Sent| {
        synthetic::mark(&ring, "stripe", &sent.body).expose_secret().to_owned()
    };
    let (good, forged) = (sent(1, "stripe-key"), sent(2, "another-key"));
    assert_eq!(post(&good, Some(&marked(&good))).await, 200);
    assert_eq!(post(&good, None).await, 403, "the list holds for all others");
    assert!((400..500).contains(&post(&forged, Some(&marked(&forged))).await));
    assert_eq!(post(&forged, Some(&marked(&good))).await, 403, "the mark is another body's");
    world.work().await;
    let statuses: Vec<_> =
        world.deliveries("stripe").await.iter().map(|delivery| delivery["status"].clone()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == "rejected").count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == "ignored").count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn a_synthetic_webhook_of_each_provider_is_taken_and_takes_no_effect() {
    let world = World::new().await;
    let ring = world.stack().ports().webhook_vault.ring();
    for provider in tillwatch_providers::ALL {
        let (name, kind) = (provider.name(), provider.sample_kinds()[0]);
        let sent = sample(name, kind, 1, world.now(), &settings(name));
        let mut event = sent.event();
        let mark = synthetic::mark(&ring, name, &sent.body);
        event.headers.insert(synthetic::HEADER, HeaderValue::from_str(mark.expose_secret()).unwrap());
        assert_eq!(world.stack().http(event).await.status_code, 200, "{name}");
        world.work().await;
        let deliveries = world.deliveries(name).await;
        assert_eq!((deliveries.len(), &deliveries[0]["status"]), (1, &json!("ignored")), "{name}");
        assert_eq!(world.health(name).await["received"], 0, "{name}");
    }
}
