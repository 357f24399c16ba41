//! Replays: kept events and rejected requests that are sent through the queue again, all that a filter names, at a bounded
//! rate.
//!
//! A replay is one document. It is worked off in steps; each takes a lease, and writes back how far it came over the
//! revision that it read. Whoever stops between any two of these has a step repeated, which does no harm: what has taken
//! effect does so once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::event::Outcome;

/// How many a second may be sent.
pub const RATES: RangeInclusive<u32> = 1..=1_000;
/// How many a second are sent unless it is said.
pub const RATE: u32 = 50;
/// For how long a step keeps other runners off. Longer than one takes.
const LEASE_MS: i64 = 60_000;
/// How long after a pause has ended, or a connection has appeared, an event may still be held by what was known before.
const SETTLES_MS: i64 = 15_000;
/// By how much the clocks of two machines may differ.
const SKEW_MS: i64 = 5_000;
/// How long a replay rests after something that it stands on failed.
const AFTER_TROUBLE_MS: i64 = 5_000;

/// What is replayed. What is left empty leaves nothing out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The providers' names; none: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub providers: BTreeSet<String>,
    /// Only what is of this connection, or was sent to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Only what is of these accounts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<String>,
    /// Only what has one of these outcomes, of [`Filter::STATUSES`].
    pub statuses: BTreeSet<Outcome>,
    /// Only what has exactly this cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Only what is of this type, in the provider's words.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only what arrived then or later, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<i64>,
    /// Only what arrived before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<i64>,
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What became of it.
    pub outcome: Outcome,
    /// Its connection.
    pub connection: Option<&'a str>,
    /// Its account.
    pub account: Option<&'a str>,
    /// Its cause.
    pub cause: Option<&'a str>,
    /// Its type.
    pub kind: &'a str,
    /// When it arrived, Unix milliseconds.
    pub received_ms: i64,
    /// When it took its outcome.
    pub processed_ms: Option<i64>,
}

/// A list of one provider's that a replay walks through, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// Those of a rare outcome.
    Rare(Outcome),
    /// All of each day.
    Days,
}

impl Filter {
    /// The outcomes that can be replayed. What was applied or superseded has taken effect, and does so once.
    pub const STATUSES: [Outcome; 7] = [
        Outcome::Parked,
        Outcome::Failed,
        Outcome::Held,
        Outcome::UnknownConnection,
        Outcome::Rejected,
        Outcome::Shadowed,
        Outcome::Ignored,
    ];

    /// The lists to walk through, of each provider.
    pub fn lists(&self) -> Vec<List> {
        let rare =
            self.statuses.iter().filter(|outcome| outcome.is_rare()).map(|outcome| List::Rare(*outcome));
        let days = self.statuses.iter().any(|outcome| !outcome.is_rare()).then_some(List::Days);
        rare.chain(days).collect()
    }

    /// Whether it names this one.
    pub fn takes(&self, candidate: &Candidate<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.statuses.contains(&candidate.outcome)
            && is(&self.connection, candidate.connection)
            && (self.accounts.is_empty()
                || candidate.account.is_some_and(|account| self.accounts.contains(account)))
            && is(&self.cause, candidate.cause)
            && is(&self.kind, Some(candidate.kind))
            && self.from_ms.is_none_or(|from| candidate.received_ms >= from)
            && self.to_ms.is_none_or(|to| candidate.received_ms < to)
    }
}

/// How a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is more to do.
    Running,
    /// All was done.
    Done,
    /// It was stopped before its end.
    Cancelled,
}

impl State {
    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why one that the filter names is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// It has taken another outcome meanwhile.
    Settled,
    /// It is there no longer.
    Gone,
    /// It was never verified: it was no envelope of ours.
    NeverVerified,
    /// Its headers and body were not kept: it was too large, or a question whether the URL is ours.
    NotKept,
    /// No change of settings can mend its cause.
    NotMendable,
    /// It is not believed by the present settings either.
    StillRejected,
    /// The present settings can't judge it: a secret is missing, or can't be opened.
    Misconfigured,
    /// What is kept of it can't be read.
    Unreadable,
}

