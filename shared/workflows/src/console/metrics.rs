//! `GET /metrics`: what is kept of connections, webhooks, objectives and of Tillwatch itself, in Prometheus' text format.
//!
//! Nothing is counted in the process: what is told comes from the survey, the figures and the tallies, so that each instance
//! of a function tells the same. Ten thousand connections are some ten megabytes, so it is made piece by piece.

use std::fmt::Write as _;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use jiff::Timestamp;
use tillwatch_domain::Outcome;
use tillwatch_domain::blame::Blame;
use tillwatch_domain::figures::{
    ARRIVED, ARRIVED_REJECTED, Deltas, LATENCY_BOUNDS_MS, TOOK_SUM_MS, outcome_figure, took_figure,
};
use tillwatch_domain::health::{Trouble, Verdict};
use tillwatch_domain::objective::{Objective, Window};
use tillwatch_domain::score::Reason;
use tillwatch_domain::token::Standing as TokenState;
use tillwatch_platform::queue::{Gauge, QueueError};
use tillwatch_platform::table::Period;

use super::{Console, Problem};
use crate::tally::Objectives;
use crate::watch::{Row, Survey};

/// How old the survey may be that it is made of.
const OLDEST: Duration = Duration::from_mins(1);
/// Connections whose series are made at once.
const PIECE: usize = 500;

/// One family of series, of which each connection has some: what it is called, what it tells, and its values in thousandths,
/// each with the text of a further label.
struct Family {
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    values: fn(&Row, Tell<'_>),
}

/// Takes the further label's text, and the value.
type Tell<'a> = &'a mut dyn FnMut(&str, i64);

/// Thousandths of one.
const ONE: i64 = 1_000;

const FAMILIES: [Family; 12] = [
    Family {
        name: "pos_connection_status",
        help: "Whether the connection works: 1 up, 0.5 degraded, 0 down, -1 unknown. Paused connections have none.",
        label: None,
        values: |row, tell| match row.verdict {
            Verdict::Up => tell("", ONE),
            Verdict::Degraded => tell("", ONE / 2),
            Verdict::Down => tell("", 0),
            Verdict::Unknown => tell("", -ONE),
            Verdict::Paused => {}
        },
    },
    Family {
        name: "pos_business_connection_health",
        help: "The connection's health as one number, 0 to 100.",
        label: None,
        values: |row, tell| {
            if let Some(score) = row.score {
                tell("", i64::from(score) * ONE);
            }
        },
    },
    Family {
        name: "pos_auth_status",
        help: "Whether the provider takes the connection's credentials: 1 yes, 0 no or somebody must sign in anew, -1 unknown.",
        label: None,
        values: |row, tell| {
            if row.verdict != Verdict::Paused {
                tell("", auth(row));
            }
        },
    },
    Family {
        name: "pos_api_response_time_seconds",
        help: "How long the slowest answer of the connection's last check took.",
        label: None,
        values: |row, tell| {
            if let Some(took_ms) = row.took_ms.filter(|_| row.verdict != Verdict::Paused) {
                tell("", i64::from(took_ms));
            }
        },
    },
    Family {
        name: "pos_error_rate_percent",
        help: "How many per cent of the connection's remembered checks failed.",
        label: None,
        values: |row, tell| {
            if row.checks > 0 && row.verdict != Verdict::Paused {
                tell("", i64::from(row.failed) * 100 * ONE / i64::from(row.checks));
            }
        },
    },
    Family {
        name: "pos_token_expires_timestamp_seconds",
        help: "When the connection's token ends, where that is told.",
        label: None,
        values: |row, tell| {
            if let Some(ends_ms) = row.token_ends_ms {
                tell("", ends_ms);
            }
        },
    },
    Family {
        name: "pos_webhook_silent",
        help: "Whether the connection's webhooks have fallen silent; none, where too little is known.",
        label: None,
        values: |row, tell| {
            if row.sent.silent.is_some() || row.sent.is_normal {
                tell("", i64::from(row.sent.silent.is_some()) * ONE);
            }
        },
    },
    Family {
        name: "pos_webhook_last_received_timestamp_seconds",
        help: "When the connection's last webhook that was believed arrived.",
        label: None,
        values: |row, tell| {
            if let Some(last_ms) = row.sent.last_ms {
                tell("", last_ms);
            }
        },
    },
    Family {
        name: "pos_rate_limit_remaining",
        help: "What is left of a limit of the provider's, as the last answer told.",
        label: Some("quota"),
        values: |row, tell| {
            for quota in &row.quotas {
                tell(&quota.name, whole(quota.remaining));
            }
        },
    },
    Family {
        name: "pos_rate_limit_limit",
        help: "The limit itself, where it is told.",
        label: Some("quota"),
        values: |row, tell| {
            for quota in &row.quotas {
                if let Some(limit) = quota.limit {
                    tell(&quota.name, whole(limit));
                }
            }
        },
    },
    Family {
        name: "pos_rate_limit_exhausted_timestamp_seconds",
        help: "When nothing of the limit will be left, if it goes on as it has; none, if that is not before it is whole again.",
        label: Some("quota"),
        values: |row, tell| {
            for quota in &row.quotas {
                if let Some(ends_ms) = quota.exhausted_ms() {
                    tell(&quota.name, ends_ms);
                }
            }
        },
    },
    Family {
        name: "pos_connection_checked_timestamp_seconds",
        help: "When the connection was checked last.",
        label: None,
        values: |row, tell| {
            if let Some(checked_ms) = row.checked_ms {
                tell("", checked_ms);
            }
        },
    },
];

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(ONE)
}

