//! `tillwatch subscriptions`: the webhook subscriptions at the providers, listed, made, tried and mended.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{Api, StackArgs};
use super::error::Error;
use super::known::{self, Known};
use super::output::{self, Paint, Tone, counted, printable};
use super::table::{Cell, Table};

/// The webhook subscriptions at the providers.
#[derive(Debug, Args)]
pub struct SubscriptionsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Ask the providers what there is, and change nothing
    List(ListArgs),
    /// Make what is missing, and mend what is wrong
    #[command(after_help = "Examples:\n  tillwatch subscriptions ensure\n  \
                            tillwatch subscriptions ensure --connection harbour-shopify")]
    Ensure(OfArgs),
    /// Have the providers send a test, where they have one, and see whether it arrives
    Test(OfArgs),
    /// Mend what was subscribed to and is disabled, deleted, changed or about to end
    Repair(OfArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    of: OfArgs,
    /// Only what is kept of them: ask no provider
    #[arg(long)]
    kept: bool,
}

/// Whose subscriptions.
#[derive(Debug, Args)]
struct OfArgs {
    /// Only this provider's
    #[arg(value_parser = known::parser(), value_name = "PROVIDER")]
    provider: Option<Known>,
    /// Only what this connection needs, what it shares with others included
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// One JSON object a line, as the API gives it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Deserialize)]
struct Page {
    subscriptions: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct View {
    id: String,
    provider: String,
    status: String,
    problem: Option<String>,
    checked_at: Option<String>,
    subscriptions: Vec<Item>,
    test: Option<Test>,
}

#[derive(Deserialize)]
struct Item {
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct Test {
    passed: bool,
    detail: String,
}

pub(super) async fn run(args: &SubscriptionsArgs) -> Result<ExitCode, Error> {
    let (action, of, live) = match &args.what {
        What::List(list) => (None, &list.of, !list.kept),
        What::Ensure(of) => (Some("ensure"), of, false),
        What::Test(of) => (Some("test"), of, false),
        What::Repair(of) => (Some("repair"), of, false),
    };
    let api = Api::new(&of.stack)?;
    let mut printer = Printer::new(of.json);
    let (mut from, mut count, mut wrong): (Option<String>, u64, u64) = (None, 0, 0);
    loop {
        let mut query = Vec::new();
        if let Some(Known(provider)) = of.provider {
            query.push(("provider", provider.name()));
        }
        if let Some(connection) = &of.connection {
            query.push(("connection", connection));
        }
        if let Some(from) = &from {
            query.push(("from", from));
        }
        if live {
            query.push(("live", "true"));
        }
        let page: Page = match action {
            None => api.get(&["subscriptions"], &query).await?,
            Some(action) => api.post(&["subscriptions", action], &query, b"").await?,
        };
        for raw in &page.subscriptions {
            // What another version of the API says besides is no business of this one.
            let Ok(view) = serde_json::from_str::<View>(raw.get()) else { continue };
            count += 1;
            let is_well = view.problem.is_none() && view.test.as_ref().is_none_or(|test| test.passed);
            wrong += u64::from(!is_well);
            printer.print(raw, &view)?;
        }
        // The same again would go on for ever.
        if page.next.is_none() || page.next == from {
            break;
        }
        from = page.next;
    }
    if count == 0 {
        output::note("No connection needs a subscription that could be made by an API.");
        return Ok(ExitCode::SUCCESS);
    }
    let all = counted(count, "entry").replace("entrys", "entries");
    output::note(format_args!("{all}, {wrong} not as it should be."));
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Printer {
    json: bool,
    paint: Paint,
    table: Table<6>,
    begun: bool,
}

impl Printer {
    fn new(json: bool) -> Self {
        let table = Table::new(["PROVIDER", "FOR", "STATUS", "COUNT", "ENDS", "CHECKED"]);
        Self { json, paint: Paint::stdout(), table, begun: false }
    }

    fn print(&mut self, raw: &RawValue, view: &View) -> Result<(), Error> {
        if self.json {
            return Ok(output::line(raw.get())?);
        }
        let row = row(view);
        self.table.fit(std::slice::from_ref(&row));
        if !self.begun {
            output::line(self.table.head(self.paint))?;
            self.begun = true;
        }
        output::line(self.table.line(&row, self.paint))?;
        for (tone, text) in remarks(view) {
            output::line(format_args!("  {}", self.paint.toned(tone, &printable(text))))?;
        }
        Ok(())
    }
}

fn row(view: &View) -> [Cell; 6] {
    let tone = match view.status.as_str() {
        "ok" | "created" | "repaired" => Tone::Good,
        "none" => Tone::Quiet,
        "expiring" | "changed" => Tone::Waiting,
        _ => Tone::Bad,
    };
    let plain = |text: &str| (text.to_owned(), None);
    let whom = if view.id.starts_with("provider:") { "all its connections" } else { &view.id };
    let ends = view.subscriptions.iter().filter_map(|item| item.expires_at.as_deref()).min();
    [
        plain(&view.provider),
        plain(whom),
        (view.status.clone(), Some(tone)),
        plain(&view.subscriptions.len().to_string()),
        plain(ends.unwrap_or_default()),
        plain(view.checked_at.as_deref().unwrap_or("never")),
    ]
}

/// What is said beneath a row.
fn remarks(view: &View) -> Vec<(Tone, &str)> {
    let problem = view.problem.as_deref().map(|problem| (Tone::Bad, problem));
    let tone = |test: &Test| if test.passed { Tone::Good } else { Tone::Bad };
    let test = view.test.as_ref().map(|test| (tone(test), test.detail.as_str()));
    problem.into_iter().chain(test).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(json: &str) -> View {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_row_says_for_whom_how_it_is_and_when_the_first_ends() {
        let view = view(
            r#"{"id":"provider:square","provider":"square","status":"disabled","problem":"why","checked_at":null,
                "noticed":null,"subscriptions":[{"expires_at":"2026-12-02T00:00:00Z"},{"expires_at":"2026-12-01T00:00:00Z"}],
                "test":{"passed":false,"detail":"how"}}"#,
        );
        let cells = row(&view).map(|(text, _)| text);
        assert_eq!(
            cells,
            ["square", "all its connections", "disabled", "2", "2026-12-01T00:00:00Z", "never"]
        );
        assert_eq!(remarks(&view), [(Tone::Bad, "why"), (Tone::Bad, "how")]);
    }
}
