//! Metrics in CloudWatch's embedded metric format: one line of JSON on stdout, no call to anyone.
//!
//! Dimensions are the provider and the outcome, nothing else: every further one is billed per series. What concerns a
//! connection comes from the table.

use std::io::Write as _;
use std::sync::Mutex;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

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
        let line = Line { namespace: &self.namespace, now, of, values };
        match &self.sink {
            Sink::Stdout => {
                // In one piece, for a line is what CloudWatch reads.
                let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
                bytes.push(b'\n');
                let _ = std::io::stdout().lock().write_all(&bytes);
            }
            Sink::Lines(lines) => {
                if let Ok(mut lines) = lines.lock() {
                    lines.push(serde_json::to_string(&line).unwrap_or_default());
                }
            }
            Sink::Nowhere => {}
        }
    }
}

/// One line, written as it is read off: a webhook function makes one for each request.
struct Line<'a> {
    namespace: &'a str,
    now: Timestamp,
    of: Option<(&'a str, &'a str)>,
    values: &'a [(Metric, Vec<i64>)],
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Header<'a> {
    timestamp: i64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [&'a [&'a str]; 1],
    metrics: Vec<Definition>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    unit: &'static str,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dimensions: &[&str] = if self.of.is_some() { &["provider", "outcome"] } else { &[] };
        let metrics =
            self.values.iter().map(|(metric, _)| Definition { name: metric.name(), unit: metric.unit() });
        let directive =
            Directive { namespace: self.namespace, dimensions: [dimensions], metrics: metrics.collect() };
        let mut line = serializer.serialize_map(None)?;
        let timestamp = self.now.as_millisecond();
        line.serialize_entry("_aws", &Header { timestamp, cloud_watch_metrics: [directive] })?;
        if let Some((provider, outcome)) = self.of {
            line.serialize_entry("provider", provider)?;
            line.serialize_entry("outcome", outcome)?;
        }
        for (metric, values) in self.values {
            match values.as_slice() {
                [one] => line.serialize_entry(metric.name(), one)?,
                many => line.serialize_entry(metric.name(), many)?,
            }
        }
        line.end()
    }
}