fn auth(row: &Row) -> i64 {
    let is_lost = row.sent.token.is_some_and(TokenState::needs_a_person);
    match (row.verdict, row.trouble) {
        _ if is_lost => 0,
        (_, Some(Trouble::TokenRefused)) => 0,
        // It is heard or not, and nobody knows how its calls go.
        (_, Some(Trouble::Silent)) if row.reasons.contains(&Reason::Unknown) => -ONE,
        (Verdict::Up, _)
        | (_, Some(Trouble::Slow | Trouble::RateLimited | Trouble::ScopeMissing | Trouble::Silent)) => ONE,
        _ => -ONE,
    }
}

/// All of it, piece by piece.
pub struct Exposition {
    survey: Arc<Survey>,
    /// What is not of connections.
    rest: Option<String>,
    family: usize,
    row: usize,
}

impl Exposition {
    /// The type of the answer's body.
    pub const TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";
}

impl Iterator for Exposition {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let Some(family) = FAMILIES.get(self.family) else { return self.rest.take() };
        let mut text = String::new();
        if self.row == 0 {
            head(&mut text, family.name, family.help, "gauge");
        }
        let rows = self.survey.rows.get(self.row..).unwrap_or_default();
        for row in rows.iter().take(PIECE) {
            (family.values)(row, &mut |label, value| {
                let of = [
                    ("connection", row.id.as_str()),
                    ("provider", &row.provider),
                    ("business", &row.business),
                    ("location", row.location.as_deref().unwrap_or_default()),
                ];
                let further = family.label.map(|name| (name, label));
                series(&mut text, family.name, of.into_iter().chain(further), value);
            });
        }
        self.row += PIECE;
        if rows.len() <= PIECE {
            (self.family, self.row) = (self.family + 1, 0);
        }
        Some(text)
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One line: a name, its labels and a value in thousandths.
fn series<'a>(
    text: &mut String,
    name: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    value: i64,
) {
    labelled(text, name, labels);
    decimal(text, value);
    text.push('\n');
}

/// What a line begins with. A label without a text is left out: to Prometheus that is the same.
fn labelled<'a>(text: &mut String, name: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    text.push_str(name);
    let mut separator = '{';
    for (label, value) in labels {
        if value.is_empty() {
            continue;
        }
        text.push(separator);
        text.push_str(label);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    text.push(' ');
}

