//! Bringing a file into force: everything that its plan changes is sent, and then that connections are declared, and no
//! longer made for whichever account sends something. Every step may be repeated.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use serde_json::Value;

use super::super::client::Api;
use super::super::error::Error;
use super::super::output::{self, Paint, printable};
use super::bar;
use super::plan::{Counts, Plan, refusal, stopped};
use super::requests::{Answers, send};

/// Sends what a plan changes; false, if the stack refused any of it. `whole` is whether it is the whole of a file.
pub(super) async fn apply(api: &Arc<Api>, plan: Plan, whole: bool, paint: Paint) -> Result<bool, Error> {
    let bar = bar(plan.changing.len());
    let answers = send(api, &plan.changing, false, &bar).await;
    bar.finish_and_clear();
    // Told once, so also where what came after them failed.
    tell_urls(api, &answers)?;
    if let Some(stopped) = stopped(&plan.changing, &answers) {
        return Err(Error::Stopped(stopped));
    }
    let mut counts = Counts::default();
    let mut refused = false;
    for (request, answer) in plan.changing.iter().zip(&answers) {
        match answer {
            Some(Ok(changes)) => counts.add(changes),
            Some(Err(error)) => {
                refused = true;
                output::line(refusal(&request.name, error, paint))?;
            }
            None => {}
        }
    }
    if !plan.changing.is_empty() {
        output::line(counts.applied())?;
    }
    if whole && !refused {
        let _: Value = api.put(&["config", "mode"], &[], br#"{"connections":"declared"}"#.to_vec()).await?;
        output::note("Events of accounts that no connection is for now wait until there is one.");
    }
    Ok(!refused)
}

/// Prints the webhook URLs that were made.
fn tell_urls(api: &Api, answers: &Answers) -> Result<(), Error> {
    let made = urls(&api.address(), answers);
    if !made.is_empty() {
        output::note(
            "Webhook URLs were made. Each has a secret in it and is told only now: enter it at its provider.",
        );
    }
    for line in made {
        output::line(printable(&line))?;
    }
    Ok(())
}

fn urls(address: &str, answers: &Answers) -> Vec<String> {
    let changes = answers.iter().flatten().flatten().flatten();
    let made = changes.filter_map(|change| Some((&change.what, change.webhook_url.as_ref()?)));
    made.map(|(what, rest)| format!("{what}: {address}/{}", rest.trim_start_matches('/'))).collect()
}

/// Asks the operator; none, if there is nobody to ask.
pub(super) fn asked(question: &str) -> Result<Option<bool>, Error> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_url_that_was_made_is_told_whole() {
        let change = json!({
            "what": "connection harbour-odoo", "change": "created", "fields": [],
            "webhook_url": "/webhooks/odoo/harbour-odoo?key=k",
        });
        let answers = vec![None, Some(Ok(vec![serde_json::from_value(change).unwrap()]))];
        assert_eq!(
            urls("https://example.com/prod", &answers),
            ["connection harbour-odoo: https://example.com/prod/webhooks/odoo/harbour-odoo?key=k"]
        );
    }
}
