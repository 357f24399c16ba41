//! What a scenario comes to, as a row of the table.

use std::time::Duration;

use serde_json::Value;

const NOTHING: &str = "nothing false elsewhere";

/// What a scenario comes to.
pub(super) struct Told {
    /// In one line.
    what: &'static str,
    /// What is said of one to which it happened.
    pub(super) status: String,
    trouble: String,
    blame: String,
    /// How long after it happened that was said for the first time.
    took: Duration,
    /// What was said of others.
    elsewhere: String,
}

impl Told {
    /// As a row says it.
    pub(super) fn of(row: &Value, what: &'static str, took: Duration, said_falsely: &[String]) -> Self {
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        Self {
            what,
            status: word(&row["status"]),
            trouble: word(&row["trouble"]["kind"]),
            blame: word(&row["blame"]["whose"]),
            took,
            elsewhere: if said_falsely.is_empty() { NOTHING.to_owned() } else { said_falsely.join(", ") },
        }
    }

    #[expect(clippy::print_stdout, reason = "the table")]
    pub(super) fn print(&self) {
        println!(
            "{:<58} {:<9} {:<15} {:<9} {:>4} s   {}",
            self.what,
            self.status,
            self.trouble,
            self.blame,
            self.took.as_secs(),
            self.elsewhere
        );
    }

    /// Prints it, and that it is so, within so long.
    pub(super) fn is(&self, status: &str, trouble: &str, blame: &str, within: Duration) {
        self.print();
        let what = self.what;
        assert_eq!(
            (self.status.as_str(), self.trouble.as_str(), self.blame.as_str()),
            (status, trouble, blame),
            "{what}"
        );
        assert!(self.took <= within, "{what}: {:?}", self.took);
        assert_eq!(self.elsewhere, NOTHING, "{what}");
    }
}