/// Thousandths as a decimal number.
fn decimal(text: &mut String, value: i64) {
    let (whole, part) = (value.unsigned_abs() / 1_000, value.unsigned_abs() % 1_000);
    if value < 0 {
        text.push('-');
    }
    let _ = write!(text, "{whole}");
    if part != 0 {
        let digits = format!(".{part:03}");
        text.push_str(digits.trim_end_matches('0'));
    }
}

/// Millionths as a decimal number.
fn millionths(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, part) = (value.unsigned_abs() / 1_000_000, value.unsigned_abs() % 1_000_000);
    format!("{sign}{whole}.{part:06}")
}

impl Console {
    /// All of it, for an operator.
    pub async fn exposition(&self, authorization: Option<&str>) -> Result<Exposition, Problem> {
        let now = self.clock.now();
        self.operators.admit(authorization, now).await?.operator()?;
        let survey = self.watch.roster.surveyed(OLDEST).await?;
        let (_, objectives) = self.watch.roster.tallies.concluded().await?;
        let mut rest = String::new();
        blames(&mut rest, &survey);
        beside(&mut rest, &survey, now.as_millisecond());
        self.webhooks(&mut rest, now.as_millisecond()).await?;
        kept(&mut rest, &objectives);
        self.queues(&mut rest, now).await?;
        head(
            &mut rest,
            "tillwatch_survey_timestamp_seconds",
            "When all connections were looked at together, which is what their series are of.",
            "gauge",
        );
        series(&mut rest, "tillwatch_survey_timestamp_seconds", [], survey.at_ms);
        head(
            &mut rest,
            "tillwatch_heartbeat_timestamp_seconds",
            "When a part of Tillwatch was last seen at work.",
            "gauge",
        );
        for (part, at_ms) in self.table.beats().all().await? {
            series(&mut rest, "tillwatch_heartbeat_timestamp_seconds", [("part", part.name())], at_ms);
        }
        head(&mut rest, "tillwatch_build_info", "The version that runs.", "gauge");
        series(&mut rest, "tillwatch_build_info", [("version", env!("CARGO_PKG_VERSION"))], ONE);
        Ok(Exposition { survey, rest: Some(rest), family: 0, row: 0 })
    }

    /// How full the queues are.
    async fn queues(&self, text: &mut String, now: Timestamp) -> Result<(), Problem> {
        let jobs = [
            ("checks", &self.watch.roster.agenda),
            ("refreshes", &self.tokens.agenda),
            ("reconciliations", &self.reconciled.agenda),
        ];
        let (waiting, jobs) =
            try_join(
                self.backlog.waiting(now),
                try_join_all(jobs.map(|(name, agenda)| async move {
                    Ok((name, self.backlog.of(&*agenda.jobs, now).await?))
                })),
            )
            .await
            .map_err(|error: QueueError| Problem::ours(&error))?;
        let events = ("events", waiting.events);
        let all: Vec<(&str, Gauge)> = iter::once(events).chain(jobs).collect();
        let name = "tillwatch_queue_messages";
        head(text, name, "Messages on the queue, those in flight included.", "gauge");
        for (queue, gauge) in &all {
            let count = gauge.waiting + gauge.delayed + gauge.in_flight;
            series(text, name, [("queue", *queue)], whole(count));
        }
        let name = "tillwatch_queue_oldest_age_seconds";
        head(text, name, "How long the oldest message has waited.", "gauge");
        for (queue, gauge) in &all {
            let age = gauge.oldest_age.map_or(0, |age| age.as_secs());
            series(text, name, [("queue", *queue)], whole(age));
        }
        let name = "tillwatch_dead_letters";
        head(text, name, "Messages given up by the queue and not parked yet.", "gauge");
        series(text, name, [], whole(waiting.dead_letters.waiting + waiting.dead_letters.in_flight));
        Ok(())
    }

