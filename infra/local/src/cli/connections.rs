//! `tillwatch connections`: what is connected, with what is in force, and whether its webhooks would be believed.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{Api, StackArgs};
use super::error::Error;
use super::output::{self, Paint, Tone, printable};
use super::table::{Cell, Table};

/// What to do with connections.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tillwatch connections list --location harbour\n  \
                        tillwatch connections test harbour-square")]
pub struct ConnectionsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them
    List(ListArgs),
    /// Show one with what is in force for it
    Show(OneArgs),
    /// Try whether its webhooks would be believed and would find it
    Test(OneArgs),
    /// Have its events take effect
    Enable(OneArgs),
    /// Have its events held, and nothing about it checked
    Disable(OneArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only to this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only of this business
    #[arg(long)]
    business: Option<String>,
    /// Only of this location
    #[arg(long)]
    location: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// The connection's id
    id: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Deserialize)]
struct Page {
    connections: Vec<Value>,
    next: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Tested {
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Deserialize, Serialize)]
struct Check {
    #[serde(rename = "check")]
    what: String,
    ok: bool,
    detail: Option<String>,
}

pub(super) async fn run(args: &ConnectionsArgs) -> Result<ExitCode, Error> {
    match &args.action {
        Action::List(args) => list(args).await,
        Action::Show(args) => {
            let view: Value = Api::new(&args.stack)?.get(&["connections", &args.id], &[]).await?;
            show(&view, args.json)
        }
        Action::Test(args) => test(args).await,
        Action::Enable(args) => change(args, "enable").await,
        Action::Disable(args) => change(args, "disable").await,
    }
}

async fn list(args: &ListArgs) -> Result<ExitCode, Error> {
    let api = Api::new(&args.stack)?;
    let filters = [("provider", &args.provider), ("business", &args.business), ("location", &args.location)];
    let paint = Paint::stdout();
    let mut table = Table::new(["CONNECTION", "PROVIDER", "BUSINESS", "LOCATION", "STATE", "ROLE", "KEYS"]);
    let (mut cursor, mut is_first) = (None::<String>, true);
    loop {
        let mut query: Vec<_> =
            filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Page = api.get(&["connections"], &query).await?;
        let rows: Vec<_> = page.connections.iter().map(row).collect();
        table.fit(&rows);
        if args.json {
            for connection in &page.connections {
                output::line(connection)?;
            }
        } else {
            if is_first {
                output::line(table.head(paint))?;
            }
            for row in &rows {
                output::line(table.line(row, paint))?;
            }
        }
        is_first = false;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn row(connection: &Value) -> [Cell; 7] {
    let text = |name: &str| connection[name].as_str().unwrap_or("-").to_owned();
    let state = text("state");
    let tone = if state == "enabled" { None } else { Some(Tone::Waiting) };
    let keys = connection["keys"].as_array().map_or(0, Vec::len);
    [
        (text("id"), None),
        (text("provider"), None),
        (text("business"), None),
        (text("location"), None),
        (state, tone),
        (text("role"), None),
        (if keys == 0 { "-".to_owned() } else { keys.to_string() }, None),
    ]
}

fn show(view: &Value, json: bool) -> Result<ExitCode, Error> {
    if json {
        output::line(view)?;
        return Ok(ExitCode::SUCCESS);
    }
    let plain = ["id", "provider", "business", "location", "state", "role", "place", "webhook_path"];
    for name in plain {
        if let Some(text) = view[name].as_str() {
            output::line(format_args!("{:13} {}", name.replace('_', " "), printable(text)))?;
        }
    }
    for account in view["accounts"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output::line(format_args!("{:13} {}", "account", printable(account)))?;
    }
    for (name, value) in view["settings"].as_object().into_iter().flatten() {
        output::line(format_args!(
            "  {}: {}",
            printable(name),
            printable(value.as_str().unwrap_or_default())
        ))?;
    }
    for name in view["sealed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output::line(format_args!("  {}: sealed", printable(name)))?;
    }
    for key in view["keys"].as_array().into_iter().flatten() {
        let text = |name: &str| printable(key[name].as_str().unwrap_or_default()).into_owned();
        let until = key["until"].as_str().map_or_else(String::new, |until| format!(", live until {until}"));
        output::line(format_args!("  {} {}{until}", text("kind"), text("key")))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn test(args: &OneArgs) -> Result<ExitCode, Error> {
    let tested: Tested = Api::new(&args.stack)?.post(&["connections", &args.id, "test"], &[], b"{}").await?;
    if args.json {
        output::line(serde_json::to_string(&tested).map_err(std::io::Error::from)?)?;
    } else {
        for check in &tested.checks {
            let word = if check.ok { "ok" } else { "wrong" };
            let detail = check.detail.as_deref().unwrap_or_default();
            output::line(format_args!("{word:6} {:10} {}", printable(&check.what), printable(detail)))?;
        }
    }
    Ok(if tested.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn change(args: &OneArgs, what: &str) -> Result<ExitCode, Error> {
    let view: Value = Api::new(&args.stack)?.post(&["connections", &args.id, what], &[], b"{}").await?;
    show(&view, args.json)
}
