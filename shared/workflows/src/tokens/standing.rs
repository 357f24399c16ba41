//! How a connection's token stands, as everyone may see it: without the token.

use serde::{Deserialize, Serialize};
use tillwatch_domain::token::{Failure, Standing, Token};
use tillwatch_domain::{Connection, State};

/// How a token stands. Times are Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStanding {
    /// The business of the connection.
    pub business: String,
    /// Its location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether it is refreshed here.
    #[serde(default)]
    pub refreshed_here: bool,
    /// How it stands.
    #[serde(default)]
    pub standing: Standing,
    /// When it was had, or seen first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obtained_ms: Option<i64>,
    /// When it was refreshed here last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_ms: Option<i64>,
    /// When it ends; none: never, or it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// When what it is refreshed with ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expires_ms: Option<i64>,
    /// What failed last, since the last success, how often, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How often on end.
    #[serde(default)]
    pub failures: u32,
    /// When it was tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_ms: Option<i64>,
    /// The provider's own word for what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it can't be tried, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl TokenStanding {
    /// Takes over what is said of the connection.
    pub fn describe(&mut self, connection: &Connection) {
        self.business.clone_from(&connection.business);
        self.location.clone_from(&connection.location);
    }

    /// Whether it could not be refreshed because the provider refuses our application: it says so in OAuth's own words, or
    /// Square's.
    pub fn is_application_refused(&self) -> bool {
        let says_so = matches!(
            self.code.as_deref(),
            Some("invalid_client" | "unauthorized_client" | "service.not_authorized")
        );
        self.failure == Some(Failure::Ours) && says_so
    }

    /// Takes over how its refreshing stands.
    pub fn take(&mut self, state: &Token) {
        self.refreshed_here = true;
        self.standing = state.standing;
        self.obtained_ms = Some(state.obtained_ms);
        self.expires_ms = state.expires_ms;
        self.refresh_expires_ms = state.refresh_expires_ms;
        (self.failure, self.failures) = (state.failure, state.failures);
        if state.failure.is_none() {
            self.code = None;
        }
    }
}

/// Whether tokens of connections in that state are refreshed: of what is paused they are, or it would come back to nothing.
pub(super) fn is_kept_alive(connection: &Connection) -> bool {
    connection.state != State::Disabled
}
