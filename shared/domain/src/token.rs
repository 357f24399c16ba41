//! A connection's token: when it is to be refreshed, by whom, and what follows from what came of it.
//!
//! A refresh token that may be used once makes this hard: whoever uses it twice has the whole family taken back, and
//! whoever uses it and loses the answer has neither the old nor the new one. So one worker at a time has the lease, and it
//! writes down what it is about to use before it does. A worker that finds such an intent without an end knows that the
//! token may have been used, and does not use it again, unless the provider says that it may: what remains then is to have
//! a person sign in anew, and to say so.
//!
//! Pure: times are arguments, and whoever keeps the state writes it only over the version that was read.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::span::millis;

/// How long a worker has the token for itself. Longer than its one call and its write can take together.
pub const LEASE: Duration = Duration::from_secs(60);
/// How often a refusal must be heard before it is believed, and how long is waited in between.
const CONFIRMED_AFTER: [Duration; 2] = [Duration::from_mins(5), Duration::from_mins(10)];
/// Waits after failures that pass: doubled from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// A token is refreshed so long before its end at least, if it lives long enough.
const MARGIN: Duration = Duration::from_mins(15);
/// How long a token is taken to live whose answer does not say.
const UNTOLD_LIFE: Duration = Duration::from_hours(24);
/// No token is taken to live longer, whatever an answer says.
const LONGEST_LIFE: Duration = Duration::from_hours(10 * 365 * 24);
/// A provider is left alone for so long at most, however long it asks for: it may have been asked for by mistake.
const LONGEST_ASKED: Duration = Duration::from_hours(6);
/// A new token is not refreshed again before that, however short it lives.
const SOONEST: Duration = Duration::from_mins(1);
/// How far the clocks of two workers may be apart.
const CLOCKS_APART: Duration = Duration::from_mins(1);

/// What a provider lets be done with its refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Refreshed as often as that, however long it lives; none: before its end.
    pub every: Option<Duration>,
    /// Whether a refresh token may be gone once it was used.
    pub single_use: bool,
    /// Whether the provider takes one again whose answer was lost.
    pub may_repeat: bool,
}

/// How a token stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is refreshed when it is due.
    #[default]
    Active,
    /// It could not be refreshed of late, and is tried again.
    Failing,
    /// A person must sign in anew: the provider refuses it for good.
    Refused,
    /// A person must sign in anew: a refresh token was used, and what came of it is not known.
    Ambiguous,
}

impl Standing {
    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Failing => "failing",
            Self::Refused => "refused",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// Whether only a person can mend it.
    pub fn needs_a_person(self) -> bool {
        matches!(self, Self::Refused | Self::Ambiguous)
    }
}

/// What failed, of the kinds that differ in what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The provider refuses the refresh token: `invalid_grant`.
    Refused,
    /// The provider refuses us: `invalid_client`. Says nothing of the token.
    Ours,
    /// The provider is in trouble, or takes no more calls for now.
    Unavailable,
    /// The call was made, and its answer is not known.
    Lost,
    /// The call was not made.
    NotMade,
}

impl Failure {
    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Ours => "ours",
            Self::Unavailable => "unavailable",
            Self::Lost => "lost",
            Self::NotMade => "not_made",
        }
    }
}

/// Who refreshes it, and what it is about to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    /// The worker's own mark.
    owner: String,
    /// Until when nobody else may, Unix milliseconds.
    until_ms: i64,
    /// Whether a person signs in anew, and nothing of what there is will be used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    signs_in: bool,
}

/// A token, as it is kept beside its sealed secrets. Times are Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// When it was had.
    pub obtained_ms: i64,
    /// When the access token ends; none: it was not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// When the refresh token ends; none: it does not, or was not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expires_ms: Option<i64>,
    /// How it stands.
    #[serde(default)]
    pub standing: Standing,
    /// What failed last, since the last success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How often on end.
    #[serde(default)]
    pub failures: u32,
    /// How many of these were refusals of the token itself, on end.
    #[serde(default)]
    refusals: u32,
    /// Not to be tried before.
    #[serde(default)]
    not_before_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
    /// Whose lease ran out: what came of that one's call may still be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
    /// Whether it was had by a grant whose refresh tokens are used again and again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lasts: bool,
}

