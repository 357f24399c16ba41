//! Meta has no refresh tokens: a person's token of 60 days is exchanged for another as long as it is good. A system user's
//! never ends, and is exchanged by nobody.
//!
//! Facts ("Long-lived access tokens", "Handling errors"): the exchange wants the app's own credentials; a token that is not
//! good is the code 190. The token that is exchanged stays good until its end.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tillwatch_domain::token::{Failure, Grant};

use super::subscriptions::BASE;
use super::version;
use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::tokens::{Answered, Refresh, Tokens, oauth, token_url};

/// Often enough that a month of failures ends none.
const EVERY: Duration = Duration::from_hours(20 * 24);

#[derive(Debug)]
pub(crate) struct MetaTokens;

impl Tokens for MetaTokens {
    fn refresh(&self, of: &Subject<'_>) -> Result<Option<Refresh>, Unchecked> {
        let token = of.own("access_token")?;
        let (Some(id), Some(secret)) = (of.any("app_id"), of.any("app_secret")) else { return Ok(None) };
        let version = version(of)?;
        // As a form, so that no secret stands in a URL.
        let url = token_url(of, format!("{BASE}/{version}/oauth/access_token"));
        let call = Call::new(Method::Post, url, "/{version}/oauth/access_token").form(&[
            ("grant_type", "fb_exchange_token"),
            ("client_id", id),
            ("client_secret", secret),
            ("fb_exchange_token", token),
        ]);
        Ok(Some(Refresh { grant: Grant { every: Some(EVERY), single_use: false, may_repeat: true }, call }))
    }

    fn answered(&self, _: &Subject<'_>, response: &Response, now: Timestamp) -> Answered {
        let body = response.json().unwrap_or_default();
        let code = body.pointer("/error/code").and_then(Value::as_i64);
        let failed = |failure| Answered::Failed {
            failure,
            code: code.map(|code| code.to_string()),
            retry_after: response.retry_after(),
        };
        match code {
            Some(1 | 2 | 4 | 17 | 32 | 613) => failed(Failure::Unavailable),
            Some(190) => failed(Failure::Refused),
            Some(_) => failed(Failure::Ours),
            None => oauth(response, now, |_, _| false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::testing::{called, told};

    #[test]
    fn a_persons_token_is_exchanged_and_no_secret_stands_in_the_url() {
        let own = [("access_token", "hunter2"), ("app_id", "1"), ("app_secret", "s")];
        let (url, body) = called(&MetaTokens, &own).unwrap().unwrap();
        assert_eq!(url, "POST https://graph.facebook.com/v25.0/oauth/access_token");
        assert!(body.contains("fb_exchange_token=hunter2"));
        assert!(called(&MetaTokens, &own[..1]).unwrap().is_none());
        let body = r#"{"access_token":"a","token_type":"bearer","expires_in":5183944}"#;
        assert_eq!(told(&MetaTokens, 200, body), Ok(("a".into(), None, Some(5_183_944))));
    }

    #[test]
    fn what_failed_is_told_by_metas_numbers() {
        let error =
            |code: i64| format!(r#"{{"error":{{"message":"m","type":"OAuthException","code":{code}}}}}"#);
        for (code, failure) in [(190, Failure::Refused), (4, Failure::Unavailable), (101, Failure::Ours)] {
            assert_eq!(told(&MetaTokens, 400, &error(code)), Err(failure), "{code}");
        }
    }
}
