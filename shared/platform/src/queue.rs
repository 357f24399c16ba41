//! The event queue: a port, and SQS behind it. On one machine a durable queue with the same semantics stands here.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue, QueueAttributeName,
};

use crate::config::optional;

/// The most text that one message may hold, in bytes.
pub const MAX_MESSAGE: usize = 1_048_576;

/// A message to send. Its text holds none of the characters that XML refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The text: at most [`MAX_MESSAGE`] bytes.
    pub body: String,
    /// Whose message it is, so that one noisy group does not starve the others (SQS fair queues): the provider.
    pub group: String,
    /// How long it stays invisible at first; at most 15 minutes.
    pub delay: Duration,
}

/// How full a queue is. Counts are approximate on AWS, exact on one machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauge {
    /// Waiting to be received.
    pub waiting: u64,
    /// Received and not yet deleted.
    pub in_flight: u64,
    /// Not visible yet because of a delay.
    pub delayed: u64,
    /// How long the oldest message has been on the queue; none if the queue is empty or nobody knows.
    pub oldest_age: Option<Duration>,
}

/// The queue could not do it. Ours: the caller answers 5xx or leaves the message where it is.
#[derive(Debug, thiserror::Error)]
#[error("the queue could not {action}: {cause}")]
pub struct QueueError {
    /// What was being done.
    pub action: &'static str,
    /// Why not.
    pub cause: String,
}

/// What the workflows need of a queue. Receiving and deleting is the runtime's: Lambda's event source, or the poller
/// of one machine.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Its name: what its ARN ends in.
    fn name(&self) -> &str;

    /// Puts one message on the queue. When this returns, the message is durable.
    async fn send(&self, message: Outgoing) -> Result<(), QueueError>;

    /// Makes a received message visible again after `delay` (at most 12 hours from its reception).
    async fn change_visibility(&self, receipt: &str, delay: Duration) -> Result<(), QueueError>;

    /// How full the queue is.
    async fn gauge(&self) -> Result<Gauge, QueueError>;
}

/// One SQS queue.
#[derive(Debug, Clone)]
pub struct Sqs {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl Sqs {
    /// The queue at this URL.
    pub fn new(config: &aws_types::SdkConfig, url: String) -> Self {
        Self { client: aws_sdk_sqs::Client::new(config), url }
    }

    /// Opens the connection before the first message needs it. Whether it succeeds is of no matter: the function may not
    /// even be allowed to ask.
    pub async fn warm(&self) {
        let _ = self.client.get_queue_url().queue_name("-").send().await;
    }
}

/// What ties a message to the trace of the invocation that sends it, for whoever receives it; none, unless that is recorded.
fn trace() -> Option<HashMap<MessageSystemAttributeNameForSends, MessageSystemAttributeValue>> {
    // The runtime sets it at the beginning of each invocation.
    let header = recorded(optional("_X_AMZN_TRACE_ID")?)?;
    let value =
        MessageSystemAttributeValue::builder().data_type("String").string_value(header).build().ok()?;
    Some(HashMap::from([(MessageSystemAttributeNameForSends::AwsTraceHeader, value)]))
}

/// A trace's header, if X-Ray records that trace.
fn recorded(header: String) -> Option<String> {
    header.split(';').any(|field| field.trim() == "Sampled=1").then_some(header)
}

fn seconds(delay: Duration) -> i32 {
    i32::try_from(delay.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX)
}

fn failed<E: std::error::Error>(action: &'static str) -> impl FnOnce(E) -> QueueError {
    move |error| QueueError { action, cause: DisplayErrorContext(error).to_string() }
}

#[async_trait]
impl Queue for Sqs {
    fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    async fn send(&self, message: Outgoing) -> Result<(), QueueError> {
        let delay = (!message.delay.is_zero()).then(|| seconds(message.delay));
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(message.body)
            .message_group_id(message.group)
            .set_delay_seconds(delay)
            .set_message_system_attributes(trace())
            .send()
            .await
            .map(|_| ())
            .map_err(failed("take a message"))
    }

    async fn change_visibility(&self, receipt: &str, delay: Duration) -> Result<(), QueueError> {
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .visibility_timeout(seconds(delay))
            .send()
            .await
            .map(|_| ())
            .map_err(failed("put a message back"))
    }

    async fn gauge(&self) -> Result<Gauge, QueueError> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            .send()
            .await
            .map_err(failed("tell how full it is"))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Gauge {
            waiting: count(QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
            oldest_age: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_tied_to_its_trace_only_where_that_is_recorded() {
        let header = |sampled: &str| {
            format!("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8{sampled}")
        };
        assert_eq!(recorded(header(";Sampled=1")), Some(header(";Sampled=1")));
        assert_eq!(recorded(header(";Sampled=1;Lineage=a:1")), Some(header(";Sampled=1;Lineage=a:1")));
        for sampled in [";Sampled=0", ";Sampled=?", ""] {
            assert_eq!(recorded(header(sampled)), None);
        }
    }
}
