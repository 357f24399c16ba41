//! Links by which somebody signs in anew: made and taken back, by operators and by a business for its own connections.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operators::{Operators, Who};
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, body, json};
use crate::reconnect::{LONGEST, USUAL};

/// How a link is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LinkRequest {
    /// For how many hours it holds: 24 unless told, 168 at most.
    #[schema(minimum = 1, maximum = 168)]
    hours: Option<u64>,
}

/// A new link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkMade {
    /// The link, told this once. Whoever has it can sign in for the connection, with its own account.
    pub url: String,
    /// Until when it holds.
    pub expires_at: String,
}

/// What became of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkRevoked {
    /// Whether there was one that held.
    pub revoked: bool,
}

const HOUR: Duration = Duration::from_hours(1);

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(segments, ["connections", _, "reconnect"])
}

impl Console {
    pub(super) async fn reconnect_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        query.only(&[])?;
        if !["POST", "DELETE"].contains(&request.method.as_str()) {
            let detail = "This path takes POST and DELETE only.";
            let mut problem = Problem::new(405, "method-not-allowed", "The method is not taken here", detail);
            problem.allow = Some("POST, DELETE");
            return Err(problem);
        }
        let id = segments.get(1).copied().unwrap_or_default();
        let connection = self.connection(who, id).await?;
        let by = Operators::by(who, request.authorization.as_deref());
        if request.method == "DELETE" {
            let revoked = self.reconnect.revoke(&connection, &by).await?;
            return Ok(json(200, &LinkRevoked { revoked }));
        }
        let LinkRequest { hours } = body(request)?;
        let lives =
            hours.map_or(USUAL, |hours| HOUR.saturating_mul(u32::try_from(hours).unwrap_or(u32::MAX)));
        if lives < HOUR || lives > LONGEST {
            let detail = "`hours` is a whole number from 1 to 168.";
            return Err(Problem::new(422, "refused", "There is no link for that", detail));
        }
        let asked_at = request.public_url.as_deref();
        let made = self.reconnect.make(&connection, by, asked_at, lives).await?;
        Ok(json(201, &LinkMade { url: made.url, expires_at: made.until.to_string() }))
    }
}
