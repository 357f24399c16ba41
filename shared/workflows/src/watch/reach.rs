//! Whether anything at all is to be reached from here: who is cut off must not call others down.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::span;
use tillwatch_platform::outbound::{Ask, Outbound, OutboundError};
use tokio::sync::Mutex;

/// Servers of different providers: if none of them answers anything, it is not they that are down.
pub const REFERENCES: [&str; 3] =
    ["https://connect.squareup.com/", "https://api.stripe.com/", "https://graph.facebook.com/"];

/// What was heard from somebody so long ago says that there is a network. Short: of two failures that count, which are
/// [`tillwatch_domain::health::APART`], one at least begins when what was heard before the network was gone is older.
const FRESH: Duration = Duration::from_secs(10);

/// Remembers whether anybody was heard of late, and asks around when nobody was.
pub struct Reach {
    references: Vec<String>,
    heard_ms: AtomicI64,
    /// When all were asked in vain, Unix milliseconds.
    silent_ms: Mutex<Option<i64>>,
}

impl Reach {
    /// These are asked; where there are none, it is taken that there is a network.
    pub fn new(references: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let references = references.into_iter().map(Into::into).collect();
        Self { references, heard_ms: AtomicI64::new(i64::MIN), silent_ms: Mutex::default() }
    }

    /// Somebody out there has answered.
    pub fn heard(&self, now: Timestamp) {
        self.heard_ms.fetch_max(now.as_millisecond(), Ordering::SeqCst);
    }

    /// Whether nobody out there is to be heard.
    pub async fn is_cut_off(&self, outbound: &Outbound, now: Timestamp) -> bool {
        let is_fresh = |at_ms: i64| now.as_millisecond().saturating_sub(at_ms) < span::millis(FRESH);
        if self.references.is_empty() || is_fresh(self.heard_ms.load(Ordering::SeqCst)) {
            return false;
        }
        // One at a time: those that fail together learn it of the first.
        let mut silent_ms = self.silent_ms.lock().await;
        if is_fresh(self.heard_ms.load(Ordering::SeqCst)) {
            return false;
        }
        if silent_ms.is_some_and(is_fresh) {
            return true;
        }
        let asked = self.references.iter().map(|url| async {
            let ask = Ask {
                provider: "reference",
                endpoint: "/",
                method: "HEAD",
                url,
                headers: Vec::new(),
                body: None,
            };
            let is_silent = matches!(
                outbound.ask(&ask).await,
                Err(OutboundError::NotFound(_) | OutboundError::Unreachable(_) | OutboundError::TimedOut(_))
            );
            !is_silent
        });
        let is_heard = futures_util::future::join_all(asked).await.contains(&true);
        if is_heard {
            self.heard(now);
            *silent_ms = None;
        } else {
            tracing::error!("no provider at all can be reached from here: checks that fail now say nothing");
            *silent_ms = Some(now.as_millisecond());
        }
        !is_heard
    }
}