impl Skip {
    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Gone => "gone",
            Self::NeverVerified => "never_verified",
            Self::NotKept => "not_kept",
            Self::NotMendable => "not_mendable",
            Self::StillRejected => "still_rejected",
            Self::Misconfigured => "misconfigured",
            Self::Unreadable => "unreadable",
        }
    }
}

/// How much was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Events and requests that were looked at.
    pub looked_at: u64,
    /// Events that were sent again.
    pub sent: u64,
    /// Rejected requests that are believed now, and were sent.
    pub released: u64,
    /// Those that the filter names and that were not sent, by why.
    pub skipped: BTreeMap<Skip, u64>,
}

impl Counts {
    /// How many went through the queue.
    pub fn moved(&self) -> u64 {
        self.sent + self.released
    }

    /// Counts one that was not sent.
    pub fn skip(&mut self, why: Skip) {
        *self.skipped.entry(why).or_default() += 1;
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.looked_at += other.looked_at;
        self.sent += other.sent;
        self.released += other.released;
        for (why, count) in &other.skipped {
            *self.skipped.entry(*why).or_default() += count;
        }
    }
}

/// How far a replay came: this provider's list is done down to before this place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The provider's name.
    pub provider: String,
    /// The list.
    pub list: List,
    /// What sorts before it is still to be looked at.
    pub before: String,
}

/// Who works on a replay, and until when nobody else does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The runner.
    pub owner: String,
    /// Unix milliseconds.
    pub until_ms: i64,
}

/// How many there were to do when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// So many.
    pub count: u64,
    /// There are more: so many were counted.
    pub at_least: bool,
}

/// A replay, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Its id; see [`crate::connection::is_id`].
    pub id: String,
    /// What is replayed.
    pub filter: Filter,
    /// How many are sent a second, at most.
    pub rate: u32,
    /// How it stands.
    pub state: State,
    /// How many there were to do, if that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<Planned>,
    /// How much was done.
    #[serde(default)]
    pub counts: Counts,
    /// How far it came; none: nothing is done yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// Only what arrived before then is replayed, Unix milliseconds.
    pub upto_ms: i64,
    /// When the next step is due.
    pub due_ms: i64,
    /// Who is at work on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// It follows a change of what events find: one more look is taken when everybody knows of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settles: bool,
    /// That look is under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second_look: bool,
    /// What keeps it from going on, until it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When it was started, Unix milliseconds.
    pub created_ms: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_ms: Option<i64>,
}

impl Replay {
    /// A replay that begins now.
    pub fn new(id: String, filter: Filter, rate: u32, now_ms: i64) -> Self {
        Self {
            id,
            filter,
            rate: rate.clamp(*RATES.start(), *RATES.end()),
            state: State::Running,
            planned: None,
            counts: Counts::default(),
            cursor: None,
            upto_ms: now_ms,
            due_ms: now_ms,
            lease: None,
            settles: false,
            second_look: false,
            trouble: None,
            created_ms: now_ms,
            finished_ms: None,
        }
    }

    /// The same, after a change of what events find.
    #[must_use]
    pub fn after_a_change(self) -> Self {
        Self { settles: true, ..self }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.state != State::Running
    }

    /// Whether it names this one, and this one was there when it began.
    pub fn takes(&self, candidate: &Candidate<'_>) -> bool {
        let is_news = || candidate.processed_ms.is_none_or(|at| at >= self.created_ms - SKEW_MS);
        self.filter.takes(candidate)
            && candidate.received_ms <= self.upto_ms
            && (!self.second_look || is_news())
    }

    /// Gives a runner the next step, if one is due and nobody has it.
    pub fn lease(&mut self, owner: &str, now_ms: i64) -> bool {
        let is_taken =
            self.lease.as_ref().is_some_and(|lease| lease.until_ms > now_ms && lease.owner != owner);
        if self.is_over() || self.due_ms > now_ms || is_taken {
            return false;
        }
        self.lease = Some(Lease { owner: owner.to_owned(), until_ms: now_ms + LEASE_MS });
        true
    }

    /// When a runner may take the next step, Unix milliseconds; none, if there is none.
    pub fn next_step_ms(&self) -> Option<i64> {
        let free_ms = self.lease.as_ref().map_or(i64::MIN, |lease| lease.until_ms);
        (!self.is_over()).then_some(self.due_ms.max(free_ms))
    }

