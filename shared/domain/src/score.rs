//! A connection's health as one number, 0 to 100, with the reasons for it. Whoever sorts connections needs one; whoever
//! looks at one needs the reasons.

use serde::{Deserialize, Serialize};

use crate::health::Verdict;
use crate::token::Standing;

/// What the score is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// What its checks say.
    pub verdict: Verdict,
    /// How its token stands; none: it has none that is refreshed.
    pub token: Option<Standing>,
    /// Hours until its token ends; none: it does not, or nobody knows.
    pub token_ends_in_hours: Option<i64>,
    /// The fullest of its quotas, in per cent; none: nothing is told of any.
    pub quota_used_percent: Option<u64>,
    /// Whether its webhooks have fallen silent.
    pub is_silent: bool,
    /// Of a thousand of its webhooks, how many were rejected or failed, if there were enough to say.
    pub failing_per_mille: Option<u64>,
}

/// One thing that takes from the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is down.
    Down,
    /// Nobody can tell whether it works.
    Unknown,
    /// It works badly.
    Degraded,
    /// Its token is refused or in doubt: a person must sign in anew.
    TokenLost,
    /// Its token has ended.
    TokenEnded,
    /// Its token could not be refreshed of late.
    TokenFailing,
    /// Its token ends within a day, and nobody refreshes it in time.
    TokenEndsSoon,
    /// A quota is all but used up.
    QuotaNearlyUsed,
    /// Its webhooks have fallen silent.
    Silent,
    /// Many of its webhooks are rejected or fail.
    WebhooksFail,
}

impl Reason {
    /// How much it takes.
    pub fn weight(self) -> u8 {
        match self {
            Self::Down | Self::TokenLost | Self::TokenEnded => 100,
            Self::Unknown => 60,
            Self::Silent => 50,
            Self::Degraded | Self::WebhooksFail => 30,
            Self::TokenFailing => 25,
            Self::TokenEndsSoon => 20,
            Self::QuotaNearlyUsed => 15,
        }
    }
}

/// So full a quota is nearly used up, and so many failing webhooks of a thousand are many.
const FULL_PERCENT: u64 = 90;
const MANY_PER_MILLE: u64 = 50;
const SOON_HOURS: i64 = 24;

/// The score, 0 to 100, and what took from it, the most first. None of a connection that is paused: it has none.
pub fn score(facts: &Facts) -> Option<(u8, Vec<Reason>)> {
    let verdict = match facts.verdict {
        Verdict::Paused => return None,
        Verdict::Up => None,
        Verdict::Down => Some(Reason::Down),
        Verdict::Unknown => Some(Reason::Unknown),
        Verdict::Degraded => Some(Reason::Degraded),
    };
    // One that lives for hours always ends soon, and is refreshed before.
    let is_refreshed = facts.token == Some(Standing::Active);
    let ends = match facts.token_ends_in_hours {
        Some(..0) => Some(Reason::TokenEnded),
        Some(0..SOON_HOURS) if !is_refreshed => Some(Reason::TokenEndsSoon),
        _ => None,
    };
    let token = match facts.token {
        Some(standing) if standing.needs_a_person() => Some(Reason::TokenLost),
        Some(Standing::Failing) => Some(Reason::TokenFailing),
        _ => None,
    };
    let quota =
        facts.quota_used_percent.is_some_and(|used| used >= FULL_PERCENT).then_some(Reason::QuotaNearlyUsed);
    let failing = facts.failing_per_mille.is_some_and(|failing| failing >= MANY_PER_MILLE);
    let failing = failing.then_some(Reason::WebhooksFail);
    let silent = facts.is_silent.then_some(Reason::Silent);
    let mut reasons: Vec<_> = [verdict, token, ends, silent, failing, quota].into_iter().flatten().collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.weight()));
    let score = reasons.iter().fold(100_u8, |score, reason| score.saturating_sub(reason.weight()));
    Some((score, reasons))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Facts = Facts {
        verdict: Verdict::Up,
        token: Some(Standing::Active),
        token_ends_in_hours: Some(200),
        quota_used_percent: Some(10),
        is_silent: false,
        failing_per_mille: Some(0),
    };

    #[test]
    fn what_works_has_a_hundred_and_what_does_not_none() {
        assert_eq!(score(&FINE), Some((100, vec![])));
        assert_eq!(score(&Facts { verdict: Verdict::Down, ..FINE }), Some((0, vec![Reason::Down])));
        let lost = Facts { token: Some(Standing::Ambiguous), ..FINE };
        assert_eq!(score(&lost), Some((0, vec![Reason::TokenLost])));
        assert_eq!(score(&Facts { verdict: Verdict::Paused, ..FINE }), None);
    }

    #[test]
    fn a_token_that_is_refreshed_in_time_may_be_short_lived() {
        let told = |token: Option<Standing>, hours: i64| {
            score(&Facts { token, token_ends_in_hours: Some(hours), ..FINE }).unwrap()
        };
        assert_eq!(told(Some(Standing::Active), 0), (100, vec![]));
        assert_eq!(told(Some(Standing::Active), -1), (0, vec![Reason::TokenEnded]));
        assert_eq!(told(None, 0), (80, vec![Reason::TokenEndsSoon]), "nobody refreshes it");
        assert_eq!(told(Some(Standing::Failing), 0).0, 55);
    }

    #[test]
    fn reasons_add_up_and_come_with_the_gravest_first() {
        let facts = Facts {
            quota_used_percent: Some(95),
            token: None,
            token_ends_in_hours: Some(3),
            is_silent: true,
            ..FINE
        };
        let reasons = vec![Reason::Silent, Reason::TokenEndsSoon, Reason::QuotaNearlyUsed];
        assert_eq!(score(&facts), Some((15, reasons)));
    }

    #[test]
    fn what_is_worse_never_scores_more() {
        let worse = [
            Facts { verdict: Verdict::Degraded, ..FINE },
            Facts { token: Some(Standing::Failing), ..FINE },
            Facts { token_ends_in_hours: Some(-1), ..FINE },
            Facts { failing_per_mille: Some(50), ..FINE },
        ];
        for facts in worse {
            let (alone, reasons) = score(&facts).unwrap();
            assert!(alone < 100 && reasons.len() == 1, "{facts:?}");
            let (together, _) =
                score(&Facts { is_silent: true, quota_used_percent: Some(99), ..facts }).unwrap();
            assert!(together < alone || alone == 0);
        }
    }
}
