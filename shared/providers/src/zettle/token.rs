//! Zettle's tokens live two hours. They are had by a refresh token, which may be another each time, or by the merchant's API
//! key, which is used again and again and gives no refresh token.
//!
//! Facts ("OAuth API: token"): both grants go to one address, as forms; a refusal is `400 invalid_grant`.

use jiff::Timestamp;
use tillwatch_domain::token::Grant;

use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::tokens::{Answered, Refresh, Tokens, oauth, token_url, with_refresh_token};

const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[derive(Debug)]
pub(crate) struct ZettleTokens;

impl Tokens for ZettleTokens {
    fn refresh(&self, of: &Subject<'_>) -> Result<Option<Refresh>, Unchecked> {
        let url = token_url(of, "https://oauth.zettle.com/token");
        let call = Call::new(Method::Post, url, "/token");
        if let Some(token) = of.own.get("refresh_token") {
            let call = with_refresh_token(of, call, token)?;
            let grant = Grant { every: None, single_use: true, may_repeat: false };
            return Ok(Some(Refresh { grant, call }));
        }
        let Some(key) = of.own.get("api_key") else { return Ok(None) };
        let id = of.any("client_id").ok_or(Unchecked::Missing("client_id"))?;
        let call = call.form(&[("grant_type", BEARER), ("client_id", id), ("assertion", key)]);
        let grant = Grant { every: None, single_use: false, may_repeat: true };
        Ok(Some(Refresh { grant, call }))
    }

    fn answered(&self, _: &Subject<'_>, response: &Response, now: Timestamp) -> Answered {
        oauth(response, now, |_, _| false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::testing::{called, told};

    #[test]
    fn either_grant_is_used() {
        let token = [("refresh_token", "r"), ("client_id", "c"), ("client_secret", "s")];
        let (url, body) = called(&ZettleTokens, &token).unwrap().unwrap();
        assert_eq!(url, "POST https://oauth.zettle.com/token");
        assert_eq!(body, "grant_type=refresh_token&refresh_token=r&client_id=c&client_secret=s");
        let (_, body) = called(&ZettleTokens, &[("api_key", "k"), ("client_id", "c")]).unwrap().unwrap();
        assert!(body.starts_with("grant_type=urn%3Aietf%3A") && body.ends_with("&client_id=c&assertion=k"));
        assert!(called(&ZettleTokens, &[("access_token", "a")]).unwrap().is_none());
    }

    #[test]
    fn a_key_gives_an_access_token_alone() {
        let body = r#"{"access_token":"a","expires_in":7200}"#;
        assert_eq!(told(&ZettleTokens, 200, body), Ok(("a".into(), None, Some(7_200))));
    }
}
