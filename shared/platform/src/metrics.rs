//! Metrics in CloudWatch's embedded metric format: one line of JSON on stdout, no call to anyone.
//!
//! Dimensions are the provider and the outcome, nothing else: every further one is billed per series. What concerns a
//! connection comes from the table.

use std::io::Write as _;
use std::sync::Mutex;

use jiff::Timestamp;
use serde_json::json;

/// Metrics by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Requests at a webhook URL, by verdict. Count.
    Requests,
    /// Events that took an outcome; `duplicate` counts deliveries of one that had its outcome already. Count.
    Events,
    /// From a request's arrival to its event's outcome. Milliseconds.
    ProcessingTime,
    /// The schedule's message came through the queue. Count, without dimensions.
    Heartbeat,
}

impl Metric {
    fn name(self) -> &'static str {
        match self {
            Self::Requests => "Requests",
            Self::Events => "Events",
            Self::ProcessingTime => "ProcessingTime",
            Self::Heartbeat => "Heartbeat",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::ProcessingTime => "Milliseconds",
            _ => "Count",
        }
    }
}

/// Where metrics go.
#[derive(Debug)]
pub struct Metrics {
    namespace: String,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    Nowhere,
    Lines(Mutex<Vec<String>>),
}

impl Metrics {
    /// To stdout, where CloudWatch picks them up, under `Tillwatch/<stage>`.
    pub fn stdout(stage: &str) -> Self {
        Self { namespace: format!("Tillwatch/{stage}"), sink: Sink::Stdout }
    }

    /// Nowhere: on one machine figures come from the table.
    pub fn off() -> Self {
        Self { namespace: String::new(), sink: Sink::Nowhere }
    }

    /// Kept, for tests to read with [`Metrics::lines`].
    pub fn kept() -> Self {
        Self { namespace: "Tillwatch/test".into(), sink: Sink::Lines(Mutex::default()) }
    }

    /// The lines kept so far.
    pub fn lines(&self) -> Vec<String> {
        match &self.sink {
            Sink::Lines(lines) => lines.lock().map(|lines| lines.clone()).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Values of metrics that share a provider and an outcome. At most 100 values a metric, as the format demands.
    pub fn emit(&self, now: Timestamp, provider: &str, outcome: &str, values: &[(Metric, Vec<i64>)]) {
        self.line(now, Some((provider, outcome)), values);
    }

    /// The heartbeat.
    pub fn heartbeat(&self, now: Timestamp) {
        self.line(now, None, &[(Metric::Heartbeat, vec![1])]);
    }

    fn line(&self, now: Timestamp, of: Option<(&str, &str)>, values: &[(Metric, Vec<i64>)]) {
        if matches!(self.sink, Sink::Nowhere) {
            return;
        }
        let dimensions = if of.is_some() { json!([["provider", "outcome"]]) } else { json!([[]]) };
        let names: Vec<_> =
            values.iter().map(|(metric, _)| json!({"Name": metric.name(), "Unit": metric.unit()})).collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": now.as_millisecond(),
                "CloudWatchMetrics":
                    [{"Namespace": self.namespace, "Dimensions": dimensions, "Metrics": names}],
            },
        });
        if let Some((provider, outcome)) = of {
            line["provider"] = provider.into();
            line["outcome"] = outcome.into();
        }
        for (metric, values) in values {
            line[metric.name()] = match values.as_slice() {
                [one] => json!(one),
                many => json!(many),
            };
        }
        match &self.sink {
            Sink::Stdout => {
                let _ = writeln!(std::io::stdout().lock(), "{line}");
            }
            Sink::Lines(lines) => {
                if let Ok(mut lines) = lines.lock() {
                    lines.push(line.to_string());
                }
            }
            Sink::Nowhere => {}
        }
    }
}
