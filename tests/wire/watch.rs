//! A connection that the deployed functions watch.

use serde_json::{Value, json};
use tillwatch_tests::server::{Reply, Server};

use super::deployment::{Deployment, event};

const ID: &str = "harbour-loyverse";

#[tokio::test]
async fn a_connection_that_is_configured_is_checked_reconciled_and_told_of() {
    let provider = Server::start(|request| match request.header("authorization") {
        "Bearer good" if request.path.ends_with("/receipts") => Reply::json(200, json!({"receipts": []})),
        "Bearer good" => Reply::json(200, json!({"id": "m1", "business_name": "Harbour"})),
        _ => Reply::json(401, json!({"errors": [{"code": "UNAUTHORIZED", "details": "…"}]})),
    });
    let base = provider.await.base;
    let mut deployment = Deployment::ready().await;
    deployment.let_near();
    let said = json!({
        "id": ID, "provider": "loyverse", "business": "harbour-group", "merchant_id": "m1",
        "access_token": "good", "base_url": format!("{base}/v1.0"),
    });
    let answer = deployment.order("PUT", &format!("/config/business-connections/{ID}"), &said).await;
    assert!([200, 201].contains(&answer.status), "{}", answer.body);
    // What was configured is checked at once: a job of it lies on the queue.
    let job = deployment.receive_of("TILLWATCH_CHECKS_QUEUE_URL", 1).await;
    let none = json!({"batchItemFailures": []});
    assert_eq!(deployment.answer("Checks", "checks", &job).await, none);
    let doing = deployment.get(&format!("/connections/{ID}/health")).await;
    assert_eq!((&doing["status"], &doing["score"]), (&json!("up"), &json!(100)), "{doing}");
    let calls = deployment.get(&format!("/connections/{ID}/calls")).await;
    assert_eq!(
        (&calls["calls"][0]["endpoint"], &calls["calls"][0]["ok"]),
        (&json!("/v1.0/merchant/"), &json!(true)),
        "{calls}"
    );
    let scheduled = deployment.answer("Scheduler", "scheduler", &event("scheduler.json")).await;
    assert_eq!((&scheduled["refreshes"], &scheduled["missed"]), (&json!(1), &json!(0)), "{scheduled}");
    let job = deployment.receive_of("TILLWATCH_REFRESHES_QUEUE_URL", 1).await;
    assert_eq!(deployment.answer("Refreshes", "refreshes", &job).await, none);
    let token = deployment.get(&format!("/connections/{ID}/token")).await;
    assert_eq!((&token["state"], &token["needs_a_person"]), (&json!("static"), &json!(false)), "{token}");
    let answer = deployment.order("POST", &format!("/connections/{ID}/reconcile"), &json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let job = deployment.receive_of("TILLWATCH_RECONCILIATIONS_QUEUE_URL", 1).await;
    assert_eq!(deployment.answer("Reconciliations", "reconciliations", &job).await, none);
    let reconciled = deployment.get(&format!("/connections/{ID}/reconciliation")).await;
    assert_eq!((&reconciled["trouble"], &reconciled["missing"]), (&Value::Null, &json!(0)), "{reconciled}");
    assert!(reconciled["ran_at"].is_string(), "{reconciled}");
    deployment.answer("Tally", "tally", &event("tally.json")).await;
    let all = deployment.get("/pos/health").await;
    assert_eq!(all["providers"]["loyverse"]["by_status"]["up"], json!(1), "{all}");
}
