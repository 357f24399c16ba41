//! `tillwatch show`: one delivery whole — the request as it came, the event, its timings, and the records it changed.

use std::fmt::{Display, Write as _};
use std::process::ExitCode;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{Api, StackArgs};
use super::error::Error;
use super::json;
use super::output::{self, Paint, Tone, counted, printable, printable_lines};

/// Which delivery to show.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tillwatch show evt_0123456789abcdef0123456789abcdef\n  \
                        tillwatch show req_0123456789abcdef0123456789abcdef --raw > body.json")]
pub struct ShowArgs {
    /// The delivery's id, as `tillwatch events` lists it
    id: String,
    /// Whose it is; without it, every provider is asked
    #[arg(long)]
    provider: Option<String>,
    /// One JSON object: the delivery and its records, as the API gives them
    #[arg(long)]
    json: bool,
    /// The body's exact bytes and nothing else
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Deserialize)]
struct Detail {
    id: String,
    provider: String,
    event_id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    status: String,
    cause: Option<String>,
    attempts: u32,
    account: Option<String>,
    received_at: Timestamp,
    processed_at: Option<Timestamp>,
    due_at: Option<Timestamp>,
    size: u64,
    source: Option<String>,
    occurred_at: Option<Timestamp>,
    request_id: String,
    signing_key: Option<String>,
    connection: Option<String>,
    method: Option<String>,
    raw_path: Option<String>,
    raw_query: Option<String>,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
    records: Vec<Touched>,
}

#[derive(Deserialize)]
struct Touched {
    path: String,
    effect: Option<String>,
    status_from: Option<String>,
    status_to: String,
    status_now: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    status: String,
    uncertain: bool,
    amount: Option<Amount>,
    refunded: Option<Amount>,
    order_id: Option<String>,
    payment_id: Option<String>,
    location_id: Option<String>,
    method: Option<String>,
    reason: Option<String>,
    number: Option<String>,
    changes: Vec<Change>,
    changes_forgotten: u32,
}

#[derive(Deserialize)]
struct Amount {
    value: String,
    currency: String,
}

#[derive(Deserialize)]
struct Change {
    status: String,
    at: Timestamp,
    event: String,
    #[serde(rename = "type")]
    kind: String,
    was_newest: bool,
}

/// The API's text, and what is read of it here.
struct Read<T> {
    raw: Box<RawValue>,
    value: T,
}

impl<'de, T: for<'a> Deserialize<'a>> Deserialize<'de> for Read<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Box<RawValue> = Box::deserialize(deserializer)?;
        let value = serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?;
        Ok(Self { raw, value })
    }
}

