//! Reads back from CloudWatch what AWS knows of us and does not say otherwise: how old the oldest message is.

use std::time::Duration;

use aws_sdk_cloudwatch::error::DisplayErrorContext;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use jiff::{SignedDuration, Timestamp};

/// CloudWatch, as far as it is read.
#[derive(Debug, Clone)]
pub struct CloudWatch {
    client: aws_sdk_cloudwatch::Client,
}

impl CloudWatch {
    /// The account's CloudWatch.
    pub fn new(config: &aws_types::SdkConfig) -> Self {
        Self { client: aws_sdk_cloudwatch::Client::new(config) }
    }

    /// The age of a queue's oldest message in the latest minute that CloudWatch has, up to ten minutes back; none if
    /// it has none, or can't be asked: the age is told on a page, and a page must not fail for it.
    pub async fn oldest_message_age(&self, queue: &str, now: Timestamp) -> Option<Duration> {
        let metric = Metric::builder()
            .namespace("AWS/SQS")
            .metric_name("ApproximateAgeOfOldestMessage")
            .dimensions(Dimension::builder().name("QueueName").value(queue).build())
            .build();
        let stat = MetricStat::builder().metric(metric).period(60).stat("Maximum").build();
        let query = MetricDataQuery::builder().id("age").metric_stat(stat).build();
        let from = now - SignedDuration::from_mins(10);
        let answer = self
            .client
            .get_metric_data()
            .metric_data_queries(query)
            .start_time(DateTime::from_secs(from.as_second()))
            .end_time(DateTime::from_secs(now.as_second()))
            .send()
            .await
            .inspect_err(|error| {
                tracing::warn!(error = %DisplayErrorContext(error), "CloudWatch did not tell the oldest message's age");
            })
            .ok()?;
        whole_seconds(*answer.metric_data_results().first()?.values().first()?)
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "CloudWatch answers in floating point; this is an age, not money"
)]
fn whole_seconds(value: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(value).ok()
}
