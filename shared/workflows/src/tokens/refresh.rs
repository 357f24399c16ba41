//! One refresh, from its job to the new tokens.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use tillwatch_domain::Connection;
use tillwatch_domain::health::Trouble;
use tillwatch_domain::token::{Failure, Grant, NotNow, Outcome, Standing, Token};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::entropy;
use tillwatch_platform::metrics::Metric;
use tillwatch_platform::outbound::OutboundError;
use tillwatch_platform::watched::{NEVER_MS, spread};
use tillwatch_providers::call::{Call, Response};
use tillwatch_providers::checks::Subject;
use tillwatch_providers::tokens::{self, Answered, Fresh, Refresh};

use super::{Refresher, TokenStanding, TokensError, standing};
use crate::agenda::{Why, is_due, millis};
use crate::configuration::{ACCESS, OpenedTokens, REFRESH, Tokens, Unconfigured};
use crate::credentials::{ask, own};
use crate::watch::probe::Called;
use crate::watch::{Doing, ToldOfToken};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// There is a new token.
    Done,
    /// There is none, and it is tried again.
    Failed(Failure),
    /// It is not due, or another worker is at it.
    NotNow,
    /// Only a person can mend it.
    NeedsAPerson,
    /// Nobody refreshes it: it has no end, or is made by hand.
    NotHere,
    /// There is no such connection.
    Gone,
}

impl Refreshed {
    /// The metrics' outcome.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Done => "refreshed",
            Self::NeedsAPerson => "needs_a_person",
            Self::Failed(_) | Self::NotNow | Self::NotHere | Self::Gone => "failed",
        }
    }
}

/// What can't be refreshed because a setting is missing is looked at so often; sooner, when it changes.
const UNSET: Duration = Duration::from_hours(1);
/// What nobody here refreshes, or only a person can mend, is looked at so often: it may have been given what it takes.
const BY_HAND: Duration = Duration::from_hours(24);
/// How often new tokens are tried to be kept before they go on the queue, and how long is waited in between. All of it ends
/// before the lease does.
const ATTEMPTS: u32 = 4;
const BETWEEN: Duration = Duration::from_secs(1);
/// How long what was asked is kept.
const LOGGED: Duration = Duration::from_hours(14 * 24);

/// What came of a call, to be kept.
#[derive(Clone, Copy)]
pub(super) struct Come<'a> {
    /// The new tokens; none, if none came.
    pub(super) fresh: &'a Tokens,
    /// How their refreshing stands.
    pub(super) state: &'a Token,
    /// Whether somebody signed in anew, so that nothing of the old ones stays.
    pub(super) signed_in: bool,
}

