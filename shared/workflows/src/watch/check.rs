//! One check, from its job to what is kept of it.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::blame::is_of_the_account;
use tillwatch_domain::certificate::Validity;
use tillwatch_domain::health::{APART, Check, Finding, Trouble, Turn, Verdict};
use tillwatch_domain::{Connection, State, span};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::metrics::Metric;
use tillwatch_platform::outbound::{OutboundError, is_public};
use tillwatch_platform::watched::{Kept, NEVER_MS, spread};
use tillwatch_providers::call::{Call, Response};
use tillwatch_providers::checks::{self, Judged, Way};
use tillwatch_providers::smtp::{self, MailServer};

use super::beside::Subject;
use super::endpoint::ends;
use super::mail::sign_in;
use super::probe::{Caller, Probed, probe};
use super::{Doing, Watch, WatchError};
use crate::agenda::{Why, millis};
use crate::credentials::ask_and_see;
use crate::tokens::TokenStanding;

/// What came of it.
#[derive(Debug, Clone)]
pub enum Checked {
    /// It was made.
    Made(Box<Kept<Doing>>, Box<Probed>),
    /// The connection is paused or disabled: nothing was asked.
    Paused(Box<Kept<Doing>>),
    /// It is not due: it was made already.
    NotDue,
    /// There is no such connection, or nothing to check it by.
    Gone,
    /// It is no connection, and was looked at.
    Beside,
}

/// After what contradicts the verdict, another check tells soon whether it is over.
pub(super) const SOON: Duration = Duration::from_secs(30);
/// While nothing is to be reached from here, whether that is over is looked at as often.
pub(super) const CUT_OFF: Duration = Duration::from_mins(1);
/// What can't be checked because of its settings is looked at so often; sooner, when they change.
pub(super) const UNCHECKED: Duration = Duration::from_hours(1);
/// How long the calls are kept.
const LOGGED: Duration = Duration::from_hours(14 * 24);

impl Watch {
    /// Checks one that is watched: a connection, or what stands beside them. Whoever asked for it then, Unix milliseconds, is
    /// answered by a check that was begun since.
    pub async fn check(&self, id: &str, why: Why, asked_ms: Option<i64>) -> Result<Checked, WatchError> {
        match Subject::of(id) {
            Subject::Connection => self.check_connection(id, why, asked_ms).await,
            Subject::Page(provider) => self.read_page(provider, id, why).await,
            Subject::Endpoint(provider) => self.ask_endpoint(provider, id, why).await,
        }
    }

    async fn check_connection(
        &self,
        id: &str,
        why: Why,
        asked_ms: Option<i64>,
    ) -> Result<Checked, WatchError> {
        let now = self.roster.clock.now();
        let kept = self.roster.agenda.watched.get_or_new::<Doing>(id).await?;
        let checked_ms = kept.as_ref().and_then(|kept| kept.document.checked_ms());
        if why.is_too_soon(kept.as_ref(), now) || is_answered(asked_ms, checked_ms, now) {
            return Ok(Checked::NotDue);
        }
        let connection = self.roster.connections.document::<Connection>(Kind::Connection, id).await?;
        let connection = connection.map(|stored| stored.document);
        let checked = connection.and_then(|connection| Some((checks::of(&connection.provider)?, connection)));
        let Some((way, connection)) = checked else {
            self.roster.agenda.watched.delete(id).await?;
            return Ok(Checked::Gone);
        };
        let probed = match connection.state {
            State::Enabled => Some(self.probed(&connection, way).await?),
            State::Paused | State::Disabled => None,
        };
        let mut turn = None;
        let now_ms = self.roster.clock.now().as_millisecond();
        let take = |doing: &mut Doing| {
            doing.describe(&connection, now_ms);
            turn = probed.as_ref().and_then(|probed| doing.take(probed));
            probed.as_ref().map_or(NEVER_MS, |probed| self.next_due(id, doing, probed, way))
        };
        let kept = self.roster.agenda.change((id, &connection.provider), kept, take).await?;
        let kept = Box::new(kept);
        Ok(match probed {
            Some(probed) => {
                self.tell(&kept, &probed, turn).await?;
                Checked::Made(kept, Box::new(probed))
            }
            None => Checked::Paused(kept),
        })
    }

