//! What the queue of checks carries: some connections of one provider, to be checked.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tillwatch_platform::queue::Outgoing;

use super::Why;

/// Checks that are to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The form: 1.
    v: u8,
    /// What is to be checked, by its id.
    pub ids: Vec<String>,
    /// Why.
    pub why: Why,
}

/// How many connections one job checks: at the same time, so that a provider that does not answer holds up a job for no
/// longer than one of its connections.
pub(super) const MOST: usize = 20;

impl Job {
    /// These, for that reason.
    pub fn check(ids: Vec<String>, why: Why) -> Self {
        Self { v: 1, ids, why }
    }

    /// What a message says; none, if it is no job.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|job: &Self| job.v == 1)
    }

    /// The message, to be seen after so long. Each provider is a group of its own, so that a slow one delays no other.
    pub fn outgoing(&self, provider: &str, delay: Duration) -> Outgoing {
        let body = serde_json::to_string(self).unwrap_or_default();
        Outgoing { body, group: provider.to_owned(), delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_as_it_was_sent_and_nothing_else_is() {
        let job = Job::check(vec!["harbour-square".into()], Why::ByHand);
        let sent = job.outgoing("square", Duration::ZERO);
        assert_eq!(Job::read(&sent.body), Some(job));
        assert_eq!(sent.body, r#"{"v":1,"ids":["harbour-square"],"why":"by_hand"}"#);
        for other in ["", "{}", r#"{"v":2,"ids":[],"why":"due"}"#] {
            assert_eq!(Job::read(other), None);
        }
    }
}
