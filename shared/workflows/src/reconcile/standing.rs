//! How far a connection is reconciled, as it is kept, and what part of the past comes next.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tillwatch_domain::gap::Gap;
use tillwatch_domain::health::Trouble;
use tillwatch_domain::{Connection, Role, span};
use tillwatch_providers::reconcile::Window;

use super::{FURTHEST, SETTLES, is_reconciled};

/// How much of the past one run is of at most, and at least: less than that is not cut up further, however much it holds.
const LONGEST: Duration = Duration::from_hours(6);
const SHORTEST: Duration = Duration::from_mins(1);
/// How much of an advice is kept.
const LONGEST_ADVICE: usize = 300;

/// How far a connection is reconciled. Times are Unix milliseconds. Stored under one-letter names: that nothing is missing
/// should fit one write unit of the table, 1 KiB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reconciliation {
    /// The business that it belongs to.
    #[serde(rename = "b")]
    pub business: String,
    /// The location, unless it is the whole business's.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether nothing is listed: it is paused, disabled or in shadow.
    #[serde(rename = "z", skip_serializing_if = "std::ops::Not::not")]
    pub asleep: bool,
    /// Whether it is in shadow: nothing of what happens meanwhile takes effect here.
    #[serde(rename = "h", skip_serializing_if = "std::ops::Not::not")]
    pub in_shadow: bool,
    /// When it was seen first: what changed before is not asked for by itself.
    #[serde(rename = "s")]
    pub since_ms: i64,
    /// Up to when what changed was listed.
    #[serde(rename = "u")]
    pub until_ms: i64,
    /// How much of the past the next run is of; none: as much as may be.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub slice_ms: Option<i64>,
    /// What an operator asks for.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// When the last run ended.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub ran_ms: Option<i64>,
    /// How much it listed.
    #[serde(rename = "n")]
    pub listed: u32,
    /// How much of that had not arrived.
    #[serde(rename = "m")]
    pub missing: u32,
    /// All that had not arrived.
    #[serde(rename = "g")]
    pub gap: Gap,
    /// What was wrong with the last run.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// The provider's own word for it.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why nothing could be asked, and what to do.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// How many runs on end failed.
    #[serde(rename = "e")]
    pub failures: u32,
}

/// A part of the past that an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// From then on, Unix milliseconds; moves on with each run.
    #[serde(rename = "f")]
    pub from_ms: i64,
    /// Until then.
    #[serde(rename = "t")]
    pub to_ms: i64,
}

/// What one run is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// What is listed.
    pub(super) window: Window,
    /// Where what is new of it begins: the position, as long as nobody else has moved it.
    begins_ms: i64,
    /// What was asked for, if it is that.
    asked: Option<Asked>,
    /// Whether the part is so small that it is not cut up further.
    pub(super) is_smallest: bool,
    /// Whether nothing that can be listed yet is left after it.
    is_last: bool,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) listed: u32,
    pub(super) missing: u32,
    /// What the token may not list, in words; the rest was listed.
    pub(super) barred: Option<&'static str>,
}

impl Reconciliation {
    /// Takes over what is said of the connection. What was found for one business is not told to another.
    pub(super) fn describe(&mut self, connection: &Connection, now_ms: i64) {
        if !self.business.is_empty() && self.business != connection.business {
            *self = Self::default();
        }
        self.business.clone_from(&connection.business);
        self.location.clone_from(&connection.location);
        self.asleep = !is_reconciled(connection);
        // What came in shadow was kept and was not to take effect. It still is not when the connection leaves the shadow.
        let was_in_shadow = std::mem::replace(&mut self.in_shadow, connection.role == Role::Shadow);
        let begins = was_in_shadow && !self.in_shadow;
        if begins {
            (self.asked, self.slice_ms) = (None, None);
        }
        if begins || self.since_ms == 0 {
            (self.since_ms, self.until_ms) = (now_ms, now_ms);
        }
    }

    /// Whether what was wrong may be over soon without anyone's doing.
    pub fn may_pass(&self) -> bool {
        self.trouble.is_none_or(may_pass)
    }

