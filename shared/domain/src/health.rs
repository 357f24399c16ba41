//! Whether a connection works, by what its checks found: never by one of them alone, and since when.
//!
//! A check is one probe. What it found counts only with others: two failures of the last three conclusive ones make a
//! connection `down`, two successes in a row end that, so that neither one lost packet nor one lucky answer says anything.
//! Failures that come within seconds of each other are one: they may be of the same blip.
//! What could not find anything out (our network was gone, a setting is missing) counts for nothing, and who has found
//! nothing out for long enough knows nothing: `unknown` is not `down`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::span::millis;

pub use crate::trouble::Trouble;

/// What is said of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It works.
    Up,
    /// Nobody checks it: it is paused or disabled.
    Paused,
    /// Nobody can tell.
    #[default]
    Unknown,
    /// It works badly: slowly, at its limit, or now and then.
    Degraded,
    /// It does not work.
    Down,
}

impl Verdict {
    /// Every one, the worst last.
    pub const ALL: [Self; 5] = [Self::Up, Self::Paused, Self::Unknown, Self::Degraded, Self::Down];

    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Paused => "paused",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// All is well.
    Good,
    /// It works, and badly.
    Poor,
    /// It does not work.
    Failed,
    /// Nothing: the check could not be made, or says nothing of the connection.
    Inconclusive,
}

impl Finding {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Good, Self::Poor, Self::Failed, Self::Inconclusive];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Poor => "poor",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// One check, as the connection remembers it. Stored as `[at, took]` or `[at, took, trouble]`: a connection's health should
/// fit one write unit of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Short", from = "Short")]
pub struct Check {
    /// When it was made, Unix milliseconds.
    pub at_ms: i64,
    /// What it found.
    pub finding: Finding,
    /// What is wrong, if anything is.
    pub trouble: Option<Trouble>,
    /// How long the answer took, in milliseconds.
    pub took_ms: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Short {
    Wrong(i64, u32, Trouble),
    Well(i64, u32),
}

impl From<Check> for Short {
    fn from(check: Check) -> Self {
        let Check { at_ms, took_ms, trouble, .. } = check;
        trouble.map_or(Self::Well(at_ms, took_ms), |trouble| Self::Wrong(at_ms, took_ms, trouble))
    }
}

impl From<Short> for Check {
    fn from(short: Short) -> Self {
        match short {
            Short::Wrong(at_ms, took_ms, trouble) => Self::found(at_ms, Some(trouble), took_ms),
            Short::Well(at_ms, took_ms) => Self::found(at_ms, None, took_ms),
        }
    }
}

impl Check {
    /// One that found this.
    pub fn found(at_ms: i64, trouble: Option<Trouble>, took_ms: u32) -> Self {
        Self { at_ms, finding: trouble.map_or(Finding::Good, Trouble::finding), trouble, took_ms }
    }
}

/// How many checks are remembered.
const REMEMBERED: usize = 10;
/// So many failures of the last [`OF`] conclusive checks make it down.
const FAILURES: usize = 2;
const OF: usize = 3;
/// Failures closer together than this count as one. Shorter than what any check is followed by another after.
pub const APART: Duration = Duration::from_secs(20);
/// So many in a row that did not fail end that.
const IN_A_ROW: usize = 2;
/// So many poor ones of the last [`POOR_OF`] conclusive checks make it degraded.
const POOR: usize = 3;
const POOR_OF: usize = 5;
/// So many changes between working and not among those remembered are flapping: it is degraded, whatever came last.
const FLAPS: usize = 4;
/// A check that is so much older than the last was made by another clock.
const PUT_BACK_MS: i64 = 3_600_000;
/// After so many intervals without a conclusive check nobody can tell.
const STALE: u32 = 3;

/// What checks have found of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What follows from the checks.
    #[serde(rename = "v")]
    verdict: Verdict,
    /// Since when it is so, by the first check that said so; Unix milliseconds.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    since_ms: Option<i64>,
    /// The last checks, the newest last.
    #[serde(rename = "c", default)]
    checks: Vec<Check>,
}

/// A step from one verdict to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The verdict before.
    pub from: Verdict,
    /// The verdict after.
    pub to: Verdict,
    /// Since when it is so: earlier than it was noticed.
    pub since_ms: i64,
}

impl Health {
    /// The verdict, by the checks alone; see [`Health::as_of`].
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Since when, by the first check that said so; none before the first check.
    pub fn since_ms(&self) -> Option<i64> {
        self.since_ms
    }

    /// The last checks, the newest last.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The verdict at that time. Who has heard nothing for three intervals knows nothing.
    pub fn as_of(&self, now_ms: i64, interval: Duration) -> Verdict {
        let last = self.conclusive().next_back().map(|check| check.at_ms);
        if last.is_none_or(|last| now_ms - last > millis(interval * STALE)) {
            return Verdict::Unknown;
        }
        self.verdict
    }