/// Why a worker may not refresh it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// Another worker is at it, until then.
    Busy(i64),
    /// It is not to be tried before then.
    TooSoon(i64),
    /// Only a person can mend it.
    NeedsAPerson,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is a new one.
    Refreshed {
        /// How long the access token lives; none: not told.
        lives: Option<Duration>,
        /// How long the refresh token does; none: not told, or as long as before.
        refresh_lives: Option<Duration>,
    },
    /// There is none.
    Failed {
        /// Of what kind the failure is.
        failure: Failure,
        /// How long the provider asks to be left alone.
        retry_after: Option<Duration>,
    },
}

impl Token {
    /// One that was just had, of this life.
    pub fn obtained(now_ms: i64, lives: Option<Duration>, refresh_lives: Option<Duration>) -> Self {
        let ends = |lives: Option<Duration>| {
            lives.map(|lives| now_ms.saturating_add(millis(lives.min(LONGEST_LIFE))))
        };
        Self {
            obtained_ms: now_ms,
            expires_ms: ends(lives),
            refresh_expires_ms: ends(refresh_lives),
            ..Self::default()
        }
    }

    /// When it is to be refreshed. `spread` is a number of the connection's own: what was had together is not refreshed
    /// together.
    pub fn due_ms(&self, grant: &Grant, spread: u32) -> i64 {
        if self.failures > 0 {
            // However long it still lives: whether it can be refreshed must be known before it ends.
            return self.not_before_ms;
        }
        let told = |end: i64| end.saturating_sub(self.obtained_ms).clamp(0, millis(LONGEST_LIFE));
        let life = self.expires_ms.map_or(millis(UNTOLD_LIFE), told);
        // A fifth of its life, a quarter of an hour at least, and never more than half of it.
        let margin = (life / 5).max(millis(MARGIN)).min(life / 2);
        let before_its_end = self.obtained_ms + life - margin;
        let due =
            grant.every.map_or(before_its_end, |every| before_its_end.min(self.obtained_ms + millis(every)));
        let jitter = margin / 4 * i64::from(spread % 1_000) / 1_000;
        (due - jitter).max(self.obtained_ms + millis(SOONEST)).max(self.not_before_ms)
    }

    /// The same, had by this grant.
    #[must_use]
    pub fn by(self, grant: &Grant) -> Self {
        Self { lasts: !grant.single_use, ..self }
    }

    /// Whether it was had by a grant whose refresh tokens are used again and again, and this is none: something is missing
    /// that there was then, and what is asked without it is refused.
    pub fn is_short_of(&self, grant: &Grant) -> bool {
        self.lasts && grant.single_use
    }

    /// Brings back what was written by a clock that was ahead and was put back: nothing of it may last longer from now on
    /// than it ever may. Whether that is so of when it was had: then nobody knows how long it still lives.
    pub fn put_back(&mut self, now_ms: i64) -> bool {
        self.not_before_ms = self.not_before_ms.min(now_ms.saturating_add(millis(LONGEST_ASKED)));
        if let Some(lease) = &mut self.lease {
            lease.until_ms = lease.until_ms.min(now_ms.saturating_add(millis(LEASE)));
        }
        let ahead = self.obtained_ms.saturating_sub(now_ms);
        if ahead <= millis(CLOCKS_APART) {
            return false;
        }
        self.obtained_ms = now_ms;
        for end in [&mut self.expires_ms, &mut self.refresh_expires_ms].into_iter().flatten() {
            *end = end.saturating_sub(ahead);
        }
        true
    }

    /// Whether it can still be used.
    pub fn is_live(&self, now_ms: i64) -> bool {
        self.expires_ms.is_none_or(|end| now_ms < end)
    }

