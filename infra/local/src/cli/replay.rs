//! `tillwatch replay`: all that a filter names, planned, sent again, looked at and stopped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, value_parser};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tillwatch_domain::Outcome;
use tillwatch_domain::replay::Filter;

use super::client::{Api, ApiError, StackArgs};
use super::error::Error;
use super::output::{self, Paint, Tone, printable};
use super::shell::program;
use super::table::{Cell, Table};

/// How often `--follow` looks.
const EVERY: Duration = Duration::from_secs(1);

/// What to do with replays.
#[derive(Debug, Subcommand)]
pub enum ReplayCommand {
    /// Say what would be sent and what not, and do nothing
    Plan(PlanArgs),
    /// Send again what the filter names; rejected requests are judged anew first
    Start(StartArgs),
    /// List replays, those under way first
    List(ListArgs),
    /// Show one
    Show(ShowArgs),
    /// Stop one; what was sent stays sent
    Cancel(CancelArgs),
}

/// What is to be replayed.
#[derive(Debug, Args, Serialize)]
struct FilterArgs {
    /// What became of it; may be given more than once
    #[arg(long, required = true, value_delimiter = ',', value_parser = Filter::STATUSES.map(Outcome::name))]
    status: Vec<String>,
    /// Only of this provider; may be given more than once
    #[arg(long = "provider", value_name = "PROVIDER", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    providers: Vec<String>,
    /// Only of this connection, or sent to it
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    /// Only of this account of a provider; may be given more than once
    #[arg(long = "account", value_name = "ACCOUNT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<String>,
    /// Only with exactly this cause: `wrong_signature`
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// Only of this type, in the provider's words
    #[arg(long = "type", value_name = "TYPE")]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Only what arrived then or later: 2026-11-23T23:00:00Z
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Only what arrived before then
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// What would be replayed.
#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch replay plan --status rejected --cause wrong_signature")]
pub struct PlanArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// The API's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

/// What is replayed, and how.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tillwatch replay start --status parked --provider square --follow\n  \
                        tillwatch replay start --status rejected --cause wrong_signature --rate 200")]
pub struct StartArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// An id of your own: to start twice with one is to start once
    #[arg(long)]
    id: Option<String>,
    /// How many a second at most; 50 unless told
    #[arg(long, value_name = "R", value_parser = value_parser!(u32).range(1..=1_000))]
    rate: Option<u32>,
    /// Show how far it is until its end, or Ctrl-C, which does not stop it
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    stack: StackArgs,
}

/// How to list replays.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// One JSON object a line, as the API gives it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

/// Which replay to show.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The replay's id
    id: String,
    /// Show how far it is until its end, or Ctrl-C
    #[arg(long)]
    follow: bool,
    /// The API's answer as it is
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

/// Which replay to stop.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The replay's id
    id: String,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Deserialize)]
struct Plan {
    matched: u64,
    would_send: u64,
    would_skip: BTreeMap<String, u64>,
    unjudged: u64,
    estimated: bool,
    first: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    provider: String,
    id: String,
}

#[derive(Deserialize)]
struct Replay {
    id: String,
    state: String,
    status: Vec<String>,
    planned: Option<u64>,
    planned_is_estimate: bool,
    looked_at: u64,
    sent: u64,
    released: u64,
    skipped: BTreeMap<String, u64>,
    created_at: String,
    finished_at: Option<String>,
    trouble: Option<String>,
}

#[derive(Deserialize)]
struct Replays {
    replays: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct Start<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    #[serde(flatten)]
    filter: &'a FilterArgs,
}