    /// A step is done: it came as far as `cursor`, or, if that is none, to the end. The next is due when what was sent may
    /// have been sent at the rate.
    pub fn advance(&mut self, cursor: Option<Cursor>, counts: &Counts, began_ms: i64, now_ms: i64) {
        self.counts.add(counts);
        self.lease = None;
        self.trouble = None;
        let millis = counts.moved().saturating_mul(1_000).div_ceil(u64::from(self.rate.max(1)));
        self.due_ms = self.due_ms.max(began_ms).saturating_add(i64::try_from(millis).unwrap_or(i64::MAX));
        self.cursor = cursor;
        if self.cursor.is_some() || self.is_over() {
            return;
        }
        if self.settles && !self.second_look {
            self.second_look = true;
            self.due_ms = self.due_ms.max(self.created_ms + SETTLES_MS);
            self.upto_ms = self.due_ms;
        } else {
            self.state = State::Done;
            self.finished_ms = Some(now_ms);
        }
    }

    /// A step came as far as `cursor`, and then something failed: the rest is tried again after a while.
    pub fn stumble(&mut self, cursor: Option<Cursor>, counts: &Counts, trouble: String, now_ms: i64) {
        self.counts.add(counts);
        self.lease = None;
        self.trouble = Some(trouble);
        self.cursor = cursor;
        self.due_ms = now_ms + AFTER_TROUBLE_MS;
    }

    /// Stops it; false, if it had ended before.
    pub fn cancel(&mut self, now_ms: i64) -> bool {
        if self.is_over() {
            return false;
        }
        self.state = State::Cancelled;
        self.finished_ms = Some(now_ms);
        self.lease = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(statuses: &[Outcome]) -> Filter {
        Filter { statuses: statuses.iter().copied().collect(), ..Filter::default() }
    }

    fn replay() -> Replay {
        Replay::new("r".into(), filter(&[Outcome::Parked]), 50, 1_000)
    }

    const PARKED: Candidate<'static> = Candidate {
        outcome: Outcome::Parked,
        connection: Some("harbour-square"),
        account: Some("M1"),
        cause: Some("process: it panicked"),
        kind: "payment.updated",
        received_ms: 500,
        processed_ms: Some(600),
    };

    fn somewhere() -> Cursor {
        let list = List::Rare(Outcome::Parked);
        Cursor { provider: "square".into(), list, before: "0000000000500#evt".into() }
    }

    fn sent(count: u64) -> Counts {
        Counts { looked_at: count, sent: count, ..Counts::default() }
    }

    #[test]
    fn a_filter_takes_what_is_as_all_of_it_says() {
        let all = filter(&[Outcome::Parked]);
        assert!(all.takes(&PARKED));
        let text = |text: &str| Some(text.to_owned());
        for (narrowed, takes) in [
            (Filter { connection: text("harbour-square"), ..all.clone() }, true),
            (Filter { connection: text("harbour"), ..all.clone() }, false),
            (Filter { accounts: ["M1".to_owned()].into(), ..all.clone() }, true),
            (Filter { accounts: ["M2".to_owned()].into(), ..all.clone() }, false),
            (Filter { cause: text("process: it panicked"), ..all.clone() }, true),
            (Filter { cause: text("process"), ..all.clone() }, false),
            (Filter { kind: text("payment.created"), ..all.clone() }, false),
            (Filter { from_ms: Some(500), to_ms: Some(501), ..all.clone() }, true),
            (Filter { to_ms: Some(500), ..all.clone() }, false),
            (filter(&[Outcome::Held]), false),
        ] {
            assert_eq!(narrowed.takes(&PARKED), takes, "{narrowed:?}");
        }
    }

    #[test]
    fn what_is_listed_by_its_outcome_is_not_looked_for_day_by_day() {
        assert_eq!(filter(&[Outcome::Parked]).lists(), [List::Rare(Outcome::Parked)]);
        let both = filter(&[Outcome::Shadowed, Outcome::Ignored, Outcome::Held]);
        assert_eq!(both.lists(), [List::Rare(Outcome::Held), List::Days]);
    }

