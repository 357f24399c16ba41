//! `tillwatch reconcile`: asking a provider what has happened, and fetching what no webhook told of.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use tillwatch_platform::clock::{Clock as _, SystemClock};

use super::client::{Api, StackArgs};
use super::error::Error;
use super::output::{self, counted, printable};
use super::status::{span, time};

/// Which connection's, and of what time.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tillwatch reconcile harbour-square\n  \
                        tillwatch reconcile harbour-square --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z")]
pub struct ReconcileArgs {
    /// The connection
    connection: String,
    /// List what changed from then on, seven days back at most; without it, what is due by itself
    #[arg(long)]
    from: Option<String>,
    /// Until then
    #[arg(long, requires = "from")]
    to: Option<String>,
    /// As the API gives it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

/// How long is waited for it.
const PATIENCE: Duration = Duration::from_mins(10);

pub(super) async fn run(args: &ReconcileArgs) -> Result<ExitCode, Error> {
    let api = Api::new(&args.stack)?;
    let id = args.connection.as_str();
    let mut asked = json!({});
    for (name, value) in [("from", &args.from), ("to", &args.to)] {
        if let Some(value) = value {
            asked[name] = value.as_str().into();
        }
    }
    let asked: Value = api.post(&["connections", id, "reconcile"], &[], asked.to_string().as_bytes()).await?;
    let since = time(&asked["asked_at"]);
    let began = Instant::now();
    loop {
        let view: Value = api.get(&["connections", id, "reconciliation"], &[]).await?;
        let has_run = time(&view["ran_at"]).is_some_and(|ran| since.is_some_and(|since| ran >= since));
        let is_done = has_run && (view["asked_from"].is_null() || view["trouble"].is_string());
        if is_done || began.elapsed() > PATIENCE {
            if args.json {
                output::line(&view)?;
            } else {
                told(&view, SystemClock.now())?;
            }
            let is_well = is_done && view["trouble"].is_null();
            return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What never came, in words.
pub(super) fn told(view: &Value, now: Timestamp) -> Result<(), Error> {
    output::line(format_args!("  missed    {}", in_words(view, now)))?;
    if let Some(advice) = view["advice"].as_str() {
        output::line(format_args!("            {}", printable(advice)))?;
    }
    Ok(())
}

fn in_words(view: &Value, now: Timestamp) -> String {
    let number = |name: &str| view[name].as_u64().unwrap_or(0);
    let ago = |name: &str| time(&view[name]).map(|at| span(at, now));
    if view["state"] == "paused" {
        return "nobody looks: it is paused, disabled or in shadow".to_owned();
    }
    if let Some(explanation) = view["explanation"].as_str() {
        let code = view["code"].as_str().map_or_else(String::new, |code| format!(" [{}]", printable(code)));
        let until = ago("listed_until").unwrap_or_default();
        return format!("not known of the last {until}: {}{code}", printable(explanation));
    }
    let (day, week) = (number("missing_24h"), number("missing_7d"));
    let until = ago("listed_until").map_or_else(String::new, |until| format!(", as of {until} ago"));
    let came = |count: u64, time: &str| {
        let were = if count == 1 { "was" } else { "were" };
        format!("{} never came in the last {time} and {were} fetched{until}", counted(count, "webhook"))
    };
    match (day, week) {
        (0, 0) if view["ran_at"].is_null() => {
            "not known yet: the provider is asked within the hour".to_owned()
        }
        (0, 0) => format!("nothing{until}"),
        (0, week) => came(week, "7 days"),
        (day, _) => came(day, "24 h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(view: &Value) -> String {
        in_words(view, "2026-11-23T23:00:00Z".parse().unwrap())
    }

    #[test]
    fn what_never_came_is_told_in_words() {
        let of = |day: u64, week: u64| {
            words(&json!({
                "state": "gap", "missing_24h": day, "missing_7d": week, "ran_at": "2026-11-23T22:50:00Z",
                "listed_until": "2026-11-23T22:40:00Z",
            }))
        };
        assert_eq!(of(3, 4), "3 webhooks never came in the last 24 h and were fetched, as of 20 min ago");
        assert_eq!(of(0, 1), "1 webhook never came in the last 7 days and was fetched, as of 20 min ago");
        assert_eq!(of(0, 0), "nothing, as of 20 min ago");
    }

    #[test]
    fn what_can_not_be_told_is_said_to() {
        let view = json!({
            "state": "unable", "explanation": "The token may not do what is needed.", "code": "INSUFFICIENT_SCOPES",
            "listed_until": "2026-11-23T20:00:00Z",
        });
        let wanted = "not known of the last 3 h: The token may not do what is needed. [INSUFFICIENT_SCOPES]";
        assert_eq!(words(&view), wanted);
        assert!(words(&json!({"state": "waiting"})).starts_with("not known yet"));
    }
}
