//! `tillwatch status`: whether each connection works, the worst first, since when, whose fault it is and what to do.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use tillwatch_platform::clock::{Clock as _, SystemClock};

use super::client::{Api, StackArgs};
use super::error::Error;
use super::output::{self, Paint, Tone, counted, printable};
use super::table::{Cell, Table};

/// Whose health to tell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tillwatch status\n  tillwatch status --provider square --all\n  \
                        tillwatch status harbour-square --check")]
pub struct StatusArgs {
    /// One connection, with what its verdict is concluded from
    connection: Option<String>,
    /// Only this provider's
    #[arg(long, conflicts_with = "connection")]
    provider: Option<String>,
    /// Only this business's
    #[arg(long, conflicts_with = "connection")]
    business: Option<String>,
    /// Those that work too
    #[arg(long, conflicts_with = "connection")]
    all: bool,
    /// Check the connection now, or all that are told of
    #[arg(long)]
    check: bool,
    /// As the API gives it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

pub(super) async fn run(args: &StatusArgs) -> Result<ExitCode, Error> {
    let api = Api::new(&args.stack)?;
    match &args.connection {
        Some(id) => one(&api, id, args).await?,
        None => all(&api, args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(api: &Api, args: &StatusArgs) -> Result<(), Error> {
    let business: Vec<_> = args.business.iter().map(|business| ("business", business.as_str())).collect();
    let mut view: Value = api.get(&["pos", "health"], &business).await?;
    if let (Some(provider), Some(providers)) = (&args.provider, view["providers"].as_object_mut()) {
        providers.retain(|name, _| name == provider);
    }
    let wanted: Vec<String> =
        view["providers"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    if args.check {
        let mut count = 0;
        for provider in &wanted {
            let asked: Value = api.post(&["pos", "health", provider, "test"], &[], b"{}").await?;
            count += asked["connections"].as_u64().unwrap_or(0);
        }
        let count = counted(count, "connection");
        output::note(format_args!("{count} checked now: what that finds is told in a moment"));
    }
    let mut rows = Vec::new();
    for provider in &wanted {
        let status =
            [("status", if args.all { "down,degraded,unknown,up,paused" } else { "down,degraded,unknown" })];
        let mut query = business.clone();
        query.extend(status);
        query.push(("limit", "500"));
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.clone();
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Value = api.get(&["pos", "health", provider, "connections"], &query).await?;
            rows.extend(page["connections"].as_array().into_iter().flatten().cloned());
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
    }
    rows.sort_by_key(place);
    if args.json {
        view["worst"] = rows.into();
        output::line(&view)?;
        return Ok(());
    }
    let paint = Paint::stdout();
    providers(&view, paint)?;
    let now = SystemClock.now();
    if let Some(as_of) = time(&view["as_of"]) {
        output::line(format_args!("as of {} ago", span(as_of, now)))?;
    }
    for (name, provider) in view["providers"].as_object().into_iter().flatten() {
        for line in on_its_page(name, &provider["status_page"], now) {
            output::line(line)?;
        }
    }
    for (name, provider) in view["providers"].as_object().into_iter().flatten() {
        let endpoint = &provider["endpoint"];
        if endpoint["trouble"].is_object() {
            output::line("")?;
            our_own(name, endpoint, now, paint)?;
        }
    }
    for row in &rows {
        output::line("")?;
        told(row, now, paint)?;
    }
    Ok(())
}

/// The incidents of a provider's status page that concern what is called from here, in words.
fn on_its_page(name: &str, page: &Value, now: Timestamp) -> Vec<String> {
    let concerning = |incident: &&Value| incident["concerns"] == true;
    let incidents = page["incidents"].as_array().into_iter().flatten().filter(concerning);
    let read = time(&page["read_at"]).map_or_else(String::new, |at| format!(", read {} ago", span(at, now)));
    let line = |incident: &Value| {
        let told = printable(incident["name"].as_str().unwrap_or_default());
        format!("{name} tells of an incident on its status page{read}: {told}")
    };
    incidents.map(line).collect()
}

/// Our own address for a provider's webhooks, which does not do as it should, in words.
fn our_own(name: &str, endpoint: &Value, now: Timestamp, paint: Paint) -> Result<(), Error> {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default()).into_owned();
    let status = text(&endpoint["status"]);
    let since =
        time(&endpoint["since"]).map_or_else(String::new, |since| format!(" for {}", span(since, now)));
    let checked = time(&endpoint["checked_at"])
        .map_or_else(String::new, |at| format!(", checked {} ago", span(at, now)));
    let tone = paint.toned(tone(&status), &format!("{status:<8}"));
    output::line(format_args!("{tone} our own address for webhooks of {name}{since}{checked}"))?;
    let trouble = &endpoint["trouble"];
    output::line(format_args!("  what      {}", text(&trouble["explanation"])))?;
    if trouble["detail"].is_string() {
        output::line(format_args!("            {}", text(&trouble["detail"])))?;
    }
    output::line(format_args!("  asked     {}", text(&endpoint["url"])))?;
    let blame = &endpoint["blame"];
    output::line(format_args!("  whose     {}: {}", text(&blame["whose"]), text(&blame["explanation"])))?;
    output::line(format_args!("  to do     {}", text(&trouble["remedy"])))?;
    Ok(())
}

/// Where one stands: the worst first, of these those that have been so for longest.
fn place(row: &Value) -> (usize, String, String) {
    let order = ["down", "degraded", "unknown", "up", "paused"];
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let nth = order.iter().position(|status| row["status"] == *status).unwrap_or(order.len());
    (nth, text("since"), text("connection"))
}

fn providers(view: &Value, paint: Paint) -> Result<(), Error> {
    let titles =
        ["PROVIDER", "STATUS", "CONNECTIONS", "UP", "DEGRADED", "DOWN", "UNKNOWN", "PAUSED", "P50", "P95"];
    let mut table = Table::new(titles);
    let row = |(name, provider): (&String, &Value)| -> [Cell; 10] {
        let count = |status: &str| match provider["by_status"][status].as_u64() {
            Some(0) | None => ("-".to_owned(), None),
            Some(count) => (count.to_string(), Some(tone(status))),
        };
        let millis = |name: &str| {
            (provider[name].as_u64().map_or_else(|| "-".to_owned(), |millis| format!("{millis} ms")), None)
        };
        let status = provider["status"].as_str().unwrap_or_default();
        [
            (name.clone(), None),
            (status.to_owned(), Some(tone(status))),
            (provider["connections"].to_string(), None),
            count("up"),
            count("degraded"),
            count("down"),
            count("unknown"),
            count("paused"),
            millis("response_p50_ms"),
            millis("response_p95_ms"),
        ]
    };
    let rows: Vec<_> = view["providers"].as_object().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        output::line("no connection is watched: `tillwatch config apply` makes them")?;
        return Ok(());
    }
    table.fit(&rows);
    output::line(table.head(paint))?;
    for row in &rows {
        output::line(table.line(row, paint))?;
    }
    Ok(())
}

async fn one(api: &Api, id: &str, args: &StatusArgs) -> Result<(), Error> {
    let doing: Value = if args.check {
        api.post(&["connections", id, "check"], &[], b"{}").await?
    } else {
        api.get(&["connections", id, "health"], &[]).await?
    };
    if args.json {
        output::line(&doing)?;
        return Ok(());
    }
    let (now, paint) = (SystemClock.now(), Paint::stdout());
    told(&doing, now, paint)?;
    for reason in doing["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output::line(format_args!("  score     {}", printable(reason)))?;
    }
    for quota in quotas(&doing, now) {
        output::line(format_args!("  quota     {quota}"))?;
    }
    if let Some(ends) = time(&doing["token_expires_at"]) {
        let text = if ends > now {
            format!("ends in {}", span(now, ends))
        } else {
            format!("ended {} ago", span(ends, now))
        };
        output::line(format_args!("  token     {text}"))?;
    }
    // One that is not reconciled, and a stack that knows of no such thing, have nothing to tell.
    if let Ok(view) = api.get::<Value>(&["connections", id, "reconciliation"], &[]).await {
        super::reconcile::told(&view, now)?;
    }
    if let Some(at) = time(&doing["last_webhook_at"]) {
        let silence = match doing["silence"]["state"].as_str() {
            Some("normal") => ", as they always did",
            Some("silent") => "",
            _ => ", and it is too early to say whether that is as always",
        };
        output::line(format_args!("  webhooks  the last came {} ago{silence}", span(at, now)))?;
    }
    for check in doing["last_checks"].as_array().into_iter().flatten() {
        let at = time(&check["at"]).map_or_else(String::new, |at| format!("{} ago", span(at, now)));
        let found = check["trouble"].as_str().unwrap_or("ok");
        output::line(format_args!("  check     {at:<12} {:<16} {} ms", printable(found), check["took_ms"]))?;
    }
    if let Some(next) = time(&doing["next_check_at"]) {
        output::line(format_args!("  next      in {}", span(now, next)))?;
    }
    Ok(())
}

/// What is left of the provider's limits, in words.
fn quotas(doing: &Value, now: Timestamp) -> Vec<String> {
    let quotas = doing["quotas"].as_array().map(Vec::as_slice).unwrap_or_default();
    if quotas.is_empty() {
        return vec!["limit unknown: the provider has told of none".to_owned()];
    }
    let line = |quota: &Value| {
        let of = quota["limit"].as_u64();
        let of = of.map_or_else(|| ", limit unknown".to_owned(), |limit| format!(" of {limit}"));
        let end = time(&quota["exhausted_at"])
            .map_or_else(String::new, |end| format!(", used up in {} if it goes on so", span(now, end)));
        let name = printable(quota["name"].as_str().unwrap_or_default());
        format!("{name}: {} left{of}{end}", quota["remaining"])
    };
    quotas.iter().map(line).collect()
}

/// One connection in words.
fn told(row: &Value, now: Timestamp, paint: Paint) -> Result<(), Error> {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default()).into_owned();
    let status = text(&row["status"]);
    let since = time(&row["since"]).map_or_else(String::new, |since| format!(" for {}", span(since, now)));
    let checked = time(&row["checked_at"])
        .map_or_else(|| ", not checked yet".to_owned(), |at| format!(", checked {} ago", span(at, now)));
    let score = row["score"].as_u64().map_or_else(String::new, |score| format!(", score {score}"));
    let location = row["location"].as_str().map_or_else(
        || text(&row["business"]),
        |location| format!("{} of {}", printable(location), text(&row["business"])),
    );
    output::line(format_args!(
        "{} {} ({}, {location}){since}{checked}{score}",
        paint.toned(tone(&status), &format!("{status:<8}")),
        text(&row["connection"]),
        text(&row["provider"]),
    ))?;
    let missing: Vec<_> = row["missing_scopes"].as_array().into_iter().flatten().map(text).collect();
    if !missing.is_empty() {
        output::line(format_args!(
            "  rights    the token lacks {}: sign in anew and allow it, or widen the token's rights",
            missing.join(", ")
        ))?;
    }
    let trouble = &row["trouble"];
    if trouble.is_null() {
        return Ok(());
    }
    let code = trouble["code"].as_str().map_or_else(String::new, |code| format!(" [{}]", printable(code)));
    output::line(format_args!("  what      {}{code}", text(&trouble["explanation"])))?;
    if trouble["endpoint"].is_string() {
        output::line(format_args!("  asked     {}", text(&trouble["endpoint"])))?;
    }
    if trouble["detail"].is_string() {
        output::line(format_args!("            {}", text(&trouble["detail"])))?;
    }
    let blame = &row["blame"];
    if blame.is_object() {
        output::line(format_args!("  whose     {}: {}", text(&blame["whose"]), text(&blame["explanation"])))?;
        if blame["detail"].is_string() {
            output::line(format_args!("            {}", text(&blame["detail"])))?;
        }
    }
    output::line(format_args!("  to do     {}", text(&trouble["remedy"])))?;
    Ok(())
}

fn tone(status: &str) -> Tone {
    match status {
        "up" => Tone::Good,
        "down" => Tone::Bad,
        "degraded" => Tone::Waiting,
        _ => Tone::Quiet,
    }
}

/// A time as the API tells it.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// How long it is from then to then, in the unit that fits: `40 s`, `23 min`, `5 h`, `3 d`.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_worst_comes_first_and_of_these_what_has_been_so_for_longest() {
        let row =
            |id: &str, status: &str, since: &str| json!({"connection": id, "status": status, "since": since});
        let mut rows = [
            row("a", "up", "2026-01-01T00:00:00Z"),
            row("b", "unknown", "2026-01-01T00:00:00Z"),
            row("c", "down", "2026-01-02T00:00:00Z"),
            row("d", "down", "2026-01-01T00:00:00Z"),
            row("e", "degraded", "2026-01-01T00:00:00Z"),
        ];
        rows.sort_by_key(place);
        let ids: Vec<_> = rows.iter().map(|row| row["connection"].as_str().unwrap()).collect();
        assert_eq!(ids, ["d", "c", "e", "b", "a"]);
    }