    /// Asks the provider.
    async fn probed(&self, connection: &Connection, way: Way) -> Result<Probed, WatchError> {
        let (provider, now) = (connection.provider.as_str(), self.roster.clock.now());
        let shared = self.credentials.shared(provider, now).await?;
        let own = match self.credentials.own(connection, now).await {
            Ok(own) => own,
            Err(error) => return Ok(Probed::unchecked(now.as_millisecond(), error.unopenable()?)),
        };
        let of = checks::Subject { own: &own, shared: &shared };
        let caller = Heard { watch: self, provider, certificate: Mutex::default() };
        let mut probed = probe(&caller, way, &of, &*self.roster.clock).await;
        let certificate = *caller.certificate.lock().unwrap_or_else(PoisonError::into_inner);
        let ends_soon = certificate.filter(|certificate| certificate.ends_soon(now.as_millisecond()));
        // A provider sees to its own certificates, and whoever has but connections can do nothing about them.
        if let (Some(certificate), true, None) = (ends_soon, way.is_tenants_server(), probed.check.trouble) {
            let Check { at_ms, took_ms, .. } = probed.check;
            probed.check = Check::found(at_ms, Some(Trouble::CertificateEndsSoon), took_ms);
            probed.advice = Some(ends(certificate));
        }
        if probed.check.trouble == Some(Trouble::TokenRefused) {
            probed.is_application_refused = self.is_application_refused(&connection.id).await?;
        }
        if probed.is_cut_off
            && leads_far(way, &of)
            && self.reach.is_cut_off(&self.outbound, self.roster.clock.now()).await
        {
            return Ok(probed.cut_off());
        }
        Ok(probed)
    }

    /// Whether its token could not be refreshed because the provider refuses our application.
    async fn is_application_refused(&self, id: &str) -> Result<bool, WatchError> {
        let standing = self.tokens.get::<TokenStanding>(id).await?;
        Ok(standing.is_some_and(|standing| standing.document.is_application_refused()))
    }

    /// When it is to be checked next, Unix milliseconds.
    fn next_due(&self, id: &str, doing: &Doing, probed: &Probed, way: Way) -> i64 {
        let now = self.roster.clock.now();
        let every = self.roster.every * way.seldom();
        let due_ms = match probed.check.trouble {
            Some(Trouble::Misconfigured) => regular(id, now, every.max(UNCHECKED)),
            Some(Trouble::OurNetwork) => millis(now, CUT_OFF.min(every)),
            // It ends in days: nothing is to be learnt of it within seconds.
            Some(Trouble::CertificateEndsSoon) => regular(id, now, every),
            _ if doing.health.is_in_doubt() => millis(now, SOON.min(every)),
            _ => regular(id, now, every),
        };
        due_ms.max(millis(now, probed.retry_after.unwrap_or_default().min(UNCHECKED)))
    }

    /// Says what was found: in the log of calls, the metrics, and, where the verdict is another, in the log. And has
    /// others asked, where one begins to fail.
    async fn tell(&self, kept: &Kept<Doing>, probed: &Probed, turn: Option<Turn>) -> Result<(), WatchError> {
        let Kept { id, provider, document, .. } = kept;
        let Check { at_ms, finding, trouble, took_ms } = probed.check;
        let took = if probed.calls.is_empty() { Vec::new() } else { vec![i64::from(took_ms)] };
        let values: Vec<_> = [(Metric::Checks, vec![1]), (Metric::CheckTime, took)]
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .collect();
        self.metrics.emit(self.roster.clock.now(), provider, finding.name(), &values);
        match turn {
            Some(Turn { from: Verdict::Unknown, to: Verdict::Up, .. }) => {
                tracing::info!(connection = id, provider, "a connection works");
            }
            Some(Turn { from, to, since_ms }) => {
                let since = Timestamp::from_millisecond(since_ms).unwrap_or_default();
                tracing::warn!(
                    connection = id,
                    provider,
                    business = document.business,
                    location = document.location,
                    from = from.name(),
                    to = to.name(),
                    %since,
                    trouble = trouble.map(Trouble::name),
                    code = document.code,
                    "a connection's health has changed"
                );
            }
            None => {}
        }
        if !probed.calls.is_empty() {
            self.roster.agenda.watched.log(id, at_ms, &probed.calls, LOGGED).await?;
        }
        if finding == Finding::Failed
            && document.health.verdict() != Verdict::Down
            && !trouble.is_some_and(is_of_the_account)
            && let Err(error) = self.ask_peers(provider, id).await
        {
            tracing::warn!(provider, %error, "others of the provider's connections can't be asked");
        }
        Ok(())
    }
}

impl Watch {
    /// Has a few others of the provider's connections checked: they tell whether it is the provider or this one alone. At
    /// most once in a while, for when a provider is down all of its connections fail; and not those that were a moment ago.
    async fn ask_peers(&self, provider: &str, but: &str) -> Result<(), WatchError> {
        let now_ms = self.roster.clock.now().as_millisecond();
        let mut asked = self.asked_peers.lock().await;
        if asked.get(provider).is_some_and(|at_ms| now_ms - at_ms < span::millis(PEERS_EVERY)) {
            return Ok(());
        }
        asked.insert(provider.to_owned(), now_ms);
        let connections = &self.roster.connections;
        // Those after it, and the first ones where it is among the last.
        let (mut ids, _) = connections.ids(Kind::Connection, provider, but, PEERS).await?;
        let (first, _) = connections.ids(Kind::Connection, provider, "", PEERS).await?;
        ids.extend(first.into_iter().filter(|id| id.as_str() < but));
        ids.truncate(usize::try_from(PEERS).unwrap_or(0));
        let mut to_ask = Vec::new();
        for id in ids {
            let kept = self.roster.agenda.watched.get_or_new::<Doing>(&id).await?;
            let checked_ms = kept.and_then(|kept| kept.document.checked_ms());
            if checked_ms.is_none_or(|at_ms| now_ms - at_ms >= span::millis(APART)) {
                to_ask.push(id);
            }
        }
        Ok(self.roster.agenda.send(provider, &to_ask).await?)
    }
}