    /// How webhooks went since the UTC day began.
    async fn webhooks(&self, text: &mut String, now_ms: i64) -> Result<(), Problem> {
        let mut all: Vec<(&str, Deltas)> = Vec::new();
        for provider in tillwatch_providers::ALL {
            let from_ms = Period::Day.start_of(now_ms);
            let figures = self.table.figures(provider.name(), Period::Day, from_ms, now_ms + 1).await?;
            all.extend(figures.into_iter().map(|(_, figures)| (provider.name(), figures)));
        }
        for (name, figure, help) in COUNTERS {
            head(text, name, help, "counter");
            for (provider, figures) in &all {
                series(text, name, [("provider", *provider)], figures.get(figure).saturating_mul(ONE));
            }
        }
        let name = "pos_webhook_outcomes";
        head(text, name, "What has become of those of the present UTC day.", "gauge");
        for (provider, figures) in &all {
            for outcome in Outcome::ALL {
                let count = figures.get(&outcome_figure(outcome)).saturating_mul(ONE);
                series(text, name, [("provider", *provider), ("outcome", outcome.name())], count);
            }
        }
        let name = "pos_webhook_processing_seconds";
        head(
            text,
            name,
            "From an event's arrival to its first final outcome, since the UTC day began.",
            "histogram",
        );
        for (provider, figures) in &all {
            histogram(text, name, provider, figures);
        }
        Ok(())
    }
}

/// What is told of as a counter, with the figure behind it: one that only ever grows within its day.
const COUNTERS: [(&str, &str, &str); 2] = [
    (
        "pos_webhook_deliveries_total",
        ARRIVED,
        "Distinct events and rejected requests that arrived, and events of requests that were released, since the UTC day began.",
    ),
    (
        "pos_webhook_rejections_total",
        ARRIVED_REJECTED,
        "Requests that were rejected when they arrived, since the UTC day began.",
    ),
];

fn histogram(text: &mut String, name: &str, provider: &str, figures: &Deltas) {
    let bucket = format!("{name}_bucket");
    let mut count = 0;
    for index in 0..=LATENCY_BOUNDS_MS.len() {
        count += figures.get(&took_figure(index));
        let mut bound = String::new();
        match LATENCY_BOUNDS_MS.get(index) {
            Some(bound_ms) => decimal(&mut bound, *bound_ms),
            None => bound.push_str("+Inf"),
        }
        series(text, &bucket, [("provider", provider), ("le", bound.as_str())], count * ONE);
    }
    let sum_ms = figures.get(TOOK_SUM_MS);
    series(text, &format!("{name}_sum"), [("provider", provider)], sum_ms);
    series(text, &format!("{name}_count"), [("provider", provider)], count * ONE);
}

fn blames(text: &mut String, survey: &Survey) {
    let mut counts = std::collections::BTreeMap::<(&str, Blame), i64>::new();
    for row in &survey.rows {
        for blame in [Blame::Provider, Blame::Us, Blame::Tenant, Blame::Unknown] {
            let is_it = row.blame.is_some_and(|(of, _)| of == blame);
            *counts.entry((&row.provider, blame)).or_default() += i64::from(is_it);
        }
    }
    let name = "pos_connection_blame";
    head(text, name, "Connections that do not work as they should, by whose fault it is.", "gauge");
    for ((provider, blame), count) in counts {
        series(text, name, [("provider", provider), ("whose", blame.name())], count * ONE);
    }
}

