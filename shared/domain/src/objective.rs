//! Objectives: how well each provider's connections must do, how much of what may go wrong is left, and how fast it goes.
//!
//! What is counted is good or bad. An objective is a share of good ones; what may be bad of a window of thirty days is the
//! error budget. The burn rate says how many times faster than the budget allows things go wrong: a rate of 14.4 over an hour
//! and over five minutes has used up a fiftieth of the month's budget in that hour (Google's SRE workbook, chapter 5).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What must be kept to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Connections are not down: looked at every five minutes, of those of which it is known.
    Uptime,
    /// Webhooks that were believed took effect, and did not have to be given up.
    WebhookSuccess,
    /// Checks are answered in time.
    ApiLatency,
    /// Checks do not fail.
    CheckSuccess,
    /// Tokens are good: none is refused, lost or past its end.
    TokensValid,
}

/// Millionths.
const WHOLE: i64 = 1_000_000;

impl Objective {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Uptime, Self::WebhookSuccess, Self::ApiLatency, Self::CheckSuccess, Self::TokensValid];

    /// The name used in the API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uptime => "uptime",
            Self::WebhookSuccess => "webhook_success",
            Self::ApiLatency => "api_latency",
            Self::CheckSuccess => "check_success",
            Self::TokensValid => "tokens_valid",
        }
    }

    /// What it says, in a sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Uptime => {
                "Connections of which it is known are not down, unless by the tenant's fault: 99.5 % of the time."
            }
            Self::WebhookSuccess => "Webhooks that were believed take effect: 98 % of them.",
            Self::ApiLatency => {
                "Providers answer checks in time, which is within 2 seconds for most: 95 % of them."
            }
            Self::CheckSuccess => "Checks do not fail, unless by the tenant's fault: 95 % of them.",
            Self::TokensValid => "Every token is good, all the time.",
        }
    }

    /// The share that must be good, in millionths.
    pub fn target(self) -> i64 {
        match self {
            Self::Uptime => 995_000,
            Self::WebhookSuccess => 980_000,
            Self::ApiLatency | Self::CheckSuccess => 950_000,
            Self::TokensValid => WHOLE,
        }
    }
}

/// How far it is looked back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are spans")]
pub enum Window {
    FiveMinutes,
    HalfHour,
    Hour,
    SixHours,
    ThreeDays,
    Month,
}

impl Window {
    /// Every one, the shortest first.
    pub const ALL: [Self; 6] =
        [Self::FiveMinutes, Self::HalfHour, Self::Hour, Self::SixHours, Self::ThreeDays, Self::Month];

    /// The name used in the API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::HalfHour => "30m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::ThreeDays => "3d",
            Self::Month => "30d",
        }
    }

    /// How long it is.
    pub fn span(self) -> Duration {
        match self {
            Self::FiveMinutes => Duration::from_mins(5),
            Self::HalfHour => Duration::from_mins(30),
            Self::Hour => Duration::from_hours(1),
            Self::SixHours => Duration::from_hours(6),
            Self::ThreeDays => Duration::from_hours(3 * 24),
            Self::Month => Duration::from_hours(30 * 24),
        }
    }
}

/// How many were good and how many bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratio {
    /// Good ones.
    #[serde(rename = "g")]
    pub good: i64,
    /// Bad ones.
    #[serde(rename = "b")]
    pub bad: i64,
}