    /// Takes the lease: to be written over what was read before anything is asked. `by_hand`: an operator wants it now,
    /// whatever was waited for, and though it was refused: that may have been another's fault, which is mended by now. One
    /// that is in doubt is not used again.
    pub fn begin(&mut self, owner: &str, grant: &Grant, by_hand: bool, now_ms: i64) -> Result<(), NotNow> {
        if let Some(lease) = &self.lease {
            if now_ms < lease.until_ms {
                return Err(NotNow::Busy(lease.until_ms));
            }
            self.end_lost(grant, now_ms);
        }
        if self.standing == Standing::Ambiguous || (self.standing == Standing::Refused && !by_hand) {
            return Err(NotNow::NeedsAPerson);
        }
        if now_ms < self.not_before_ms && !by_hand {
            return Err(NotNow::TooSoon(self.not_before_ms));
        }
        self.take_lease(owner, false, now_ms);
        Ok(())
    }

    /// Takes the lease for a person who signs in anew, however the token stands: to be written over what was read before the
    /// code is exchanged. The error: another worker is at it, until then.
    pub fn begin_sign_in(&mut self, owner: &str, grant: &Grant, now_ms: i64) -> Result<(), i64> {
        if let Some(lease) = &self.lease {
            if now_ms < lease.until_ms {
                return Err(lease.until_ms);
            }
            self.end_lost(grant, now_ms);
        }
        self.take_lease(owner, true, now_ms);
        Ok(())
    }

    /// Gives the lease back of a sign-in of which nothing came: everything is as it was.
    pub fn end_sign_in(&mut self) {
        self.lease = None;
    }

    fn take_lease(&mut self, owner: &str, signs_in: bool, now_ms: i64) {
        self.lease = Some(Lease { owner: owner.to_owned(), until_ms: now_ms + millis(LEASE), signs_in });
    }

    /// Whoever had the lease has ended between its call and its write, or before both.
    fn end_lost(&mut self, grant: &Grant, now_ms: i64) {
        let Some(lease) = self.lease.take() else { return };
        self.lost = Some(lease.owner);
        if !lease.signs_in {
            self.failed(Failure::Lost, None, grant, 0, now_ms);
        }
    }

