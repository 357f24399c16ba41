//! Pauses: a connection's, or a provider's, events are taken and kept, and take effect when the pause is over.

use serde::Serialize;
use tillwatch_domain::{Connection, State};
use utoipa::ToSchema;

use super::operators::Who;
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, json, only, rfc3339, sender};

/// How a connection, or a provider, stands after it was paused or resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Paused {
    /// The provider's name.
    pub provider: String,
    /// The connection's id; null, if it is the whole provider.
    pub connection: Option<String>,
    /// `paused` or `enabled`.
    pub state: &'static str,
    /// Since when the provider is paused. Not known of connections.
    pub since: Option<String>,
    /// The replay that lets what was held take effect: `GET /replays/{id}` shows how far it is.
    pub replays: Vec<String>,
}

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(segments, ["connections" | "providers", _, "pause" | "resume"])
}

impl Console {
    pub(super) async fn pauses_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        only(request, "POST")?;
        query.only(&[])?;
        let paused = match segments {
            ["connections", id, what] => {
                self.connection(who, id).await?;
                self.pause_connection(id, *what == "pause").await?
            }
            [_, name, what] => {
                who.operator()?;
                let provider = sender(name)?;
                self.pause_provider(provider.name(), *what == "pause").await?
            }
            _ => return Err(Problem::not_found("No such path.")),
        };
        if let Some(routing) = &self.routing {
            routing.forget().await;
        }
        Ok(json(200, &paused))
    }

    /// Pauses a connection, or ends its pause. To do so twice does no harm, and mends what a process left that ended in
    /// between.
    async fn pause_connection(&self, id: &str, pause: bool) -> Result<Paused, Problem> {
        let state = if pause { State::Paused } else { State::Enabled };
        let connection = self.with_state(id, state).await?;
        self.look_after(&connection).await?;
        let started = if pause { vec![] } else { self.replays.start_for_connection(&connection).await? };
        Ok(Paused {
            provider: connection.provider,
            connection: Some(connection.id),
            state: state.name(),
            since: None,
            replays: started.into_iter().map(|replay| replay.id).collect(),
        })
    }

    async fn with_state(&self, id: &str, state: State) -> Result<Connection, Problem> {
        let connection = self.configuration.set_paused(id, state).await?;
        if connection.state == State::Disabled {
            let detail =
                format!("The connection `{id}` is disabled, which holds its events too. Enable it instead.");
            return Err(Problem::new(409, "disabled", "The connection is disabled", detail));
        }
        Ok(connection)
    }

    async fn pause_provider(&self, provider: &str, pause: bool) -> Result<Paused, Problem> {
        let connections = self.replays.connections();
        let mut since = None;
        let mut started = None;
        if pause {
            let before = connections.paused_since(provider).await?;
            let at = before.unwrap_or_else(|| self.clock.now().as_millisecond());
            connections.pause(provider, Some(at)).await?;
            since = Some(rfc3339(at));
        } else {
            connections.pause(provider, None).await?;
            started = Some(self.replays.start_for_provider(provider).await?);
        }
        Ok(Paused {
            provider: provider.to_owned(),
            connection: None,
            state: if pause { State::Paused.name() } else { State::Enabled.name() },
            since,
            replays: started.into_iter().map(|replay| replay.id).collect(),
        })
    }
}
