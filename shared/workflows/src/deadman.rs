//! The dead-man switch: somebody outside is told each minute that all is at work here, and calls out when that stops. What
//! watches everything else can't tell by itself that it is dead.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tillwatch_domain::span;
use tillwatch_platform::beats::{Beats, Part};
use tillwatch_platform::clock::Clock;
use tillwatch_platform::outbound::{Ask, Outbound};
use tillwatch_platform::table::TableError;
use tokio::sync::Mutex;

/// No more often is it told.
const OFTEN: Duration = Duration::from_secs(50);
/// For so long a part may not have been seen at work that is at work all the time.
const BUSY: Duration = Duration::from_mins(5);
/// The same of one that may be behind for a while, or comes every few minutes.
const NOW_AND_THEN: Duration = Duration::from_mins(20);

/// Who tells somebody outside that all is at work.
pub struct DeadMan {
    /// Whom: a URL that is a secret, for whoever has it could tell the same; none, where nobody is told.
    pub url: Option<SecretString>,
    /// The way out.
    pub outbound: Arc<Outbound>,
    /// Where signs of life are kept.
    pub beats: Beats,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When it was told last, Unix milliseconds.
    pub told_ms: Mutex<i64>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It was told.
    Yes,
    /// Nobody is to be told, or was a moment ago.
    NotNow,
    /// It is not told, for this part is not at work.
    Missing(Part),
    /// It could not be told.
    Failed,
}

/// How long a part may not have been seen; none: it works when something is due, which may be seldom. Checks, which may be
/// due once a day, are asked for a sign of life each minute, and a rollup that has nothing to count is at work.
fn patience(part: Part) -> Option<Duration> {
    match part {
        // In the cloud it is the scheduler that asks, which is then at work.
        Part::Scheduler | Part::Processor => Some(BUSY),
        Part::Checks | Part::Rollup | Part::Tally => Some(NOW_AND_THEN),
        Part::Refreshes => None,
    }
}

impl DeadMan {
    /// Tells that all is at work, if it is. A part that never was is not missed: there may be nothing to do for it.
    pub async fn tell(&self) -> Result<Told, TableError> {
        let Some(url) = &self.url else { return Ok(Told::NotNow) };
        let now_ms = self.clock.now().as_millisecond();
        let mut told_ms = self.told_ms.lock().await;
        if (0..span::millis(OFTEN)).contains(&(now_ms - *told_ms)) {
            return Ok(Told::NotNow);
        }
        *told_ms = now_ms;
        for (part, at_ms) in self.beats.all().await? {
            if patience(part).is_some_and(|patience| now_ms - at_ms > span::millis(patience)) {
                let seconds = (now_ms - at_ms) / 1_000;
                tracing::error!(
                    part = part.name(),
                    seconds,
                    "a part is not at work: the dead-man switch is not told"
                );
                return Ok(Told::Missing(part));
            }
        }
        let ask = Ask {
            provider: "dead-man switch",
            endpoint: "/",
            method: "GET",
            url: url.expose_secret(),
            headers: Vec::new(),
            body: None,
        };
        match self.outbound.ask(&ask).await {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(Told::Yes),
            Ok(answer) => {
                tracing::error!(status = answer.status, "the dead-man switch does not take what it is told");
                Ok(Told::Failed)
            }
            // Without the URL, which is a secret: the host alone is named.
            Err(error) => {
                tracing::error!(%error, "the dead-man switch can't be told");
                Ok(Told::Failed)
            }
        }
    }
}