pub(super) async fn run(args: &ShowArgs) -> Result<ExitCode, Error> {
    let api = Api::new(&args.stack)?;
    let detail: Read<Detail> =
        api.on_delivery(Method::GET, "deliveries", args.provider.as_deref(), &args.id).await?;
    if args.raw {
        output::bytes(&detail.value.body_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut records = Vec::new();
    for touched in &detail.value.records {
        // An event that took no effect yet speaks of records that need not exist.
        records.push(match api.follow::<Read<Record>>(&touched.path).await {
            Ok(record) => Some(record),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        });
    }
    if args.json {
        let records: Vec<_> = records.iter().flatten().map(|record| record.raw.get()).collect();
        let (delivery, records) = (detail.raw.get(), records.join(","));
        output::line(format_args!(r#"{{"delivery":{delivery},"records":[{records}]}}"#))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page { paint: Paint::stdout(), text: String::new() };
    page.delivery(&detail.value);
    for (touched, record) in detail.value.records.iter().zip(&records) {
        page.record(touched, record.as_ref().map(|record| &record.value));
    }
    page.body(&detail.value);
    output::line(page.text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

impl Detail {
    fn body_bytes(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(text)) => BASE64_STANDARD.decode(text).unwrap_or_default(),
            (None, None) => Vec::new(),
        }
    }
}

struct Page {
    paint: Paint,
    text: String,
}

impl Page {
    fn heading(&mut self, text: &str, status: Option<&str>) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&self.paint.heading(&printable(text)));
        if let Some(status) = status {
            let status = self.paint.toned(Tone::of_status(status), &printable(status));
            self.text.push_str("  ");
            self.text.push_str(&status);
        }
        self.text.push('\n');
    }

    fn field(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            let value = value.to_string();
            // Writing to a string can't fail.
            let _ = writeln!(self.text, "  {name:<11} {}", printable(&value));
        }
    }

    fn delivery(&mut self, detail: &Detail) {
        self.heading(&detail.id, Some(&detail.status));
        self.field("provider", Some(&detail.provider));
        self.field("type", Some(&detail.kind).filter(|kind| !kind.is_empty()));
        self.field("event id", detail.event_id.as_ref());
        self.field("account", detail.account.as_ref());
        self.field("connection", detail.connection.as_ref());
        self.field("cause", detail.cause.as_ref());
        self.field("attempts", Some(detail.attempts));

        self.heading("Request", None);
        self.field("id", Some(&detail.request_id));
        self.field("source", detail.source.as_ref());
        self.field("size", Some(counted(detail.size, "byte")));
        let query = detail.raw_query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let sent_to = detail.method.as_ref().zip(detail.raw_path.as_ref());
        self.field("sent to", sent_to.map(|(method, path)| format!("{method} {path}{query}")));
        self.field("proved by", detail.signing_key.as_ref());
        for (name, value) in &detail.headers {
            self.field("header", Some(format_args!("{name}: {value}")));
        }

        self.heading("Timings", None);
        self.field("occurred", detail.occurred_at.map(shown));
        let since = |from: Timestamp, to: Timestamp| span(to.duration_since(from));
        let received = shown(detail.received_at);
        self.field(
            "received",
            Some(match detail.occurred_at {
                Some(occurred) => {
                    format!("{received}  {} after it occurred", since(occurred, detail.received_at))
                }
                None => received,
            }),
        );
        let processed = detail
            .processed_at
            .map(|at| format!("{}  {} after it was received", shown(at), since(detail.received_at, at)));
        self.field("processed", processed);
        self.field("next try", detail.due_at.map(shown));
    }

    fn record(&mut self, touched: &Touched, record: Option<&Record>) {
        let name = touched.path.trim_start_matches("/records/");
        self.heading(&format!("Record {name}"), None);
        let step = match &touched.status_from {
            Some(from) => format!("{from} → {}", touched.status_to),
            None => touched.status_to.clone(),
        };
        let effect = touched.effect.as_deref().unwrap_or("not applied yet");
        self.field("this event", Some(format_args!("{step} ({effect})")));
        let Some(record) = record else {
            self.field("now", touched.status_now.as_deref().or(Some("there is no such record yet")));
            return;
        };
        let doubt = if record.uncertain { " (uncertain: its newest states can't be told apart)" } else { "" };
        self.field("now", Some(format_args!("{}{doubt}", record.status)));
        self.field("number", record.number.as_ref());
        self.field("amount", record.amount.as_ref());
        self.field("refunded", record.refunded.as_ref());
        self.field("method", record.method.as_ref());
        self.field("reason", record.reason.as_ref());
        self.field("order", record.order_id.as_ref());
        self.field("payment", record.payment_id.as_ref());
        self.field("location", record.location_id.as_ref());
        if record.changes_forgotten > 0 {
            self.field(
                "history",
                Some(format_args!("{} before", counted(record.changes_forgotten.into(), "change"))),
            );
        }
        for change in &record.changes {
            let Change { status, at, event, kind, was_newest } = change;
            let late = if *was_newest { "" } else { "  (came after a newer state)" };
            self.field("history", Some(format_args!("{}  {status}  {kind}  {event}{late}", shown(*at))));
        }
    }

    fn body(&mut self, detail: &Detail) {
        self.heading("Body", None);
        let text = match (&detail.body, &detail.body_base64) {
            (Some(text), _) if text.is_empty() => "(empty)".to_owned(),
            (Some(text), _) => json::indented(text).unwrap_or_else(|| text.clone()),
            (None, Some(base64)) => format!("(not text; in base64) {base64}"),
            (None, None) => "(not kept)".to_owned(),
        };
        self.text.push_str(&printable_lines(&text));
    }
}

impl Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.value, self.currency)
    }
}

fn shown(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A span as people read it: `12 ms`, `3.1 s`, `2 min 5 s`, `3 h 0 min`, with its sign.
fn span(span: SignedDuration) -> String {
    let (sign, span) = (if span.is_negative() { "-" } else { "" }, span.unsigned_abs());
    let seconds = span.as_secs();
    let text = match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{seconds}.{} s", span.subsec_millis() / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_the_unit_that_suits_them() {
        let told = |millis| span(SignedDuration::from_millis(millis));
        assert_eq!(
            [told(0), told(999), told(3_150), told(125_000), told(10_800_000), told(-1_500)],
            ["0 ms", "999 ms", "3.1 s", "2 min 5 s", "3 h 0 min", "-1.5 s"]
        );
    }

    #[test]
    fn a_rejected_request_is_shown_without_letting_it_act_on_the_terminal() {
        let detail: Detail = serde_json::from_str(
            r#"{"id": "req_1", "provider": "square", "event_id": null, "type": "", "status": "rejected",
                "cause": "wrong_signature", "attempts": 0, "account": null,
                "received_at": "2026-11-23T23:00:00Z", "processed_at": null, "due_at": null, "size": 1,
                "source": "203.0.113.0", "occurred_at": null, "request_id": "req_1", "signing_key": "1f3a9c2e",
                "method": "POST", "raw_path": "/webhooks/square/\u001b", "raw_query": "a=1", "connection": null,
                "headers": [["user-agent", "\u001b[2J"]], "body": "\u001b]0;x\u0007", "body_base64": null,
                "records": []}"#,
        )
        .unwrap();
        let mut page = Page { paint: Paint::none(), text: String::new() };
        page.delivery(&detail);
        page.body(&detail);
        assert!(page.text.starts_with("req_1  rejected\n  provider    square\n"), "{}", page.text);
        assert!(page.text.contains("sent to     POST /webhooks/square/\\u{1b}?a=1\n"), "{}", page.text);
        assert!(page.text.contains("header      user-agent: \\u{1b}[2J\n"), "{}", page.text);
        assert!(page.text.ends_with("Body\n\\u{1b}]0;x\\u{7}"), "{}", page.text);
    }
}