    /// Whether this worker has the lease.
    pub fn is_leased_by(&self, owner: &str) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.owner == owner)
    }

    /// Whether this worker's lease is the last that there was, and nothing is known of what came of it.
    pub fn awaits(&self, owner: &str) -> bool {
        match &self.lease {
            Some(lease) => lease.owner == owner,
            None => self.lost.as_deref() == Some(owner),
        }
    }

    /// Notes what came of the call, and gives the lease back: to be written together with the new secrets, over what this
    /// worker wrote when it began. `jitter` is a random number.
    pub fn end(&mut self, outcome: Outcome, grant: &Grant, jitter: u32, now_ms: i64) {
        (self.lease, self.lost) = (None, None);
        match outcome {
            Outcome::Refreshed { lives, refresh_lives } => {
                let refresh_expires_ms = self.refresh_expires_ms;
                *self = Self::obtained(now_ms, lives, refresh_lives).by(grant);
                self.refresh_expires_ms = self.refresh_expires_ms.or(refresh_expires_ms);
            }
            Outcome::Failed { failure, retry_after } => {
                self.failed(failure, retry_after, grant, jitter, now_ms);
            }
        }
    }

    fn failed(
        &mut self,
        failure: Failure,
        retry_after: Option<Duration>,
        grant: &Grant,
        jitter: u32,
        now_ms: i64,
    ) {
        self.failures += 1;
        self.failure = Some(failure);
        self.standing = Standing::Failing;
        let backed_off = |failures: u32| {
            let doubled =
                FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_WAIT);
            // Its upper half is random, so that what failed together does not come back together.
            doubled / 2 + doubled / 2 * (jitter % 1_000) / 1_000
        };
        let wait = match failure {
            Failure::Refused => {
                // One that was asked for before its time confirms nothing.
                if self.refusals == 0 || now_ms >= self.not_before_ms {
                    self.refusals += 1;
                }
                let seen = usize::try_from(self.refusals).unwrap_or(usize::MAX);
                let wait = CONFIRMED_AFTER.get(seen - 1).copied();
                if wait.is_none() {
                    self.standing = Standing::Refused;
                }
                wait.unwrap_or(LONGEST_WAIT)
            }
            Failure::Lost if grant.single_use && !grant.may_repeat => {
                self.standing = Standing::Ambiguous;
                LONGEST_WAIT
            }
            Failure::Ours | Failure::Unavailable | Failure::Lost | Failure::NotMade => {
                backed_off(self.failures)
            }
        };
        if failure != Failure::Refused {
            self.refusals = 0;
        }
        let wait = retry_after.map_or(wait, |asked| asked.min(LONGEST_ASKED).max(wait));
        self.not_before_ms = now_ms.saturating_add(millis(wait));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Grant = Grant { every: None, single_use: false, may_repeat: true };
    const ROTATING: Grant = Grant { every: None, single_use: true, may_repeat: false };
    const HOUR_MS: i64 = 3_600_000;
    const MINUTE_MS: i64 = 60_000;

    fn hour() -> Token {
        Token::obtained(0, Some(Duration::from_hours(1)), None)
    }

    fn fails(token: &mut Token, failure: Failure, grant: &Grant, now_ms: i64) {
        token.begin("w", grant, false, now_ms).unwrap();
        token.end(Outcome::Failed { failure, retry_after: None }, grant, 999, now_ms);
    }

    #[test]
    fn what_came_of_a_lease_that_ran_out_may_be_told_until_another_has_taken_its_place() {
        let once = Grant { every: None, single_use: true, may_repeat: false };
        let mut token = Token::obtained(0, None, None);
        token.begin("a", &once, true, 0).unwrap();
        assert!(token.awaits("a") && !token.awaits("b"));
        assert_eq!(token.begin("b", &once, true, millis(LEASE)), Err(NotNow::NeedsAPerson));
        assert!(token.awaits("a") && !token.awaits("b"));
        let again = Grant { may_repeat: true, ..once };
        let mut token = Token::obtained(0, None, None);
        token.begin("a", &again, true, 0).unwrap();
        token.begin("b", &again, true, millis(LEASE)).unwrap();
        assert!(!token.awaits("a") && token.awaits("b"));
    }

    #[test]
    fn a_person_may_sign_in_anew_however_it_stands_and_alone() {
        let mut token = hour();
        fails(&mut token, Failure::Lost, &ROTATING, 0);
        assert_eq!(token.standing, Standing::Ambiguous);
        let before = token.clone();
        token.begin_sign_in("s", &ROTATING, 1).unwrap();
        assert!(token.is_leased_by("s"));
        assert_eq!(token.begin("w", &ROTATING, true, 2), Err(NotNow::Busy(1 + MINUTE_MS)));
        assert_eq!(token.begin_sign_in("t", &ROTATING, 2), Err(1 + MINUTE_MS));
        token.end_sign_in();
        assert_eq!(token, before);
    }

    #[test]
    fn a_sign_in_that_ended_on_its_way_leaves_the_token_as_good_as_it_was() {
        let mut token = hour();
        token.begin_sign_in("s", &ROTATING, 0).unwrap();
        assert!(token.awaits("s"));
        token.begin("w", &ROTATING, true, MINUTE_MS).unwrap();
        assert_eq!((token.standing, token.failures, token.awaits("s")), (Standing::Active, 0, false));
        // While a refresh that ended on its way is in doubt for a sign-in too.
        assert_eq!(token.begin_sign_in("s", &ROTATING, 2 * MINUTE_MS), Ok(()));
        assert_eq!(token.standing, Standing::Ambiguous);
    }

    #[test]
    fn it_is_due_a_margin_before_its_end_and_never_before_half_its_life() {
        let due = |token: Token| token.due_ms(&PLAIN, 0);
        assert_eq!(due(hour()), 45 * MINUTE_MS);
        assert_eq!(due(Token::obtained(0, Some(Duration::from_hours(30 * 24)), None)), 24 * 24 * HOUR_MS);
        assert_eq!(due(Token::obtained(0, Some(Duration::from_mins(10)), None)), 5 * MINUTE_MS);
        assert_eq!(due(Token::obtained(0, None, None)), 24 * HOUR_MS * 4 / 5);
        let weekly = Grant { every: Some(Duration::from_hours(7 * 24)), ..PLAIN };
        assert_eq!(
            Token::obtained(0, Some(Duration::from_hours(30 * 24)), None).due_ms(&weekly, 0),
            7 * 24 * HOUR_MS
        );
    }

    #[test]
    fn what_was_had_together_is_not_refreshed_together() {
        let due: std::collections::BTreeSet<_> =
            (0..1_000).map(|spread| hour().due_ms(&PLAIN, spread)).collect();
        assert!(due.len() > 900 && *due.first().unwrap() >= 41 * MINUTE_MS, "{due:?}");
    }

    #[test]
    fn one_worker_has_it_at_a_time() {
        let mut token = hour();
        token.begin("a", &PLAIN, false, 0).unwrap();
        assert!(token.is_leased_by("a") && !token.is_leased_by("b"));
        assert_eq!(token.clone().begin("b", &PLAIN, true, 59_999), Err(NotNow::Busy(MINUTE_MS)));
        token.end(Outcome::Refreshed { lives: None, refresh_lives: None }, &PLAIN, 0, 1_000);
        assert!(!token.is_leased_by("a"));
        token.begin("b", &PLAIN, false, 1_000).unwrap();
    }

    #[test]
    fn a_worker_that_ended_in_between_leaves_a_token_in_doubt_where_it_can_be_used_once() {
        for (grant, standing) in [(ROTATING, Standing::Ambiguous), (PLAIN, Standing::Failing)] {
            let mut token = hour();
            token.begin("a", &grant, false, 0).unwrap();
            let found = token.begin("b", &grant, true, MINUTE_MS);
            assert_eq!((token.standing, token.failure), (standing, Some(Failure::Lost)));
            assert_eq!(found.is_ok(), standing == Standing::Failing, "{found:?}");
        }
        let may_repeat = Grant { may_repeat: true, ..ROTATING };
        let mut token = hour();
        token.begin("a", &may_repeat, false, 0).unwrap();
        assert_eq!(token.begin("b", &may_repeat, true, MINUTE_MS), Ok(()));
    }

    #[test]
    fn a_refusal_is_believed_when_it_was_heard_three_times_on_end() {
        let mut token = hour();
        let mut now_ms = 0;
        for standing in [Standing::Failing, Standing::Failing, Standing::Refused] {
            fails(&mut token, Failure::Refused, &PLAIN, now_ms);
            assert_eq!(token.standing, standing);
            now_ms = token.not_before_ms;
        }
        assert!(now_ms >= 15 * MINUTE_MS);
        assert_eq!(token.begin("w", &PLAIN, false, now_ms), Err(NotNow::NeedsAPerson));
        let mut token = hour();
        for failure in [Failure::Refused, Failure::Refused, Failure::Unavailable, Failure::Refused] {
            let now_ms = token.not_before_ms;
            fails(&mut token, failure, &PLAIN, now_ms);
        }
        assert_eq!(token.standing, Standing::Failing, "what comes between is heard too");
    }

    #[test]
    fn one_that_is_refused_is_tried_again_by_hand_and_one_in_doubt_is_not() {
        let refused = Token { standing: Standing::Refused, refusals: 3, failures: 3, ..hour() };
        let end = |outcome| {
            let mut token = refused.clone();
            token.begin("w", &ROTATING, true, 1).unwrap();
            token.end(outcome, &ROTATING, 0, 1);
            token.standing
        };
        let failed = |failure| Outcome::Failed { failure, retry_after: None };
        assert_eq!(end(Outcome::Refreshed { lives: None, refresh_lives: None }), Standing::Active);
        assert_eq!(end(failed(Failure::Ours)), Standing::Failing);
        // Heard once more, it needs no confirming.
        assert_eq!(end(failed(Failure::Refused)), Standing::Refused);
        let mut doubtful = Token { standing: Standing::Ambiguous, ..hour() };
        assert_eq!(doubtful.begin("w", &ROTATING, true, 1), Err(NotNow::NeedsAPerson));
    }

    #[test]
    fn one_that_was_had_by_a_lasting_grant_is_short_of_something_without_it() {
        let mut token = hour();
        assert!(!token.is_short_of(&ROTATING));
        token.begin("w", &PLAIN, false, 0).unwrap();
        token.end(Outcome::Refreshed { lives: None, refresh_lives: None }, &PLAIN, 0, 0);
        assert!(token.is_short_of(&ROTATING) && !token.is_short_of(&PLAIN));
    }

    #[test]
    fn our_own_faults_and_the_providers_never_end_a_token() {
        let mut token = hour();
        for number in 0..200 {
            let failure = [Failure::Ours, Failure::Unavailable, Failure::NotMade][number % 3];
            let now_ms = token.not_before_ms;
            fails(&mut token, failure, &ROTATING, now_ms);
            let wait = token.not_before_ms - now_ms;
            assert!((15_000..=HOUR_MS).contains(&wait), "{wait}");
        }
        assert_eq!(token.standing, Standing::Failing);
        token.begin("w", &ROTATING, true, 0).unwrap();
        token.end(Outcome::Refreshed { lives: None, refresh_lives: None }, &ROTATING, 0, 5);
        assert_eq!((token.standing, token.failures, token.failure), (Standing::Active, 0, None));
    }

    #[test]
    fn a_provider_that_asks_to_be_left_alone_is() {
        let mut token = hour();
        token.begin("w", &PLAIN, false, 0).unwrap();
        let retry_after = Some(Duration::from_hours(2));
        token.end(Outcome::Failed { failure: Failure::Unavailable, retry_after }, &PLAIN, 0, 0);
        assert_eq!(token.begin("w", &PLAIN, false, HOUR_MS), Err(NotNow::TooSoon(2 * HOUR_MS)));
        assert_eq!(token.due_ms(&PLAIN, 0), 2 * HOUR_MS);
    }

    #[test]
    fn no_answer_has_a_token_refreshed_without_end_or_never_again() {
        let forever = Duration::from_secs(u64::MAX);
        for lives in [Duration::ZERO, Duration::from_secs(1), Duration::from_mins(1)] {
            assert_eq!(Token::obtained(0, Some(lives), None).due_ms(&PLAIN, 0), MINUTE_MS, "{lives:?}");
        }
        let token = Token::obtained(1_795_474_800_000, Some(forever), Some(forever));
        let years = millis(LONGEST_LIFE);
        assert_eq!(token.expires_ms, Some(1_795_474_800_000 + years));
        assert!(token.due_ms(&PLAIN, 999) > 1_795_474_800_000);
        // What was told elsewhere is no better.
        for told in [i64::MAX, i64::MIN] {
            let told = Token { expires_ms: Some(told), ..Token::obtained(1_795_474_800_000, None, None) };
            assert!((1_795_474_860_000..=1_795_474_800_000 + years).contains(&told.due_ms(&PLAIN, 0)));
        }
        let mut token = hour();
        token.begin("w", &PLAIN, false, 0).unwrap();
        let outcome = Outcome::Failed { failure: Failure::Unavailable, retry_after: Some(forever) };
        token.end(outcome, &PLAIN, 0, 0);
        assert_eq!(token.due_ms(&PLAIN, 0), millis(LONGEST_ASKED));
    }

    #[test]
    fn a_clock_that_was_ahead_and_is_put_back_holds_nothing_up_for_long() {
        const YEAR_MS: i64 = 365 * 24 * HOUR_MS;
        let mut token = Token::obtained(YEAR_MS, Some(Duration::from_hours(1)), None);
        token.begin("a", &ROTATING, false, YEAR_MS).unwrap();
        assert!(token.put_back(0));
        assert_eq!((token.obtained_ms, token.expires_ms), (0, Some(HOUR_MS)));
        assert_eq!(token.clone().begin("b", &ROTATING, true, 0), Err(NotNow::Busy(MINUTE_MS)));
        // Once brought back, it stays as it is.
        let before = token.clone();
        assert!(!token.put_back(0) && token == before);
        let mut token = hour();
        fails(&mut token, Failure::Unavailable, &PLAIN, YEAR_MS);
        assert!(!token.put_back(0));
        assert_eq!(token.due_ms(&PLAIN, 0), millis(LONGEST_ASKED));
        // Clocks are never quite together.
        let mut token = Token::obtained(1_000, None, None);
        assert!(!token.put_back(0) && token.obtained_ms == 1_000);
    }

    #[test]
    fn a_refresh_token_that_is_told_nothing_of_ends_when_it_did() {
        let mut token =
            Token::obtained(0, Some(Duration::from_hours(1)), Some(Duration::from_hours(90 * 24)));
        token.begin("w", &PLAIN, false, 0).unwrap();
        let lives = Some(Duration::from_hours(1));
        token.end(Outcome::Refreshed { lives, refresh_lives: None }, &PLAIN, 0, HOUR_MS);
        assert_eq!(token.refresh_expires_ms, Some(90 * 24 * HOUR_MS));
        assert!(token.is_live(2 * HOUR_MS - 1) && !token.is_live(2 * HOUR_MS));
    }

    /// An identity provider that takes the whole family back when a refresh token is used a second time.
    #[derive(Default)]
    struct Family {
        live: u32,
        is_revoked: bool,
    }

    impl Family {
        /// The new refresh token, if the one that is used is live.
        fn refresh(&mut self, used: u32) -> Option<u32> {
            if self.is_revoked || used != self.live {
                self.is_revoked = true;
                return None;
            }
            self.live += 1;
            Some(self.live)
        }
    }

    /// What a worker does next, and where it may end.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Begins,
        Calls,
        Saves,
        Dies,
    }

    proptest! {
        /// Two workers, in any order, each ending anywhere: what is kept is written only over what was read.
        #[test]
        fn no_family_is_revoked_whoever_ends_where(
            steps in proptest::collection::vec(
                (0_usize..2, proptest::sample::select(vec![Step::Begins, Step::Calls, Step::Saves, Step::Dies]), 0_i64..90_000),
                1..60,
            )
        ) {
            let (mut family, mut kept, mut version, mut secret) = (Family::default(), hour(), 0_u32, 0_u32);
            // What each worker holds: the version that it wrote, the secret that it read, and what it was answered.
            let mut hands: [Option<(u32, u32, Option<u32>)>; 2] = [None, None];
            let mut now_ms = 0;
            for (worker, step, passes) in steps {
                now_ms += passes;
                let owner = ["a", "b"][worker];
                match step {
                    Step::Begins if hands[worker].is_none() => {
                        let mut mine = kept.clone();
                        let begun = mine.begin(owner, &ROTATING, true, now_ms);
                        // What was found out is written even if nothing may be begun.
                        kept = mine;
                        version += 1;
                        if begun.is_ok() {
                            hands[worker] = Some((version, secret, None));
                        }
                    }
                    // A worker makes its call at once or not at all: its time-out is shorter than the lease.
                    Step::Calls => if let Some((written, read, None)) = hands[worker] {
                        let may = kept.is_leased_by(owner) && version == written && kept.lease.as_ref().is_some_and(|lease| now_ms < lease.until_ms);
                        hands[worker] = if may { Some((written, read, family.refresh(read))) } else { None };
                    },
                    Step::Saves => if let Some((written, _, Some(new))) = hands[worker].take() {
                        // Over what it wrote, and over nothing else.
                        if version == written {
                            kept.end(Outcome::Refreshed { lives: Some(Duration::from_hours(1)), refresh_lives: None }, &ROTATING, 0, now_ms);
                            (secret, version) = (new, version + 1);
                        }
                    },
                    Step::Dies => hands[worker] = None,
                    Step::Begins => {}
                }
                prop_assert!(!family.is_revoked);
                // Either what is kept is live, or somebody holds what is, or it is known to be in doubt.
                let is_held = hands.iter().flatten().any(|(_, _, answer)| *answer == Some(family.live));
                prop_assert!(
                    secret == family.live || is_held || kept.lease.is_some() || kept.standing == Standing::Ambiguous,
                    "a token was lost in silence"
                );
            }
        }
    }
}
