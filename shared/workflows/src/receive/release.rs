//! Release: a rejected request, judged once more by the settings as they are now, and, if it is believed, sent on as the
//! webhook that it was.
//!
//! The check is never skipped, and its clock is the moment of arrival: what was too old then is too old still, and what was
//! signed with a key that had not been put in is believed when it has.

use jiff::Timestamp;
use tillwatch_domain::{Cause, Outcome, RequestId};
use tillwatch_platform::table::{EventItem, PayloadAt};
use tillwatch_providers::{Failure, Request, Settings, Unbelieved, Unverified, Verified};

use super::{Basis, Judged, Receiver, Source, Unjudged, key_name};
use crate::envelope::{Envelope, Message, Payload, Verdict};
use crate::payload;
use crate::signing::NoSettings;

/// Why a request was not released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReleased {
    /// It is no rejected request.
    NotRejected,
    /// Its headers and body were not kept.
    NotKept,
    /// What was kept can't be read.
    Unreadable,
    /// It is a question whether the URL is ours, and no webhook.
    Question,
    /// It is not believed now either.
    StillRejected(Cause),
    /// The settings can't judge it. Says what is missing.
    Misconfigured(String),
    /// Something that it stands on did not answer. Says what, for the log.
    Unavailable(String),
}

/// A kept request that is believed now.
struct Believed {
    request: Request<Verified>,
    own: Option<String>,
    packed: Vec<u8>,
}

impl Receiver {
    /// Judges a rejected request anew, and sends it on if it is believed. To do so twice does no harm.
    pub async fn release(&self, item: &EventItem) -> Result<(), NotReleased> {
        let Believed { request, own, packed } = self.judge_kept(item).await?;
        let id = RequestId::try_from(item.request_id.clone()).map_err(|_| NotReleased::Unreadable)?;
        let envelope = Envelope {
            id,
            provider: item.provider.clone(),
            received_ms: item.received_ms,
            verdict: Verdict::Accepted(key_name(&request, own.as_deref())),
            size: item.size,
            connection: own,
            source: item.source.clone(),
            payload: Payload::packed(&packed),
            attempts: 0,
            // Its item goes when its events have theirs.
            kept: true,
            again: false,
        };
        self.send(Message::Request(envelope)).await.map_err(NotReleased::Unavailable)
    }

    /// Judges a rejected request anew, and sends nothing.
    pub async fn would_release(&self, item: &EventItem) -> Result<(), NotReleased> {
        self.judge_kept(item).await.map(|_| ())
    }

    async fn judge_kept(&self, item: &EventItem) -> Result<Believed, NotReleased> {
        if item.outcome != Outcome::Rejected || item.count != 1 {
            return Err(NotReleased::NotRejected);
        }
        let packed = match &item.payload {
            PayloadAt::Here(packed) => packed.clone(),
            PayloadAt::Stored(_) | PayloadAt::Nowhere => return Err(NotReleased::NotKept),
        };
        let unpacked = payload::unpack(Some(self.provider), &packed);
        let (headers, body) = unpacked.map_err(|_| NotReleased::Unreadable)?;
        let now = self.clock.now();
        let arrived = Timestamp::from_millisecond(item.received_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let shared = self.settings.fresh(now).await.map_err(no_settings)?;
        let fingerprints = self.own.fresh_fingerprints(now).await;
        let fingerprints = fingerprints.map_err(|error| NotReleased::Unavailable(error.to_string()))?;
        let shared = Settings { fingerprints, ..(*shared).clone() };
        let request: Request<Unverified> = Request::new(headers, body);
        let source = Source::Kept {
            network: item.source.as_deref().unwrap_or_default(),
            was_let_in: item.cause.as_deref() != Some(Cause::AddressNotAllowed.name()),
        };
        let basis = Basis { shared: &shared, anew: true, source, now, arrived };
        match self.check(request, basis).await {
            Ok(Judged::Verified(request, own)) => Ok(Believed { request, own, packed }),
            Ok(Judged::Handshake(_)) => Err(NotReleased::Question),
            Err(Unjudged::Unavailable(error)) => Err(NotReleased::Unavailable(error)),
            Err(Unjudged::Unopenable(error)) => Err(NotReleased::Misconfigured(error)),
            Err(Unjudged::Unbelieved(Unbelieved { failure, .. }, _)) => Err(match failure {
                Failure::Rejected(cause) => NotReleased::StillRejected(cause),
                Failure::Misconfigured(error) => NotReleased::Misconfigured(error.to_string()),
            }),
        }
    }
}

fn no_settings(error: NoSettings) -> NotReleased {
    match error {
        NoSettings::Store(error) => NotReleased::Unavailable(error.to_string()),
        NoSettings::Malformed(_) => NotReleased::Misconfigured(error.to_string()),
    }
}