/// What providers' status pages say, and how our own addresses do.
fn beside(text: &mut String, survey: &Survey, now_ms: i64) {
    let name = "pos_provider_incident";
    head(
        text,
        name,
        "Whether the provider's status page tells of an incident; none, where nobody knows.",
        "gauge",
    );
    for (provider, page) in &survey.pages {
        if let Some(has_incident) = page.has_incident(now_ms) {
            series(text, name, [("provider", provider.as_str())], i64::from(has_incident) * ONE);
        }
    }
    let name = "pos_endpoint_up";
    head(text, name, "Whether providers reach us: 1 yes, 0 no; none, where nobody knows.", "gauge");
    for (provider, endpoint) in &survey.endpoints {
        match endpoint.verdict {
            Verdict::Up | Verdict::Degraded => series(text, name, [("provider", provider.as_str())], ONE),
            Verdict::Down => series(text, name, [("provider", provider.as_str())], 0),
            Verdict::Unknown | Verdict::Paused => {}
        }
    }
    let name = "tillwatch_synthetic_possible";
    head(text, name, "Whether synthetic webhooks can be made: 1 yes, 0 no key signs them.", "gauge");
    for (provider, endpoint) in &survey.endpoints {
        if let Some(has_synthetic) = endpoint.has_synthetic {
            series(text, name, [("provider", provider.as_str())], i64::from(has_synthetic) * ONE);
        }
    }
    let name = "tillwatch_synthetic_duration_seconds";
    head(text, name, "How long the last synthetic webhook took from its sending to its end.", "gauge");
    for (provider, endpoint) in &survey.endpoints {
        if let Some((_, took_ms)) = endpoint.synthetic {
            series(text, name, [("provider", provider.as_str())], i64::from(took_ms));
        }
    }
    let name = "tillwatch_synthetic_timestamp_seconds";
    head(text, name, "When the last synthetic webhook was sent that came to its end.", "gauge");
    for (provider, endpoint) in &survey.endpoints {
        if let Some((sent_ms, _)) = endpoint.synthetic {
            series(text, name, [("provider", provider.as_str())], sent_ms);
        }
    }
    let name = "pos_endpoint_certificate_expires_timestamp_seconds";
    head(text, name, "When the certificate of our own address ends.", "gauge");
    for (provider, endpoint) in &survey.endpoints {
        if let Some(ends_ms) = endpoint.certificate_ends_ms {
            series(text, name, [("provider", provider.as_str())], ends_ms);
        }
    }
}

