//! `tillwatch tokens`: how connections' tokens stand, having them refreshed, and links by which somebody signs in anew.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use tillwatch_platform::clock::{Clock as _, SystemClock};

use super::client::{Api, StackArgs};
use super::error::Error;
use super::output::{self, Paint, Tone, counted, printable};
use super::status::span;
use super::table::{Cell, Table};

/// What to do with tokens.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tillwatch tokens list\n  tillwatch tokens refresh harbour-loyverse\n  \
                        tillwatch tokens refresh --provider square\n  tillwatch tokens connect harbour-loyverse --hours 72")]
pub struct TokensArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List how they stand, those that need somebody first
    List(ListArgs),
    /// Have them refreshed now, and wait until they are
    Refresh(RefreshArgs),
    /// Make a link by which somebody signs in at the provider anew, for whoever has the account there
    Connect(ConnectArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only of connections to this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only of this business's connections
    #[arg(long)]
    business: Option<String>,
    /// Only those that are active, failing, refused, ambiguous or static
    #[arg(long)]
    state: Option<String>,
    /// As the API gives it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["connections", "provider", "business", "all"])))]
struct RefreshArgs {
    /// Of these connections
    connections: Vec<String>,
    /// Of all connections to this provider
    #[arg(long)]
    provider: Option<String>,
    /// Of all connections of this business
    #[arg(long)]
    business: Option<String>,
    /// Of all
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Debug, Args)]
struct ConnectArgs {
    /// Of this connection
    connection: String,
    /// For how many hours the link holds: up to 168
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u8).range(1..=168), conflicts_with = "revoke")]
    hours: u8,
    /// Take its link back instead
    #[arg(long)]
    revoke: bool,
    /// As the API gives it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

/// How long is waited for refreshes that were asked for.
const PATIENCE: Duration = Duration::from_mins(5);
/// As many as a list gives at once.
const MOST: &str = "10000";

pub(super) async fn run(args: &TokensArgs) -> Result<ExitCode, Error> {
    match &args.action {
        Action::List(args) => list(args).await,
        Action::Refresh(args) => refresh(args).await,
        Action::Connect(args) => connect(args).await,
    }
}

async fn connect(args: &ConnectArgs) -> Result<ExitCode, Error> {
    let (api, path) = (Api::new(&args.stack)?, ["connections", &args.connection, "reconnect"]);
    if args.revoke {
        let revoked: Value = api.delete(&path).await?;
        if args.json {
            output::line(&revoked)?;
        } else if revoked["revoked"] == true {
            output::line("the link holds no more")?;
        } else {
            output::line("there was no link that held")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let made: Value = api.post(&path, &[], json!({"hours": args.hours}).to_string().as_bytes()).await?;
    if args.json {
        output::line(&made)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |name: &str| printable(made[name].as_str().unwrap_or_default()).into_owned();
    output::line(text("url"))?;
    output::note(format_args!(
        "for whoever has the account at the provider; it holds until {}, or until somebody has signed in by it",
        text("expires_at")
    ));
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &ListArgs) -> Result<ExitCode, Error> {
    let filters = [("provider", &args.provider), ("business", &args.business), ("state", &args.state)];
    let mut query: Vec<_> =
        filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    query.push(("limit", MOST));
    let page: Value = Api::new(&args.stack)?.get(&["tokens"], &query).await?;
    if args.json {
        output::line(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    table(page["tokens"].as_array().map_or(&[][..], Vec::as_slice))?;
    Ok(ExitCode::SUCCESS)
}

async fn refresh(args: &RefreshArgs) -> Result<ExitCode, Error> {
    let api = Api::new(&args.stack)?;
    let asked = json!({
        "connections": args.connections, "provider": args.provider, "business": args.business, "all": args.all,
    });
    let asked: Value = api.post(&["tokens", "refresh"], &[], asked.to_string().as_bytes()).await?;
    let count = asked["connections"].as_u64().unwrap_or(0);
    let since = asked["asked_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let began = Instant::now();
    let mut told = u64::MAX;
    loop {
        let page: Value = api.get(&["tokens"], &[("limit", MOST)]).await?;
        let is_wanted = |token: &&Value| {
            let id = token["connection"].as_str().unwrap_or_default();
            let is = |name: &str, wanted: &Option<String>| {
                wanted.as_ref().is_none_or(|wanted| token[name] == **wanted)
            };
            (args.connections.is_empty() || args.connections.iter().any(|wanted| wanted == id))
                && is("provider", &args.provider)
                && is("business", &args.business)
                && token["state"] != "static"
        };
        let is_done = |token: &&Value| {
            let tried = token["tried_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
            tried.is_some_and(|tried| since.is_some_and(|since| tried >= since))
                || token["needs_a_person"] == true
                || token["advice"].is_string()
        };
        let tokens: Vec<Value> =
            page["tokens"].as_array().into_iter().flatten().filter(is_wanted).cloned().collect();
        let done = u64::try_from(tokens.iter().filter(is_done).count()).unwrap_or(0);
        // Those that nobody refreshes are asked for in vain.
        let all = u64::try_from(tokens.len()).unwrap_or(0).min(count);
        if done != told {
            output::note(format_args!("{done} of {}", counted(all, "token")));
            told = done;
        }
        let is_over = done >= all || began.elapsed() > PATIENCE;
        if is_over {
            table(&tokens)?;
            let is_well = tokens.iter().all(|token| token["state"] == "active") && done >= all;
            return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn table(tokens: &[Value]) -> Result<(), Error> {
    let (now, paint) = (SystemClock.now(), Paint::stdout());
    let mut table =
        Table::new(["CONNECTION", "PROVIDER", "STATE", "ENDS", "REFRESHED", "NEXT", "WHAT FAILED"]);
    let rows: Vec<_> = tokens.iter().map(|token| row(token, now)).collect();
    table.fit(&rows);
    output::line(table.head(paint))?;
    for (row, token) in rows.iter().zip(tokens) {
        output::line(table.line(row, paint))?;
        if let Some(advice) = token["advice"].as_str() {
            output::line(format_args!("  {}", printable(advice)))?;
        }
        if token["needs_a_person"] == true && token["state"] != "static" {
            let id = printable(token["connection"].as_str().unwrap_or_default());
            output::line(format_args!("  somebody must sign in anew: tillwatch tokens connect {id}"))?;
        }
    }
    Ok(())
}

fn row(token: &Value, now: Timestamp) -> [Cell; 7] {
    let text = |name: &str| token[name].as_str().unwrap_or("-").to_owned();
    let time = |name: &str| token[name].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let ahead = |name: &str| match time(name) {
        None => "-".to_owned(),
        Some(at) if at < now => format!("{} ago", span(at, now)),
        Some(at) => format!("in {}", span(now, at)),
    };
    let state = text("state");
    let tone = match state.as_str() {
        "active" => Some(Tone::Good),
        "failing" => Some(Tone::Waiting),
        "static" => Some(Tone::Quiet),
        _ => Some(Tone::Bad),
    };
    let failure = match (token["failure"].as_str(), token["code"].as_str()) {
        (None, _) => "-".to_owned(),
        (Some(failure), None) => failure.to_owned(),
        (Some(failure), Some(code)) => format!("{failure} [{code}], {} times", token["failures"]),
    };
    [
        (text("connection"), None),
        (text("provider"), None),
        (state, tone),
        (ahead("expires_at"), None),
        (ahead("refreshed_at"), None),
        (ahead("next_at"), None),
        (failure, None),
    ]
}
