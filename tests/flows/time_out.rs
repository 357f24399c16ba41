//! When the processor's time runs out: what is done is done, and the rest goes back at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use jiff::Timestamp;
use tillwatch_domain::RequestId;
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_functions::processor::Handler;
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_platform::connections::{Connections, Unknown};
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::payloads::{PayloadError, Payloads};
use tillwatch_platform::queue::{Gauge, Outgoing, Queue, QueueError};
use tillwatch_platform::table::{LocalEndpoint, Table};
use tillwatch_providers::Headers;
use tillwatch_tests::sender::provider;
use tillwatch_workflows::envelope::{Envelope, Message, Payload, Verdict};
use tillwatch_workflows::payload;
use tillwatch_workflows::process::Processor;
use tillwatch_workflows::routing::Routing;
use tokio::time::Instant;

/// A table that takes everything at once and has nothing in it. Time stands still while it answers, as it does not for a
/// real one.
#[derive(Default)]
struct Empty(Mutex<Vec<String>>);

#[async_trait]
impl LocalEndpoint for Empty {
    async fn call(&self, operation: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        if let Some(key) = body["Item"]["pk"]["S"].as_str() {
            self.0.lock().unwrap().push(format!("{operation} {key}"));
        }
        Some((200, b"{}".to_vec()))
    }
}

/// A payload store that never answers.
struct Silent;

#[async_trait]
impl Payloads for Silent {
    async fn put(&self, _: &str, _: Vec<u8>, _: Timestamp) -> Result<(), PayloadError> {
        std::future::pending().await
    }

    async fn get(&self, _: &str, _: Timestamp) -> Result<Option<Vec<u8>>, PayloadError> {
        std::future::pending().await
    }
}

/// Remembers what was put back, and for how long.
struct Returns(&'static str, Mutex<Vec<(String, Duration)>>);

#[async_trait]
impl Queue for Returns {
    fn name(&self) -> &str {
        self.0
    }

    async fn send(&self, _: Outgoing) -> Result<(), QueueError> {
        Ok(())
    }

    async fn change_visibility(&self, receipt: &str, delay: Duration) -> Result<(), QueueError> {
        self.1.lock().unwrap().push((receipt.to_owned(), delay));
        Ok(())
    }

    async fn gauge(&self) -> Result<Gauge, QueueError> {
        Err(QueueError { action: "gauge", cause: "nobody asks".into() })
    }
}

fn message(name: &str, payload: Payload) -> SqsMessage {
    let now = SystemClock.now();
    let envelope = Envelope {
        id: RequestId::new(now, [7; 10]),
        provider: "square".into(),
        received_ms: now.as_millisecond(),
        verdict: Verdict::Accepted("00000000".into()),
        size: 1,
        connection: None,
        source: None,
        payload,
        attempts: 0,
        kept: false,
        again: false,
    };
    let mut message = SqsMessage::default();
    message.message_id = Some(name.to_owned());
    message.receipt_handle = Some(format!("{name}'s receipt"));
    message.body = Some(Message::Request(envelope).to_text());
    message.event_source_arn = Some("arn:aws:sqs:us-east-1:000000000000:events".to_owned());
    message
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_payload_never_comes_goes_back_at_once_and_the_one_beside_it_is_done() {
    let (table, events) = (Arc::new(Empty::default()), Arc::new(Returns("events", Mutex::default())));
    let processor = Processor {
        table: Table::in_process(table.clone(), "main".to_owned(), "figures".to_owned()),
        routing: Arc::new(Routing::new(
            Connections::in_process(table.clone(), "connections".to_owned()),
            Unknown::Auto,
        )),
        queue: events.clone(),
        payloads: Arc::new(Silent),
        clock: Arc::new(SystemClock),
        metrics: Arc::new(Metrics::off()),
        policy: RetryPolicy::default(),
    };
    let handler = Handler {
        processor: Arc::new(processor),
        events: events.clone(),
        dead_letters: Arc::new(Returns("dead-letters", Mutex::default())),
    };
    let square = provider("square");
    let (_, body) = square.sample("payment.updated", 1, Timestamp::UNIX_EPOCH).unwrap();
    let packed = payload::pack(square, &Headers::new(), &body);
    let mut batch = SqsEvent::default();
    batch.records =
        vec![message("stuck", Payload::Stored("square/x".into())), message("good", Payload::packed(&packed))];
    let (began, limit) = (Instant::now(), Duration::from_secs(30));
    let answer = handler.handle(batch, began + limit).await;
    let failed: Vec<_> = answer.batch_item_failures.iter().map(|it| it.item_identifier.as_str()).collect();
    assert_eq!(failed, ["stuck"]);
    assert_eq!(*events.1.lock().unwrap(), [("stuck's receipt".to_owned(), Duration::ZERO)]);
    let written = table.0.lock().unwrap();
    let written: Vec<_> =
        written.iter().filter(|write| write.contains(" R#") || write.contains(" E#")).collect();
    assert!(written[0].starts_with("PutItem R#square#payment") && written[1].starts_with("PutItem E#evt_"));
    assert_eq!(written.len(), 2);
    assert!(began.elapsed() < limit, "there is time left to say so: {:?}", began.elapsed());
}
