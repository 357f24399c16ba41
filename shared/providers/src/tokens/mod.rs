//! Refreshing tokens, as data: the one call that does it, and what its answer says. A provider's own part is in its
//! `token.rs`; it never asks anyone anything itself, and what follows from an answer is `tillwatch_domain::token`'s to say.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use tillwatch_domain::token::{Failure, Grant};

use crate::call::{Call, Response};
use crate::checks::{Subject, Unchecked, moment};
use crate::subscriptions::{is_code, text};

/// How a token is refreshed.
#[derive(Debug)]
pub struct Refresh {
    /// What the provider lets be done with its refresh tokens.
    pub grant: Grant,
    /// The call.
    pub call: Call,
}

/// What came of it.
pub enum Answered {
    /// There is a new token.
    Refreshed(Fresh),
    /// There is none.
    Failed {
        /// Of what kind the failure is.
        failure: Failure,
        /// The provider's own word for it.
        code: Option<String>,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
}

/// A new token.
pub struct Fresh {
    /// The access token.
    pub access_token: SecretString,
    /// The refresh token, if there is another than before.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lives; none: not told.
    pub lives: Option<Duration>,
    /// How long the refresh token does.
    pub refresh_lives: Option<Duration>,
}

/// Shows no token.
impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refreshed(fresh) => {
                f.debug_struct("Refreshed").field("lives", &fresh.lives).finish_non_exhaustive()
            }
            Self::Failed { failure, code, .. } => {
                f.debug_struct("Failed").field("failure", failure).field("code", code).finish_non_exhaustive()
            }
        }
    }
}

/// How a provider's tokens are refreshed.
pub trait Tokens: Sync + fmt::Debug {
    /// The call; an error says what is missing. None: this connection's token is refreshed by nobody.
    fn refresh(&self, of: &Subject<'_>) -> Result<Option<Refresh>, Unchecked>;

    /// What the answer says.
    fn answered(&self, of: &Subject<'_>, response: &Response, now: Timestamp) -> Answered;
}

/// How tokens of that provider are refreshed; none: they are not.
pub fn of(provider: &str) -> Option<&'static dyn Tokens> {
    Some(match provider {
        "square" => &crate::square::token::SquareTokens,
        "shopify" => &crate::shopify::token::ShopifyTokens,
        "zettle" => &crate::zettle::token::ZettleTokens,
        "loyverse" => &crate::loyverse::token::LoyverseTokens,
        "meta" => &crate::meta::token::MetaTokens,
        "google_calendar" => &crate::google_calendar::token::GoogleTokens,
        _ => return None,
    })
}

/// The credentials of the application, which a connection may have for itself.
pub(crate) fn client<'a>(of: &Subject<'a>) -> Result<(&'a str, &'a str), Unchecked> {
    let id = of.any("client_id").ok_or(Unchecked::Missing("client_id"))?;
    Ok((id, of.any("client_secret").ok_or(Unchecked::Missing("client_secret"))?))
}

/// Where tokens are refreshed. A connection has a say in where its own credentials go, and in nothing else: those of the
/// application go where the application says.
pub(crate) fn token_url(of: &Subject<'_>, default: impl Into<String>) -> String {
    let is_own = of.own.get("client_secret").is_some() || of.own.get("app_secret").is_some();
    let words = if is_own { of.own } else { of.shared };
    words.get("token_url").map_or_else(|| default.into(), str::to_owned)
}

/// The call with a refresh token and the application's credentials, as the form that RFC 6749 has for it (6, 2.3.1).
pub(crate) fn with_refresh_token(of: &Subject<'_>, call: Call, token: &str) -> Result<Call, Unchecked> {
    let (id, secret) = client(of)?;
    Ok(call.form(&[
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", id),
        ("client_secret", secret),
    ]))
}

/// A life of so many seconds, which some write as a text.
fn seconds(value: &Value) -> Option<Duration> {
    let count = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (count > 0).then(|| Duration::from_secs(count))
}

