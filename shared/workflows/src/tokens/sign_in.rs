//! Somebody signed in anew: the code that came back is exchanged once, and the tokens take the place of those there were.
//!
//! The lease is the refreshes' own, so that none is under way at the same time, and what is given is kept as theirs is. One
//! that ends on its way leaves the old tokens as good as they were: nothing of them is used.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use tillwatch_domain::Connection;
use tillwatch_domain::token::{Failure, Grant, Token};
use tillwatch_platform::entropy;
use tillwatch_providers::call::{Response, Words};
use tillwatch_providers::checks::Subject;
use tillwatch_providers::oauth::{Given, SignIn, Whose};
use tillwatch_providers::tokens::{self, Answered, Fresh};

use super::refresh::{Come, called, first_seen, named, unanswered};
use super::{Refresher, TokenStanding, TokensError};
use crate::agenda::millis;
use crate::configuration::{ACCESS, OpenedTokens, REFRESH, Tokens, Unconfigured};
use crate::credentials::{ask, own};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedIn {
    /// The connection has new tokens.
    Done {
        /// The first digits of the access token's digest, by which it is known in the log.
        fingerprint: String,
    },
    /// Somebody signed in with another account than the connection's. Nothing was kept.
    Others,
    /// The tokens may not do what the connection needs. Nothing was kept.
    Barred,
    /// Whose tokens they are could not be found out, so nothing was kept.
    Untold,
    /// The provider did not give any.
    Failed {
        /// Of what kind the failure is.
        failure: Failure,
        /// The provider's own word for it.
        code: Option<String>,
    },
    /// Its tokens are being refreshed at this moment, or somebody else signs in.
    Busy,
    /// Somebody has given it other tokens meanwhile.
    Overtaken,
    /// A setting is missing.
    Unset(String),
}

/// How long is waited for a refresh that is under way. An answer must be there within fifteen seconds.
const PATIENCE: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(100);
/// What is taken for what a provider lets be done with refresh tokens where that can't be said.
const CAUTIOUS: Grant = Grant { every: None, single_use: true, may_repeat: false };

/// The first digits of a digest: enough to tell tokens apart, and of no use.
pub(crate) fn fingerprint(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..4])
}

/// What a provider lets be done with this connection's refresh tokens, as far as that can be said.
fn grant(provider: &str, of: &Subject<'_>) -> Grant {
    let refresh = tokens::of(provider).and_then(|module| module.refresh(of).ok().flatten());
    refresh.map_or(CAUTIOUS, |refresh| refresh.grant)
}

/// A connection's settings with the new tokens among them.
fn with_fresh(connection: &Connection, leased: &OpenedTokens, fresh: &Fresh) -> Words {
    let mut words = own(connection, &leased.tokens);
    words.put(ACCESS, fresh.access_token.expose_secret());
    if let Some(token) = &fresh.refresh_token {
        words.put(REFRESH, token.expose_secret());
    }
    words
}

impl Refresher {
    /// Exchanges what came back from the provider's page for tokens, and keeps them if they are the connection's account's.
    pub async fn sign_in(
        &self,
        connection: &Connection,
        module: &dyn SignIn,
        given: &Given<'_>,
    ) -> Result<SignedIn, TokensError> {
        let (id, provider) = (connection.id.as_str(), connection.provider.as_str());
        let shared = self.credentials.shared(provider, self.clock.now()).await?;
        let owner = hex::encode(entropy::bytes::<8>());
        let Some((leased, before)) = self.leased_to_sign_in(connection, &owner).await? else {
            return Ok(SignedIn::Busy);
        };
        let own_before = own(connection, &leased.tokens);
        let of = Subject { own: &own_before, shared: &shared };
        let call = match module.exchange(&of, given) {
            Ok(call) => call,
            Err(unset) => {
                self.give_back(id, leased, before).await;
                return Ok(SignedIn::Unset(unset.to_string()));
            }
        };
        let asked = self.clock.now();
        let answer = ask(&self.outbound, provider, &call).await;
        let answered = match (&answer, tokens::of(provider)) {
            (Ok(response), Some(module)) => module.answered(&of, response, self.clock.now()),
            (Ok(_), None) => Answered::Failed { failure: Failure::Ours, code: None, retry_after: None },
            (Err(error), _) => Answered::Failed { failure: unanswered(error), code: None, retry_after: None },
        };
        let logged = called(&call, answer.as_ref(), &answered, self.clock.now().duration_since(asked));
        self.log(id, &logged).await;
        let (fresh, response) = match (answered, answer) {
            (Answered::Refreshed(fresh), Ok(response)) => (fresh, response),
            (Answered::Failed { failure, code, .. }, _) => {
                self.give_back(id, leased, before).await;
                return Ok(SignedIn::Failed { failure, code });
            }
            (Answered::Refreshed(_), Err(_)) => return Ok(SignedIn::Untold),
        };
        let (lives, refresh_lives) = (fresh.lives, fresh.refresh_lives);
        let whose = self.whose(connection, module, (&leased, &fresh), &response).await?;
        let refused = match whose {
            Whose::Theirs => None,
            Whose::Others => Some(SignedIn::Others),
            Whose::Barred => Some(SignedIn::Barred),
            Whose::Untold => Some(SignedIn::Untold),
        };
        if let Some(refused) = refused {
            self.give_back(id, leased, before).await;
            return Ok(refused);
        }
        let grant =
            grant(provider, &Subject { own: &with_fresh(connection, &leased, &fresh), shared: &shared });
        let state = Token::obtained(self.clock.now().as_millisecond(), lives, refresh_lives).by(&grant);
        self.keep_signed_in(connection, &leased, (fresh, state), &owner).await
    }