    #[test]
    fn what_arrived_after_a_replay_began_is_not_of_it() {
        assert!(replay().takes(&Candidate { received_ms: 1_000, ..PARKED }));
        assert!(!replay().takes(&Candidate { received_ms: 1_001, ..PARKED }));
    }

    #[test]
    fn of_two_runners_one_has_the_step_until_it_is_done_or_its_lease_is_over() {
        let mut replay = replay();
        assert!(!replay.lease("a", 999), "it is not due yet");
        assert!(replay.lease("a", 1_000));
        assert!(!replay.lease("b", 1_000));
        assert_eq!(replay.next_step_ms(), Some(61_000));
        assert!(replay.clone().lease("b", 61_000));
        replay.advance(Some(somewhere()), &sent(0), 1_000, 1_010);
        assert!(replay.lease("b", 1_010));
    }

    #[test]
    fn the_rate_is_kept_over_all_steps() {
        let mut replay = replay();
        replay.advance(Some(somewhere()), &sent(50), 1_000, 1_200);
        assert_eq!(replay.due_ms, 2_000);
        replay.advance(Some(somewhere()), &sent(25), 2_000, 2_100);
        assert_eq!((replay.due_ms, replay.counts.sent), (2_500, 75));
        replay.rate = 1_000;
        replay.advance(Some(somewhere()), &sent(1), 9_000, 9_000);
        assert_eq!(replay.due_ms, 9_001);
    }

    #[test]
    fn at_the_end_it_is_done_and_stays_so() {
        let mut replay = replay();
        replay.advance(None, &sent(1), 1_000, 1_100);
        assert_eq!((replay.state, replay.finished_ms), (State::Done, Some(1_100)));
        assert!(!replay.cancel(2_000) && !replay.lease("a", 9_000));
        assert_eq!(replay.next_step_ms(), None);
    }

    #[test]
    fn after_a_change_one_more_look_is_taken_for_what_was_held_by_what_was_known_before() {
        let mut replay = Replay::new("r".into(), filter(&[Outcome::Parked]), 50, 100_000).after_a_change();
        replay.advance(None, &sent(0), 100_000, 100_010);
        assert_eq!((replay.state, replay.due_ms), (State::Running, 115_000));
        let held_late = Candidate { received_ms: 101_000, processed_ms: Some(101_500), ..PARKED };
        assert!(replay.takes(&held_late));
        assert!(!replay.takes(&PARKED), "it was sent in the first look");
        replay.advance(None, &sent(1), 115_000, 115_010);
        assert_eq!(replay.state, State::Done);
    }

    #[test]
    fn one_that_is_cancelled_in_the_middle_keeps_what_was_counted() {
        let mut replay = replay();
        replay.advance(Some(somewhere()), &sent(3), 1_000, 1_000);
        assert!(replay.cancel(1_500) && !replay.lease("a", 9_000));
        replay.advance(None, &sent(2), 1_400, 1_600);
        assert_eq!(
            (replay.state, replay.counts.sent, replay.finished_ms),
            (State::Cancelled, 5, Some(1_500))
        );
    }

    #[test]
    fn trouble_is_told_and_gone_with_the_next_step() {
        let mut replay = replay();
        assert!(replay.lease("a", 1_000));
        replay.stumble(Some(somewhere()), &sent(1), "the queue is down".into(), 1_000);
        assert!(!replay.lease("a", 5_999) && replay.lease("b", 6_000));
        replay.advance(Some(somewhere()), &sent(1), 6_000, 6_000);
        assert_eq!((replay.trouble, replay.counts.sent), (None, 2));
    }

    #[test]
    fn it_is_kept_as_json() {
        let mut replay = replay();
        let mut counts = sent(1);
        counts.skip(Skip::StillRejected);
        replay.advance(Some(somewhere()), &counts, 1_000, 1_000);
        let text = serde_json::to_string(&replay).unwrap();
        assert_eq!(serde_json::from_str::<Replay>(&text).unwrap(), replay);
        assert!(text.contains(r#""skipped":{"still_rejected":1}"#), "{text}");
    }
}