/// What is told of a life: as seconds from now, or as the moment of its end.
fn life(body: &Value, span: &str, end: &str, now: Timestamp) -> Option<Duration> {
    if let Some(span) = body.get(span).and_then(seconds) {
        return Some(span);
    }
    let ends = moment(body.get(end)?)?;
    Some(Duration::try_from(ends.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// What an answer says in OAuth's own words (RFC 6749, 5.1 and 5.2), with `refuses` to say which statuses mean that the
/// refresh token is not good where no such word is said.
pub(crate) fn oauth(response: &Response, now: Timestamp, refuses: impl Fn(u16, &Value) -> bool) -> Answered {
    let body = response.json().unwrap_or_default();
    if (200..300).contains(&response.status) {
        let Some(access_token) = text(&body, "/access_token").filter(|token| !token.trim().is_empty()) else {
            // It went well, and what it gave cannot be read.
            return Answered::Failed { failure: Failure::Lost, code: None, retry_after: None };
        };
        let refresh_token = text(&body, "/refresh_token").filter(|token| !token.trim().is_empty());
        return Answered::Refreshed(Fresh {
            access_token: access_token.to_owned().into(),
            refresh_token: refresh_token.map(|token| token.to_owned().into()),
            lives: life(&body, "expires_in", "expires_at", now),
            refresh_lives: life(&body, "refresh_token_expires_in", "refresh_token_expires_at", now),
        });
    }
    let word = text(&body, "/error").or_else(|| text(&body, "/type")).filter(|word| is_code(word));
    let failure = match (response.status, word) {
        (408 | 425 | 429 | 500..=599, _) | (_, Some("temporarily_unavailable" | "slow_down")) => {
            Failure::Unavailable
        }
        (_, Some("invalid_grant")) => Failure::Refused,
        (_, Some("invalid_client" | "unauthorized_client" | "unsupported_grant_type" | "invalid_scope")) => {
            Failure::Ours
        }
        (status, _) if refuses(status, &body) => Failure::Refused,
        // Whatever else it does not like about the request, we have made it.
        _ => Failure::Ours,
    };
    Answered::Failed { failure, code: word.map(str::to_owned), retry_after: response.retry_after() }
}

#[cfg(test)]
pub(crate) mod testing {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::call::Words;
    use crate::checks::testing::answer;

    /// The method and URL of the call, and its body; none, if there is no call.
    pub(crate) fn called(
        tokens: &dyn Tokens,
        own: &[(&str, &str)],
    ) -> Result<Option<(String, String)>, Unchecked> {
        let (own, shared): (Words, _) = (own.iter().copied().collect(), Words::default());
        let refresh = tokens.refresh(&Subject { own: &own, shared: &shared })?;
        Ok(refresh.map(|Refresh { call, .. }| {
            let body = call.body.map(|body| body.expose_secret().to_owned()).unwrap_or_default();
            (format!("{} {}", call.method.name(), call.url), body)
        }))
    }

    /// What is said of an answer: the tokens and lives in seconds, or the failure.
    pub(crate) fn told(
        tokens: &dyn Tokens,
        status: u16,
        body: &str,
    ) -> Result<(String, Option<String>, Option<u64>), Failure> {
        let (own, shared) = (Words::default(), Words::default());
        let now = Timestamp::from_second(1_792_567_680).expect("a time");
        match tokens.answered(&Subject { own: &own, shared: &shared }, &answer(status, body), now) {
            Answered::Refreshed(fresh) => Ok((
                fresh.access_token.expose_secret().to_owned(),
                fresh.refresh_token.map(|token| token.expose_secret().to_owned()),
                fresh.lives.map(|lives| lives.as_secs()),
            )),
            Answered::Failed { failure, .. } => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::told;
    use super::*;
    use crate::checks::testing::answer;

    #[test]
    fn every_provider_tells_its_own_trouble_and_ours_from_a_refused_token() {
        for provider in crate::ALL {
            let Some(tokens) = of(provider.name()) else { continue };
            let name = provider.name();
            for (status, body, failure) in [
                (500, "<html>", Failure::Unavailable),
                (429, "{}", Failure::Unavailable),
                (503, r#"{"error":"temporarily_unavailable"}"#, Failure::Unavailable),
                (200, "<html>Sign in</html>", Failure::Lost),
                (200, "{}", Failure::Lost),
                (404, "<html>Not found</html>", Failure::Ours),
            ] {
                assert_eq!(told(tokens, status, body), Err(failure), "{name} {status} {body}");
            }
            if name != "meta" {
                assert_eq!(
                    told(tokens, 400, r#"{"error":"invalid_grant"}"#),
                    Err(Failure::Refused),
                    "{name}"
                );
                assert_eq!(told(tokens, 401, r#"{"error":"invalid_client"}"#), Err(Failure::Ours), "{name}");
            }
        }
    }

    #[test]
    fn a_life_is_told_in_seconds_or_by_its_end_as_a_number_or_a_text() {
        let now = Timestamp::from_second(1_792_567_680).unwrap();
        for (told, wanted) in [
            (r#""expires_in":3600"#, Some(3_600)),
            (r#""expires_in":"3600""#, Some(3_600)),
            (r#""expires_at":"2026-10-21T07:38:00Z""#, Some(600)),
            (r#""expires_at":1792568280"#, Some(600)),
            (r#""expires_at":"2020-01-01T00:00:00Z""#, Some(0)),
            (r#""expires_in":0"#, None),
            (r#""token_type":"bearer""#, None),
        ] {
            let answer = answer(200, &format!(r#"{{"access_token":"t",{told}}}"#));
            let Answered::Refreshed(fresh) = oauth(&answer, now, |_, _| false) else { panic!("{told}") };
            assert_eq!(fresh.lives.map(|lives| lives.as_secs()), wanted, "{told}");
        }
    }

    #[test]
    fn a_connection_has_no_say_in_where_the_applications_secret_goes() {
        use crate::call::Words;
        let own =
            [("refresh_token", "r"), ("access_token", "a"), ("shop", "s.myshopify.com"), ("api_key", "k")];
        let evil = [("token_url", "https://evil.example/t"), ("base_url", "https://evil.example")];
        let own: Words = own.into_iter().chain(evil).collect();
        let app = [("client_id", "c"), ("client_secret", "s"), ("app_id", "c"), ("app_secret", "s")];
        let shared: Words = app.into_iter().collect();
        for provider in crate::ALL {
            let Some(tokens) = of(provider.name()) else { continue };
            let refresh = tokens.refresh(&Subject { own: &own, shared: &shared }).unwrap().unwrap();
            assert!(!refresh.call.url.contains("evil"), "{}: {}", provider.name(), refresh.call.url);
            // With an application of its own it has.
            let mut all = own.clone();
            for (name, text) in app {
                all.put(name, text);
            }
            let refresh = tokens.refresh(&Subject { own: &all, shared: &Words::default() }).unwrap().unwrap();
            assert_eq!(refresh.call.url, "https://evil.example/t", "{}", provider.name());
        }
    }

    #[test]
    fn debug_output_shows_no_token() {
        let body = r#"{"access_token":"hunter2","refresh_token":"hunter2"}"#;
        let answered = oauth(&answer(200, body), Timestamp::UNIX_EPOCH, |_, _| false);
        assert!(!format!("{answered:?}").contains("hunter2"));
    }
}