impl Refresher {
    /// Refreshes a connection's token, if that is due or asked for.
    pub async fn refresh(&self, id: &str, why: Why, asked_ms: Option<i64>) -> Result<Refreshed, TokensError> {
        let connection = self.configuration.connections.document::<Connection>(Kind::Connection, id).await?;
        let Some(connection) = connection.map(|stored| stored.document) else {
            self.roster.agenda.watched.delete(id).await?;
            return Ok(Refreshed::Gone);
        };
        let module = tokens::of(&connection.provider).filter(|_| standing::is_kept_alive(&connection));
        let Some(module) = module else {
            self.roster.note(&connection, NEVER_MS, |_| {}).await?;
            return Ok(Refreshed::NotHere);
        };
        let now = self.clock.now();
        let doing = self.doing(id).await?;
        let shared = self.credentials.shared(&connection.provider, now).await?;
        let mut kept = match self.configuration.tokens(id, now).await {
            Ok(kept) => kept,
            Err(error) => return self.not_here(&connection, &doing, UNSET, Some(error.unopenable()?)).await,
        };
        let own = own(&connection, &kept.tokens);
        let of = Subject { own: &own, shared: &shared };
        let Refresh { grant, call } = match module.refresh(&of) {
            Ok(Some(refresh)) => refresh,
            Ok(None) => return self.not_here(&connection, &doing, BY_HAND, None).await,
            Err(unset) => return self.not_here(&connection, &doing, UNSET, Some(unset.to_string())).await,
        };

        if doing.token.is_some_and(|told| is_endless(told, kept.state.as_ref())) {
            return self.not_here(&connection, &doing, BY_HAND, None).await;
        }
        let is_first = kept.state.is_none();
        let mut state = kept.state.clone().unwrap_or_else(|| first_seen(&doing, now));
        let was_ahead = state.put_back(now.as_millisecond());
        let is_new = kept.state.as_ref() != Some(&state);
        if state.is_short_of(&grant) {
            let advice = "the application's `client_secret` is missing, with which the token was had: put it back under `api` in \
                          the provider's secret";
            return self.not_here(&connection, &doing, UNSET, Some(advice.to_owned())).await;
        }
        let mut due_ms = state.due_ms(&grant, spread(id));
        if was_ahead || (is_first && state.expires_ms.is_none()) {
            // Nobody knows when it ends: a refresh tells.
            due_ms = now.as_millisecond();
        }
        if why == Why::Due && !is_due(due_ms, now) {
            if is_new {
                // From now on it is known when it was seen, and what a false clock said is gone.
                kept.state = Some(state.clone());
                self.put(id, &kept).await?;
            }
            return self.noted(&connection, &state, due_ms, Refreshed::NotNow).await;
        }
        if let Some(asked_ms) = asked_ms {
            let standing = self.roster.agenda.watched.get::<TokenStanding>(id).await?;
            if standing.is_some_and(|standing| standing.document.tried_ms > Some(asked_ms)) {
                return Ok(Refreshed::NotNow);
            }
        }
        let owner = hex::encode(entropy::bytes::<8>());
        let begun = state.begin(&owner, &grant, why == Why::ByHand, now.as_millisecond());
        let was_seen = kept.state.as_ref() == Some(&state);
        kept.state = Some(state.clone());
        if let Err(not_now) = begun {
            // A lease that ran out has been noted.
            if !was_seen {
                if self.put(id, &kept).await?.is_none() {
                    return Err(TokensError::Contended(id.to_owned()));
                }
                if state.standing == Standing::Ambiguous {
                    self.told_lost(&connection, &state);
                }
            }
            let (due_ms, what) = match not_now {
                NotNow::Busy(until_ms) => (until_ms, Refreshed::NotNow),
                NotNow::TooSoon(at_ms) => (at_ms, Refreshed::NotNow),
                NotNow::NeedsAPerson => (millis(now, BY_HAND), Refreshed::NeedsAPerson),
            };
            return self.noted(&connection, &state, due_ms, what).await;
        }
        let leased = self.leased(id, &kept, &owner).await?;

        let asked = self.clock.now();
        let answer = ask(&self.outbound, &connection.provider, &call).await;
        let answered = match &answer {
            Ok(response) => module.answered(&of, response, self.clock.now()),
            Err(error) => Answered::Failed { failure: unanswered(error), code: None, retry_after: None },
        };
        let called = called(&call, answer.as_ref(), &answered, self.clock.now().duration_since(asked));
        Box::pin(self.ended(&connection, &grant, &leased, (answered, called), &owner)).await
    }

    /// Keeps what came of the call.
    async fn ended(
        &self,
        connection: &Connection,
        grant: &Grant,
        leased: &OpenedTokens,
        (answered, called): (Answered, Called),
        owner: &str,
    ) -> Result<Refreshed, TokensError> {
        let (id, now) = (connection.id.as_str(), self.clock.now());
        let mut fresh_tokens = Tokens::new();
        let mut state = leased.state.clone().unwrap_or_default();
        let jitter = u32::from_le_bytes(entropy::bytes());
        let outcome = match answered {
            Answered::Refreshed(fresh) => {
                let Fresh { lives, refresh_lives, .. } = fresh;
                fresh_tokens = named(fresh);
                Outcome::Refreshed { lives, refresh_lives }
            }
            Answered::Failed { failure, retry_after, .. } => Outcome::Failed { failure, retry_after },
        };
        state.end(outcome, grant, jitter, now.as_millisecond());
        let what = match outcome {
            Outcome::Refreshed { .. } => Refreshed::Done,
            Outcome::Failed { .. } if state.standing.needs_a_person() => Refreshed::NeedsAPerson,
            Outcome::Failed { failure, .. } => Refreshed::Failed(failure),
        };
        let given = Come { fresh: &fresh_tokens, state: &state, signed_in: false };
        if !self.kept(id, leased, given, owner).await? {
            // Somebody has given it other tokens meanwhile: of those this says nothing.
            return Ok(Refreshed::NotNow);
        }
        self.tell(connection, &state, what, &called).await?;
        let due_ms = if state.standing.needs_a_person() {
            millis(now, BY_HAND)
        } else {
            state.due_ms(grant, spread(id))
        };
        let (tried_ms, code) = (now.as_millisecond(), called.code);
        let change = |standing: &mut TokenStanding| {
            standing.take(&state);
            standing.tried_ms = Some(tried_ms);
            standing.advice = None;
            if what == Refreshed::Done {
                standing.refreshed_ms = Some(tried_ms);
            } else {
                standing.code.clone_from(&code);
            }
        };
        self.roster.note(connection, due_ms, change).await?;
        Ok(what)
    }

