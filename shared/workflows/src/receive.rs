//! Receive: bytes in, a verdict, one message on the queue, an answer.
//!
//! The order is what makes it safe. The sender is told 200 when the message is durable and not before; when it can't be
//! made durable, or nothing can be verified, the answer is a 5xx and the sender comes again. A rejected request is kept
//! too, up to a cap: above it only its number is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::{Cause, RequestId};
use tillwatch_platform::clock::Clock;
use tillwatch_platform::entropy;
use tillwatch_platform::metrics::{Metric, Metrics};
use tillwatch_platform::payloads::Payloads;
use tillwatch_platform::queue::{Outgoing, Queue};
use tillwatch_providers::{
    Failure, Headers, Provider, Request, Settings, Unbelieved, Unverified, request::MAX_BODY,
};

use crate::envelope::{Envelope, Message, Payload, Shed, Verdict};
use crate::payload;
use crate::signing::SettingsCache;

/// Packed payloads up to this many bytes travel in the message and live in the table's item, which holds 400 KB; larger
/// ones go to the payload store first.
const MAX_INLINE: usize = 300_000;
/// Packed payloads of rejected requests up to this many bytes are kept; of larger ones only that they came. Real
/// webhooks are smaller, and whoever sends noise must not be able to fill what it is kept in.
const MAX_REJECTED: usize = 32 * 1024;
/// By when an answer is given: the strictest providers wait five seconds.
const ANSWERED: Duration = Duration::from_millis(4_500);

/// What arrived, before anything is known of it.
#[derive(Debug)]
pub struct Arrival {
    /// All headers.
    pub headers: Headers,
    /// The body's exact bytes, or why there are none.
    pub body: Result<Vec<u8>, Cause>,
    /// The address it came from.
    pub source: String,
}

/// What the sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: it is verified and durable.
    Accepted(RequestId),
    /// A 4xx: it is not believed. Kept under this id, if it was below the cap.
    Rejected(Cause, Option<RequestId>),
    /// 503: our fault; the sender is to come again. Says what is wrong, for the log and not for the sender.
    Unavailable(String),
}

/// Why there is no verified request.
enum Unjudged {
    /// It was judged, and is not believed.
    Unbelieved(Unbelieved),
    /// It could not be judged: ours.
    Unavailable(String),
}

/// What a webhook function, or one provider's URL on one machine, works with.
pub struct Receiver {
    provider: &'static dyn Provider,
    settings: SettingsCache,
    queue: Arc<dyn Queue>,
    payloads: Arc<dyn Payloads>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    cap: Mutex<Cap>,
}

impl Receiver {
    /// A receiver of one provider's requests.
    pub fn new(
        provider: &'static dyn Provider,
        settings: SettingsCache,
        queue: Arc<dyn Queue>,
        payloads: Arc<dyn Payloads>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { provider, settings, queue, payloads, clock, metrics, cap: Mutex::default() }
    }

    /// Reads the settings before the first request needs them. Whether it succeeds is of no matter.
    pub async fn warm(&self) {
        if let Err(error) = self.settings.current(self.clock.now()).await {
            tracing::warn!(provider = self.provider.name(), %error, "no settings yet");
        }
    }

    /// Verifies, keeps and answers one request.
    pub async fn receive(&self, arrival: Arrival) -> Answer {
        let now = self.clock.now();
        let answer = tokio::time::timeout(ANSWERED, self.decide(arrival, now)).await;
        let answer = answer.unwrap_or_else(|_| Answer::Unavailable("it took too long".to_owned()));
        self.tell_shed(now).await;
        let outcome = match &answer {
            Answer::Accepted(_) => "accepted",
            Answer::Rejected(..) => "rejected",
            Answer::Unavailable(error) => {
                tracing::error!(provider = self.provider.name(), error, "a request could not be taken");
                "unavailable"
            }
        };
        self.metrics.emit(now, self.provider.name(), outcome, &[(Metric::Requests, vec![1])]);
        answer
    }

