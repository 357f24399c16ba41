//! Receive: bytes in, a verdict, one message on the queue, an answer.
//!
//! The order is what makes it safe. The sender is told 200 when the message is durable and not before; when it can't be
//! made durable, or nothing can be verified, the answer is a 5xx and the sender comes again. A rejected request is kept
//! too, up to a cap: above it only its number is.

mod release;
pub mod synthetic;
pub mod trial;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::connection::is_id;
use tillwatch_domain::event::SYNTHETIC;
use tillwatch_domain::{Cause, RequestId};
use tillwatch_platform::clock::Clock;
use tillwatch_platform::connections::By;
use tillwatch_platform::entropy;
use tillwatch_platform::metrics::{Metric, Metrics};
use tillwatch_platform::payloads::Payloads;
use tillwatch_platform::queue::{Outgoing, Queue};
use tillwatch_platform::vault::VaultError;
use tillwatch_providers::{
    Failure, Headers, Provider, Reply, Request, Settings, SettingsError, Unbelieved, Unverified, Verified,
    request::MAX_BODY,
};

use crate::envelope::{Envelope, Message, Payload, Shed, Verdict};
use crate::limits::{self, Limits};
use crate::own_settings::{NoOwnSettings, Own, OwnSettings};
use crate::payload;
use crate::signing::SettingsCache;

pub use release::NotReleased;

/// Packed payloads of rejected requests up to this many bytes are kept; of larger ones only that they came. Real
/// webhooks are smaller, and whoever sends noise must not be able to fill what it is kept in.
const MAX_REJECTED: usize = 32 * 1024;
/// What arrived, before anything is known of it.
#[derive(Debug)]
pub struct Arrival {
    /// All headers, and the method, the rest of the path and the query among them (see `providers::request`).
    pub headers: Headers,
    /// The body's exact bytes, or why there are none.
    pub body: Result<Vec<u8>, Cause>,
    /// The address it came from.
    pub source: String,
}

/// What the sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200, in the provider's form: it is verified and durable.
    Accepted(RequestId, Reply),
    /// What the provider wants to hear to a question that is no webhook. Nothing is kept.
    Handshake(Reply),
    /// It is not believed: the HTTP status, a 4xx but where a provider would give up what may yet be mended, why not, and
    /// the id that it is kept under, if it was below the cap.
    Rejected(u16, Cause, Option<RequestId>),
    /// 503: our fault; the sender is to come again. Says what is wrong, for the log and not for the sender.
    Unavailable(String),
}

/// The longest account that is looked up: a table's keys are bounded.
const LONGEST_ACCOUNT: usize = 512;

/// What a request turned out to be.
enum Judged {
    /// A question, and what is answered.
    Handshake(Reply),
    /// A webhook, and the connection whose own secret proved it, if one did.
    Verified(Request<Verified>, Option<String>),
}

/// A request that is not believed, as far as it was read.
struct Rejected<'a> {
    cause: Cause,
    connection: Option<String>,
    request: Option<&'a Request<Unverified>>,
    size: usize,
}

/// Where a request came from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// From this address.
    Here(&'a str),
    /// From ourselves, as its mark says: at whatever address that is on the public way.
    Ourselves,
    /// From one of which the end is not kept. The address is judged before all else, so whoever was rejected for another
    /// cause came from one that was let in; whoever was rejected for the address must be let in whatever its end was.
    Kept {
        /// What is kept of it.
        network: &'a str,
        /// Whether it was rejected for another cause.
        was_let_in: bool,
    },
}

impl Source<'_> {
    fn is_let_in(self, networks: &[String]) -> bool {
        networks.is_empty()
            || match self {
                Self::Ourselves => true,
                Self::Here(address) => limits::is_allowed(networks, address),
                Self::Kept { network, was_let_in } => {
                    limits::is_network_allowed(networks, network, was_let_in)
                }
            }
    }
}

/// By what a request is judged.
#[derive(Clone, Copy)]
struct Basis<'a> {
    /// The provider's settings.
    shared: &'a Settings,
    /// Whether the connections' settings are read anew.
    anew: bool,
    /// Where it came from.
    source: Source<'a>,
    /// The time.
    now: Timestamp,
    /// When it arrived.
    arrived: Timestamp,
}