impl Ratio {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.good += other.good;
        self.bad += other.bad;
    }

    /// How many there were.
    pub fn count(self) -> i64 {
        self.good + self.bad
    }

    /// The share of good ones in millionths; none, if there were none at all.
    pub fn share(self) -> Option<i64> {
        (self.count() > 0).then(|| self.good * WHOLE / self.count())
    }

    /// How many times faster than an objective allows things go wrong, in thousandths; none where nothing was counted, or
    /// where nothing may go wrong.
    pub fn burn_rate(self, objective: Objective) -> Option<i64> {
        let allowed = WHOLE - objective.target();
        (self.count() > 0 && allowed > 0).then(|| self.bad * WHOLE / self.count() * 1_000 / allowed)
    }

    /// How much of what may go wrong is left, in millionths of it, by what was counted of a whole window; below zero, if more
    /// has gone wrong. Where nothing may go wrong, all is left or nothing. None, if nothing was counted.
    pub fn budget_left(self, objective: Objective) -> Option<i64> {
        if self.count() <= 0 {
            return None;
        }
        if objective.target() == WHOLE {
            return Some(if self.bad == 0 { WHOLE } else { 0 });
        }
        self.burn_rate(objective).map(|rate| WHOLE - rate * 1_000)
    }
}

/// How fast it goes, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Burn {
    /// Within what is allowed.
    None,
    /// Six times too fast over six hours and half an hour: the budget is gone in five days.
    Slow,
    /// Fourteen times too fast over an hour and five minutes: the budget is gone in two days.
    Fast,
}

/// Thousandths.
const FAST: i64 = 14_400;
const SLOW: i64 = 6_000;

impl Burn {
    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Slow => "slow",
            Self::Fast => "fast",
        }
    }

    /// What the windows say together: the long one that it is no blip, the short one that it is not over.
    pub fn of(objective: Objective, of: impl Fn(Window) -> Ratio) -> Self {
        let is_over = |window, limit| of(window).burn_rate(objective).is_some_and(|rate| rate >= limit);
        if is_over(Window::Hour, FAST) && is_over(Window::FiveMinutes, FAST) {
            Self::Fast
        } else if is_over(Window::SixHours, SLOW) && is_over(Window::HalfHour, SLOW) {
            Self::Slow
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(good: i64, bad: i64) -> Ratio {
        Ratio { good, bad }
    }

    #[test]
    fn what_goes_wrong_as_fast_as_is_allowed_burns_at_one_and_leaves_nothing() {
        let as_allowed = ratio(995, 5);
        assert_eq!(as_allowed.share(), Some(995_000));
        assert_eq!(as_allowed.burn_rate(Objective::Uptime), Some(1_000));
        assert_eq!(as_allowed.budget_left(Objective::Uptime), Some(0));
        assert_eq!(ratio(1_000, 0).budget_left(Objective::Uptime), Some(1_000_000));
        assert_eq!(ratio(990, 10).budget_left(Objective::Uptime), Some(-1_000_000));
    }

    #[test]
    fn where_nothing_may_go_wrong_there_is_no_rate_and_all_is_left_or_nothing() {
        assert_eq!(ratio(9, 1).burn_rate(Objective::TokensValid), None);
        assert_eq!(ratio(9, 1).budget_left(Objective::TokensValid), Some(0));
        assert_eq!(ratio(9, 0).budget_left(Objective::TokensValid), Some(1_000_000));
    }

    #[test]
    fn of_nothing_nothing_is_said() {
        for objective in Objective::ALL {
            let nothing = Ratio::default();
            assert_eq!(
                (nothing.share(), nothing.burn_rate(objective), nothing.budget_left(objective)),
                (None, None, None)
            );
        }
    }

    #[test]
    fn a_burn_is_told_when_the_long_window_and_the_short_one_say_so() {
        let of = |long: Window, short: Window, short_is_bad: bool| {
            Burn::of(Objective::Uptime, |window| {
                if window == long || window == short && short_is_bad { ratio(90, 10) } else { ratio(100, 0) }
            })
        };
        assert_eq!(of(Window::Hour, Window::FiveMinutes, true), Burn::Fast);
        assert_eq!(of(Window::Hour, Window::FiveMinutes, false), Burn::None);
        assert_eq!(of(Window::SixHours, Window::HalfHour, true), Burn::Slow);
        assert_eq!(of(Window::SixHours, Window::HalfHour, false), Burn::None);
    }
}