    /// Takes the lease. An answer that was lost is asked for again: whoever has the lease must make the call.
    pub(super) async fn leased(
        &self,
        id: &str,
        new: &OpenedTokens,
        owner: &str,
    ) -> Result<OpenedTokens, TokensError> {
        let error = match self.configuration.put_tokens(id, new, self.clock.now()).await {
            Ok(leased) => return Ok(leased),
            Err(error) => error,
        };
        let present = self.configuration.tokens(id, self.clock.now()).await?;
        if present.state.as_ref().is_some_and(|state| state.is_leased_by(owner)) {
            return Ok(present);
        }
        match error {
            Unconfigured::Contended => Err(TokensError::Contended(id.to_owned())),
            error => Err(error.into()),
        }
    }

    /// Writes what came of it, over and over within the lease. New tokens go on the queue when the first attempt fails, for
    /// nobody else has them. Whether they are kept, or will be; not, if somebody has given it others meanwhile.
    pub(super) async fn kept(
        &self,
        id: &str,
        leased: &OpenedTokens,
        Come { fresh, state, signed_in }: Come<'_>,
        owner: &str,
    ) -> Result<bool, TokensError> {
        let merged = |mut present: OpenedTokens| {
            if signed_in {
                present.sign_in(fresh.clone());
            } else {
                present.refresh(fresh.clone());
            }
            present.state = Some(state.clone());
            present
        };
        let mut over = merged(leased.clone());
        let (mut is_on_the_queue, mut last) = (false, TokensError::Contended(id.to_owned()));
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            let Err(failed) = self.configuration.put_tokens(id, &over, self.clock.now()).await else {
                return Ok(true);
            };
            if matches!(failed, Unconfigured::Contended) {
                // Sealed anew, or the answer to an earlier attempt was lost; or somebody has given it others.
                let Ok(present) = self.configuration.tokens(id, self.clock.now()).await else { continue };
                if present.state.as_ref() == Some(state) && !is_other(&present, &over) {
                    return Ok(true);
                }
                let is_awaited = present.state.as_ref().is_some_and(|state| state.awaits(owner));
                if !is_awaited || used(&present) != used(leased) {
                    tracing::warn!(connection = id, "it was given other tokens while its own were refreshed");
                    return Ok(false);
                }
                over = merged(present);
                continue;
            }
            tracing::error!(connection = id, error = %failed, "what came of a refresh could not be kept yet");
            last = failed.into();
            if !fresh.is_empty() && !is_on_the_queue {
                match self.keep_for_later(id, &over, (owner, signed_in)).await {
                    Ok(()) => is_on_the_queue = true,
                    Err(error) => tracing::error!(connection = id, %error, "nor put on the queue"),
                }
            }
        }
        if is_on_the_queue {
            tracing::error!(connection = id, "new tokens could not be kept and are on the queue, sealed");
            return Ok(true);
        }
        Err(last)
    }

    async fn put(&self, id: &str, tokens: &OpenedTokens) -> Result<Option<OpenedTokens>, TokensError> {
        match self.configuration.put_tokens(id, tokens, self.clock.now()).await {
            Ok(kept) => Ok(Some(kept)),
            Err(Unconfigured::Contended) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that what came of a call is not known, and that a person is needed.
    fn told_lost(&self, connection: &Connection, state: &Token) {
        let Connection { id, provider, business, .. } = connection;
        let what = Refreshed::NeedsAPerson;
        self.metrics.emit(self.clock.now(), provider, what.outcome(), &[(Metric::Refreshes, vec![1])]);
        let standing = state.standing.name();
        tracing::error!(
            connection = id,
            provider,
            business,
            standing,
            "who refreshed a token has ended, and it is not known whether it was used"
        );
    }

    /// How the connection does, as its checks found it.
    pub(super) async fn doing(&self, id: &str) -> Result<Doing, TokensError> {
        Ok(self.doing.get_or_new::<Doing>(id).await?.map(|kept| kept.document).unwrap_or_default())
    }

    async fn noted(
        &self,
        connection: &Connection,
        state: &Token,
        due_ms: i64,
        what: Refreshed,
    ) -> Result<Refreshed, TokensError> {
        let change = |standing: &mut TokenStanding| {
            standing.take(state);
            standing.advice = None;
        };
        self.roster.note(connection, due_ms, change).await?;
        Ok(what)
    }

    /// Notes that nobody refreshes it, or why it can't be.
    async fn not_here(
        &self,
        connection: &Connection,
        doing: &Doing,
        every: Duration,
        advice: Option<String>,
    ) -> Result<Refreshed, TokensError> {
        let change = |standing: &mut TokenStanding| {
            standing.refreshed_here = advice.is_some();
            standing.standing = Standing::Active;
            standing.expires_ms = doing.token_ends_ms();
            standing.advice.clone_from(&advice);
        };
        self.roster.note(connection, millis(self.clock.now(), every), change).await?;
        Ok(Refreshed::NotHere)
    }

    /// Says what came of it: in the log, the metrics and among the connection's calls.
    async fn tell(
        &self,
        connection: &Connection,
        state: &Token,
        what: Refreshed,
        called: &Called,
    ) -> Result<(), TokensError> {
        let Connection { id, provider, .. } = connection;
        let now = self.clock.now();
        self.metrics.emit(now, provider, what.outcome(), &[(Metric::Refreshes, vec![1])]);
        let expires = state.expires_ms.and_then(|ends| Timestamp::from_millisecond(ends).ok());
        let failure = state.failure.map(Failure::name);
        let business = &connection.business;
        if what == Refreshed::Done {
            let expires = expires.map(tracing::field::display);
            tracing::info!(connection = id, provider, business, expires, "a token was refreshed");
        } else {
            let (failures, code, standing) = (state.failures, &called.code, state.standing.name());
            tracing::error!(
                connection = id,
                provider,
                business,
                failure,
                failures,
                code,
                standing,
                "a token could not be refreshed"
            );
        }
        let watched = &self.roster.agenda.watched;
        Ok(watched.log(id, now.as_millisecond(), &[called], LOGGED).await?)
    }

    /// Keeps a call among those of a connection, if that can be.
    pub(super) async fn log(&self, id: &str, called: &Called) {
        let at_ms = self.clock.now().as_millisecond();
        if let Err(error) = self.roster.agenda.watched.log(id, at_ms, &[called], LOGGED).await {
            tracing::warn!(connection = id, %error, "what was asked could not be kept");
        }
    }
}

/// A call among those of a connection.
pub(super) fn called(
    call: &Call,
    answer: Result<&Response, &OutboundError>,
    answered: &Answered,
    took: SignedDuration,
) -> Called {
    let took = Duration::try_from(took).unwrap_or_default();
    Called {
        endpoint: call.endpoint.to_owned(),
        status: answer.ok().map(|response| response.status),
        took_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
        trouble: trouble_of(answered),
        code: code_of(answered),
        error: answer.err().map(ToString::to_string),
    }
}

/// What it means that there was no answer: whether the call may have been made.
pub(super) fn unanswered(error: &OutboundError) -> Failure {
    match error {
        OutboundError::BadUrl
        | OutboundError::Plain(_)
        | OutboundError::NotPublic(_)
        | OutboundError::NotFound(_)
        | OutboundError::NobodyListens(_)
        | OutboundError::Certificate(_)
        | OutboundError::Unreachable(_)
        | OutboundError::Meddled(_)
        | OutboundError::Unsendable(_)
        | OutboundError::NoClient(_) => Failure::NotMade,
        OutboundError::Redirects(..) => Failure::Ours,
        OutboundError::TimedOut(_) | OutboundError::TooLarge(_) | OutboundError::Broken(_) => Failure::Lost,
    }
}

fn code_of(answered: &Answered) -> Option<String> {
    match answered {
        Answered::Refreshed(_) => None,
        Answered::Failed { code, .. } => code.clone(),
    }
}

/// New tokens under the names that connections have them by.
pub(super) fn named(fresh: Fresh) -> Tokens {
    let access = (ACCESS.to_owned(), fresh.access_token);
    let refresh = fresh.refresh_token.map(|token| (REFRESH.to_owned(), token));
    [access].into_iter().chain(refresh).collect()
}

/// Whether the two differ in what is refreshed.
fn is_other(one: &OpenedTokens, other: &OpenedTokens) -> bool {
    let (one, other) = (one.refreshed(), other.refreshed());
    one.len() != other.len()
        || one.iter().any(|(name, token)| {
            other.get(name).is_none_or(|other| other.expose_secret() != token.expose_secret())
        })
}

/// What a refresh uses of them: new tokens that it gave are good as long as that is still the connection's, whatever else
/// somebody has given it meanwhile.
fn used(tokens: &OpenedTokens) -> Option<&str> {
    let token = tokens.tokens.get(REFRESH).or_else(|| tokens.tokens.get(ACCESS));
    token.map(secrecy::ExposeSecret::expose_secret)
}

/// A token of which nothing is known but what a check was told.
pub(super) fn first_seen(doing: &Doing, now: Timestamp) -> Token {
    let mut state = Token::obtained(now.as_millisecond(), None, None);
    state.expires_ms = doing.token.and_then(|told| told.expires_ms);
    state
}

/// Whether a check was told that the token never ends, since it was had.
fn is_endless(told: ToldOfToken, state: Option<&Token>) -> bool {
    told.never_expires && state.is_none_or(|state| state.obtained_ms <= told.at_ms)
}

/// What a failure is called among the calls of a connection.
fn trouble_of(answered: &Answered) -> Option<Trouble> {
    match answered {
        Answered::Refreshed(_) => None,
        Answered::Failed { failure, .. } => Some(match failure {
            Failure::Refused => Trouble::TokenRefused,
            Failure::Ours => Trouble::Refused,
            Failure::Unavailable => Trouble::ProviderError,
            Failure::Lost => Trouble::TimedOut,
            Failure::NotMade => Trouble::Unreachable,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(tokens: &[(&str, &str)]) -> OpenedTokens {
        let mut opened = OpenedTokens::default();
        for (name, token) in tokens {
            opened.tokens.insert((*name).to_owned(), (*token).to_owned().into());
        }
        opened
    }

    #[test]
    fn what_a_refresh_used_is_the_refresh_token_or_else_the_access_token() {
        let leased = opened(&[(ACCESS, "a0"), (REFRESH, "r0")]);
        assert_eq!(used(&opened(&[(ACCESS, "a9"), (REFRESH, "r0")])), used(&leased));
        for other in [&[(ACCESS, "a0"), (REFRESH, "r9")][..], &[(ACCESS, "a0")], &[]] {
            assert_ne!(used(&opened(other)), used(&leased), "{other:?}");
        }
        assert_ne!(used(&opened(&[(ACCESS, "a9")])), used(&opened(&[(ACCESS, "a0")])));
    }

    #[test]
    fn what_is_told_to_never_end_is_refreshed_by_nobody_until_there_is_another() {
        let told = ToldOfToken { at_ms: 1_000, expires_ms: None, never_expires: true };
        let had = |at_ms| Token::obtained(at_ms, None, None);
        assert!(is_endless(told, None) && is_endless(told, Some(&had(1_000))));
        assert!(!is_endless(told, Some(&had(1_001))), "that was told of the one before");
        assert!(!is_endless(ToldOfToken { never_expires: false, ..told }, None));
    }

    #[test]
    fn a_call_that_was_not_made_is_told_from_one_that_may_have_been() {
        let host = || "api.example.com".to_owned();
        assert_eq!(unanswered(&OutboundError::NobodyListens(host())), Failure::NotMade);
        assert_eq!(unanswered(&OutboundError::TimedOut(host())), Failure::Lost);
        assert_eq!(unanswered(&OutboundError::Broken(host())), Failure::Lost);
    }
}