    /// Keeps the new tokens, and has them looked at.
    async fn keep_signed_in(
        &self,
        connection: &Connection,
        leased: &OpenedTokens,
        (fresh, state): (Fresh, Token),
        owner: &str,
    ) -> Result<SignedIn, TokensError> {
        let fresh: Tokens = named(fresh);
        let come = Come { fresh: &fresh, state: &state, signed_in: true };
        if !self.kept(&connection.id, leased, come, owner).await? {
            return Ok(SignedIn::Overtaken);
        }
        let access = fresh.get(ACCESS).map(|token| fingerprint(token.expose_secret()));
        let done = SignedIn::Done { fingerprint: access.unwrap_or_default() };
        let change = |standing: &mut TokenStanding| {
            standing.take(&state);
            (standing.code, standing.advice) = (None, None);
        };
        // The look says when it is refreshed next, or that nobody does.
        let soon_ms = millis(self.clock.now(), Duration::from_millis(1));
        if let Err(error) = self.roster.note(connection, soon_ms, change).await {
            // They are kept: the next look brings up what everyone sees.
            tracing::error!(connection = connection.id, %error, "new tokens could not be noted yet");
        }
        Ok(done)
    }

    /// Takes the lease, and says how their refreshing stands without it; none, if another worker keeps having it.
    async fn leased_to_sign_in(
        &self,
        connection: &Connection,
        owner: &str,
    ) -> Result<Option<(OpenedTokens, Option<Token>)>, TokensError> {
        let (id, provider) = (connection.id.as_str(), connection.provider.as_str());
        for attempt in 0..PATIENCE {
            if attempt > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            let now = self.clock.now();
            let mut kept = self.configuration.tokens(id, now).await?;
            let grant = {
                let shared = self.credentials.shared(provider, now).await?;
                let own = own(connection, &kept.tokens);
                grant(provider, &Subject { own: &own, shared: &shared })
            };
            let had_state = kept.state.is_some();
            let mut state = match kept.state.clone() {
                Some(state) => state,
                None => first_seen(&self.doing(id).await?, now),
            };
            state.put_back(now.as_millisecond());
            if state.begin_sign_in(owner, &grant, now.as_millisecond()).is_err() {
                continue;
            }
            let mut before = state.clone();
            before.end_sign_in();
            kept.state = Some(state);
            match self.leased(id, &kept, owner).await {
                Ok(leased) => return Ok(Some((leased, had_state.then_some(before)))),
                Err(TokensError::Contended(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Gives the lease back of a sign-in of which nothing came. If that can't be, it runs out.
    async fn give_back(&self, id: &str, mut leased: OpenedTokens, before: Option<Token>) {
        leased.state = before;
        match self.configuration.put_tokens(id, &leased, self.clock.now()).await {
            Ok(_) | Err(Unconfigured::Contended) => {}
            Err(error) => {
                tracing::warn!(connection = id, %error, "a sign-in's lease could not be given back, and runs out");
            }
        }
    }

    /// Whose the new tokens are: what the answer says, or else what the provider is asked with them.
    async fn whose(
        &self,
        connection: &Connection,
        module: &dyn SignIn,
        (leased, fresh): (&OpenedTokens, &Fresh),
        response: &Response,
    ) -> Result<Whose, TokensError> {
        let provider = connection.provider.as_str();
        let shared = self.credentials.shared(provider, self.clock.now()).await?;
        let words = with_fresh(connection, leased, fresh);
        let of = Subject { own: &words, shared: &shared };
        if let Some(whose) = module.told(&of, response) {
            return Ok(whose);
        }
        let Ok(calls) = module.whose_calls(&of) else { return Ok(Whose::Untold) };
        for (place, call) in calls.iter().enumerate() {
            let whose = match ask(&self.outbound, provider, call).await {
                Ok(response) => module.whose(&of, place, &response),
                Err(_) => Whose::Untold,
            };
            if whose != Whose::Theirs {
                return Ok(whose);
            }
        }
        Ok(if calls.is_empty() { Whose::Untold } else { Whose::Theirs })
    }
}
