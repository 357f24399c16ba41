//! The deliveries of all providers together, newest first.

use std::cmp::Reverse;

use tillwatch_platform::table::EventItem;

use super::deliveries::{Asked, DeliveryPage, PARAMETERS};
use super::operators::Who;
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, json, listed_provider, only};
use crate::process::UNKNOWN_PROVIDER;

/// Whether a path is this.
pub(super) fn is_route(segments: &[&str]) -> bool {
    segments == ["webhooks", "logs"]
}

impl Console {
    pub(super) async fn logs_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        only(request, "GET")?;
        Ok(json(200, &self.logs(who, query).await?))
    }

    /// One page of all providers, or of one. Each is read as far as a page of its own goes; the page ends where the first
    /// of them that has more was read to, for what lies beyond could be newer than what the others have.
    async fn logs(&self, who: &Who, query: &Query) -> Result<DeliveryPage, Problem> {
        let parameters: Vec<_> = PARAMETERS.into_iter().chain(["provider"]).collect();
        query.only(&parameters)?;
        let asked = Asked::of(query, self.clock.now().as_millisecond())?;
        let is_rare = asked.filter.outcome.is_some_and(tillwatch_domain::Outcome::is_rare);
        let place = |event: &EventItem| {
            if is_rare { event.place_among_rare() } else { event.place_by_time() }
        };
        let providers: Vec<&str> = match query.get("provider") {
            Some(name) => vec![listed_provider(name)?],
            None => tillwatch_providers::ALL
                .iter()
                .map(|provider| provider.name())
                .chain([UNKNOWN_PROVIDER])
                .collect(),
        };
        let (mut events, mut ends) = (Vec::new(), Vec::new());
        for provider in providers {
            let (found, next) = self.listed(provider, &asked).await?;
            events.extend(found);
            ends.extend(next);
        }
        let mut next = ends.into_iter().max();
        if let Some(end) = &next {
            events.retain(|event| place(event) >= *end);
        }
        events.sort_by_key(|event| Reverse(place(event)));
        if events.len() > asked.limit {
            events.truncate(asked.limit);
            next = events.last().map(place);
        }
        self.delivery_page(who, events, next).await
    }
}
