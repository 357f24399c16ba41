//! Tokens of connections: how they stand, and having them refreshed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tillwatch_domain::Connection;
use tillwatch_domain::health::{Trouble, Verdict};
use tillwatch_domain::token::Failure;
use tillwatch_platform::watched::{Kept, NEVER_MS};
use tillwatch_providers::{ALL, tokens};
use utoipa::ToSchema;

use super::operators::Who;
use super::watch::OLDEST;
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, body, clipped, json, known, only, rfc3339};
use crate::tokens::{TokenStanding, TokensError};
use crate::watch::Row;

/// The state of a token that nobody refreshes.
const BY_HAND: &str = "static";

/// How a connection's token stands.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenView {
    /// The connection.
    pub connection: String,
    /// The provider's name.
    pub provider: String,
    /// The business.
    pub business: String,
    /// The location; null, if it is the whole business's.
    pub location: Option<String>,
    /// `active`, `failing` (tried again), `refused` or `ambiguous` (a person must sign in anew), or `static`: nobody refreshes
    /// it.
    pub state: &'static str,
    /// Whether only a person can mend it.
    pub needs_a_person: bool,
    /// When it ends; null: never, or it is not told.
    pub expires_at: Option<String>,
    /// When what it is refreshed with ends; null: never, or it is not told.
    pub refresh_expires_at: Option<String>,
    /// When it was refreshed here last.
    pub refreshed_at: Option<String>,
    /// When it is refreshed, or looked at, next; null: not by itself.
    pub next_at: Option<String>,
    /// What failed last, since the last success: `refused`, `ours`, `unavailable`, `lost`, `not_made`.
    pub failure: Option<&'static str>,
    /// How often on end; of one that nobody refreshes, how many of the remembered checks failed.
    pub failures: u32,
    /// When it was tried last.
    pub tried_at: Option<String>,
    /// The provider's own word for what failed.
    pub code: Option<String>,
    /// Why it can't be refreshed, and what to do.
    pub advice: Option<String>,
}

/// Tokens, those that need somebody first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenPage {
    /// The tokens.
    pub tokens: Vec<TokenView>,
    /// How many there are in all that were asked for.
    pub total: usize,
}

/// Whose tokens are to be refreshed: exactly one of these.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RefreshRequest {
    /// Of these connections.
    connections: Vec<String>,
    /// Of all connections of this business.
    business: Option<String>,
    /// Of all connections to this provider.
    provider: Option<String>,
    /// Of all.
    all: bool,
}

/// How many are refreshed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefreshesAsked {
    /// Connections whose tokens are refreshed from now on.
    pub connections: usize,
    /// Tokens with a `tried_at` from then on are done.
    pub asked_at: String,
}

impl From<TokensError> for Problem {
    fn from(error: TokensError) -> Self {
        match error {
            TokensError::Unconfigured(error) => error.into(),
            error => Self::ours(&error),
        }
    }
}

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(segments, ["tokens"] | ["tokens", "refresh"] | ["connections", _, "token"])
}

impl Console {
    /// Has what hangs on a connection that was made or changed looked after: its checks, its token, and whether all of its
    /// webhooks come.
    pub(super) async fn look_after(&self, connection: &Connection) -> Result<(), Problem> {
        self.watch.roster.enrol(connection).await?;
        self.tokens.enrol(connection).await?;
        Ok(self.reconciled.enrol(connection).await?)
    }

