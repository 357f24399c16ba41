//! What came of sending: answers by status, and how long they took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::output::{counted, millis, printable};

/// How many reasons are told. The first ones are the telling ones.
const REASONS: usize = 5;

/// What came of one request.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was answered.
    Status {
        /// The HTTP status.
        status: u16,
        /// From the first byte sent to the last one received.
        took: Duration,
        /// Why the answer is not the expected one, if it isn't.
        reason: Option<String>,
    },
    /// It was not sent, or not answered.
    None {
        /// Why not.
        reason: String,
    },
}

/// Counts answers as they come.
#[derive(Debug, Default)]
pub(super) struct Tally {
    statuses: BTreeMap<u16, u64>,
    unanswered: u64,
    unexpected: u64,
    micros: Vec<u64>,
    reasons: Vec<String>,
}

impl Tally {
    pub(super) fn add(&mut self, answer: Answer) {
        let reason = match answer {
            Answer::Status { status, took, reason } => {
                *self.statuses.entry(status).or_default() += 1;
                self.micros.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
                self.unexpected += u64::from(reason.is_some());
                reason
            }
            Answer::None { reason } => {
                self.unanswered += 1;
                Some(reason)
            }
        };
        if let Some(reason) = reason
            && self.reasons.len() < REASONS
            && !self.reasons.iter().any(|known| is_same(known, &reason))
        {
            self.reasons.push(reason);
        }
    }

    /// The sum, `elapsed` after the first request, of `planned` requests about `events` events to `url`.
    pub(super) fn summary(mut self, url: &str, events: u64, planned: u64, elapsed: Duration) -> Summary {
        self.micros.sort_unstable();
        let answered = u64::try_from(self.micros.len()).unwrap_or(u64::MAX);
        let micros = elapsed.as_micros().max(1);
        Summary {
            url: url.to_owned(),
            events,
            requests: answered + self.unanswered,
            not_sent: planned.saturating_sub(answered + self.unanswered),
            answers: self.statuses,
            unanswered: self.unanswered,
            unexpected: self.unexpected,
            elapsed_ms: u64::try_from(micros / 1_000).unwrap_or(u64::MAX),
            answers_per_second: u64::try_from(u128::from(answered) * 1_000_000 / micros).unwrap_or(u64::MAX),
            answer_times: Times::of(&self.micros),
            reasons: self.reasons,
        }
    }
}

/// A word; nothing, for a request's id.
fn gist(word: &str) -> &str {
    if word.starts_with("req_") { "" } else { word }
}

/// Whether two reasons say the same, but for the request that they say it of.
fn is_same(one: &str, other: &str) -> bool {
    one.split(' ').map(gist).eq(other.split(' ').map(gist))
}

/// The sum of a run, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Where the requests went.
    url: String,
    /// How many distinct events were to be sent.
    events: u64,
    /// How many requests were made.
    requests: u64,
    /// How many were not made or not waited for, because the operator stopped the run.
    not_sent: u64,
    /// Answers by HTTP status.
    answers: BTreeMap<u16, u64>,
    /// Requests that could not be sent, or that no answer came to.
    unanswered: u64,
    /// Answers other than expected.
    unexpected: u64,
    elapsed_ms: u64,
    answers_per_second: u64,
    /// None if nothing was answered.
    answer_times: Option<Times>,
    /// Why answers were not those expected: the first few reasons.
    reasons: Vec<String>,
}

/// Times from request to answer, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Times {
    #[serde(rename = "p50_us")]
    p50: u64,
    #[serde(rename = "p99_us")]
    p99: u64,
    #[serde(rename = "max_us")]
    max: u64,
}

impl Times {
    /// Of sorted times. A percentile is the least time that so many per cent of all did not exceed.
    fn of(sorted: &[u64]) -> Option<Self> {
        let percentile = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied()
        };
        Some(Self { p50: percentile(50)?, p99: percentile(99)?, max: percentile(100)? })
    }
}

impl Summary {
    /// Whether every request was answered as expected.
    pub(super) fn is_good(&self) -> bool {
        self.unanswered == 0 && self.unexpected == 0
    }

    /// Whether the operator stopped the run before its end.
    pub(super) fn is_cut_short(&self) -> bool {
        self.not_sent > 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, requests) = (counted(self.events, "event"), counted(self.requests, "request"));
        let (seconds, rest) = (self.elapsed_ms / 1_000, self.elapsed_ms % 1_000);
        writeln!(f, "{events}, {requests} to {}", self.url)?;
        for (status, count) in &self.answers {
            writeln!(f, "  answered {status}     {count}")?;
        }
        for (what, count) in [("not answered", self.unanswered), ("not sent", self.not_sent)] {
            if count > 0 {
                writeln!(f, "  {what:<16} {count}")?;
            }
        }
        write!(f, "  in               {seconds}.{rest:03} s, {} a second", self.answers_per_second)?;
        if let Some(times) = self.answer_times {
            let shown = |micros| millis(Duration::from_micros(micros));
            let (p50, p99, max) = (shown(times.p50), shown(times.p99), shown(times.max));
            write!(f, "\n  answer times     p50 {p50}, p99 {p99}, longest {max}")?;
        }
        if !self.is_good() {
            let count = counted(self.unanswered + self.unexpected, "request");
            write!(f, "\n{count} not answered as expected:")?;
            for reason in &self.reasons {
                write!(f, "\n  {}", printable(reason))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, micros: u64, reason: Option<&str>) -> Answer {
        Answer::Status { status, took: Duration::from_micros(micros), reason: reason.map(str::to_owned) }
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!(Times::of(&sorted), Some(Times { p50: 100, p99: 198, max: 200 }));
        assert_eq!(Times::of(&[7]), Some(Times { p50: 7, p99: 7, max: 7 }));
        assert_eq!(Times::of(&[]), None);
    }

    #[test]
    fn a_good_run_is_told_in_a_few_lines() {
        let mut tally = Tally::default();
        tally.add(answered(200, 3_000, None));
        tally.add(answered(200, 1_000, None));
        let summary = tally.summary("http://localhost/webhooks/square", 1, 2, Duration::from_millis(250));
        assert!(summary.is_good() && !summary.is_cut_short());
        assert_eq!(
            summary.to_string(),
            "1 event, 2 requests to http://localhost/webhooks/square\n  answered 200     2\n  in               \
             0.250 s, 8 a second\n  answer times     p50 1.0 ms, p99 3.0 ms, longest 3.0 ms"
        );
    }

    #[test]
    fn each_reason_is_told_once_and_not_too_many() {
        let mut tally = Tally::default();
        for number in 0..20 {
            let reason = format!("reason {}, kept as req_{number}", number / 2);
            tally.add(Answer::None { reason });
        }
        tally.add(answered(503, 1, Some("not available")));
        let summary = tally.summary("http://localhost", 21, 30, Duration::ZERO);
        assert!(!summary.is_good() && summary.is_cut_short());
        let told = summary.to_string();
        assert!(told.contains("not answered     20\n  not sent         9\n"), "{told}");
        assert!(told.contains("21 requests not answered as expected:\n  reason 0, kept as req_0\n  reason 1, kept as req_2\n"), "{told}");
        assert_eq!(summary.reasons.len(), REASONS);
    }
}
