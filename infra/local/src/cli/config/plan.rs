//! What a file would change at a stack: found out by the stack itself, which is sent everything and keeps nothing.

use std::sync::Arc;

use super::super::client::{Api, ApiError};
use super::super::error::Error;
use super::super::output::{self, Paint, Tone, printable};
use super::requests::{Answers, Change, Kind, Request, is_of_one, send};
use super::{Stopped, bar};

/// What a stack would do.
pub(super) struct Plan {
    /// The requests that would change something.
    pub(super) changing: Vec<Request>,
    /// How many requests the stack refuses.
    pub(super) refused: usize,
}

/// Has a stack say what it would do, and prints it.
pub(super) async fn plan(api: &Arc<Api>, requests: Vec<Request>, paint: Paint) -> Result<Plan, Error> {
    let bar = bar(requests.len());
    let answers = send(api, &requests, true, &bar).await;
    bar.finish_and_clear();
    if let Some(stopped) = stopped(&requests, &answers) {
        return Err(Error::Stopped(Stopped { applied: None, ..stopped }));
    }
    let mut counts = Counts::default();
    let mut plan = Plan { changing: Vec::new(), refused: 0 };
    for (request, answer) in requests.into_iter().zip(answers) {
        let changes = match answer {
            Some(Ok(changes)) => changes,
            Some(Err(error)) => {
                plan.refused += 1;
                output::line(refusal(&request.name, &error, paint))?;
                continue;
            }
            None => continue,
        };
        counts.add(&changes);
        if changes.iter().any(|change| change.kind != Kind::Unchanged) {
            output::line(described(&request.name, &changes, paint))?;
            plan.changing.push(request);
        }
    }
    if plan.refused == 0 || !plan.changing.is_empty() {
        output::line(counts.planned())?;
    }
    if plan.refused > 0 {
        output::line(format_args!("{} of the above refused.", plan.refused))?;
    }
    Ok(plan)
}

/// Why not everything was sent, if it wasn't.
pub(super) fn stopped(requests: &[Request], answers: &Answers) -> Option<Stopped> {
    let (request, error) = requests.iter().zip(answers).find_map(|(request, answer)| match answer {
        Some(Err(error)) if !is_of_one(error) => Some((request, error)),
        _ => None,
    })?;
    let done = answers.iter().filter(|answer| matches!(answer, Some(Ok(_)))).count();
    let not = requests.iter().zip(answers).filter(|(_, answer)| !matches!(answer, Some(Ok(_))));
    Some(Stopped {
        at: request.name.clone(),
        cause: error.to_string(),
        applied: Some(done),
        left: not.map(|(request, _)| request.name.clone()).collect(),
    })
}

/// What a stack says against an entry.
pub(super) fn refusal(name: &str, error: &ApiError, paint: Paint) -> String {
    let error = error.to_string();
    format!("{}\n  {} {}", printable(name), paint.toned(Tone::Bad, "refused:"), printable(&error))
}

/// What would become of an entry, a line for each part.
fn described(name: &str, changes: &[Change], paint: Paint) -> String {
    let mut text = paint.heading(&printable(name));
    for change in changes.iter().filter(|change| change.kind != Kind::Unchanged) {
        let (sign, tone, words) = match change.kind {
            Kind::Created => ("+", Tone::Good, "will be created"),
            Kind::Changed => ("~", Tone::Waiting, "will be changed"),
            _ => ("-", Tone::Bad, "will be disabled"),
        };
        let fields = match change.fields.as_slice() {
            [] => String::new(),
            fields => format!(": {}", fields.join(", ")),
        };
        let what = format!("{} {words}{fields}", change.what);
        text.push_str(&format!("\n  {} {}", paint.toned(tone, sign), printable(&what)));
    }
    text
}

/// How much becomes what.
#[derive(Default)]
pub(super) struct Counts {
    created: usize,
    changed: usize,
    disabled: usize,
    unchanged: usize,
}

impl Counts {
    pub(super) fn add(&mut self, changes: &[Change]) {
        for change in changes {
            *match change.kind {
                Kind::Created => &mut self.created,
                Kind::Changed => &mut self.changed,
                Kind::Disabled => &mut self.disabled,
                Kind::Unchanged => &mut self.unchanged,
            } += 1;
        }
    }

    fn planned(&self) -> String {
        let Self { created, changed, disabled, unchanged } = self;
        if created + changed + disabled == 0 {
            return format!("Nothing to change: {unchanged} as they should be.");
        }
        format!(
            "Plan: {created} to create, {changed} to change, {disabled} to disable, {unchanged} as they should be."
        )
    }

    pub(super) fn applied(&self) -> String {
        let Self { created, changed, disabled, .. } = self;
        format!("Applied: {created} created, {changed} changed, {disabled} disabled.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(what: &str, kind: Kind, fields: &[&str]) -> Change {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        Change { what: what.into(), kind, fields, webhook_url: None }
    }

    #[test]
    fn an_entry_says_what_becomes_of_each_of_its_parts() {
        let changes = [
            change("location harbour", Kind::Unchanged, &[]),
            change("connection harbour-square", Kind::Changed, &["merchant_id", "access_token"]),
            change("connection harbour-stripe", Kind::Created, &[]),
            change("connection harbour-zettle", Kind::Disabled, &[]),
        ];
        assert_eq!(
            described("location harbour", &changes, Paint::none()),
            "location harbour\n  ~ connection harbour-square will be changed: merchant_id, access_token\n  \
             + connection harbour-stripe will be created\n  - connection harbour-zettle will be disabled"
        );
        let mut counts = Counts::default();
        counts.add(&changes);
        assert_eq!(counts.planned(), "Plan: 1 to create, 1 to change, 1 to disable, 1 as they should be.");
        assert_eq!(counts.applied(), "Applied: 1 created, 1 changed, 1 disabled.");
    }

    #[test]
    fn what_a_stack_says_does_not_reach_the_terminal_as_it_is() {
        let text = described("location a", &[change("\x1b[2J", Kind::Created, &[])], Paint::none());
        assert!(!text.contains('\x1b'), "{text}");
    }
}
