//! How well objectives are kept: each look at all connections is a sample, and samples are summed by five minutes and by hour.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tillwatch_domain::Outcome;
use tillwatch_domain::blame::Blame;
use tillwatch_domain::figures::{Deltas, outcome_figure};
use tillwatch_domain::health::{Finding, Trouble, Verdict};
use tillwatch_domain::objective::{Objective, Ratio, Window};
use tillwatch_domain::span::{HOUR_MS, millis};
use tillwatch_domain::threshold;
use tillwatch_domain::token::Standing as TokenState;
use tillwatch_platform::table::Period;
use tillwatch_providers::checks::{self, Way};

use super::{Standing, Tallies, TallyError};
use crate::watch::{Row, Survey};

/// How well each provider's objectives were kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objectives {
    /// When it was looked at last, Unix milliseconds.
    pub at_ms: i64,
    /// By connection: its last check that was counted, Unix milliseconds. A check is listed when it has ended, and how all do is
    /// known as of some time before a look: by the look's own time the same connections' would be missed each time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    checked: BTreeMap<String, i64>,
    /// By provider: what is sampled.
    #[serde(default)]
    sampled: BTreeMap<String, BTreeMap<Objective, Series>>,
    /// By provider: what became of webhooks, in each window.
    #[serde(default)]
    webhooks: BTreeMap<String, Vec<Ratio>>,
}

/// What was counted over the last thirty days.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Series {
    /// By five minutes, of the last six hours and a little more; by the number of the five minutes since 1970.
    #[serde(rename = "f")]
    fine: BTreeMap<i64, Ratio>,
    /// By hour.
    #[serde(rename = "h")]
    hours: BTreeMap<i64, Ratio>,
}

const FINE_MS: i64 = 300_000;

impl Series {
    fn add(&mut self, at_ms: i64, ratio: Ratio) {
        self.fine.entry(at_ms.div_euclid(FINE_MS)).or_default().add(ratio);
        self.hours.entry(at_ms.div_euclid(HOUR_MS)).or_default().add(ratio);
        let oldest = |window: Window, unit: i64| (at_ms - millis(window.span())).div_euclid(unit);
        self.fine = self.fine.split_off(&oldest(Window::SixHours, FINE_MS));
        self.hours = self.hours.split_off(&oldest(Window::Month, HOUR_MS));
    }

    /// What was counted in a window that ends then.
    fn over(&self, window: Window, at_ms: i64) -> Ratio {
        let (slots, unit) =
            if window <= Window::SixHours { (&self.fine, FINE_MS) } else { (&self.hours, HOUR_MS) };
        // The present slot is not whole, so one more than the window has belongs to it, but for the shortest.
        let first =
            (at_ms - millis(window.span())).div_euclid(unit) + i64::from(window == Window::FiveMinutes);
        let mut sum = Ratio::default();
        for ratio in slots.range(first..).map(|(_, ratio)| *ratio) {
            sum.add(ratio);
        }
        sum
    }
}