/// Why there is no verified request.
enum Unjudged {
    /// It was judged, and is not believed; and the connection that it was sent to, or speaks of.
    Unbelieved(Unbelieved, Option<String>),
    /// It could not be judged: ours.
    Unavailable(String),
    /// The same, and for as long as nobody mends what is kept of the connection.
    Unopenable(String),
}

/// What a webhook function, or one provider's URL on one machine, works with.
pub struct Receiver {
    provider: &'static dyn Provider,
    settings: SettingsCache,
    own: OwnSettings,
    queue: Arc<dyn Queue>,
    payloads: Arc<dyn Payloads>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    cap: Mutex<Cap>,
    limits: Mutex<Limits>,
}

impl Receiver {
    /// A receiver of one provider's requests.
    pub fn new(
        provider: &'static dyn Provider,
        settings: SettingsCache,
        own: OwnSettings,
        queue: Arc<dyn Queue>,
        payloads: Arc<dyn Payloads>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (cap, limits) = (Mutex::default(), Mutex::default());
        Self { provider, settings, own, queue, payloads, clock, metrics, cap, limits }
    }

    /// The provider whose requests it takes.
    pub fn provider(&self) -> &'static dyn Provider {
        self.provider
    }

    /// Reads the settings before the first request needs them. Whether it succeeds is of no matter.
    pub async fn warm(&self) {
        let now = self.clock.now();
        let looks_up = async {
            if self.looks_up_first() {
                self.own.warm().await;
            }
        };
        let (settings, ()) = tokio::join!(self.settings.current(now), looks_up);
        if let Err(error) = settings {
            tracing::warn!(provider = self.provider.name(), %error, "no settings yet");
        }
    }

    /// Verifies, keeps and answers one request.
    pub async fn receive(&self, arrival: Arrival) -> Answer {
        let now = self.clock.now();
        let tried = tokio::time::timeout(self.provider.patience(), self.tried(&arrival, now)).await;
        if let Some(answer) =
            tried.unwrap_or_else(|_| Some(Answer::Unavailable("it took too long".to_owned())))
        {
            return answer;
        }
        let decided = async {
            let is_synthetic = self.is_marked(&arrival, now).await;
            (is_synthetic, self.decide(arrival, is_synthetic, now).await)
        };
        let decided = tokio::time::timeout(self.provider.patience(), decided).await;
        let (is_synthetic, answer) =
            decided.unwrap_or_else(|_| (false, Answer::Unavailable("it took too long".to_owned())));
        self.tell_shed(now).await;
        let outcome = match &answer {
            Answer::Accepted(..) => "accepted",
            Answer::Handshake(_) => "handshake",
            Answer::Rejected(..) => "rejected",
            Answer::Unavailable(error) => {
                tracing::error!(provider = self.provider.name(), error, "a request could not be taken");
                "unavailable"
            }
        };
        if !is_synthetic {
            self.metrics.emit(now, self.provider.name(), outcome, &[(Metric::Requests, vec![1])]);
        }
        answer
    }

    async fn decide(&self, arrival: Arrival, is_synthetic: bool, now: Timestamp) -> Answer {
        let source = shortened(&arrival.source);
        let unread = |cause, size| Rejected { cause, connection: None, request: None, size };
        let body = match arrival.body {
            Ok(body) if body.len() > MAX_BODY => {
                return self.reject(unread(Cause::BodyTooLarge, body.len()), source, now).await;
            }
            Ok(body) => body,
            Err(cause) => return self.reject(unread(cause, 0), source, now).await,
        };
        let request = Request::arrived(self.provider, &arrival.headers, body, self.own.fingerprints());
        match self.judge(request, &arrival.source, is_synthetic, now).await {
            Ok(Judged::Handshake(reply)) => Answer::Handshake(reply),
            Ok(Judged::Verified(verified, own)) => {
                let source = if is_synthetic { Some(SYNTHETIC.to_owned()) } else { source };
                self.accept(&verified, own, source, now).await
            }
            Err(Unjudged::Unavailable(error) | Unjudged::Unopenable(error)) => Answer::Unavailable(error),
            Err(Unjudged::Unbelieved(Unbelieved { failure: Failure::Misconfigured(error), .. }, _)) => {
                Answer::Unavailable(error.to_string())
            }
            Err(Unjudged::Unbelieved(
                Unbelieved { failure: Failure::Rejected(cause), request },
                connection,
            )) => {
                if is_synthetic {
                    // Nobody tried to deceive us: it is for who sent it to tell.
                    return Answer::Rejected(self.provider.status_of(cause), cause, None);
                }
                let size = request.body().len();
                // A question whether the URL is ours repeats a secret word, perhaps the right one.
                let is_question = self.provider.handshake(&request, &Settings::default(), now).is_some();
                let request = (!is_question).then_some(&request);
                self.reject(Rejected { cause, connection, request, size }, source, now).await
            }
        }
    }

    /// Whether secrets are a connection's before they are the provider's: where a secret is sent as it is, a connection
    /// that has its own must not be spoken for by a shared one.
    fn looks_up_first(&self) -> bool {
        self.provider.open_secret().is_some()
    }

    /// Judges with what is known, and, where a secret may have changed or the connection is not known yet, once more with
    /// what is read anew: how often a source may cause that is for those who read to say.
    async fn judge(
        &self,
        request: Request<Unverified>,
        source: &str,
        is_synthetic: bool,
        now: Timestamp,
    ) -> Result<Judged, Unjudged> {
        let shared = match self.settings.current(now).await {
            Ok(settings) => settings,
            Err(error) => {
                // A trial of a URL that needs no secret must be answered before there is one.
                return match self.provider.handshake(&request, &Settings::default(), now) {
                    Some(Ok(reply)) => Ok(Judged::Handshake(reply)),
                    _ => Err(Unjudged::Unavailable(error.to_string())),
                };
            }
        };
        let from = if is_synthetic { Source::Ourselves } else { Source::Here(source) };
        let basis = Basis { shared: &shared, anew: false, source: from, now, arrived: now };
        let (unbelieved, connection) = match self.check(request, basis).await {
            Err(Unjudged::Unbelieved(unbelieved, connection)) => (unbelieved, connection),
            judged => return judged,
        };
        let may_have_changed = may_be_a_connections(unbelieved.failure)
            || unbelieved.failure == Failure::Rejected(Cause::UnknownConnection);
        if !may_have_changed {
            return Err(Unjudged::Unbelieved(unbelieved, connection));
        }
        match self.settings.after_failure(source, &shared, now).await {
            Ok(Some(fresh)) => {
                self.check(unbelieved.request, Basis { shared: &fresh, anew: true, ..basis }).await
            }
            // The connection's settings have a bound of their own on how often they are read.
            Ok(None) => self.check(unbelieved.request, Basis { anew: true, ..basis }).await,
            Err(error) => Err(Unjudged::Unavailable(error.to_string())),
        }
    }

    /// Checks with the provider's settings and those of the connection that the request names or speaks of.
    async fn check(&self, request: Request<Unverified>, basis: Basis<'_>) -> Result<Judged, Unjudged> {
        let shared = basis.shared;
        let named = request.headers().route(self.provider.paths()).connection.map(str::to_owned);
        if named.is_none() && !self.looks_up_first() {
            match self.proved(request, shared, None, basis) {
                Err(Unjudged::Unbelieved(unbelieved, _)) if may_be_a_connections(unbelieved.failure) => {
                    let own = self.claimed(&unbelieved.request, basis).await?;
                    let own = own.iter().filter(|own| !own.settings.signing_keys.is_empty());
                    return self.proved_by_any(unbelieved, own, basis);
                }
                judged => return judged,
            }
        }
        let found = match &named {
            Some(id) => self.found(&By::Connection(id.clone()), basis).await?,
            None => self.claimed(&request, basis).await?,
        };
        if found.is_empty() {
            return match self.proved(request, shared, None, basis) {
                // Nobody's URL: that no secret proves it is the lesser trouble.
                Err(Unjudged::Unbelieved(unbelieved, _))
                    if named.is_some() && may_be_a_connections(unbelieved.failure) =>
                {
                    let failure = Failure::Rejected(Cause::UnknownConnection);
                    Err(Unjudged::Unbelieved(Unbelieved { failure, ..unbelieved }, None))
                }
                judged => judged,
            };
        }
        let failure = Failure::Misconfigured(SettingsError::NoKey);
        self.proved_by_any(Unbelieved { request, failure }, found.iter(), basis)
    }

    /// The connections of the accounts that the request speaks of.
    async fn claimed(
        &self,
        request: &Request<Unverified>,
        basis: Basis<'_>,
    ) -> Result<Arc<Vec<Own>>, Unjudged> {
        let accounts = self.provider.claimed_accounts(request.headers(), request.body());
        let mut claimed = Arc::<Vec<Own>>::default();
        for account in accounts.into_iter().filter(|account| account.len() <= LONGEST_ACCOUNT) {
            let found = self.found(&By::Account(account), basis).await?;
            if claimed.is_empty() {
                claimed = found;
                continue;
            }
            for own in found.iter() {
                if claimed.iter().all(|known| known.connection != own.connection) {
                    Arc::make_mut(&mut claimed).push(own.clone());
                }
            }
        }
        Ok(claimed)
    }

    async fn found(&self, by: &By, basis: Basis<'_>) -> Result<Arc<Vec<Own>>, Unjudged> {
        // Whatever stands in a URL: no connection can have it for its id, and no key of the table may be that long.
        if matches!(by, By::Connection(id) if !is_id(id)) {
            return Ok(Arc::default());
        }
        self.own.of(by, basis.anew, basis.now).await.map_err(|error| match error {
            NoOwnSettings::Table(_) | NoOwnSettings::Vault(_, VaultError::Secrets(_)) => {
                Unjudged::Unavailable(error.to_string())
            }
            NoOwnSettings::Vault(..) | NoOwnSettings::Malformed(_) => Unjudged::Unopenable(error.to_string()),
        })
    }

    /// The first of these connections whose settings prove the request; if none does, why the last does not.
    fn proved_by_any<'a>(
        &self,
        mut unbelieved: Unbelieved,
        found: impl Iterator<Item = &'a Own>,
        basis: Basis<'_>,
    ) -> Result<Judged, Unjudged> {
        let mut connection = None;
        for own in found {
            let settings = basis.shared.of_connection(&own.settings);
            match self.proved(unbelieved.request, &settings, Some(own), basis) {
                Err(Unjudged::Unbelieved(again, _)) => unbelieved = again,
                judged => return judged,
            }
            connection = Some(own.connection.clone());
        }
        Err(Unjudged::Unbelieved(unbelieved, connection))
    }

    fn proved(
        &self,
        request: Request<Unverified>,
        settings: &Settings,
        own: Option<&Own>,
        basis: Basis<'_>,
    ) -> Result<Judged, Unjudged> {
        let now = basis.arrived;
        if !basis.source.is_let_in(&settings.allowed_addresses) {
            let failure = Failure::Rejected(Cause::AddressNotAllowed);
            let connection = own.map(|own| own.connection.clone());
            return Err(Unjudged::Unbelieved(Unbelieved { request, failure }, connection));
        }
        match self.provider.handshake(&request, settings, now) {
            Some(Ok(reply)) => return Ok(Judged::Handshake(reply)),
            Some(Err(failure)) => return Err(Unjudged::Unbelieved(Unbelieved { request, failure }, None)),
            None => {}
        }
        let verified = request
            .check(self.provider, settings, now)
            .map_err(|unbelieved| Unjudged::Unbelieved(*unbelieved, own.map(|own| own.connection.clone())))?;
        // A secret of a connection's own speaks for its own accounts only. Where the request speaks of several, each of its
        // events is judged by its own account when it takes effect.
        let owner = own.filter(|own| verified.proof().own && !own.accounts.is_empty());
        let is_others = |own: &&Own| {
            let claimed = self.provider.claimed_accounts(verified.headers(), verified.body());
            !claimed.is_empty() && claimed.iter().all(|account| !own.accounts.contains(account))
        };
        if let Some(own) = owner.filter(is_others) {
            let failure = Failure::Rejected(Cause::OtherAccount);
            let request = verified.forget();
            return Err(Unjudged::Unbelieved(Unbelieved { request, failure }, Some(own.connection.clone())));
        }
        let own = own.filter(|_| verified.proof().own).map(|own| own.connection.clone());
        Ok(Judged::Verified(verified, own))
    }

    async fn accept(
        &self,
        request: &Request<Verified>,
        own: Option<String>,
        source: Option<String>,
        now: Timestamp,
    ) -> Answer {
        let id = RequestId::new(now, entropy::bytes());
        let (headers, body) = (request.headers(), request.body());
        let packed = payload::pack(self.provider, headers, body);
        let payload = match Payload::sent(&*self.payloads, self.provider.name(), &id, packed, now).await {
            Ok(payload) => payload,
            Err(error) => return Answer::Unavailable(error.to_string()),
        };
        let verdict = Verdict::Accepted(key_name(request, own.as_deref()));
        let envelope = self.envelope(id.clone(), verdict, body.len(), source, payload, now);
        let reply = self.provider.accepted(headers, id.as_str());
        match self.send(Message::Request(Envelope { connection: own, ..envelope })).await {
            Ok(()) => Answer::Accepted(id, reply),
            Err(error) => Answer::Unavailable(error),
        }
    }

    async fn reject(&self, rejected: Rejected<'_>, source: Option<String>, now: Timestamp) -> Answer {
        let Rejected { cause, connection, request, size } = rejected;
        let status = self.provider.status_of(cause);
        let from = source.as_deref().unwrap_or_default();
        if !self.limits().spend(from, now) {
            self.cap().shed(Cause::TooMany, now);
            return Answer::Rejected(self.provider.status_of(Cause::TooMany), Cause::TooMany, None);
        }
        let keep = self.cap().keep(from, cause, now);
        if !keep {
            return Answer::Rejected(status, cause, None);
        }
        let id = RequestId::new(now, entropy::bytes());
        let packed = request.map(|request| payload::pack(self.provider, request.headers(), request.body()));
        let payload = match packed {
            Some(packed) if packed.len() <= MAX_REJECTED => Payload::packed(&packed),
            _ => Payload::Omitted(()),
        };
        let envelope = self.envelope(id.clone(), Verdict::Rejected(cause), size, source, payload, now);
        match self.send(Message::Request(Envelope { connection, ..envelope })).await {
            Ok(()) => Answer::Rejected(status, cause, Some(id)),
            Err(error) => Answer::Unavailable(error),
        }
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn cap(&self) -> std::sync::MutexGuard<'_, Cap> {
        self.cap.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Has the numbers of rejected requests above the cap counted, when their minute is over. What can't be sent now is
    /// told later, under the same id: it may have arrived after all.
    pub async fn tell_shed(&self, now: Timestamp) {
        let provider = self.provider.name();
        let shed = self.cap().take_shed(provider, now);
        for shed in shed {
            if let Err(error) = self.send(Message::Shed(shed.clone())).await {
                tracing::warn!(error, shed.count, "a number of rejected requests is not recorded yet");
                self.cap().untold.push(shed);
            }
        }
    }

    fn envelope(
        &self,
        id: RequestId,
        verdict: Verdict,
        size: usize,
        source: Option<String>,
        payload: Payload,
        now: Timestamp,
    ) -> Envelope {
        Envelope {
            id,
            provider: self.provider.name().to_owned(),
            received_ms: now.as_millisecond(),
            verdict,
            size: u64::try_from(size).unwrap_or(u64::MAX),
            connection: None,
            source,
            payload,
            attempts: 0,
            kept: false,
            again: false,
        }
    }

    async fn send(&self, message: Message) -> Result<(), String> {
        let group = message.group().to_owned();
        let outgoing = Outgoing { body: message.to_text(), group, delay: Duration::ZERO };
        self.queue.send(outgoing).await.map_err(|error| error.to_string())
    }
}

