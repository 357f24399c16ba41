//! Connections in the deployed table: declared ones, and one with a secret of its own.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_platform::vault::KeyRing;
use tillwatch_providers::{Provider, Settings};
use tillwatch_tests::sender::{Sent, provider, sample};
use tillwatch_workflows::own_settings::sealed_for;

use super::deployment::{Deployment, event, payment, payment_id, payment_number, settings};
use super::emulators::PATIENCE;

/// The deliveries of a provider, as the console lists them.
async fn deliveries(deployment: &Deployment, provider: &str) -> Vec<Value> {
    let page = deployment.get(&format!("/webhooks/deliveries/{provider}")).await;
    page["deliveries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn where_connections_are_declared_an_event_takes_effect_once_its_connection_is() {
    let mut deployment = Deployment::ready().await;
    let said = [("pk", "M"), ("sk", "M"), ("un", "declared")];
    deployment.put_connection_item(&said.map(|(name, value)| (name, json!({ "S": value })))).await;
    let sent = payment();
    assert_eq!(deployment.post(&sent).await.status, 200);
    deployment.work(1).await;
    assert_eq!(deliveries(&deployment, "square").await[0]["status"], "unknown_connection");
    assert_eq!(deployment.ask(&format!("/records/payments/square/{}", payment_id(&sent))).await.status, 404);
    deployment.declare(&sent).await;
    // What is read of a connection is used for two seconds.
    let started = std::time::Instant::now();
    for number in 2.. {
        let sent = payment_number(number);
        assert_eq!(deployment.post(&sent).await.status, 200);
        deployment.work(1).await;
        if deployment.ask(&format!("/records/payments/square/{}", payment_id(&sent))).await.status == 200 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "the connection is found");
    }
}

/// Hands a request to the webhook function of its provider; the status.
async fn post(deployment: &Deployment, function: &str, sent: &Sent) -> Value {
    let binary = format!("webhook-{}", sent.provider);
    let (mut event, posted) = (event(&format!("{binary}.json")), json!(sent.event()));
    for part in ["rawPath", "headers", "body", "isBase64Encoded"] {
        event[part] = posted[part].clone();
    }
    deployment.answer(function, &binary, &event).await["statusCode"].clone()
}

#[tokio::test]
async fn a_secret_of_a_connections_own_that_is_sealed_in_the_table_proves_its_webhooks_and_no_other_does() {
    let mut deployment = Deployment::ready().await;
    deployment.put_secret("google_calendar").await;
    let token = "the token of harbour's channel";
    let signed = |token: &str| {
        let settings = Settings::with_url_keys([token]);
        sample("google_calendar", "exists", 1, SystemClock.now(), &settings)
    };
    let google: &dyn Provider = provider("google_calendar");
    let right = signed(token);
    let channel = google.claimed_account(&right.headers, &right.body).unwrap();
    let ring = deployment.secret("TILLWATCH_VAULT_WEBHOOKS").await;
    let ring = KeyRing::parse("the ring", ring.expose_secret()).unwrap();
    let plain = json!({"url_keys": [token]}).to_string().into();
    let text = |text: &str| json!({ "S": text });
    let webhook = [
        ("pk", text(&format!("W#google_calendar#a#{channel}"))),
        ("sk", text("harbour-calendar")),
        ("ac", json!({"L": [text(&channel)]})),
        ("s", text(&ring.seal(&sealed_for("harbour-calendar"), &plain))),
    ];
    deployment.put_connection_item(&webhook).await;
    let of_events = [
        ("pk", text(&format!("A#google_calendar#{channel}"))),
        ("sk", text("harbour-calendar")),
        ("bs", text("harbour")),
        ("st", text("enabled")),
        ("ro", text("primary")),
    ];
    deployment.put_connection_item(&of_events).await;
    let function = "WebhookGoogleCalendar";
    assert_eq!(post(&deployment, function, &signed("the token of another's channel")).await, 401);
    assert_eq!(post(&deployment, function, &right).await, 200);
    deployment.work(2).await;
    let mut statuses: Vec<_> = deliveries(&deployment, "google_calendar").await;
    statuses.sort_by_key(|one| one["status"].to_string());
    assert_eq!((&statuses[0]["status"], &statuses[1]["status"]), (&json!("applied"), &json!("rejected")));
    let id = statuses[0]["id"].as_str().unwrap();
    let shown = deployment.get(&format!("/webhooks/deliveries/google_calendar/{id}")).await;
    assert!(shown["signing_key"].as_str().unwrap().starts_with("harbour-calendar/"), "{shown}");
    assert!(!shown.to_string().contains(token), "{shown}");
}

#[tokio::test]
async fn a_purchase_of_zettles_goes_through_every_function() {
    let mut deployment = Deployment::ready().await;
    deployment.put_secret("zettle").await;
    let answer = deployment.answer("WebhookZettle", "webhook-zettle", &event("webhook-zettle.json")).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    deployment.work(1).await;
    let deliveries = deliveries(&deployment, "zettle").await;
    assert_eq!((deliveries.len(), &deliveries[0]["status"]), (1, &json!("applied")), "{deliveries:?}");
    let figures = deployment.get("/webhooks/health").await["providers"]["zettle"].clone();
    assert_eq!(figures["applied"], json!(1), "{figures}");
}

#[tokio::test]
async fn of_keys_that_are_rotated_at_once_by_several_functions_none_is_lost() {
    let deployment = Deployment::ready().await;
    let rotate = async |key: &str| {
        let answer = deployment.order("POST", "/providers/square/rotate-secret", &json!({"key": key})).await;
        assert_eq!(answer.status, 200, "{key}: {}", answer.body);
    };
    let keys = ["the first of the new keys", "the second of the new keys", "the third of the new keys"];
    tokio::join!(rotate(keys[0]), rotate(keys[1]), rotate(keys[2]));
    for (key, number) in keys.into_iter().zip(1..) {
        let own = Settings { signing_keys: Settings::with_keys([key]).signing_keys, ..settings() };
        let sent = sample("square", "payment.updated", number, SystemClock.now(), &own);
        assert_eq!(deployment.post(&sent).await.status, 200, "{key}");
    }
}
