//! Google's tokens live an hour; the refresh token is used again and again, and is told once, at the consent.
//!
//! Facts ("Using OAuth 2.0 for web server applications"): a refusal is `400 invalid_grant`: taken back, unused for six
//! months, or of an app that is in testing, where it ends after seven days.

use jiff::Timestamp;
use tillwatch_domain::token::Grant;

use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::tokens::{Answered, Refresh, Tokens, oauth, token_url, with_refresh_token};

#[derive(Debug)]
pub(crate) struct GoogleTokens;

impl Tokens for GoogleTokens {
    fn refresh(&self, of: &Subject<'_>) -> Result<Option<Refresh>, Unchecked> {
        let Some(token) = of.own.get("refresh_token") else { return Ok(None) };
        let url = token_url(of, "https://oauth2.googleapis.com/token");
        let call = Call::new(Method::Post, url, "/token");
        let call = with_refresh_token(of, call, token)?;
        Ok(Some(Refresh { grant: Grant { every: None, single_use: false, may_repeat: true }, call }))
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
    fn it_is_refreshed_as_a_form_and_keeps_its_refresh_token() {
        let own = [("refresh_token", "1//r"), ("client_id", "c"), ("client_secret", "s")];
        let (url, body) = called(&GoogleTokens, &own).unwrap().unwrap();
        assert_eq!(url, "POST https://oauth2.googleapis.com/token");
        assert_eq!(body, "grant_type=refresh_token&refresh_token=1%2F%2Fr&client_id=c&client_secret=s");
        let body = r#"{"access_token":"a","expires_in":"3599","scope":"s","token_type":"Bearer"}"#;
        assert_eq!(told(&GoogleTokens, 200, body), Ok(("a".into(), None, Some(3_599))));
    }
}