/// The name under which what proved a request is kept: a connection's own secret says whose it is.
fn key_name(request: &Request<Verified>, own: Option<&str>) -> String {
    let key = &request.proof().key;
    own.map_or_else(|| key.clone(), |own| format!("{own}/{key}"))
}

/// Whether a connection's own secrets may prove what the provider's do not.
fn may_be_a_connections(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Misconfigured(_)
            | Failure::Rejected(
                Cause::WrongSignature
                    | Cause::WrongSecret
                    | Cause::MissingSignature
                    | Cause::OtherAccount
                    | Cause::AddressNotAllowed
            )
    )
}

/// An address without what would name a person: IPv4 without its last byte, IPv6 without its last 80 bits.
fn shortened(source: &str) -> Option<String> {
    match source.parse().ok()? {
        std::net::IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Some(format!("{a}.{b}.{c}.0"))
        }
        std::net::IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Some(std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string())
        }
    }
}

/// Rejected requests kept a minute, of one source.
const KEPT_PER_SOURCE: u32 = 60;
/// Rejected requests kept a minute, of all sources together.
const KEPT_IN_ALL: u32 = 600;

/// Which rejected requests are kept, minute by minute, and how many were not.
#[derive(Default)]
struct Cap {
    minute: i64,
    kept: u32,
    by_source: HashMap<String, u32>,
    shed: HashMap<Cause, (i64, Option<Timestamp>)>,
    /// Numbers whose sending failed.
    untold: Vec<Shed>,
}

