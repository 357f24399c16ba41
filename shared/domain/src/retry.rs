//! When a message that failed is tried again, and when it is given up and parked.

use std::time::Duration;

/// How long failed messages wait, and how often they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The wait after the first failure; doubled after each further one.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Waits up to this long stay on the queue as a visibility time-out; longer ones are written to the table with
    /// their due time. An SQS queue has 120,000 messages in flight at most and then gives out none: what fails must not
    /// fill it. Due events are looked for once a minute, so less would gain nothing.
    pub on_queue: Duration,
    /// How many attempts are made before the event is parked.
    pub attempts: u32,
    /// How long an outage on our side may last before what it keeps failing is parked, however often it was tried: the
    /// attempts of an outage say nothing of the event.
    pub outage: Duration,
}

impl Default for RetryPolicy {
    /// 2 s, 4 s, … 1 h; twenty attempts are about seven hours, longer than most outages and shorter than a weekend.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            longest: Duration::from_hours(1),
            on_queue: Duration::from_mins(1),
            attempts: 20,
            outage: Duration::from_hours(24),
        }
    }
}

impl RetryPolicy {
    /// The default one, with another number of attempts if there is one.
    pub fn with_attempts(attempts: Option<u32>) -> Self {
        let default = Self::default();
        Self { attempts: attempts.unwrap_or(default.attempts), ..default }
    }
}

/// What becomes of a message after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It stays on the queue and is seen again after this long.
    Wait(Duration),
    /// It is written to the table, due after this long.
    Defer(Duration),
    /// The limit is reached: it is parked.
    Park,
}

impl RetryPolicy {
    /// What follows failed attempt number `attempt` (the first is 1). `jitter` is a random number of the caller's:
    /// the wait is spread over its upper half by it, so that what failed together does not return together.
    pub fn after(&self, attempt: u32, jitter: u32) -> Next {
        if attempt >= self.attempts {
            return Next::Park;
        }
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(30)));
        let wait = doubled.min(self.longest);
        let spread = u64::try_from(wait.as_millis() / 2).unwrap_or(u64::MAX);
        let part = spread.saturating_mul(u64::from(jitter % 1024)) / 1024;
        let wait = Duration::from_millis(spread + part).max(Duration::from_secs(1));
        if wait <= self.on_queue { Next::Wait(wait) } else { Next::Defer(wait) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_grow_leave_the_queue_and_end_in_parking() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.after(1, 0), Next::Wait(Duration::from_secs(1)));
        assert_eq!(policy.after(4, 0), Next::Wait(Duration::from_secs(8)));
        assert!(matches!(policy.after(7, 1_023), Next::Defer(_)));
        assert_eq!(policy.after(20, 0), Next::Park);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_longest_or_shorter_than_a_second(attempt in 0_u32.., jitter: u32) {
            let policy = RetryPolicy::default();
            match policy.after(attempt, jitter) {
                Next::Wait(wait) => prop_assert!(wait <= policy.on_queue && wait.as_secs() >= 1),
                Next::Defer(wait) => prop_assert!(wait > policy.on_queue && wait <= policy.longest),
                Next::Park => prop_assert!(attempt >= policy.attempts),
            }
        }
    }
}