pub(super) async fn run(command: &ReplayCommand) -> Result<ExitCode, Error> {
    match command {
        ReplayCommand::Plan(args) => plan(args).await?,
        ReplayCommand::Start(args) => start(args).await?,
        ReplayCommand::List(args) => list(args).await?,
        ReplayCommand::Show(args) => show(args).await?,
        ReplayCommand::Cancel(args) => {
            let replay: Replay =
                Api::new(&args.stack)?.post(&["replays", &args.id, "cancel"], &[], b"").await?;
            output::line(replay.told())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn plan(args: &PlanArgs) -> Result<(), Error> {
    let api = Api::new(&args.stack)?;
    let raw: Box<RawValue> = api.post(&["replays", "plan"], &[], &json(&args.filter)).await?;
    if args.json {
        return Ok(output::line(raw.get())?);
    }
    output::line(read::<Plan>(&raw)?.told().trim_end())?;
    Ok(())
}

async fn start(args: &StartArgs) -> Result<(), Error> {
    let api = Api::new(&args.stack)?;
    let body = Start { id: args.id.as_deref(), rate: args.rate, filter: &args.filter };
    let replay: Replay = api.post(&["replays"], &[], &json(&body)).await?;
    if args.follow {
        return follow(&api, &replay.id).await;
    }
    let (id, program, options) = (printable(&replay.id), program(), args.stack.options());
    output::line(format_args!(
        "{}\nSee how far it is, or stop it:\n  {program} replay show {id}{options}\n  {program} replay cancel {id}{options}",
        replay.told()
    ))?;
    Ok(())
}

async fn list(args: &ListArgs) -> Result<(), Error> {
    let listed: Replays = Api::new(&args.stack)?.get(&["replays"], &[]).await?;
    if args.json {
        for raw in &listed.replays {
            output::line(raw.get())?;
        }
        return Ok(());
    }
    let replays = listed.replays.iter().map(|raw| read(raw)).collect::<Result<Vec<Replay>, _>>()?;
    if replays.is_empty() {
        output::note("There are no replays.");
        return Ok(());
    }
    let rows: Vec<_> = replays.iter().map(Replay::row).collect();
    let (mut table, paint) =
        (Table::new(["STARTED", "ID", "STATE", "OF", "SENT", "RELEASED", "SKIPPED"]), Paint::stdout());
    table.fit(&rows);
    output::line(table.head(paint))?;
    for row in &rows {
        output::line(table.line(row, paint))?;
    }
    Ok(())
}

async fn show(args: &ShowArgs) -> Result<(), Error> {
    let api = Api::new(&args.stack)?;
    if args.follow {
        return follow(&api, &args.id).await;
    }
    let raw: Box<RawValue> = api.get(&["replays", &args.id], &[]).await?;
    if args.json {
        return Ok(output::line(raw.get())?);
    }
    let replay: Replay = read(&raw)?;
    output::line(replay.told())?;
    output::line(format_args!("  replays  {}", printable(&replay.status.join(", "))))?;
    output::line(format_args!("  started  {}", printable(&replay.created_at)))?;
    if let Some(at) = &replay.finished_at {
        output::line(format_args!("  ended    {}", printable(at)))?;
    }
    Ok(())
}

/// Prints a line whenever something has changed, until the replay's end. A stack that is away for a while is waited for.
async fn follow(api: &Api, id: &str) -> Result<(), Error> {
    let mut told = String::new();
    loop {
        match api.get::<Replay>(&["replays", id], &[]).await {
            Ok(replay) => {
                let line = replay.told();
                if line != told {
                    output::line(&line)?;
                    told = line;
                }
                if replay.state != "running" {
                    return Ok(());
                }
            }
            Err(error) if error.is_passing() => {
                output::note(format_args!("Waiting for the stack: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, ApiError> {
    let foreign = |_| ApiError::Foreign { url: "/replays".to_owned(), status: http::StatusCode::OK };
    serde_json::from_str(raw.get()).map_err(foreign)
}

fn skipped(skipped: &BTreeMap<String, u64>) -> String {
    let parts: Vec<_> = skipped.iter().map(|(why, count)| format!("{count} {}", printable(why))).collect();
    parts.join(", ")
}

impl Plan {
    fn told(&self) -> String {
        let at_least = if self.estimated { "at least " } else { "" };
        let mut text = format!("{at_least}{} named: {} would be sent", self.matched, self.would_send);
        if self.unjudged > 0 {
            let _ = write!(text, ", {} if they are believed now", self.unjudged);
        }
        if !self.would_skip.is_empty() {
            let _ = write!(text, "; not: {}", skipped(&self.would_skip));
        }
        text.push('\n');
        for Named { provider, id } in &self.first {
            let _ = writeln!(text, "  {}  {}", printable(id), printable(provider));
        }
        let shown = u64::try_from(self.first.len()).unwrap_or(u64::MAX);
        if self.would_send > shown && shown > 0 {
            let _ = writeln!(text, "  and {} more", self.would_send - shown);
        }
        text
    }
}

impl Replay {
    fn told(&self) -> String {
        let mut text = format!("{} is {}: {} sent", printable(&self.id), printable(&self.state), self.sent);
        if self.released > 0 {
            let _ = write!(text, ", {} released", self.released);
        }
        if let Some(planned) = self.planned {
            let at_least = if self.planned_is_estimate { "at least " } else { "" };
            let _ = write!(text, " of {at_least}{planned}");
        }
        if !self.skipped.is_empty() {
            let _ = write!(text, "; skipped: {}", skipped(&self.skipped));
        }
        let _ = write!(text, "; {} looked at", self.looked_at);
        if let Some(trouble) = &self.trouble {
            let _ = write!(text, "; waits: {}", printable(trouble));
        }
        text
    }

    fn row(&self) -> [Cell; 7] {
        let plain = |text: &str| (text.to_owned(), None);
        let tone = match self.state.as_str() {
            "running" => Tone::Waiting,
            "done" => Tone::Good,
            _ => Tone::Quiet,
        };
        [
            plain(&self.created_at),
            plain(&self.id),
            (self.state.clone(), Some(tone)),
            plain(&self.status.join(",")),
            plain(&self.sent.to_string()),
            plain(&self.released.to_string()),
            plain(&self.skipped.values().sum::<u64>().to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_told_in_a_line() {
        let mut replay: Replay = serde_json::from_value(serde_json::json!({
            "id": "r", "state": "running", "status": ["parked"], "planned": 70, "planned_is_estimate": false,
            "looked_at": 1, "sent": 10, "released": 0, "skipped": {}, "created_at": "", "finished_at": null,
            "trouble": null,
        }))
        .unwrap();
        assert_eq!(replay.told(), "r is running: 10 sent of 70; 1 looked at");
        replay.released = 2;
        replay.looked_at = 20;
        replay.skipped.insert("still_rejected".into(), 3);
        replay.planned_is_estimate = true;
        assert_eq!(
            replay.told(),
            "r is running: 10 sent, 2 released of at least 70; skipped: 3 still_rejected; 20 looked at"
        );
    }

    #[test]
    fn a_plan_says_which_are_the_first_and_how_many_follow() {
        let plan = Plan {
            matched: 5,
            would_send: 3,
            would_skip: BTreeMap::from([("still_rejected".to_owned(), 2)]),
            unjudged: 0,
            estimated: false,
            first: vec![Named { provider: "square".into(), id: "evt_1".into() }],
        };
        assert_eq!(
            plan.told(),
            "5 named: 3 would be sent; not: 2 still_rejected\n  evt_1  square\n  and 2 more\n"
        );
    }
}