/// How well objectives are kept.
fn kept(text: &mut String, objectives: &Objectives) {
    type Told = fn(&Objectives, &str, Objective, Window) -> Option<i64>;
    let mut family = |name: &str, help: &str, windows: &[Window], told: Told| {
        head(text, name, help, "gauge");
        for provider in objectives.providers() {
            for objective in Objective::ALL {
                for window in windows {
                    let Some(value) = told(objectives, provider, objective, *window) else { continue };
                    let window = if windows.len() > 1 { window.name() } else { "" };
                    let of = [("objective", objective.name()), ("provider", provider), ("window", window)];
                    labelled(text, name, of);
                    let _ = writeln!(text, "{}", millionths(value));
                }
            }
        }
    };
    family(
        "tillwatch_objective_target_ratio",
        "The share that must be good.",
        &[Window::Month],
        |all, provider, objective, window| {
            (all.over(provider, objective, window).count() > 0).then(|| objective.target())
        },
    );
    family(
        "tillwatch_objective_ratio",
        "The share that was good.",
        &Window::ALL,
        |all, provider, objective, window| all.over(provider, objective, window).share(),
    );
    family(
        "tillwatch_error_budget_remaining_ratio",
        "How much is left of what may go wrong in thirty days; below zero, if more has.",
        &[Window::Month],
        |all, provider, objective, window| all.over(provider, objective, window).budget_left(objective),
    );
    family(
        "tillwatch_burn_rate",
        "How many times faster than is allowed it goes wrong: 1 uses up what may in thirty days.",
        &Window::ALL,
        |all, provider, objective, window| {
            all.over(provider, objective, window).burn_rate(objective).map(|rate| rate * 1_000)
        },
    );
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::event::Origin;
    use tillwatch_domain::figures::Counted;

    use super::*;
    use crate::rollup::StreamChange;

    fn line(labels: &[(&str, &str)], value: i64) -> String {
        let mut text = String::new();
        series(&mut text, "m", labels.iter().copied(), value);
        text
    }

    #[test]
    fn labels_are_escaped_and_values_are_decimal() {
        assert_eq!(line(&[("a", "b"), ("c", "d\"\\\n")], 1_500), "m{a=\"b\",c=\"d\\\"\\\\\\n\"} 1.5\n");
        assert_eq!(line(&[("a", ""), ("c", "d")], -1_000), "m{c=\"d\"} -1\n");
        assert_eq!(line(&[], 7), "m 0.007\n");
        assert_eq!(line(&[], 0), "m 0\n");
        assert_eq!((millionths(995_000), millionths(-1_250_000)), ("0.995000".into(), "-1.250000".into()));
    }

    #[test]
    fn credentials_are_told_as_they_are_known_now() {
        let row = |trouble, reasons: &[Reason]| Row {
            verdict: Verdict::Degraded,
            trouble: Some(trouble),
            reasons: reasons.to_vec(),
            ..Row::example("c")
        };
        assert_eq!(auth(&row(Trouble::TokenRefused, &[])), 0);
        assert_eq!(auth(&row(Trouble::NotChecked, &[Reason::Unknown])), -ONE);
        assert_eq!(auth(&row(Trouble::Silent, &[Reason::Silent])), ONE, "its calls go well");
        assert_eq!(auth(&row(Trouble::Silent, &[Reason::Unknown, Reason::Silent])), -ONE);
    }

    #[test]
    fn a_histogram_adds_its_buckets_up() {
        let mut figures = Deltas::default();
        figures.add(took_figure(0), 3);
        figures.add(took_figure(2), 2);
        figures.add(TOOK_SUM_MS, 90);
        let mut text = String::new();
        histogram(&mut text, "h", "square", &figures);
        assert!(text.contains("h_bucket{provider=\"square\",le=\"0.01\"} 3\n"));
        assert!(text.contains("h_bucket{provider=\"square\",le=\"0.025\"} 3\n"));
        assert!(text.contains("h_bucket{provider=\"square\",le=\"+Inf\"} 5\n"));
        assert!(text.ends_with("h_sum{provider=\"square\"} 0.09\nh_count{provider=\"square\"} 5\n"));
    }

    #[test]
    fn each_connection_is_told_once_in_each_family_however_many_there_are() {
        let row = |nth: usize| Row::example(&format!("c-{nth}"));
        let rows = (0..=2 * PIECE).map(row).collect();
        let survey = Survey { at_ms: 5, rows, ..Survey::default() };
        let told = Exposition { survey: Arc::new(survey), rest: Some("rest\n".into()), family: 0, row: 0 };
        let text: String = told.collect();
        assert_eq!(text.matches("\npos_connection_status{").count(), 2 * PIECE + 1);
        assert_eq!(text.matches("# TYPE pos_connection_status gauge\n").count(), 1);
        assert_eq!(text.matches("# TYPE ").count(), FAMILIES.len());
        assert!(text.ends_with("rest\n"));
    }

    #[test]
    fn what_is_told_as_a_counter_never_falls_whatever_becomes_of_an_item() {
        let item = |outcome, processed_ms| Counted {
            outcome,
            cause: None,
            received_ms: 1_000,
            processed_ms,
            attempts: 1,
            count: 1,
            origin: Origin::Webhook,
        };
        let rejected = item(Outcome::Rejected, None);
        let ignored = item(Outcome::Ignored, Some(1_020));
        let applied = item(Outcome::Applied, Some(90_000));
        // A request is rejected, released and forgotten; its event is ignored, and done anew.
        let changes = [
            (None, Some(&rejected)),
            (None, Some(&ignored)),
            (Some(&rejected), None),
            (Some(&ignored), Some(&applied)),
        ];
        let (mut figures, mut before) = (Deltas::default(), Vec::new());
        for (old, new) in changes {
            let (sequence, provider) = ("1".to_owned(), "square".to_owned());
            let change = StreamChange { sequence, provider, old: old.cloned(), new: new.cloned() };
            for (_, added) in change.adds(Period::Day) {
                figures.merge(&added);
            }
            let mut text = String::new();
            histogram(&mut text, "h", "square", &figures);
            let mut told: Vec<i64> = COUNTERS.iter().map(|(_, figure, _)| figures.get(figure)).collect();
            told.extend(
                text.lines()
                    .filter(|line| line.starts_with("h_bucket"))
                    .map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()),
            );
            assert!(before.iter().zip(&told).all(|(before, now)| before <= now), "{before:?} {told:?}");
            before = told;
        }
        assert_eq!(before[..2], [2, 1]);
    }
}
