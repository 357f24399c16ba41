//! Sending one event again, or releasing one rejected request.

use std::sync::Arc;

use tillwatch_domain::replay::{Candidate, Counts, Filter, Skip};
use tillwatch_domain::{Cause, Outcome, RequestId};
use tillwatch_platform::clock::Clock;
use tillwatch_platform::queue::Queue;
use tillwatch_platform::table::{EventItem, PayloadAt, Table};

use super::Receivers;
use crate::process::send_again;
use crate::receive::NotReleased;

/// What sending needs.
pub(super) struct Sender {
    pub(super) table: Table,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) receivers: Receivers,
    pub(super) clock: Arc<dyn Clock>,
}

/// What came of one.
enum Dealt {
    Sent,
    Released,
    Skipped(Skip),
}

/// What came of the events of one request.
#[derive(Default)]
pub(super) struct OfRequest {
    pub(super) counts: Counts,
    /// The request's id, if it was sent.
    pub(super) sent: Option<String>,
}

/// Something that all of them need did not answer: the one in hand is to be dealt with later.
pub(super) struct Trouble(pub(super) String);

/// What a filter looks at.
pub(super) fn candidate(item: &EventItem) -> Candidate<'_> {
    Candidate {
        outcome: item.outcome,
        connection: item.connection.as_deref(),
        account: item.account.as_deref(),
        cause: item.cause.as_deref(),
        kind: &item.kind,
        received_ms: item.received_ms,
        processed_ms: item.processed_ms,
    }
}

/// Why one can't be sent, as far as a list tells.
pub(super) fn is_in_vain(item: &EventItem) -> Option<Skip> {
    let cause = item.cause.as_deref().and_then(Cause::named);
    let is_for_good = item.outcome == Outcome::Rejected && cause.is_some_and(|cause| !cause.may_be_mended());
    is_for_good.then_some(Skip::NotMendable)
}

impl Sender {
    /// Deals with events of one request. Each of them holds the whole request, which is sent once.
    pub(super) async fn deal_with_request(
        &self,
        listed: &[EventItem],
        filter: &Filter,
    ) -> Result<OfRequest, Trouble> {
        let mut done = OfRequest::default();
        for item in listed {
            if done.sent.is_some() {
                done.counts.sent += 1;
                continue;
            }
            match self.deal(item, filter).await? {
                Dealt::Sent => {
                    done.counts.sent += 1;
                    done.sent = Some(item.request_id.clone());
                }
                Dealt::Released => done.counts.released += 1,
                Dealt::Skipped(why) => done.counts.skip(why),
            }
        }
        Ok(done)
    }

    /// Reads what a list named, and sends it if the filter still names it.
    async fn deal(&self, listed: &EventItem, filter: &Filter) -> Result<Dealt, Trouble> {
        let item = match self.fetched(listed, filter).await? {
            Ok(item) => item,
            Err(skip) => return Ok(Dealt::Skipped(skip)),
        };
        if item.outcome == Outcome::Rejected {
            let Some(receiver) = self.receivers.get(item.provider.as_str()) else {
                return Ok(Dealt::Skipped(Skip::NeverVerified));
            };
            return Ok(match skipped(receiver.release(&item).await)? {
                None => Dealt::Released,
                Some(skip) => Dealt::Skipped(skip),
            });
        }
        send_again(&*self.queue, &item).await.map_err(|error| Trouble(error.to_string()))?;
        Ok(Dealt::Sent)
    }

    /// Whether [`Sender::deal`] would send it, and if not, why not.
    pub(super) async fn judge(&self, listed: &EventItem, filter: &Filter) -> Result<Option<Skip>, Trouble> {
        let item = match self.fetched(listed, filter).await? {
            Ok(item) => item,
            Err(skip) => return Ok(Some(skip)),
        };
        match self.receivers.get(item.provider.as_str()) {
            Some(receiver) if item.outcome == Outcome::Rejected => {
                skipped(receiver.would_release(&item).await)
            }
            _ => Ok(None),
        }
    }

    async fn fetched(&self, listed: &EventItem, filter: &Filter) -> Result<Result<EventItem, Skip>, Trouble> {
        if let Some(skip) = is_in_vain(listed) {
            return Ok(Err(skip));
        }
        let item = match self.table.event(&listed.id, true, self.clock.now()).await {
            Ok(Some(item)) => item,
            Ok(None) => return Ok(Err(Skip::Gone)),
            Err(error) if error.is_corrupt() => return Ok(Err(Skip::Unreadable)),
            Err(error) => return Err(Trouble(error.to_string())),
        };
        let skip = if !filter.statuses.contains(&item.outcome) {
            Skip::Settled
        } else if item.outcome != Outcome::Rejected
            && (item.key.is_none() || RequestId::try_from(item.request_id.clone()).is_err())
        {
            Skip::NeverVerified
        } else if item.payload == PayloadAt::Nowhere {
            Skip::NotKept
        } else {
            return Ok(Ok(item));
        };
        Ok(Err(skip))
    }
}

/// Why a request was not released; none, if it was.
fn skipped(released: Result<(), NotReleased>) -> Result<Option<Skip>, Trouble> {
    Ok(match released {
        Ok(()) => None,
        Err(NotReleased::NotRejected) => Some(Skip::Settled),
        Err(NotReleased::NotKept | NotReleased::Question) => Some(Skip::NotKept),
        Err(NotReleased::Unreadable) => Some(Skip::Unreadable),
        Err(NotReleased::StillRejected(_)) => Some(Skip::StillRejected),
        Err(NotReleased::Misconfigured(problem)) => {
            tracing::warn!(problem, "a rejected request can't be judged");
            Some(Skip::Misconfigured)
        }
        Err(NotReleased::Unavailable(error)) => return Err(Trouble(error)),
    })
}
