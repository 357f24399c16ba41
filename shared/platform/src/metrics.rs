//! Metrics in CloudWatch's embedded metric format: one line of JSON on stdout, no call to anyone.
//!
//! Dimensions are the provider and the outcome, nothing else: every further one is billed per series. What concerns a
//! connection comes from the table. Events and subscriptions are summed by their outcome alone as well, because an alarm can
//! look at ten metrics and no more: one on what happens at any provider could not name them all.

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
    /// Webhook subscriptions that were looked at, by how they were found or left. Count.
    Subscriptions,
    /// Checks of connections, by what they found. Count.
    Checks,
    /// How long a check's slowest call took. Milliseconds.
    CheckTime,
    /// Refreshes of tokens, by what came of them. Count.
    Refreshes,
    /// Events that no webhook brought, by what became of them; `missing` counts those that were found to be, `unlisted` lists
    /// that a provider did not give. Count.
    Reconciled,
    /// Our own addresses at each look, by how they do. Count.
    Addresses,
    /// How long the last synthetic webhook took to its end. Milliseconds.
    SyntheticTime,
    /// The schedule's message came through the queue. Count, without dimensions.
    Heartbeat,
}

impl Metric {
    fn name(self) -> &'static str {
        match self {
            Self::Requests => "Requests",
            Self::Events => "Events",
            Self::ProcessingTime => "ProcessingTime",
            Self::Subscriptions => "Subscriptions",
            Self::Checks => "Checks",
            Self::CheckTime => "CheckTime",
            Self::Refreshes => "Refreshes",
            Self::Reconciled => "Reconciled",
            Self::Addresses => "Addresses",
            Self::SyntheticTime => "SyntheticTime",
            Self::Heartbeat => "Heartbeat",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::ProcessingTime | Self::CheckTime | Self::SyntheticTime => "Milliseconds",
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
    cloud_watch_metrics: Vec<Directive<'a>>,
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

impl Line<'_> {
    /// Which metrics are to be made of the line, by which dimensions.
    fn directives(&self) -> Vec<Directive<'_>> {
        let directive = |dimensions, is_meant: fn(Metric) -> bool| {
            let metrics = self.values.iter().map(|(metric, _)| *metric).filter(|metric| is_meant(*metric));
            let metrics = metrics.map(|metric| Definition { name: metric.name(), unit: metric.unit() });
            Directive { namespace: self.namespace, dimensions: [dimensions], metrics: metrics.collect() }
        };
        if self.of.is_none() {
            return vec![directive(&[], |_| true)];
        }
        let mut directives = vec![directive(&["provider", "outcome"], |_| true)];
        let is_summed = |metric| {
            matches!(
                metric,
                Metric::Events
                    | Metric::Subscriptions
                    | Metric::Refreshes
                    | Metric::Reconciled
                    | Metric::Addresses
            )
        };
        if self.values.iter().any(|(metric, _)| is_summed(*metric)) {
            directives.push(directive(&["outcome"], is_summed));
        }
        directives
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        let timestamp = self.now.as_millisecond();
        line.serialize_entry("_aws", &Header { timestamp, cloud_watch_metrics: self.directives() })?;
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is to be made of the one line that was kept: the dimensions and the metrics' names of each directive.
    fn directives(metrics: &Metrics) -> Vec<Value> {
        let line: Value = serde_json::from_str(&metrics.lines()[0]).unwrap();
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap().clone();
        let named = |directive: Value| {
            let metrics = directive["Metrics"].as_array().unwrap().iter();
            json!([directive["Dimensions"], metrics.map(|metric| metric["Name"].clone()).collect::<Vec<_>>()])
        };
        directives.into_iter().map(named).collect()
    }

    #[test]
    fn events_are_summed_over_the_providers_too_and_their_times_are_not() {
        let metrics = Metrics::kept();
        let values = [(Metric::Events, vec![2]), (Metric::ProcessingTime, vec![50, 30])];
        metrics.emit(Timestamp::UNIX_EPOCH, "square", "parked", &values);
        let expected = [
            json!([[["provider", "outcome"]], ["Events", "ProcessingTime"]]),
            json!([[["outcome"]], ["Events"]]),
        ];
        assert_eq!(directives(&metrics), expected);
    }

    #[test]
    fn a_webhooks_line_is_of_its_provider_alone() {
        let metrics = Metrics::kept();
        metrics.emit(Timestamp::UNIX_EPOCH, "square", "accepted", &[(Metric::Requests, vec![1])]);
        assert_eq!(directives(&metrics), [json!([[["provider", "outcome"]], ["Requests"]])]);
    }

    #[test]
    fn a_heartbeat_has_no_dimensions() {
        let metrics = Metrics::kept();
        metrics.heartbeat(Timestamp::UNIX_EPOCH);
        assert_eq!(directives(&metrics), [json!([[[]], ["Heartbeat"]])]);
    }
}