    /// Whether nobody knows how it does because it was due long ago and was not checked: what was found before says nothing of
    /// now.
    pub fn is_overdue(&self, due_ms: i64, now_ms: i64, interval: Duration) -> bool {
        self.as_of(now_ms, interval) == Verdict::Unknown && now_ms - due_ms > millis(interval)
    }

    /// Takes in one more check. One that is not newer than the last was taken in already.
    pub fn take(&mut self, check: Check) -> Option<Turn> {
        if let Some(last) = self.checks.last().filter(|last| last.at_ms >= check.at_ms) {
            if last.at_ms - check.at_ms < PUT_BACK_MS {
                return None;
            }
            // The clock was put back: what was found by the other one can't be put in order with this.
            self.checks.clear();
        }
        // Of a run of failures within seconds the first and the last are remembered: it must not push out all others.
        if let [.., first, second] = self.checks.as_slice()
            && [first, second, &check].iter().all(|check| check.finding == Finding::Failed)
            && second.at_ms - first.at_ms < millis(APART)
        {
            self.checks.pop();
        }
        self.checks.push(check);
        if self.checks.len() > REMEMBERED {
            self.checks.remove(0);
        }
        let (from, (to, since_ms)) = (self.verdict, self.concluded());
        if from == to {
            self.since_ms.get_or_insert(since_ms);
            return None;
        }
        self.verdict = to;
        self.since_ms = Some(since_ms);
        Some(Turn { from, to, since_ms })
    }

    /// Whether the last check contradicts the verdict: another soon will tell whether it is over, and by then no more than
    /// two intervals have passed since it began.
    pub fn is_in_doubt(&self) -> bool {
        let Some(last) = self.conclusive().next_back() else { return true };
        match self.verdict {
            Verdict::Down => last.finding != Finding::Failed,
            Verdict::Up | Verdict::Unknown | Verdict::Paused => last.finding != Finding::Good,
            Verdict::Degraded => false,
        }
    }

    /// What was wrong at the last check that found anything wrong.
    pub fn trouble(&self) -> Option<Trouble> {
        self.checks.iter().rev().find_map(|check| check.trouble)
    }

    fn conclusive(&self) -> impl DoubleEndedIterator<Item = &Check> {
        self.checks.iter().filter(|check| check.finding != Finding::Inconclusive)
    }

    /// The conclusive ones that count: of failures close together the first.
    fn counted(&self) -> Vec<&Check> {
        let mut failed_ms = None;
        let counts = |check: &&Check| {
            let is_failed = check.finding == Finding::Failed;
            let counts = !is_failed || failed_ms.is_none_or(|at_ms| check.at_ms - at_ms >= millis(APART));
            if is_failed && counts {
                failed_ms = Some(check.at_ms);
            }
            counts
        };
        self.conclusive().filter(counts).collect()
    }

    /// What follows from the checks, and the time of the first of those from which it follows.
    fn concluded(&self) -> (Verdict, i64) {
        let all = self.counted();
        let Some(last) = all.last() else {
            return (Verdict::Unknown, self.checks.first().map_or(0, |check| check.at_ms));
        };
        if let Some(first) = self.gave_up() {
            return (Verdict::Unknown, first);
        }
        if self.checks.last().is_some_and(|check| check.finding == Finding::Inconclusive) {
            return (self.verdict, self.since_ms.unwrap_or(last.at_ms));
        }
        let failed = |check: &Check| check.finding == Finding::Failed;
        let newest = |count: usize| &all[all.len().saturating_sub(count)..];
        let failures = newest(OF).iter().filter(|check| failed(check)).count();
        let in_a_row = all.iter().rev().take_while(|check| !failed(check)).count();
        let flaps = all.windows(2).filter(|pair| failed(pair[0]) != failed(pair[1])).count();
        // What has failed three times on end does not flap, nor does what goes well for as long.
        let is_steady = in_a_row > IN_A_ROW
            || newest(OF + 1).windows(OF).any(|run| run.iter().all(|check| failed(check)));
        if flaps >= FLAPS && !is_steady {
            return (Verdict::Degraded, first_of(&all, failed));
        }
        let was_down = self.verdict == Verdict::Down;
        if failures >= FAILURES && (was_down || last.finding == Finding::Failed)
            || was_down && in_a_row < IN_A_ROW
        {
            // The run goes back to the last two in a row that did not fail.
            let begin = all.windows(IN_A_ROW).rposition(|pair| !pair.iter().any(|check| failed(check)));
            let begin = match self.verdict {
                // While it flapped it was not down.
                Verdict::Degraded => all.len() - all.iter().rev().take_while(|check| failed(check)).count(),
                _ => begin.map_or(0, |begin| begin + IN_A_ROW),
            };
            let run = &all[begin..];
            return (Verdict::Down, first_of(run, failed));
        }
        if in_a_row == 0 && self.verdict == Verdict::Unknown {
            // One failure is no verdict, and before it there was none.
            return (Verdict::Unknown, self.since_ms.unwrap_or(last.at_ms));
        }
        let poor = newest(POOR_OF).iter().filter(|check| check.finding == Finding::Poor).count();
        let good = all.iter().rev().take_while(|check| check.finding == Finding::Good).count();
        if poor >= POOR || self.verdict == Verdict::Degraded && good < POOR {
            let since = first_of(newest(POOR_OF), |check| check.finding != Finding::Good);
            return (Verdict::Degraded, since);
        }
        let known = match self.verdict {
            // Of what was before one knew nothing.
            Verdict::Unknown => in_a_row.min(1),
            Verdict::Degraded => good,
            _ => in_a_row,
        };
        let run = &all[all.len() - known..];
        (Verdict::Up, run.first().map_or(last.at_ms, |check| check.at_ms))
    }