impl Objectives {
    /// Providers of which there is anything to say.
    pub fn providers(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.sampled.keys().chain(self.webhooks.keys()).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What was counted for a provider's objective in a window up to the last look.
    pub fn over(&self, provider: &str, objective: Objective, window: Window) -> Ratio {
        if objective == Objective::WebhookSuccess {
            let place = Window::ALL.iter().position(|known| *known == window).unwrap_or(0);
            return self.webhooks.get(provider).and_then(|all| all.get(place)).copied().unwrap_or_default();
        }
        let series = self.sampled.get(provider).and_then(|all| all.get(&objective));
        series.map_or_else(Ratio::default, |series| series.over(window, self.at_ms))
    }

    /// Takes in how all connections do now.
    fn sample(&mut self, rows: &[Row], standing: &Standing) {
        let at_ms = standing.at_ms;
        let mut checked = BTreeMap::new();
        let mut counted: BTreeMap<(&str, Objective), Ratio> = BTreeMap::new();
        for row in rows {
            // What a business has to mend says nothing of how well its provider does.
            let is_tenants = row.blame.is_some_and(|(whose, _)| whose == Blame::Tenant);
            let counted_ms = self.checked.get(&row.id).copied();
            if let Some(latest_ms) = row.checked_ms.max(counted_ms) {
                checked.insert(row.id.clone(), latest_ms);
            }
            let mut count = |objective, is_good: Option<bool>| {
                let Some(is_good) = is_good else { return };
                let ratio = counted.entry((&row.provider, objective)).or_default();
                ratio.add(Ratio { good: i64::from(is_good), bad: i64::from(!is_good) });
            };
            count(
                Objective::Uptime,
                match row.verdict {
                    Verdict::Up | Verdict::Degraded => Some(true),
                    Verdict::Down if is_tenants => None,
                    Verdict::Down => Some(false),
                    Verdict::Unknown | Verdict::Paused => None,
                },
            );
            if row.verdict == Verdict::Paused {
                continue;
            }
            // Its last check, if that was not counted before.
            let is_new = row.checked_ms > counted_ms;
            let found = row.found.filter(|found| is_new && *found != Finding::Inconclusive);
            let judged = found.filter(|found| *found != Finding::Failed || !is_tenants);
            count(Objective::CheckSuccess, judged.map(|found| found != Finding::Failed));
            let answered = found.is_some_and(|found| found != Finding::Failed);
            let late = checks::of(&row.provider).map_or(threshold::API, Way::late);
            let is_in_time = |took_ms: u32| Duration::from_millis(took_ms.into()) <= late;
            count(Objective::ApiLatency, row.took_ms.filter(|_| answered).map(is_in_time));
            count(Objective::TokensValid, is_token_good(row, standing));
        }
        for ((provider, objective), ratio) in counted {
            let series = self.sampled.entry(provider.to_owned()).or_default().entry(objective).or_default();
            series.add(at_ms, ratio);
        }
        (self.at_ms, self.checked) = (at_ms, checked);
    }
}

/// Whether a connection's token is good; none, if that is not known.
fn is_token_good(row: &Row, standing: &Standing) -> Option<bool> {
    let sent = standing.connections.get(&row.id);
    let needs_a_person = sent.and_then(|sent| sent.token).map(TokenState::needs_a_person);
    let ends_ms = row.token_ends_ms.max(sent.and_then(|sent| sent.token_ends_ms));
    let has_ended = ends_ms.map(|ends_ms| ends_ms <= standing.at_ms);
    let is_refused = match row.trouble {
        Some(Trouble::TokenRefused) => Some(true),
        _ => (row.verdict == Verdict::Up).then_some(false),
    };
    let told = [needs_a_person, has_ended, is_refused];
    told.iter().any(Option::is_some).then(|| !told.contains(&Some(true)))
}

/// What became of webhooks: those that took effect, and those that did not though they were believed.
fn became(figures: &Deltas) -> Ratio {
    let of = |outcome| figures.get(&outcome_figure(outcome));
    let good = Outcome::ALL.into_iter().filter(|outcome| outcome.is_final()).map(of).sum();
    Ratio { good, bad: of(Outcome::Failed) + of(Outcome::Parked) }
}

impl Tallies {
    /// How objectives were kept until now.
    pub(super) async fn sampled(
        &self,
        survey: &Survey,
        standing: &Standing,
    ) -> Result<Objectives, TallyError> {
        let mut objectives = self.store.objectives_now().await?.unwrap_or_default();
        objectives.sample(&survey.rows, standing);
        objectives.webhooks.clear();
        for provider in survey.providers() {
            // A mail server's has none.
            if tillwatch_providers::named(provider).is_some() {
                let ratios = self.became(provider, standing.at_ms).await?;
                objectives.webhooks.insert(provider.to_owned(), ratios);
            }
        }
        Ok(objectives)
    }