/// How many others are asked when one begins to fail, and how often at most.
const PEERS: i32 = 5;
const PEERS_EVERY: Duration = Duration::from_mins(1);

/// Makes a provider's calls, and remembers that somebody was heard.
struct Heard<'a> {
    watch: &'a Watch,
    provider: &'a str,
    /// The certificate of who answered last.
    certificate: Mutex<Option<Validity>>,
}

impl Caller for Heard<'_> {
    async fn call(&self, call: &Call) -> Result<Response, OutboundError> {
        let (response, certificate) = ask_and_see(&self.watch.outbound, self.provider, call).await?;
        if is_far(&call.url) {
            self.watch.reach.heard(self.watch.roster.clock.now());
        }
        *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) = certificate;
        Ok(response)
    }

    async fn sign_in(&self, server: &MailServer) -> Result<Judged, OutboundError> {
        let answer = sign_in(&self.watch.outbound, server).await;
        if answer.is_ok() && is_far_host(&server.host) {
            self.watch.reach.heard(self.watch.roster.clock.now());
        }
        answer
    }
}

/// Whether who asked for it then was answered by the last check: a job may come twice.
fn is_answered(asked_ms: Option<i64>, checked_ms: Option<i64>, now: Timestamp) -> bool {
    // One that is yet to come was made by another clock.
    let is_past = |at_ms: &i64| *at_ms <= now.as_millisecond();
    asked_ms.zip(checked_ms.filter(is_past)).is_some_and(|(asked_ms, checked_ms)| checked_ms > asked_ms)
}

/// Whether all that a check asks is far.
fn leads_far(way: Way, of: &checks::Subject<'_>) -> bool {
    match way {
        Way::Calls(checks) => checks.calls(of).is_ok_and(|calls| calls.iter().all(|call| is_far(&call.url))),
        Way::Mail => smtp::server(of).is_ok_and(|server| is_far_host(&server.host)),
    }
}

/// The next moment that is this connection's own: each has one in every interval, so that what was made together is not
/// checked together. After half an interval at least, and one and a half at most.
pub(crate) fn regular(id: &str, now: Timestamp, every: Duration) -> i64 {
    let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
    let earliest = now.as_millisecond() + every / 2;
    let own = i64::from(spread(id)) * 1_000 % every;
    earliest + (own - earliest).rem_euclid(every)
}

/// Whether a URL does not name an address that is near: what can be reached of those says nothing of the world.
pub(super) fn is_far(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((name, _)) => name,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    is_far_host(name)
}

fn is_far_host(name: &str) -> bool {
    name != "localhost" && name.parse::<IpAddr>().map_or(true, is_public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_own_moment_in_every_interval() {
        let now = Timestamp::from_millisecond(1_795_474_800_123).unwrap();
        let every = Duration::from_mins(5);
        for nth in 0..1_000 {
            let id = format!("harbour-{nth}");
            let due_ms = regular(&id, now, every);
            let wait = due_ms - now.as_millisecond();
            assert!((150_000..450_000).contains(&wait), "{wait}");
            let next = regular(&id, Timestamp::from_millisecond(due_ms).unwrap(), every);
            assert_eq!(next - due_ms, 300_000);
        }
    }

    #[test]
    fn who_asked_before_the_last_check_was_begun_is_answered() {
        let now = Timestamp::from_millisecond(1_000).unwrap();
        assert!(is_answered(Some(500), Some(501), now));
        assert!(!is_answered(Some(500), Some(499), now), "what it was asked with may have changed");
        assert!(!is_answered(Some(500), Some(1_001), now), "the clock was put back");
        assert!(!is_answered(None, Some(501), now) && !is_answered(Some(500), None, now));
    }

    #[test]
    fn what_is_near_is_told_from_what_is_far() {
        for near in ["http://127.0.0.1:80/x", "https://[::1]:9/", "http://localhost:1", "http://10.0.0.1?x"] {
            assert!(!is_far(near), "{near}");
        }
        for far in ["https://api.stripe.com/v1", "https://8.8.8.8", "https://odoo.example.com:8069/"] {
            assert!(is_far(far), "{far}");
        }
    }
}
