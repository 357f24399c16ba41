//! What a replay would do, without doing it.

use std::collections::BTreeMap;

use tillwatch_domain::Outcome;
use tillwatch_domain::replay::{Filter, Skip};

use super::sender::{Trouble, candidate, is_in_vain};
use super::step::Page;
use super::{ReplayError, Replays};

/// How many events a plan looks at, and how many pages it reads.
const LOOKED_AT: usize = 2_000;
const PAGES: usize = 400;
/// How many rejected requests are judged anew for a plan.
const JUDGED: usize = 200;
/// How many are named.
const NAMED: usize = 20;

/// What would be sent, and what would not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// How many the filter names, as far as was looked.
    pub matched: u64,
    /// How many of these would be sent.
    pub would_send: u64,
    /// How many would not, by why.
    pub would_skip: BTreeMap<Skip, u64>,
    /// Rejected requests that were counted and not judged: whether they are believed now is not known.
    pub unjudged: u64,
    /// There is more than was looked at: the counts are of the first.
    pub estimated: bool,
    /// The first of those that would be sent: provider and id.
    pub first: Vec<(String, String)>,
}

impl Replays {
    /// What a replay with this filter would do if it began now.
    pub async fn plan(&self, filter: &Filter) -> Result<Plan, ReplayError> {
        self.planned(filter, JUDGED).await
    }

    /// The same without a look at whether rejected requests are believed now.
    pub(super) async fn plan_without_judging(&self, filter: &Filter) -> Result<Plan, ReplayError> {
        self.planned(filter, 0).await
    }

    async fn planned(&self, filter: &Filter, most_judged: usize) -> Result<Plan, ReplayError> {
        let now_ms = self.now_ms();
        let (mut plan, mut cursor) = (Plan::default(), None);
        let (mut looked_at, mut judged) = (0, 0);
        for _ in 0..PAGES {
            let Page { events, next } = self.page(filter, now_ms, cursor.as_ref(), 500).await?;
            for event in &events {
                looked_at += 1;
                if !filter.takes(&candidate(event)) || event.received_ms > now_ms {
                    continue;
                }
                plan.matched += 1;
                let mut skip = is_in_vain(event);
                if event.outcome == Outcome::Rejected && skip.is_none() {
                    if judged < most_judged {
                        judged += 1;
                        skip = match self.sender.judge(event, filter).await {
                            Ok(skip) => skip,
                            Err(Trouble(error)) => {
                                tracing::warn!(error, "a plan could not judge a request");
                                plan.unjudged += 1;
                                continue;
                            }
                        };
                    } else {
                        plan.unjudged += 1;
                        continue;
                    }
                }
                if let Some(why) = skip {
                    *plan.would_skip.entry(why).or_default() += 1;
                    continue;
                }
                plan.would_send += 1;
                if plan.first.len() < NAMED {
                    plan.first.push((event.provider.clone(), event.id.clone()));
                }
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(plan);
            }
            if looked_at >= LOOKED_AT {
                break;
            }
        }
        plan.estimated = true;
        Ok(plan)
    }
}
