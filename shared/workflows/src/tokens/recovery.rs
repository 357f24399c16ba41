//! Tokens that a provider gave and that the table did not take: kept on the queue, sealed, until it does.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tillwatch_domain::Connection;
use tillwatch_domain::token::Token;
use tillwatch_platform::connections::Kind;
use tillwatch_platform::queue::Outgoing;

use super::{Refresher, TokensError};
use crate::agenda::AgendaError;
use crate::configuration::{OpenedTokens, Unconfigured};

/// Tokens that are still to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// Whose.
    pub recover: String,
    /// Sealed as the connection's tokens are.
    sealed: String,
    /// How their refreshing stands with them.
    state: Token,
    /// Who had the lease.
    owner: String,
    /// Whether somebody signed in anew, so that nothing of the old ones stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    signed_in: bool,
}

impl Recovery {
    /// What a message says; none, if it is something else.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Refresher {
    /// Puts tokens that can't be written now on the queue.
    pub(super) async fn keep_for_later(
        &self,
        id: &str,
        tokens: &OpenedTokens,
        (owner, signed_in): (&str, bool),
    ) -> Result<(), TokensError> {
        let recovery = Recovery {
            recover: id.to_owned(),
            sealed: self.configuration.seal_tokens(id, tokens, self.clock.now()).await?,
            state: tokens.state.clone().unwrap_or_default(),
            owner: owner.to_owned(),
            signed_in,
        };
        let body = serde_json::to_string(&recovery).unwrap_or_default();
        let message = Outgoing { body, group: "recovery".to_owned(), delay: Duration::ZERO };
        Ok(self.roster.agenda.jobs.send(message).await.map_err(AgendaError::from)?)
    }

    /// Writes what was kept for later, unless somebody else has written the connection's tokens since.
    pub async fn recover(&self, recovery: &Recovery) -> Result<(), TokensError> {
        let (id, now) = (&recovery.recover, self.clock.now());
        let mut tokens = self.configuration.tokens(id, now).await?;
        let is_ours = tokens.state.as_ref().is_some_and(|state| state.awaits(&recovery.owner));
        if !is_ours {
            tracing::info!(connection = id, "tokens that were kept for later were kept already, or replaced");
            return Ok(());
        }
        let kept = self.configuration.open_tokens(id, &recovery.sealed, now).await?;
        if recovery.signed_in {
            tokens.sign_in(kept.refreshed());
        } else {
            tokens.refresh(kept.refreshed());
        }
        tokens.state = Some(recovery.state.clone());
        match self.configuration.put_tokens(id, &tokens, now).await {
            Ok(_) => {
                tracing::warn!(connection = id, "tokens that could not be kept at once are kept now");
                self.look_again(id).await
            }
            // Somebody was faster: it is looked at again.
            Err(Unconfigured::Contended) => Err(TokensError::Contended(id.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the connection's token looked at, so that what everyone sees is brought up.
    async fn look_again(&self, id: &str) -> Result<(), TokensError> {
        let connection = self.configuration.connections.document::<Connection>(Kind::Connection, id).await?;
        let Some(connection) = connection.map(|stored| stored.document) else { return Ok(()) };
        let due_ms = self.clock.now().as_millisecond() + 1;
        self.roster.note(&connection, due_ms, |_| {}).await
    }
}