    /// What comes next; none, if all was listed that can be yet.
    pub(super) fn plan(&self, now_ms: i64, overlap: Duration) -> Option<Plan> {
        let settled_ms = now_ms - span::millis(SETTLES);
        let (shortest_ms, longest_ms) = (span::millis(SHORTEST), span::millis(LONGEST));
        let slice_ms = self.slice_ms.unwrap_or(longest_ms).clamp(shortest_ms, longest_ms);
        let part = |begins_ms: i64, ends_ms: i64| {
            let to_ms = ends_ms.min(settled_ms).min(begins_ms + slice_ms);
            let is_last = to_ms == ends_ms.min(settled_ms);
            (to_ms > begins_ms).then_some((to_ms, to_ms - begins_ms <= shortest_ms, is_last))
        };
        if let Some(asked) = self.asked
            && let Some((to_ms, is_smallest, is_last)) = part(asked.from_ms, asked.to_ms)
        {
            let window = Window { from_ms: asked.from_ms, to_ms };
            let begins_ms = asked.from_ms;
            return Some(Plan { window, begins_ms, asked: Some(asked), is_smallest, is_last });
        }
        let furthest_ms = now_ms - span::millis(FURTHEST);
        let (to_ms, is_smallest, is_last) = part(self.until_ms.max(furthest_ms), i64::MAX)?;
        let from_ms = (self.until_ms - span::millis(overlap)).max(self.since_ms).max(furthest_ms);
        let window = Window { from_ms, to_ms };
        Some(Plan { window, begins_ms: self.until_ms, asked: None, is_smallest, is_last })
    }

    /// Moves on: all of the plan's window was listed. Whoever listed the same meanwhile has moved it already.
    pub(super) fn done(&mut self, plan: &Plan, counts: Counts, now_ms: i64, overlap: Duration) {
        self.ended(counts, now_ms);
        (self.trouble, self.code, self.advice, self.failures) = (None, None, None, 0);
        if let Some(barred) = counts.barred {
            (self.trouble, self.advice) = (Some(Trouble::ScopeMissing), Some(barred.to_owned()));
        }
        match plan.asked {
            Some(asked) if self.asked == Some(asked) => {
                let left = Asked { from_ms: plan.window.to_ms, ..asked };
                // What is too near the present is left to the runs that are due by themselves.
                self.asked = Some(left).filter(|_| !plan.is_last);
            }
            None if self.until_ms == plan.begins_ms => self.until_ms = plan.window.to_ms,
            _ => return,
        }
        self.slice_ms = self.slice_ms.map(|slice| slice * 2).filter(|slice| *slice < span::millis(LONGEST));
        let kept_ms = self.until_ms - span::millis(overlap);
        self.gap.forget_before(self.asked.map_or(kept_ms, |asked| asked.from_ms.min(kept_ms)));
    }

    /// Has a smaller part listed next: this one held too much.
    pub(super) fn too_much(&mut self, plan: &Plan, counts: Counts, now_ms: i64) {
        self.ended(counts, now_ms);
        self.halve(plan);
    }

    /// Makes the next part half of that plan's.
    pub(super) fn halve(&mut self, plan: &Plan) {
        let half = (plan.window.to_ms - plan.begins_ms.max(plan.window.from_ms)) / 2;
        self.slice_ms = Some(half.max(span::millis(SHORTEST)));
    }

    /// Says what was wrong. Nothing moves.
    pub(super) fn failed(
        &mut self,
        trouble: Trouble,
        code: Option<&String>,
        advice: Option<&String>,
        now_ms: i64,
    ) {
        self.ran_ms = Some(now_ms);
        self.trouble = Some(trouble);
        self.code = code.cloned();
        self.advice = advice.map(|text| text.chars().take(LONGEST_ADVICE).collect());
        self.failures = self.failures.saturating_add(1);
        if !may_pass(trouble) {
            // What can't be listed must not keep from what can.
            self.asked = None;
        }
    }

    /// Drops what is asked for and lies too near the present to be listed.
    pub(super) fn nothing_to_do(&mut self, now_ms: i64) {
        self.ended(Counts::default(), now_ms);
        self.asked = None;
    }