    pub(super) async fn tokens_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        match segments {
            ["tokens"] => {
                only(request, "GET")?;
                Ok(json(200, &self.token_page(who, query).await?))
            }
            ["tokens", _] => {
                only(request, "POST")?;
                query.only(&[])?;
                Ok(json(202, &self.refresh_tokens(who, &body(request)?).await?))
            }
            ["connections", id, _] => {
                only(request, "GET")?;
                query.only(&[])?;
                let connection = self.connection(who, id).await?;
                let kept = self.tokens.agenda.watched.get::<TokenStanding>(&connection.id).await?;
                let mut view = kept.as_ref().map(TokenView::of);
                if view.as_ref().is_none_or(TokenView::is_by_hand) {
                    let survey = self.watch.roster.surveyed(OLDEST).await?;
                    view = TokenView::told(view, survey.rows.iter().find(|row| row.id == connection.id));
                }
                let none = || {
                    let detail = format!("Nothing is known of a token of `{}`.", clipped(id));
                    Problem::not_found(detail)
                };
                Ok(json(200, &view.ok_or_else(none)?))
            }
            _ => Err(Problem::not_found("No such path.")),
        }
    }

    async fn token_page(&self, who: &Who, query: &Query) -> Result<TokenPage, Problem> {
        query.only(&["provider", "business", "state", "limit"])?;
        let limit = usize::try_from(query.number("limit", 100, 10_000)?).unwrap_or(100);
        let provider = query.get("provider").map(|name| Ok::<_, Problem>(known(name)?.name())).transpose()?;
        let is_asked = |view: &TokenView| {
            who.may_see(&view.business)
                && provider.is_none_or(|provider| view.provider == provider)
                && query.get("business").is_none_or(|business| view.business == business)
                && query.get("state").is_none_or(|state| view.state == state)
        };
        let survey = self.watch.roster.surveyed(OLDEST).await?;
        let standings = self.tokens.agenda.watched.all::<TokenStanding>().await?;
        let mut views: BTreeMap<&str, TokenView> =
            standings.iter().map(|kept| (kept.id.as_str(), TokenView::of(kept))).collect();
        for row in &survey.rows {
            let view = TokenView::told(views.remove(row.id.as_str()), Some(row));
            views.extend(view.map(|view| (row.id.as_str(), view)));
        }
        let mut tokens: Vec<TokenView> = views.into_values().filter(is_asked).collect();
        tokens.sort_by(|one, other| {
            let place = |view: &TokenView| {
                (std::cmp::Reverse(view.needs_a_person), view.state != "failing", view.expires_at.is_none())
            };
            (place(one), &one.expires_at, &one.connection).cmp(&(
                place(other),
                &other.expires_at,
                &other.connection,
            ))
        });
        let total = tokens.len();
        tokens.truncate(limit);
        Ok(TokenPage { tokens, total })
    }

    async fn refresh_tokens(&self, who: &Who, asked: &RefreshRequest) -> Result<RefreshesAsked, Problem> {
        let RefreshRequest { connections, business, provider, all } = asked;
        let said = [!connections.is_empty(), business.is_some(), provider.is_some(), *all];
        if said.into_iter().filter(|said| *said).count() != 1 {
            let detail = "Say one of `connections`, `business`, `provider` and `all`.";
            return Err(Problem::new(422, "refused", "That can't be refreshed", detail));
        }
        let provider = provider.as_deref().map(refreshed).transpose()?;
        let mut wanted: Vec<(String, String)> = Vec::new();
        for id in connections {
            let connection = self.connection(who, id).await?;
            wanted.push((connection.provider, connection.id));
        }
        if connections.is_empty() {
            let is_asked = |kept: &Kept<TokenStanding>| {
                who.may_see(&kept.document.business)
                    && kept.document.refreshed_here
                    && provider.is_none_or(|provider| kept.provider == provider)
                    && business.as_ref().is_none_or(|business| kept.document.business == *business)
            };
            let standings = self.tokens.agenda.watched.all::<TokenStanding>().await?;
            wanted.extend(standings.into_iter().filter(is_asked).map(|kept| (kept.provider, kept.id)));
        }
        let asked_at = self.clock.now();
        for name in ALL.iter().map(|provider| provider.name()) {
            let ids: Vec<String> =
                wanted.iter().filter(|(provider, _)| provider == name).map(|(_, id)| id.clone()).collect();
            self.tokens.agenda.send(name, &ids).await.map_err(TokensError::from)?;
        }
        Ok(RefreshesAsked { connections: wanted.len(), asked_at: asked_at.to_string() })
    }
}

fn refreshed(name: &str) -> Result<&'static str, Problem> {
    let known = known(name)?.name();
    if tokens::of(known).is_none() {
        let detail = format!("Tokens of {known} are made by hand, and nobody refreshes them.");
        return Err(Problem::not_found(detail));
    }
    Ok(known)
}

impl TokenView {
    /// Whether nobody refreshes it.
    fn is_by_hand(&self) -> bool {
        self.state == BY_HAND
    }

    /// What there is, with what checks of its connection tell if nobody refreshes it; none, where nothing is known of any.
    fn told(kept: Option<Self>, row: Option<&Row>) -> Option<Self> {
        let Some(row) = row.filter(|_| kept.as_ref().is_none_or(Self::is_by_hand)) else { return kept };
        let is_refused = row.trouble == Some(Trouble::TokenRefused);
        let is_known = row.token_ends_ms.is_some() || is_refused || row.verdict == Verdict::Up;
        let mut view = kept.or_else(|| is_known.then(|| Self::by_hand(row)))?;
        view.expires_at = view.expires_at.or_else(|| row.token_ends_ms.map(rfc3339));
        if is_refused {
            view.needs_a_person = true;
            view.failure = Some(Failure::Refused.name());
            view.failures = row.failed;
            view.tried_at = row.checked_ms.map(rfc3339);
            view.code.clone_from(&row.code);
            view.advice = Some(Trouble::TokenRefused.remedy().to_owned());
        }
        Some(view)
    }

    fn by_hand(row: &Row) -> Self {
        Self {
            connection: row.id.clone(),
            provider: row.provider.clone(),
            business: row.business.clone(),
            location: row.location.clone(),
            state: BY_HAND,
            ..Self::default()
        }
    }

    fn of(kept: &Kept<TokenStanding>) -> Self {
        let Kept { id, provider, document, due_ms, .. } = kept;
        Self {
            connection: id.clone(),
            provider: provider.clone(),
            business: document.business.clone(),
            location: document.location.clone(),
            state: if document.refreshed_here { document.standing.name() } else { BY_HAND },
            needs_a_person: document.refreshed_here && document.standing.needs_a_person(),
            expires_at: document.expires_ms.map(rfc3339),
            refresh_expires_at: document.refresh_expires_ms.map(rfc3339),
            refreshed_at: document.refreshed_ms.map(rfc3339),
            next_at: (*due_ms != NEVER_MS).then(|| rfc3339(*due_ms)),
            failure: document.failure.map(Failure::name),
            failures: document.failures,
            tried_at: document.tried_ms.map(rfc3339),
            code: document.code.clone(),
            advice: document.advice.clone(),
        }
    }
}