    /// When it began that nothing is found out any more: the last three checks have not.
    fn gave_up(&self) -> Option<i64> {
        let last = self.conclusive().next_back()?.at_ms;
        let since = self.checks.iter().filter(|check| check.at_ms > last);
        let (count, first) = (since.clone().count(), since.map(|check| check.at_ms).next());
        first.filter(|_| count >= usize::try_from(STALE).unwrap_or(usize::MAX))
    }
}

fn first_of(checks: &[&Check], is: impl Fn(&Check) -> bool) -> i64 {
    checks.iter().find(|check| is(check)).or_else(|| checks.last()).map_or(0, |check| check.at_ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn finding(letter: char) -> Finding {
        match letter {
            'g' => Finding::Good,
            'p' => Finding::Poor,
            'f' => Finding::Failed,
            _ => Finding::Inconclusive,
        }
    }

    /// A health after checks that found this, one a minute from minute 0 on.
    fn after(findings: &str) -> Health {
        let mut health = Health::default();
        for (minute, letter) in (0..).zip(findings.chars()) {
            let check =
                Check { at_ms: minute * MINUTE_MS, finding: finding(letter), trouble: None, took_ms: 1 };
            health.take(check);
        }
        health
    }

    /// The verdict and the minute since when.
    fn told(findings: &str) -> (Verdict, i64) {
        let health = after(findings);
        (health.verdict(), health.since_ms().map_or(-1, |since| since / MINUTE_MS))
    }

    #[test]
    fn a_verdict_follows_from_several_checks_and_says_since_when() {
        use Verdict::{Degraded, Down, Unknown, Up};
        for (findings, wanted) in [
            ("", (Unknown, -1)),
            ("g", (Up, 0)),
            ("f", (Unknown, 0)),
            ("fg", (Up, 1)),
            ("ff", (Down, 0)),
            ("gf", (Up, 0)),
            ("gfg", (Up, 0)),
            ("gff", (Down, 1)),
            ("gfgf", (Down, 1)),
            ("gffg", (Down, 1)),
            ("gffgf", (Down, 1)),
            ("gffgg", (Up, 3)),
            ("gffpp", (Up, 3)),
            ("ppp", (Degraded, 0)),
            ("gpgpgp", (Degraded, 1)),
            ("gpgp", (Up, 0)),
            ("pppgg", (Degraded, 0)),
            ("pppggf", (Degraded, 0)),
            ("pppggg", (Up, 3)),
            ("gfgfg", (Degraded, 1)),
            ("gfgfgg", (Degraded, 1)),
            ("gfgfggg", (Up, 4)),
            ("gfgfgfff", (Down, 5)),
        ] {
            assert_eq!(told(findings), wanted, "{findings}");
        }
    }

    #[test]
    fn what_finds_nothing_out_counts_for_nothing_and_after_three_of_it_nobody_can_tell() {
        use Verdict::{Down, Unknown, Up};
        for (findings, wanted) in [
            ("iii", (Unknown, 0)),
            ("gii", (Up, 0)),
            ("giii", (Unknown, 1)),
            ("giiig", (Up, 4)),
            ("ffi", (Down, 0)),
            ("fif", (Down, 0)),
            ("ffiii", (Unknown, 2)),
            ("giiif", (Unknown, 1)),
        ] {
            assert_eq!(told(findings), wanted, "{findings}");
        }
    }

    #[test]
    fn who_has_heard_nothing_for_three_intervals_knows_nothing() {
        let (health, interval) = (after("gg"), Duration::from_mins(5));
        assert_eq!(health.as_of(16 * MINUTE_MS, interval), Verdict::Up);
        assert_eq!(health.as_of(16 * MINUTE_MS + 1, interval), Verdict::Unknown);
        assert_eq!(Health::default().as_of(0, interval), Verdict::Unknown);
    }

    #[test]
    fn what_was_due_an_interval_ago_and_of_which_nothing_is_known_is_overdue() {
        let (health, interval) = (after("ff"), Duration::from_mins(5));
        assert!(!health.is_overdue(6 * MINUTE_MS, 16 * MINUTE_MS, interval), "it is down");
        assert!(health.is_overdue(6 * MINUTE_MS, 17 * MINUTE_MS, interval));
        assert!(!health.is_overdue(60 * MINUTE_MS, 17 * MINUTE_MS, interval), "it is not due before that");
        assert!(Health::default().is_overdue(0, 6 * MINUTE_MS, interval));
    }

    #[test]
    fn a_check_that_contradicts_the_verdict_is_followed_by_another_soon() {
        for (findings, doubt) in [
            ("", true),
            ("g", false),
            ("gf", true),
            ("gff", false),
            ("gffg", true),
            ("gffgg", false),
            ("gi", false),
        ] {
            assert_eq!(after(findings).is_in_doubt(), doubt, "{findings}");
        }
    }

    #[test]
    fn a_check_that_comes_twice_or_late_counts_once() {
        let mut health = after("gf");
        let last = *health.checks().last().unwrap();
        assert_eq!(health.take(last), None);
        assert_eq!(health.take(Check { at_ms: 0, ..last }), None);
        assert_eq!(health.checks().len(), 2);
    }

    /// The verdict after checks at these seconds.
    fn at_seconds(checks: &[(i64, char)]) -> Verdict {
        let mut health = Health::default();
        for (second, letter) in checks {
            let (at_ms, finding) = (second * 1_000, finding(*letter));
            health.take(Check { at_ms, finding, trouble: None, took_ms: 1 });
        }
        health.verdict()
    }

    #[test]
    fn failures_within_seconds_are_one_and_do_not_push_out_others() {
        use Verdict::{Down, Unknown, Up};
        for (checks, wanted) in [
            (vec![(0, 'g'), (60, 'f'), (61, 'f'), (79, 'f')], Up),
            (vec![(0, 'g'), (60, 'f'), (61, 'f'), (80, 'f')], Down),
            (vec![(0, 'g'), (60, 'f'), (62, 'g'), (64, 'f')], Up),
            (vec![(0, 'g'), (60, 'f'), (61, 'f'), (90, 'g')], Up),
            (vec![(0, 'f'), (1, 'f'), (2, 'i'), (3, 'i')], Unknown),
        ] {
            assert_eq!(at_seconds(&checks), wanted, "{checks:?}");
        }
        // Somebody asks each second.
        let pressed: Vec<_> = std::iter::once((0, 'g')).chain((60..81).map(|second| (second, 'f'))).collect();
        assert_eq!(at_seconds(&pressed), Down);
        assert_eq!(at_seconds(&pressed[..20]), Up);
        // Every ten seconds, which is as often as there are checks.
        assert_eq!(at_seconds(&[(0, 'g'), (10, 'f'), (20, 'f'), (30, 'f')]), Down);
    }

    #[test]
    fn a_health_with_all_that_it_remembers_fits_one_write_unit_of_the_table() {
        let mut health = Health::default();
        for number in 0..20 {
            health.take(Check::found(
                1_795_474_980_000 + number * MINUTE_MS,
                Some(Trouble::AddressNotPublic),
                30_000,
            ));
        }
        let size = serde_json::to_string(&health).unwrap().len();
        assert!(size < 800, "{size}");
    }

    fn findings(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
        let letter = proptest::sample::select(vec!['g', 'p', 'f', 'i']);
        proptest::collection::vec(letter, length).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn three_of_a_kind_decide_and_one_does_not(before in findings(0..30)) {
            prop_assert_eq!(after(&format!("{before}fff")).verdict(), Verdict::Down);
            prop_assert_eq!(after(&format!("{before}ggg")).verdict(), Verdict::Up);
            prop_assert_ne!(after(&format!("{before}gggf")).verdict(), Verdict::Down);
            prop_assert_eq!(after(&format!("{before}fffg")).verdict(), Verdict::Down);
            for few in ["i", "ii"] {
                let conclusive = before.trim_end_matches('i');
                prop_assert_eq!(after(conclusive).verdict(), after(&format!("{conclusive}{few}")).verdict());
            }
        }

        #[test]
        fn the_time_since_when_is_that_of_a_check_and_never_later_than_it_was_noticed(all in findings(1..40)) {
            let health = after(&all);
            let (since, last) = (health.since_ms().unwrap(), health.checks().last().unwrap().at_ms);
            prop_assert!(since <= last && since % MINUTE_MS == 0);
        }
    }
}
