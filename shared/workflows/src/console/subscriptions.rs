//! Webhook subscriptions at the providers: seen, made, tried and mended.

use std::time::Duration;

use serde::Serialize;
use tillwatch_domain::Connection;
use tillwatch_platform::connections::Kind;
use tillwatch_providers::subscriptions::of;
use utoipa::ToSchema;

use super::operators::Who;
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, clipped, json, only, sender};
use crate::subscriptions::{Mode, SubscriptionView, Whom};

/// How long one request begins to look after more. An answer must be there within fifteen seconds.
const TIME: Duration = Duration::from_secs(5);

/// What there is of subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SubscriptionsPage {
    /// One entry for each connection that has subscriptions of its own, and for each provider whose connections share them.
    pub subscriptions: Vec<SubscriptionView>,
    /// Ask again with it as `from` to go on; null, when all were looked after.
    pub next: Option<String>,
}

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(segments, ["subscriptions"] | ["subscriptions", "ensure" | "test" | "repair"])
}

impl Console {
    pub(super) async fn subscriptions_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        who.operator()?;
        let mode = if let ["subscriptions", what] = segments {
            only(request, "POST")?;
            query.only(&["provider", "connection", "from"])?;
            match *what {
                "ensure" => Mode::Ensure,
                "test" => Mode::Test,
                _ => Mode::Repair,
            }
        } else {
            only(request, "GET")?;
            query.only(&["provider", "connection", "from", "live"])?;
            match query.get("live") {
                None | Some("false") => Mode::Kept,
                Some("true") => Mode::Look,
                Some(_) => return Err(Problem::bad_parameter("live", "is `true` or `false`")),
            }
        };
        let whom = self.whom(query).await?;
        let public_url = request.public_url.as_deref();
        let looked = Box::pin(self.subscriptions.run(mode, &whom, public_url, TIME)).await?;
        // What was changed must be seen by what is in this process.
        if let Some(routing) = &self.routing {
            routing.forget().await;
        }
        Ok(json(200, &SubscriptionsPage { subscriptions: looked.subscriptions, next: looked.next }))
    }

    async fn whom(&self, query: &Query) -> Result<Whom, Problem> {
        let mut provider = None;
        if let Some(name) = query.get("provider") {
            provider = Some(sender(name)?);
        }
        let connection = query.get("connection").map(str::to_owned);
        if let Some(id) = &connection {
            let stored = self.configuration.connections.document::<Connection>(Kind::Connection, id).await?;
            let unknown = || Problem::not_found(format!("No connection is called `{}`.", clipped(id)));
            let stored = stored.ok_or_else(unknown)?.document;
            let its = sender(&stored.provider)?;
            if provider.is_some_and(|asked| asked.name() != its.name()) {
                let detail = format!("`{}` is a connection to {}.", clipped(id), its.name());
                return Err(Problem::not_found(detail));
            }
            provider = Some(its);
        }
        if let Some(provider) = provider.filter(|provider| of(provider.name()).is_none()) {
            let detail = format!(
                "{} has no API to subscribe with: enter the webhook URL there by hand.",
                provider.about().label
            );
            return Err(Problem::not_found(detail));
        }
        let provider = provider.map(tillwatch_providers::Provider::name);
        Ok(Whom { provider, connection, from: query.get("from").map(str::to_owned) })
    }
}
