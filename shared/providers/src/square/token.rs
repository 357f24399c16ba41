//! Square's tokens live 30 days; Square asks that they be refreshed every seven at most.
//!
//! Facts ("OAuth API: obtain token"): the code flow's refresh token is used again and again and does not end; that of PKCE
//! is used once, for 90 days, without the application's secret. A refusal is a `401` of the type `service.not_authorized`:
//! of our application, where it says no more than "Not Authorized", and of the refresh token where it says what is wrong.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tillwatch_domain::token::Grant;

use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::subscriptions::text;
use crate::tokens::{Answered, Refresh, Tokens, oauth, token_url};

/// What Square calls a refusal, of our application or of the refresh token.
const NOT_AUTHORIZED: &str = "service.not_authorized";
const EVERY: Duration = Duration::from_hours(7 * 24);

#[derive(Debug)]
pub(crate) struct SquareTokens;

impl Tokens for SquareTokens {
    fn refresh(&self, of: &Subject<'_>) -> Result<Option<Refresh>, Unchecked> {
        let Some(token) = of.own.get("refresh_token") else { return Ok(None) };
        let id = of.any("client_id").ok_or(Unchecked::Missing("client_id"))?;
        let secret = of.any("client_secret");
        let host = super::host(of.any("environment"));
        let mut body = json!({"client_id": id, "grant_type": "refresh_token", "refresh_token": token});
        if let Some(secret) = secret {
            body["client_secret"] = secret.into();
        }
        let call = Call::new(Method::Post, token_url(of, format!("{host}/oauth2/token")), "/oauth2/token");
        let grant = Grant { every: Some(EVERY), single_use: secret.is_none(), may_repeat: false };
        Ok(Some(Refresh { grant, call: call.json(&body) }))
    }

    fn answered(&self, _: &Subject<'_>, response: &Response, now: Timestamp) -> Answered {
        oauth(response, now, |status, body| {
            let is_of_the_token =
                |message: &str| !message.trim().trim_end_matches('.').eq_ignore_ascii_case("not authorized");
            status == 401
                && text(body, "/type") == Some(NOT_AUTHORIZED)
                && text(body, "/message").is_some_and(is_of_the_token)
        })
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::token::Failure;

    use super::*;
    use crate::tokens::testing::{called, told};

    const OWN: &[(&str, &str)] = &[("refresh_token", "r"), ("client_id", "c"), ("client_secret", "s")];

    #[test]
    fn the_end_is_told_as_a_moment() {
        let body = r#"{"access_token":"a","expires_at":"2026-10-21T07:38:00Z","refresh_token":"r","short_lived":false}"#;
        assert_eq!(told(&SquareTokens, 200, body), Ok(("a".into(), Some("r".into()), Some(600))));
    }

    #[test]
    fn a_refusal_of_our_application_is_told_from_one_of_the_token() {
        for (message, failure) in [
            (r#""message":"Not Authorized","#, Failure::Ours),
            (r#""message":"Not authorized.","#, Failure::Ours),
            ("", Failure::Ours),
            (r#""message":"Invalid refresh token","#, Failure::Refused),
        ] {
            let body = format!(r#"{{{message}"type":"service.not_authorized"}}"#);
            assert_eq!(told(&SquareTokens, 401, &body), Err(failure), "{body}");
        }
    }

    #[test]
    fn a_token_of_pkce_is_used_without_a_secret_and_once() {
        let (url, body) = called(&SquareTokens, OWN).unwrap().unwrap();
        assert_eq!(url, "POST https://connect.squareup.com/oauth2/token");
        assert!(body.contains(r#""client_secret":"s""#));
        assert!(!called(&SquareTokens, &OWN[..2]).unwrap().unwrap().1.contains("client_secret"));
        assert!(called(&SquareTokens, &[]).unwrap().is_none());
        assert_eq!(called(&SquareTokens, &OWN[..1]).unwrap_err(), Unchecked::Missing("client_id"));
    }
}