    fn ended(&mut self, counts: Counts, now_ms: i64) {
        self.ran_ms = Some(now_ms);
        (self.listed, self.missing) = (counts.listed, counts.missing);
    }
}

/// Whether it may be over soon without anyone's doing.
pub(super) fn may_pass(trouble: Trouble) -> bool {
    match trouble {
        Trouble::Slow
        | Trouble::RateLimited
        | Trouble::TimedOut
        | Trouble::NoAddress
        | Trouble::Unreachable
        | Trouble::Certificate
        | Trouble::ProviderError
        | Trouble::Unreadable
        | Trouble::OurNetwork
        | Trouble::CertificateEndsSoon
        | Trouble::Unprocessed
        | Trouble::Silent
        | Trouble::NotChecked => true,
        Trouble::TokenRefused
        | Trouble::ScopeMissing
        | Trouble::AccountGone
        | Trouble::Misconfigured
        | Trouble::Refused
        | Trouble::AddressNotPublic => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const MINUTE: i64 = 60_000;
    const NOW: i64 = 1_795_474_800_000;
    const OVERLAP: Duration = Duration::from_mins(10);

    fn seen(since_ms: i64, until_ms: i64) -> Reconciliation {
        Reconciliation { since_ms, until_ms, business: "harbour".to_owned(), ..Reconciliation::default() }
    }

    fn window(standing: &Reconciliation) -> Option<(i64, i64)> {
        let plan = standing.plan(NOW, OVERLAP)?;
        Some((plan.window.from_ms - NOW, plan.window.to_ms - NOW))
    }

    #[test]
    fn a_window_overlaps_the_last_one_and_ends_before_the_present() {
        let standing = seen(NOW - 99 * HOUR, NOW - HOUR);
        assert_eq!(window(&standing), Some((-HOUR - 10 * MINUTE, -10 * MINUTE)));
    }

    #[test]
    fn nothing_is_listed_from_before_a_connection_was_seen_or_after_all_was() {
        assert_eq!(window(&seen(NOW - HOUR, NOW - HOUR)), Some((-HOUR, -10 * MINUTE)));
        assert_eq!(window(&seen(NOW, NOW)), None);
        assert_eq!(window(&seen(0, NOW - 10 * MINUTE)), None);
    }

    #[test]
    fn a_gap_of_days_is_worked_off_in_slices_and_one_of_months_from_a_week_ago_on() {
        let mut standing = seen(NOW - 99 * 24 * HOUR, NOW - 72 * HOUR);
        let mut runs = 0;
        while let Some(plan) = standing.plan(NOW, OVERLAP) {
            assert!(plan.window.to_ms - plan.window.from_ms <= 6 * HOUR + 10 * MINUTE);
            standing.done(&plan, Counts::default(), NOW, OVERLAP);
            runs += 1;
        }
        assert_eq!((runs, standing.until_ms), (12, NOW - 10 * MINUTE));
        let standing = seen(NOW - 99 * 24 * HOUR, NOW - 60 * 24 * HOUR);
        assert_eq!(window(&standing), Some((-7 * 24 * HOUR, -7 * 24 * HOUR + 6 * HOUR)));
    }

    #[test]
    fn what_holds_too_much_is_cut_in_half_and_grows_again() {
        let mut standing = seen(NOW - 9 * HOUR, NOW - 8 * HOUR);
        let plan = standing.plan(NOW, OVERLAP).unwrap();
        standing.too_much(&plan, Counts::default(), NOW);
        assert_eq!((standing.until_ms, standing.slice_ms), (NOW - 8 * HOUR, Some(3 * HOUR)));
        let plan = standing.plan(NOW, OVERLAP).unwrap();
        standing.done(&plan, Counts::default(), NOW, OVERLAP);
        assert_eq!(standing.slice_ms, None);
        standing.slice_ms = Some(1);
        let plan = standing.plan(NOW, OVERLAP).unwrap();
        assert!(plan.is_smallest);
    }

    #[test]
    fn what_a_token_may_not_list_is_told_and_the_rest_moves_on() {
        let mut standing = seen(NOW - 9 * HOUR, NOW - HOUR);
        let plan = standing.plan(NOW, OVERLAP).unwrap();
        let counts = Counts { barred: Some("orders are not listed"), ..Counts::default() };
        standing.done(&plan, counts, NOW, OVERLAP);
        assert_eq!(standing.until_ms, NOW - 10 * MINUTE);
        assert_eq!(standing.trouble, Some(Trouble::ScopeMissing));
        assert_eq!((standing.advice.as_deref(), standing.failures), (Some("orders are not listed"), 0));
        standing.done(&plan, Counts::default(), NOW, OVERLAP);
        assert_eq!((standing.trouble, standing.advice), (None, None));
    }

    #[test]
    fn of_two_who_listed_the_same_one_moves_it_on() {
        let mut standing = seen(NOW - 9 * HOUR, NOW - 8 * HOUR);
        let plan = standing.plan(NOW, OVERLAP).unwrap();
        standing.done(&plan, Counts::default(), NOW, OVERLAP);
        let moved = standing.until_ms;
        let second = standing.plan(NOW, OVERLAP).unwrap();
        standing.done(&second, Counts::default(), NOW, OVERLAP);
        standing.done(&plan, Counts::default(), NOW, OVERLAP);
        assert!(standing.until_ms > moved);
    }

    #[test]
    fn what_is_asked_for_comes_first_and_leaves_the_position_as_it_is() {
        let mut standing = seen(NOW - 99 * HOUR, NOW - HOUR);
        standing.asked = Some(Asked { from_ms: NOW - 50 * HOUR, to_ms: NOW - 42 * HOUR });
        assert_eq!(window(&standing), Some((-50 * HOUR, -44 * HOUR)));
        for _ in 0..2 {
            let plan = standing.plan(NOW, OVERLAP).unwrap();
            standing.done(&plan, Counts::default(), NOW, OVERLAP);
        }
        assert_eq!((standing.asked, standing.until_ms), (None, NOW - HOUR));
    }

    #[test]
    fn what_is_asked_for_ends_where_the_present_begins() {
        let mut standing = seen(NOW - 99 * HOUR, NOW - HOUR);
        standing.asked = Some(Asked { from_ms: NOW - 2 * HOUR, to_ms: NOW });
        assert_eq!(window(&standing), Some((-2 * HOUR, -10 * MINUTE)));
        let plan = standing.plan(NOW, OVERLAP).unwrap();
        standing.done(&plan, Counts::default(), NOW + 1_000, OVERLAP);
        assert_eq!(standing.asked, None);
    }

    #[test]
    fn a_failure_moves_nothing_and_one_that_lasts_ends_what_was_asked_for() {
        let mut standing = seen(NOW - 99 * HOUR, NOW - HOUR);
        standing.asked = Some(Asked { from_ms: NOW - 50 * HOUR, to_ms: NOW - 42 * HOUR });
        standing.failed(Trouble::ProviderError, None, None, NOW);
        assert_eq!((standing.until_ms, standing.asked.is_some(), standing.failures), (NOW - HOUR, true, 1));
        standing.failed(Trouble::ScopeMissing, None, None, NOW);
        assert_eq!((standing.until_ms, standing.asked, standing.failures), (NOW - HOUR, None, 2));
    }

    #[test]
    fn that_nothing_is_missing_fits_a_write_unit() {
        let standing = Reconciliation {
            business: "harbour-restaurants-group".to_owned(),
            location: Some("harbour-promenade-north".to_owned()),
            ran_ms: Some(NOW),
            listed: 12_345,
            trouble: Some(Trouble::AddressNotPublic),
            code: Some("INSUFFICIENT_SCOPES".to_owned()),
            advice: Some("x".repeat(LONGEST_ADVICE)),
            ..seen(NOW, NOW)
        };
        let stored = serde_json::to_string(&standing).unwrap();
        let rest = 2 * "R#harbour-promenade-north-google_calendar".len() + 80;
        assert!(stored.len() + rest <= 1_024, "{} + {rest}: {stored}", stored.len());
        assert_eq!(serde_json::from_str::<Reconciliation>(&stored).unwrap(), standing);
    }
}
