//! Loyverse's OAuth tokens. How long they and their refresh tokens live, and whether a refresh token is used once, is
//! UNVERIFIED: what comes is kept, and an answer that was lost is not asked for again. Personal tokens are refreshed by
//! nobody.

use jiff::Timestamp;
use tillwatch_domain::token::Grant;

use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::tokens::{Answered, Refresh, Tokens, oauth, token_url, with_refresh_token};

#[derive(Debug)]
pub(crate) struct LoyverseTokens;

impl Tokens for LoyverseTokens {
    fn refresh(&self, of: &Subject<'_>) -> Result<Option<Refresh>, Unchecked> {
        let Some(token) = of.own.get("refresh_token") else { return Ok(None) };
        let url = token_url(of, "https://api.loyverse.com/oauth/token");
        let call = Call::new(Method::Post, url, "/oauth/token");
        let call = with_refresh_token(of, call, token)?;
        let grant = Grant { every: None, single_use: true, may_repeat: false };
        Ok(Some(Refresh { grant, call }))
    }

    fn answered(&self, _: &Subject<'_>, response: &Response, now: Timestamp) -> Answered {
        oauth(response, now, |status, _| status == 401)
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::token::Failure;

    use super::*;
    use crate::tokens::testing::{called, told};

    #[test]
    fn an_oauth_token_is_refreshed_and_a_personal_one_is_not() {
        let own = [("refresh_token", "r"), ("client_id", "c"), ("client_secret", "s")];
        assert_eq!(
            called(&LoyverseTokens, &own).unwrap().unwrap().0,
            "POST https://api.loyverse.com/oauth/token"
        );
        assert!(called(&LoyverseTokens, &[("access_token", "a")]).unwrap().is_none());
        assert_eq!(told(&LoyverseTokens, 401, "{}"), Err(Failure::Refused));
    }
}
