//! What becomes of webhooks.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_providers::Headers;
use tillwatch_tests::sender::signed;

use super::deployment::{Deployment, payment, payment_id, payment_number, settings};
use super::emulators::PATIENCE;

#[tokio::test]
async fn a_signed_webhook_goes_through_every_function_and_is_shown_with_its_record_and_counted_once() {
    let mut deployment = Deployment::ready().await;
    let sent = payment();
    assert_eq!(deployment.post(&sent).await.status, 200);
    deployment.work(1).await;
    deployment.shows_once(&sent).await;
    let id = deployment.deliveries().await[0]["id"].as_str().unwrap().to_owned();
    let shown = deployment.get(&format!("/webhooks/deliveries/square/{id}")).await;
    assert_eq!(shown["body"].as_str().unwrap().as_bytes(), sent.body);
    assert!(shown.to_string().contains(&payment_id(&sent)), "it names its record: {shown}");
}

#[tokio::test]
async fn a_webhook_sent_three_times_and_delivered_and_counted_twice_takes_effect_once() {
    let mut deployment = Deployment::ready().await;
    let sent = payment();
    for _ in 0..3 {
        assert_eq!(deployment.post(&sent).await.status, 200);
    }
    let batch = deployment.receive(3).await;
    for _ in 0..2 {
        assert_eq!(deployment.deliver(&batch).await, [json!(null); 0]);
    }
    deployment.delete(&batch).await;
    for window in deployment.changes().await {
        deployment.roll_up(&window).await;
        deployment.roll_up(&window).await;
    }
    deployment.shows_once(&sent).await;
}

#[tokio::test]
async fn a_poison_message_fails_alone_and_its_batch_mates_take_effect() {
    let mut deployment = Deployment::ready().await;
    let sent = [payment(), payment_number(2)];
    for one in &sent {
        assert_eq!(deployment.post(one).await.status, 200);
    }
    // A newer version may have written it: it waits for one.
    let poison = r#"{"v":9,"kind":"riddle"}"#;
    deployment.send(poison).await;
    let batch = deployment.receive(3).await;
    let messages = batch["Records"].as_array().unwrap();
    let (poison, good): (Vec<_>, Vec<_>) = messages.iter().partition(|message| message["body"] == poison);
    assert_eq!(deployment.deliver(&batch).await, [poison[0]["messageId"].clone()]);
    deployment.delete(&json!({ "Records": good })).await;
    deployment.count().await;
    let deliveries = deployment.deliveries().await;
    assert_eq!(deliveries.len(), 2, "{deliveries:?}");
    for one in &sent {
        assert_eq!(deployment.record(&payment_id(one)).await["status"], "completed");
    }
    assert_eq!(deployment.figures().await["applied"], json!(2));
}

#[tokio::test]
async fn an_altered_body_is_answered_401_with_its_cause_and_listed_as_rejected() {
    let mut deployment = Deployment::ready().await;
    let mut sent = payment();
    sent.body.push(b' ');
    let answer = deployment.post(&sent).await;
    assert_eq!((answer.status, &answer.body["type"]), (401, &json!("urn:tillwatch:problem:wrong_signature")));
    deployment.work(1).await;
    let deliveries = deployment.deliveries().await;
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    assert_eq!(
        (&deliveries[0]["status"], &deliveries[0]["cause"]),
        (&json!("rejected"), &json!("wrong_signature"))
    );
    let figures = deployment.figures().await;
    assert_eq!(figures["rejected_by_cause"], json!({"wrong_signature": 1}), "{figures}");
    assert_eq!((&figures["received"], &figures["accepted"]), (&json!(1), &json!(0)), "{figures}");
    assert_eq!(deployment.ask(&format!("/records/payments/square/{}", payment_id(&sent))).await.status, 404);
}

#[tokio::test]
async fn a_secret_without_value_is_answered_503_until_it_has_one() {
    let deployment = Deployment::without_secrets().await;
    let sent = payment();
    assert_eq!(deployment.post(&sent).await.status, 503);
    deployment.put_secret("square").await;
    // That there is none is believed for a second.
    let started = std::time::Instant::now();
    while deployment.post(&sent).await.status != 200 {
        assert!(started.elapsed() < PATIENCE, "the secret is found");
    }
}

#[tokio::test]
async fn a_body_that_does_not_fit_a_message_goes_by_way_of_the_bucket_and_arrives_whole() {
    let mut deployment = Deployment::ready().await;
    let mut body: Value = serde_json::from_slice(&payment().body).unwrap();
    let noise = (0_u32..24_000).map(|number| hex::encode(Sha256::digest(number.to_be_bytes())));
    body["data"]["object"]["payment"]["note"] = json!(noise.collect::<String>());
    let sent =
        signed("square", Headers::new(), body.to_string().into_bytes(), SystemClock.now(), &settings());
    assert!(sent.body.len() > 1_500_000);
    assert_eq!(deployment.post(&sent).await.status, 200);
    let stored = deployment.stored_payloads().await;
    assert_eq!(stored.matches("<Key>square/req_").count(), 1, "{stored}");
    deployment.work(1).await;
    deployment.shows_once(&sent).await;
    let id = deployment.deliveries().await[0]["id"].as_str().unwrap().to_owned();
    let shown = deployment.get(&format!("/webhooks/deliveries/square/{id}")).await;
    assert!(shown["body"].as_str().unwrap().as_bytes() == sent.body, "it arrives whole");
}
