//! Who may use the API: operators, who may do everything, and businesses, who see what is theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tillwatch_platform::secrets::Secrets;
use tokio::sync::Mutex;

use super::Problem;
use crate::reconnect::By;
use crate::tokens::fingerprint;

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    /// An operator's.
    Operator,
    /// A business's, of this id.
    Business(String),
}

impl Who {
    /// That this is an operator's alone to do.
    pub(super) fn operator(&self) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::Business(_) => Err(Problem::new(
                403,
                "forbidden",
                "This is for operators",
                "A business's token shows and changes what belongs to that business.",
            )),
        }
    }

    /// Whether what belongs to that business may be seen.
    pub(super) fn may_see(&self, business: &str) -> bool {
        match self {
            Self::Operator => true,
            Self::Business(own) => own == business,
        }
    }
}

/// Who may use the API: whoever has one of the tokens in the secret.
pub struct Operators {
    secrets: Arc<dyn Secrets>,
    secret: String,
    known: Mutex<Option<Known>>,
}

/// What was read last: the tokens' digests, none if there were none to be had.
struct Known {
    tokens: Vec<(Who, [u8; 32])>,
    at: Timestamp,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    tokens: Vec<SecretString>,
    #[serde(default)]
    businesses: BTreeMap<String, Vec<SecretString>>,
}

/// How long tokens are used without being read again.
const TOKENS_KEPT: Duration = Duration::from_mins(1);
/// How long it is believed that there are none: each reading costs money, and anyone may ask.
const ABSENCE_KEPT: Duration = Duration::from_secs(1);
/// A token that can be guessed is as good as none.
const SHORT_TOKEN: usize = 16;

impl Operators {
    /// Those whose tokens are in the secret of this name: `{"tokens": ["…"], "businesses": {"harbour-group": ["…"]}}`.
    pub fn new(secrets: Arc<dyn Secrets>, secret: String) -> Self {
        Self { secrets, secret, known: Mutex::default() }
    }

    pub(super) async fn admit(&self, authorization: Option<&str>, now: Timestamp) -> Result<Who, Problem> {
        let refused = |detail: &str| Problem::new(401, "unauthorized", "Sign in first", detail);
        let token = authorization
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| refused("Send the operator's token as `Authorization: Bearer TOKEN`."))?;
        let given: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut admitted = None;
        for (who, known) in self.tokens(now).await? {
            if bool::from(known.ct_eq(&given)) {
                admitted.get_or_insert(who);
            }
        }
        admitted.ok_or_else(|| refused("The token is not one of the operators' or of a business's."))
    }

    /// Who had a link made: whose token it was, and which.
    pub(super) fn by(who: &Who, authorization: Option<&str>) -> By {
        let token =
            authorization.and_then(|value| value.split_once(' ')).map_or("", |(_, token)| token.trim());
        let business = match who {
            Who::Operator => None,
            Who::Business(id) => Some(id.clone()),
        };
        By { business, mark: fingerprint(token) }
    }

    /// Whether that token is still one, and the same's: a link holds no longer than whoever had it made may do so.
    pub(super) async fn stands(&self, by: &By, now: Timestamp) -> Result<bool, Problem> {
        let is_it = |(who, digest): &(Who, [u8; 32])| {
            let is_theirs = match (who, &by.business) {
                (Who::Operator, None) => true,
                (Who::Business(id), Some(business)) => id == business,
                _ => false,
            };
            is_theirs && hex::encode(&digest[..4]) == by.mark
        };
        Ok(self.tokens(now).await?.iter().any(is_it))
    }

    async fn tokens(&self, now: Timestamp) -> Result<Vec<(Who, [u8; 32])>, Problem> {
        let none = || Problem::ours(&"no operator's token is configured, or it can't be read");
        let mut known = self.known.lock().await;
        if let Some(Known { tokens, at }) = known.as_ref() {
            let age = now.duration_since(*at).unsigned_abs();
            if tokens.is_empty() && age < ABSENCE_KEPT {
                return Err(none());
            }
            if !tokens.is_empty() && age < TOKENS_KEPT {
                return Ok(tokens.clone());
            }
        }
        let tokens = match self.secrets.read(&self.secret).await {
            Ok(secret) => secret.map(|secret| digests(secret.expose_secret())).unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "the operators' tokens could not be read");
                known.take().map(|known| known.tokens).unwrap_or_default()
            }
        };
        *known = Some(Known { tokens: tokens.clone(), at: now });
        if tokens.is_empty() { Err(none()) } else { Ok(tokens) }
    }
}

/// What is kept of the tokens in a secret. A blank one is none.
fn digests(secret: &str) -> Vec<(Who, [u8; 32])> {
    let Ok(Tokens { tokens, businesses }) = serde_json::from_str(secret) else { return Vec::new() };
    let of_operators = tokens.into_iter().map(|token| (Who::Operator, token));
    let of_businesses = businesses.into_iter().flat_map(|(business, tokens)| {
        tokens.into_iter().map(move |token| (Who::Business(business.clone()), token))
    });
    of_operators
        .chain(of_businesses)
        .filter_map(|(who, token)| {
            let token = token.expose_secret().trim();
            if token.is_empty() {
                return None;
            }
            if token.len() < SHORT_TOKEN {
                tracing::warn!(
                    "a token of the API is short enough to be guessed: `openssl rand -hex 32` makes one"
                );
            }
            Some((who, Sha256::digest(token.as_bytes()).into()))
        })
        .collect()
}