impl Cap {
    fn keep(&mut self, source: &str, cause: Cause, now: Timestamp) -> bool {
        let minute = now.as_second().div_euclid(60);
        if minute != self.minute {
            self.minute = minute;
            self.kept = 0;
            self.by_source.clear();
        }
        let of_source = self.by_source.get(source).copied().unwrap_or(0);
        if self.kept < KEPT_IN_ALL && of_source < KEPT_PER_SOURCE {
            self.kept += 1;
            self.by_source.insert(source.to_owned(), of_source + 1);
            return true;
        }
        self.shed(cause, now);
        false
    }

    /// Counts one that is not kept.
    fn shed(&mut self, cause: Cause, now: Timestamp) {
        let (count, since) = self.shed.entry(cause).or_default();
        *count += 1;
        since.get_or_insert(now);
    }

    /// Numbers of earlier minutes, to be told once; and those that could not be told before.
    fn take_shed(&mut self, provider: &str, now: Timestamp) -> Vec<Shed> {
        if self.shed.is_empty() && self.untold.is_empty() {
            return Vec::new();
        }
        let minute = now.as_second().div_euclid(60);
        let mut told = std::mem::take(&mut self.untold);
        self.shed.retain(|cause, (count, since)| {
            let over = since.filter(|at| at.as_second().div_euclid(60) < minute);
            if let Some(since) = over {
                told.push(Shed {
                    id: RequestId::new(now, entropy::bytes()),
                    provider: provider.to_owned(),
                    received_ms: since.as_millisecond(),
                    cause: *cause,
                    count: *count,
                });
            }
            over.is_none()
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_no_person() {
        assert_eq!(shortened("203.0.113.77").as_deref(), Some("203.0.113.0"));
        assert_eq!(shortened("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1::"));
        assert_eq!(shortened("unknown"), None);
    }

    #[test]
    fn a_flood_from_one_source_is_capped_and_counted_and_leaves_room_for_others() {
        let mut cap = Cap::default();
        let now = Timestamp::from_second(1_795_474_980).unwrap();
        let kept = (0..1_000).filter(|_| cap.keep("1.2.3.0", Cause::WrongSignature, now)).count();
        assert_eq!(kept, 60);
        assert!(cap.keep("5.6.7.0", Cause::WrongSignature, now));
        assert!(cap.take_shed("square", now).is_empty());
        let later = Timestamp::from_second(1_795_475_040).unwrap();
        let told = cap.take_shed("square", later);
        assert_eq!((told.len(), told[0].cause, told[0].count), (1, Cause::WrongSignature, 940));
        assert_eq!(told[0].received_ms, now.as_millisecond());
        assert!(cap.take_shed("square", later).is_empty());
    }
}