    /// What became of a provider's webhooks in each window that ends then.
    async fn became(&self, provider: &str, at_ms: i64) -> Result<Vec<Ratio>, TallyError> {
        let from_ms = |window: Window| at_ms - millis(window.span());
        let mut ratios = Vec::new();
        // By the figures that are fine enough, each read once for the longest of the windows.
        for (period, windows) in [
            (Period::Minute, &[Window::FiveMinutes, Window::HalfHour, Window::Hour][..]),
            (Period::Hour, &[Window::SixHours, Window::ThreeDays]),
            (Period::Day, &[Window::Month]),
        ] {
            let first_ms = |window: Window| period.start_of(from_ms(window));
            let longest_ms = windows.iter().copied().map(first_ms).min().unwrap_or(at_ms);
            let figures = self.table.figures(provider, period, longest_ms, at_ms + 60_000).await?;
            ratios.extend(windows.iter().map(|window| {
                let mut sum = Ratio::default();
                for (_, figures) in figures.iter().filter(|(at_ms, _)| *at_ms >= first_ms(*window)) {
                    sum.add(became(figures));
                }
                sum
            }));
        }
        Ok(ratios)
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::blame::Reason;

    use super::*;

    const NOW: i64 = 1_795_474_800_000;

    fn ratio(good: i64, bad: i64) -> Ratio {
        Ratio { good, bad }
    }

    #[test]
    fn windows_hold_what_was_counted_in_them() {
        let mut series = Series::default();
        for slot in (0..12).rev() {
            series.add(NOW - slot * FINE_MS, ratio(i64::from(slot > 2), i64::from(slot <= 2)));
        }
        assert_eq!(series.over(Window::FiveMinutes, NOW), ratio(0, 1));
        assert_eq!(series.over(Window::HalfHour, NOW), ratio(4, 3));
        assert_eq!(series.over(Window::Hour, NOW), ratio(9, 3));
        assert_eq!(series.over(Window::Month, NOW), ratio(9, 3));
    }

    fn sampled(objectives: &mut Objectives, at_ms: i64, rows: &[Row]) {
        objectives.sample(rows, &Standing { at_ms, ..Standing::default() });
    }

    #[test]
    fn a_check_that_ends_between_the_survey_and_the_look_is_counted_once_with_the_next() {
        let mut objectives = Objectives::default();
        let row = |checked_ms| Row {
            checked_ms: Some(checked_ms),
            found: Some(Finding::Good),
            took_ms: Some(90),
            ..Row::example("c")
        };
        let count = |objectives: &Objectives| {
            let over = |objective| objectives.over("square", objective, Window::Hour).count();
            (over(Objective::CheckSuccess), over(Objective::ApiLatency))
        };
        for look in 0..4 {
            // Made half a minute before the look, and ended when how all do was known already.
            let last = row(NOW + (look - 1) * FINE_MS - 30_000);
            sampled(&mut objectives, NOW + look * FINE_MS, &[last]);
        }
        assert_eq!(count(&objectives), (4, 4));
        sampled(&mut objectives, NOW + 4 * FINE_MS, &[row(NOW + 2 * FINE_MS - 30_000)]);
        sampled(&mut objectives, NOW + 5 * FINE_MS, &[row(NOW + 2 * FINE_MS - 30_000)]);
        assert_eq!(count(&objectives), (4, 4), "the same one again");
    }

    #[test]
    fn what_a_business_has_to_mend_is_neither_good_nor_bad_of_its_provider() {
        let down = |blame| Row {
            verdict: Verdict::Down,
            found: Some(Finding::Failed),
            blame: Some((blame, Reason::OthersWork)),
            checked_ms: Some(NOW - 1),
            ..Row::example("c")
        };
        for (blame, expected) in [
            (Blame::Tenant, ratio(0, 0)),
            (Blame::Provider, ratio(0, 1)),
            (Blame::Us, ratio(0, 1)),
            (Blame::Unknown, ratio(0, 1)),
        ] {
            let mut objectives = Objectives::default();
            sampled(&mut objectives, NOW, &[down(blame)]);
            for objective in [Objective::Uptime, Objective::CheckSuccess] {
                assert_eq!(objectives.over("square", objective, Window::Hour), expected, "{blame:?}");
            }
        }
    }

    #[test]
    fn what_is_older_than_a_month_is_forgotten_and_what_is_fine_sooner() {
        let mut series = Series::default();
        for hour in (0..24 * 40).rev() {
            series.add(NOW - hour * HOUR_MS, ratio(1, 0));
        }
        assert_eq!(series.hours.len(), 24 * 30 + 1);
        assert_eq!(series.fine.len(), 7);
        assert_eq!(series.over(Window::ThreeDays, NOW).good, 73);
    }
}
