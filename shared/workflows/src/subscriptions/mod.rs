//! Webhook subscriptions at the providers: looked at, made, tried and mended, for every connection that needs one.
//!
//! What the provider lists is the truth; what is kept (`document.rs`) says which of it is ours, and holds what is told
//! once. All of it may be repeated and may stop anywhere: a subscription that was made and not kept is found again in the
//! list. Two providers make an exception. Google lists nothing, so the id of a channel is kept before it is made, and one
//! that may be there is stopped later. Stripe tells a signing secret once: an endpoint of ours whose secret was lost is
//! replaced by another, and deleted when the other is kept.

mod document;
mod hand_out;
mod keys;
mod mend;
mod target;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::connections::Kind;
use tillwatch_platform::metrics::{Metric, Metrics};
use tillwatch_platform::outbound::{Outbound, OutboundError};
use tillwatch_platform::table::TableError;
use tillwatch_providers::ALL;
use tillwatch_providers::call::{Call, Response};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::configuration::Configurator;
use crate::credentials::ask;

pub use document::{Noticed, Standing, Subscribed, SubscriptionItem, SubscriptionView, TestView};
use target::Target;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Tells what is kept, and asks nobody.
    Kept,
    /// Looks at the providers, and changes nothing there.
    Look,
    /// Makes what is missing and mends what is wrong.
    Ensure,
    /// Mends what was subscribed to and is wrong, and subscribes to nothing else.
    Repair,
    /// The same where the settings let it, else it looks.
    Schedule,
    /// Looks, and has a test sent.
    Test,
}

/// Whom it is done for.
#[derive(Debug, Clone, Default)]
pub struct Whom {
    /// One provider's alone.
    pub provider: Option<&'static str>,
    /// What one connection needs, what it shares included.
    pub connection: Option<String>,
    /// From this one on, as the last answer said.
    pub from: Option<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Looked {
    /// One entry for each that was looked after.
    pub subscriptions: Vec<SubscriptionView>,
    /// Where to go on, if time ran out.
    pub next: Option<String>,
}

/// Looks after subscriptions.
pub struct Keeper {
    /// Connections and their secrets.
    pub configuration: Configurator,
    /// The way out.
    pub outbound: Arc<Outbound>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics go.
    pub metrics: Arc<Metrics>,
    /// The API's own address; none, where it is not known.
    pub public_url: Option<String>,
    /// Whether that may be plain HTTP, as on a developer's machine.
    pub allow_plain: bool,
}

impl Keeper {
    /// Does it for all whom it is to be done for, as long as there is time. `public_url` is the API's own address, where it
    /// is not configured.
    pub async fn run(
        &self,
        mode: Mode,
        whom: &Whom,
        public_url: Option<&str>,
        time: Duration,
    ) -> Result<Looked, TableError> {
        let until = Instant::now() + time;
        let mut targets = Vec::new();
        for provider in ALL.iter().filter(|one| whom.provider.is_none_or(|name| name == one.name())) {
            targets.extend(self.targets(*provider, whom.connection.as_deref()).await?);
        }
        if let Some(from) = &whom.from {
            let place = |target: &Target| place(target.provider.name(), &target.id);
            let (provider, id) = from.split_once('/').unwrap_or((from, ""));
            let from = self::place(provider, id);
            targets.retain(|target| place(target) >= from);
        }
        if mode == Mode::Schedule {
            targets = self.longest_unseen_first(targets).await?;
        }
        let public_url = self.public_url.as_deref().or(public_url);
        let waiting = Mutex::new(targets.into_iter());
        let done = Mutex::new(Vec::new());
        let lane = async || -> Result<(), TableError> {
            loop {
                if Instant::now() >= until {
                    return Ok(());
                }
                let Some(target) = waiting.lock().await.next() else { return Ok(()) };
                let view = Box::pin(self.tend(&target, mode, public_url, until)).await?;
                done.lock().await.push((place(target.provider.name(), &target.id), view));
            }
        };
        let (one, two, three, four) = tokio::join!(lane(), lane(), lane(), lane());
        one.and(two).and(three).and(four)?;
        let mut done = done.into_inner();
        done.sort_by(|one, other| one.0.cmp(&other.0));
        let next = waiting.into_inner().next();
        Ok(Looked {
            subscriptions: done.into_iter().map(|(_, view)| view).collect(),
            next: next.map(|target| format!("{}/{}", target.provider.name(), target.id)),
        })
    }

    /// Looks after all that was ever subscribed to: what the schedule does. How many were looked at, and how many are not
    /// as they should be.
    pub async fn scheduled(&self, time: Duration) -> Result<(usize, usize), TableError> {
        let looked = self.run(Mode::Schedule, &Whom::default(), None, time).await?;
        let seen = looked.subscriptions.iter().filter(|view| view.status != Standing::None);
        let wrong = seen.clone().filter(|view| view.problem.is_some());
        if let Some(next) = looked.next {
            tracing::warn!(
                next,
                "time ran out before all subscriptions were looked at: the next look begins there"
            );
        }
        Ok((seen.count(), wrong.count()))
    }

    /// Those whose provider was asked longest ago come first, so that none is never reached.
    async fn longest_unseen_first(&self, targets: Vec<Target>) -> Result<Vec<Target>, TableError> {
        let mut seen = Vec::new();
        for target in targets {
            let kept =
                self.configuration.connections.document::<Subscribed>(Kind::Subscription, &target.id).await?;
            // Nothing was subscribed to: nothing is to be looked after.
            if let Some(kept) = kept {
                seen.push((kept.document.checked_at, target));
            }
        }
        seen.sort_by_key(|(checked_at, _)| *checked_at);
        Ok(seen.into_iter().map(|(_, target)| target).collect())
    }

    /// Says in the metrics how it was found or left.
    fn measure(&self, provider: &str, standing: Standing, now: Timestamp) {
        self.metrics.emit(now, provider, standing.outcome(), &[(Metric::Subscriptions, vec![1])]);
    }

    /// Asks a provider.
    async fn ask(&self, provider: &str, call: &Call) -> Result<Response, OutboundError> {
        ask(&self.outbound, provider, call).await
    }
}

/// Where it stands in the order in which all are looked at.
fn place(provider: &str, id: &str) -> (usize, bool, String) {
    let nth = ALL.iter().position(|known| known.name() == provider).unwrap_or(0);
    (nth, !id.starts_with("provider:"), id.to_owned())
}
