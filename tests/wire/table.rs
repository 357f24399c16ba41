//! When the table is short of capacity, or the processor ends in the middle of its work.

use serde_json::json;

use super::deployment::{Deployment, payment, payment_id};
use super::faults::Puts;

#[tokio::test]
async fn a_table_that_throttles_delays_a_webhook_and_does_not_lose_it() {
    let mut deployment = Deployment::ready().await;
    let sent = payment();
    assert_eq!(deployment.post(&sent).await.status, 200);
    deployment.way.puts(Puts::AreThrottled);
    let batch = deployment.receive(1).await;
    let message = batch["Records"][0]["messageId"].clone();
    let failed = deployment.deliver(&batch).await;
    assert_eq!(failed, std::slice::from_ref(&message), "it is reported as failed");
    assert_eq!(deployment.deliveries().await.len(), 0);
    deployment.way.puts(Puts::Work);
    let again = deployment.receive(1).await;
    assert_eq!(again["Records"][0]["messageId"], message);
    assert_eq!(deployment.deliver(&again).await, [json!(null); 0]);
    deployment.delete(&again).await;
    deployment.count().await;
    deployment.shows_once(&sent).await;
}

#[tokio::test]
async fn a_processor_killed_before_its_messages_are_deleted_leaves_one_effect() {
    let mut deployment = Deployment::ready().await;
    let sent = payment();
    assert_eq!(deployment.post(&sent).await.status, 200);
    let batch = deployment.receive(1).await;
    assert_eq!(deployment.deliver(&batch).await, [json!(null); 0]);
    deployment = deployment.replace_processor();
    deployment.time_out(&batch).await;
    deployment.work(1).await;
    deployment.shows_once(&sent).await;
}

#[tokio::test]
async fn a_processor_killed_between_two_writes_leaves_one_effect() {
    let mut deployment = Deployment::ready().await;
    let sent = payment();
    deployment.declare(&sent).await;
    assert_eq!(deployment.post(&sent).await.status, 200);
    let batch = deployment.receive(1).await;
    deployment.way.puts(Puts::GetNoAnswer);
    tokio::select! {
        failed = deployment.deliver(&batch) => panic!("it waits for the table: {failed:?}"),
        () = deployment.way.one_got_no_answer() => {}
    }
    deployment = deployment.replace_processor();
    deployment.way.puts(Puts::Work);
    assert_eq!(deployment.record(&payment_id(&sent)).await["status"], "completed", "the record is written");
    assert_eq!(deployment.deliveries().await.len(), 0, "and the event is not");
    deployment.time_out(&batch).await;
    deployment.work(1).await;
    deployment.shows_once(&sent).await;
}