    async fn decide(&self, arrival: Arrival, now: Timestamp) -> Answer {
        let source = shortened(&arrival.source);
        let request = match arrival.body {
            Ok(body) if body.len() > MAX_BODY => {
                let size = body.len();
                return self.reject(Cause::BodyTooLarge, None, size, source, now).await;
            }
            Ok(body) => Request::new(self.kept(&arrival.headers), body),
            Err(cause) => return self.reject(cause, None, 0, source, now).await,
        };
        let settings = match self.settings.current(now).await {
            Ok(settings) => settings,
            Err(error) => return Answer::Unavailable(error.to_string()),
        };
        match self.check(request, settings, &arrival.source, now).await {
            Ok(verified) => {
                let key = u32::try_from(verified.key()).unwrap_or(u32::MAX);
                self.accept(key, verified.headers(), verified.body(), source, now).await
            }
            Err(Unjudged::Unavailable(error)) => Answer::Unavailable(error),
            Err(Unjudged::Unbelieved(Unbelieved { failure: Failure::Misconfigured(error), .. })) => {
                Answer::Unavailable(error.to_string())
            }
            Err(Unjudged::Unbelieved(Unbelieved { failure: Failure::Rejected(cause), request })) => {
                self.reject(cause, Some(&request), request.body().len(), source, now).await
            }
        }
    }

    /// Checks with the cached settings, and once more with fresh ones where those may have changed.
    async fn check(
        &self,
        request: Request<Unverified>,
        settings: Arc<Settings>,
        source: &str,
        now: Timestamp,
    ) -> Result<Request<tillwatch_providers::Verified>, Unjudged> {
        let unbelieved = match request.check(self.provider, &settings, now) {
            Ok(verified) => return Ok(verified),
            Err(unbelieved) => *unbelieved,
        };
        let may_have_changed = matches!(
            unbelieved.failure,
            Failure::Misconfigured(_) | Failure::Rejected(Cause::WrongSignature)
        );
        if !may_have_changed {
            return Err(Unjudged::Unbelieved(unbelieved));
        }
        match self.settings.after_failure(source, &settings, now).await {
            Ok(Some(fresh)) => unbelieved.request.check(self.provider, &fresh, now).map_err(|again| *again),
            Ok(None) => Err(unbelieved),
            Err(error) => return Err(Unjudged::Unavailable(error.to_string())),
        }
        .map_err(Unjudged::Unbelieved)
    }

    async fn accept(
        &self,
        key: u32,
        headers: &Headers,
        body: &[u8],
        source: Option<String>,
        now: Timestamp,
    ) -> Answer {
        let id = RequestId::new(now, entropy::bytes());
        let payload = match self.pack(&id, headers, body, now).await {
            Ok(payload) => payload,
            Err(error) => return Answer::Unavailable(error),
        };
        let envelope = self.envelope(id.clone(), Verdict::Accepted(key), body.len(), source, payload, now);
        match self.send(Message::Request(envelope)).await {
            Ok(()) => Answer::Accepted(id),
            Err(error) => Answer::Unavailable(error),
        }
    }

    async fn reject(
        &self,
        cause: Cause,
        request: Option<&Request<Unverified>>,
        size: usize,
        source: Option<String>,
        now: Timestamp,
    ) -> Answer {
        let keep = self.cap().keep(source.as_deref().unwrap_or_default(), cause, now);
        if !keep {
            return Answer::Rejected(cause, None);
        }
        let id = RequestId::new(now, entropy::bytes());
        let packed = request.map(|request| payload::pack(self.provider, request.headers(), request.body()));
        let payload = match packed {
            Some(packed) if packed.len() <= MAX_REJECTED => Payload::packed(&packed),
            _ => Payload::Omitted(()),
        };
        let envelope = self.envelope(id.clone(), Verdict::Rejected(cause), size, source, payload, now);
        match self.send(Message::Request(envelope)).await {
            Ok(()) => Answer::Rejected(cause, Some(id)),
            Err(error) => Answer::Unavailable(error),
        }
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
            source,
            payload,
            attempts: 0,
            kept: false,
        }
    }

    async fn pack(
        &self,
        id: &RequestId,
        headers: &Headers,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Payload, String> {
        let packed = payload::pack(self.provider, headers, body);
        if packed.len() <= MAX_INLINE {
            return Ok(Payload::packed(&packed));
        }
        let name = format!("{}/{id}", self.provider.name());
        self.payloads.put(&name, packed, now).await.map_err(|error| error.to_string())?;
        Ok(Payload::Stored(name))
    }

    async fn send(&self, message: Message) -> Result<(), String> {
        let group = message.group().to_owned();
        let outgoing = Outgoing { body: message.to_text(), group, delay: Duration::ZERO };
        self.queue.send(outgoing).await.map_err(|error| error.to_string())
    }

    fn kept(&self, headers: &Headers) -> Headers {
        let kept = self.provider.kept_headers();
        headers.iter().filter(|(name, _)| kept.contains(name)).collect()
    }
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
        let (count, since) = self.shed.entry(cause).or_default();
        *count += 1;
        since.get_or_insert(now);
        false
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