    #[test]
    fn an_incident_is_told_if_it_concerns_us_and_shows_nothing_that_moves_a_terminal() {
        let incident = |name: &str, concerns: bool| json!({"name": name, "concerns": concerns});
        let page = json!({"read_at": "1970-01-01T00:00:00Z", "incidents":
            [incident("Elevated \u{1b}[2Jerrors", true), incident("Late payouts", false)]});
        let told = on_its_page("stripe", &page, Timestamp::from_second(180).unwrap());
        let [line] = told.as_slice() else { panic!("{told:?}") };
        assert!(line.starts_with("stripe tells of an incident on its status page, read 3 min ago: Elevated"));
        assert!(!line.contains('\u{1b}') && on_its_page("odoo", &Value::Null, Timestamp::MAX).is_empty());
    }

    #[test]
    fn where_no_limit_is_told_that_is_said() {
        let told = |all: Value| quotas(&json!({ "quotas": all }), Timestamp::UNIX_EPOCH);
        assert_eq!(told(json!([])), ["limit unknown: the provider has told of none"]);
        assert_eq!(
            told(
                json!([{"name": "calls", "remaining": 7, "limit": 40, "exhausted_at": "1970-01-01T00:01:00Z"},
                {"name": "points", "remaining": 9, "limit": null}])
            ),
            ["calls: 7 left of 40, used up in 60 s if it goes on so", "points: 9 left, limit unknown"]
        );
    }

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        let told = |seconds: i64| span(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).unwrap());
        let all = [told(-5), told(119), told(120), told(7_199), told(7_200), told(172_800)];
        assert_eq!(all, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 d"]);
    }
}
