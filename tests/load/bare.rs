//! A function that does nothing but a webhook function's network call: what the webhook functions' time is measured
//! against. `docs/measuring.md` has the command.

use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tillwatch_platform::aws::{self, Patience};
use tillwatch_platform::config::Environment;
use tillwatch_platform::queue::{Outgoing, Queue, Sqs};

fn main() -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let config = aws::from_environment(Patience::WEBHOOK)?;
        let queue = Arc::new(Sqs::new(&config, Environment.queue_url()?));
        queue.warm().await;
        let queue = &queue;
        lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
            let body = event.payload.get().to_owned();
            queue.send(Outgoing { body, group: "bare".to_owned(), delay: Duration::ZERO }).await?;
            Ok::<_, Error>(serde_json::json!({"statusCode": 200, "body": "{}"}))
        }))
        .await
    })
}
