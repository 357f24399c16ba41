//! `tillwatch events`: what arrived and what became of it, as a table or as JSON lines, once or as it comes.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, value_parser};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use tillwatch_domain::Outcome;

use super::client::{Api, ApiError, StackArgs};
use super::error::Error;
use super::output::{self, Paint, Tone, counted};
use super::table::{Cell, Table};

/// How often `--follow` looks.
const EVERY: Duration = Duration::from_secs(1);
/// How far behind the newest arrival `--follow` looks for those that took longer to be processed.
const STRAGGLERS: SignedDuration = SignedDuration::from_mins(1);
/// The most that one page may hold.
const PAGE: usize = 500;

/// Which deliveries to list.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tillwatch events --status rejected\n  tillwatch events --provider square --follow"
)]
pub struct EventsArgs {
    /// Only this provider's
    #[arg(long)]
    provider: Option<String>,
    /// Only those of this status
    #[arg(long, value_parser = Outcome::ALL.map(Outcome::name))]
    status: Option<String>,
    /// Only those of this type, in the provider's words: payment.updated, orders/create
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only those of this connection, or that were sent to it
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Only those with exactly this cause: `wrong_signature`
    #[arg(long)]
    cause: Option<String>,
    /// How many at most, or with --follow, how many to begin with
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Go on listing what comes, oldest first, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// One JSON object a line, as the API gives it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Deserialize)]
struct Page {
    deliveries: Vec<Box<RawValue>>,
    next: Option<String>,
    pending: Pending,
}

#[derive(Deserialize)]
struct Pending {
    count: u64,
    in_flight: u64,
    oldest_age_seconds: Option<u64>,
    dead_letters: u64,
}

/// What a row shows of a delivery.
#[derive(Deserialize)]
struct Delivery {
    id: String,
    provider: String,
    #[serde(rename = "type")]
    kind: String,
    status: String,
    cause: Option<String>,
    attempts: u32,
    received_at: Timestamp,
}

/// A delivery as the API gave it, and as it is read here.
struct Listed {
    raw: Box<RawValue>,
    delivery: Delivery,
}

pub(super) async fn run(args: &EventsArgs) -> Result<ExitCode, Error> {
    let list = List::of(args).await?;
    let limit = usize::try_from(args.limit).unwrap_or(PAGE);
    let (mut newest, pending) = list.newest(limit, None, |_| true).await?;
    newest.truncate(limit);
    let mut printer = Printer::new(args.json);
    if !args.follow {
        printer.print(&newest)?;
        if newest.is_empty() {
            output::note("No delivery is listed.");
        }
        output::note(pending);
        return Ok(ExitCode::SUCCESS);
    }
    newest.reverse();
    printer.print(&newest)?;
    output::note(pending);
    tokio::select! {
        failed = list.follow(newest, printer) => failed.map(|never| match never {}),
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

struct List<'a> {
    api: Api,
    args: &'a EventsArgs,
    providers: Vec<String>,
}

impl<'a> List<'a> {
    async fn of(args: &'a EventsArgs) -> Result<Self, Error> {
        let api = Api::new(&args.stack)?;
        let providers = match &args.provider {
            Some(name) => vec![name.clone()],
            None => api.providers().await?,
        };
        Ok(Self { api, args, providers })
    }

    /// The newest deliveries of all providers asked for, newest first, and what is pending: at least `limit` where
    /// there are so many. Reading further back ends early with a page of which nothing is `wanted`.
    async fn newest(
        &self,
        limit: usize,
        from: Option<Timestamp>,
        wanted: impl Fn(&Delivery) -> bool,
    ) -> Result<(Vec<Listed>, String), ApiError> {
        let (mut found, mut pending) = (Vec::new(), String::new());
        for provider in &self.providers {
            let (mut count, mut cursor) = (0, None);
            loop {
                let page = self.page(provider, limit - count, from, cursor.as_deref()).await?;
                pending = page.pending.said();
                let before = found.len();
                for raw in page.deliveries {
                    let delivery = serde_json::from_str(raw.get()).map_err(|_| ApiError::Foreign {
                        url: format!("/webhooks/deliveries/{provider}"),
                        status: http::StatusCode::OK,
                    })?;
                    found.push(Listed { raw, delivery });
                }
                let new = &found[before..];
                count += new.len();
                let known = !new.is_empty() && !new.iter().any(|listed| wanted(&listed.delivery));
                cursor = page.next;
                if cursor.is_none() || count >= limit || known {
                    break;
                }
            }
        }
        found.sort_by_key(|listed| Reverse(listed.delivery.received_at));
        Ok((found, pending))
    }

    async fn page(
        &self,
        provider: &str,
        limit: usize,
        from: Option<Timestamp>,
        cursor: Option<&str>,
    ) -> Result<Page, ApiError> {
        let (limit, from) = (limit.min(PAGE).to_string(), from.map(|from| from.to_string()));
        let query: Vec<_> = [
            ("limit", Some(limit.as_str())),
            ("status", self.args.status.as_deref()),
            ("type", self.args.kind.as_deref()),
            ("connection", self.args.connection.as_deref()),
            ("cause", self.args.cause.as_deref()),
            ("from", from.as_deref()),
            ("cursor", cursor),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        self.api.get(&["webhooks", "deliveries", provider], &query).await
    }

    /// Prints what is new, again and again. A stack that is away for a while is waited for.
    async fn follow(
        &self,
        begun_with: Vec<Listed>,
        mut printer: Printer,
    ) -> Result<std::convert::Infallible, Error> {
        let mut seen =
            Seen { since: begun_with.first().map(|oldest| oldest.delivery.received_at), ..Seen::default() };
        for listed in &begun_with {
            seen.take(&listed.delivery);
        }
        let mut away = false;
        loop {
            tokio::time::sleep(EVERY).await;
            let found = self.newest(usize::MAX, seen.from(), |delivery| seen.is_new(delivery)).await;
            let mut found = match found {
                Ok((found, _)) => found,
                Err(error) if error.is_passing() => {
                    if !away {
                        output::note(format_args!("Waiting for the stack: {error}"));
                    }
                    away = true;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if away {
                output::note("The stack is back.");
                away = false;
            }
            found.retain(|listed| seen.take(&listed.delivery));
            found.reverse();
            printer.print(&found)?;
            seen.forget();
        }
    }
}

/// What was printed already, as far back as it may be met again.
#[derive(Default)]
struct Seen {
    /// What arrived before was not asked for.
    since: Option<Timestamp>,
    newest: Option<Timestamp>,
    printed: HashMap<String, Printed>,
}

struct Printed {
    status: String,
    attempts: u32,
    received_at: Timestamp,
}

impl Seen {
    /// Whether the delivery was not printed yet, or not with its present status.
    fn is_new(&self, delivery: &Delivery) -> bool {
        self.printed.get(&delivery.id).is_none_or(|printed| {
            (&printed.status, printed.attempts) != (&delivery.status, delivery.attempts)
        })
    }

    /// The same, remembering it.
    fn take(&mut self, delivery: &Delivery) -> bool {
        let is_new = self.is_new(delivery);
        if is_new {
            let Delivery { id, status, attempts, received_at, .. } = delivery;
            let printed = Printed { status: status.clone(), attempts: *attempts, received_at: *received_at };
            self.printed.insert(id.clone(), printed);
            self.newest = self.newest.max(Some(*received_at));
        }
        is_new
    }

    /// From when on to look for what is new.
    fn from(&self) -> Option<Timestamp> {
        self.newest.and_then(|newest| newest.checked_sub(STRAGGLERS).ok()).max(self.since)
    }

    fn forget(&mut self) {
        let from = self.from();
        self.printed.retain(|_, printed| Some(printed.received_at) >= from);
    }
}

impl Pending {
    fn said(&self) -> String {
        let mut said = format!("{} pending, {} in flight", counted(self.count, "message"), self.in_flight);
        if let Some(age) = self.oldest_age_seconds {
            said = format!("{said}, the oldest for {age} s");
        }
        if self.dead_letters > 0 {
            said = format!("{said}, {}", counted(self.dead_letters, "dead letter"));
        }
        said
    }
}

struct Printer {
    json: bool,
    paint: Paint,
    table: Table<7>,
    headed: bool,
}

impl Printer {
    fn new(json: bool) -> Self {
        let table = Table::new(["RECEIVED", "PROVIDER", "TYPE", "STATUS", "TRIES", "ID", "CAUSE"]);
        Self { json, paint: Paint::stdout(), table, headed: false }
    }

    fn print(&mut self, listed: &[Listed]) -> Result<(), Error> {
        if self.json {
            for listed in listed {
                output::line(listed.raw.get())?;
            }
            return Ok(());
        }
        let rows: Vec<_> = listed.iter().map(|listed| row(&listed.delivery)).collect();
        self.table.fit(&rows);
        if !self.headed && !rows.is_empty() {
            output::line(self.table.head(self.paint))?;
            self.headed = true;
        }
        for row in &rows {
            output::line(self.table.line(row, self.paint))?;
        }
        Ok(())
    }
}

fn row(delivery: &Delivery) -> [Cell; 7] {
    let plain = |text: &str| (text.to_owned(), None);
    [
        plain(&format!("{:.3}", delivery.received_at)),
        plain(&delivery.provider),
        plain(if delivery.kind.is_empty() { "-" } else { &delivery.kind }),
        (delivery.status.clone(), Some(Tone::of_status(&delivery.status))),
        plain(&delivery.attempts.to_string()),
        plain(&delivery.id),
        plain(delivery.cause.as_deref().unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: &str, status: &str, second: i64) -> Delivery {
        Delivery {
            id: id.to_owned(),
            provider: "square".to_owned(),
            kind: "payment.updated".to_owned(),
            status: status.to_owned(),
            cause: None,
            attempts: 1,
            received_at: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn a_delivery_is_printed_once_for_each_status_it_takes() {
        let mut seen = Seen::default();
        let taken: Vec<_> = ["failed", "failed", "applied", "applied"]
            .map(|status| seen.take(&delivery("evt_1", status, 1_000)))
            .into();
        assert_eq!(taken, [true, false, true, false]);
    }

    #[test]
    fn what_can_no_longer_be_met_is_forgotten() {
        let mut seen = Seen::default();
        seen.take(&delivery("evt_old", "applied", 1_000));
        seen.take(&delivery("evt_new", "applied", 1_061));
        seen.take(&delivery("evt_late", "applied", 1_002));
        seen.forget();
        assert_eq!(seen.from(), Timestamp::from_second(1_001).ok());
        assert!(seen.is_new(&delivery("evt_old", "applied", 1_000)));
        assert!(!seen.is_new(&delivery("evt_late", "applied", 1_002)));
    }

    #[test]
    fn what_arrived_before_the_first_that_was_listed_is_not_asked_for() {
        let mut seen = Seen { since: Timestamp::from_second(990).ok(), ..Seen::default() };
        seen.take(&delivery("evt_1", "applied", 1_000));
        assert_eq!(seen.from(), Timestamp::from_second(990).ok());
    }

    #[test]
    fn what_is_pending_is_said_in_a_line() {
        let mut pending = Pending { count: 1, in_flight: 2, oldest_age_seconds: None, dead_letters: 0 };
        assert_eq!(pending.said(), "1 message pending, 2 in flight");
        pending.oldest_age_seconds = Some(4);
        pending.dead_letters = 3;
        assert_eq!(pending.said(), "1 message pending, 2 in flight, the oldest for 4 s, 3 dead letters");
    }
}
