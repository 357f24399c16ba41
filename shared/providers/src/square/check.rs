//! Square's check: what its token is worth and until when, in one call that needs no permission.
//!
//! Facts ("OAuth API: retrieve token status", "Handling errors"): Square publishes no limits and sends no headers of them, so
//! only a `429` tells.

use serde_json::Value;
use tillwatch_domain::health::Trouble;

use super::connect::SCOPES;
use crate::call::{Call, Method, Response};
use crate::checks::{
    Checks, Form, Judged, StatusPage, Subject, TokenFacts, Unchecked, lacking, moment, read, success,
};
use crate::subscriptions::{text, texts};

#[derive(Debug)]
pub(crate) struct SquareChecks;

pub(super) fn code(body: &Value) -> Option<&str> {
    text(body, "/errors/0/code")
}

impl Checks for SquareChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let token = of.own("access_token")?;
        let url = format!("{}/oauth2/token/status", of.base(super::host(of.any("environment"))));
        Ok(vec![Call::new(Method::Post, url, "/oauth2/token/status").bearer(token)])
    }

    fn judge(&self, of: &Subject<'_>, _: usize, response: &Response) -> Judged {
        let body = match read(response, code) {
            Ok(body) => body,
            Err(judged) if judged.code.as_deref() == Some("ACCESS_TOKEN_REVOKED") => {
                return Judged { trouble: Some(Trouble::TokenRefused), ..judged };
            }
            Err(judged) => return judged,
        };
        let token = TokenFacts {
            expires_at: body.get("expires_at").and_then(moment),
            never_expires: false,
            scopes: body.get("scopes").map(texts),
        };
        match (text(&body, "/merchant_id"), of.own.get("merchant_id")) {
            (None, _) => Judged::of(Trouble::Unreadable, None),
            // The token is of another merchant than the one that is configured.
            (Some(merchant), Some(wanted)) if merchant != wanted => {
                Judged::of(Trouble::Misconfigured, Some("other_merchant")).with_token(token)
            }
            _ => success(response).with_token(token),
        }
    }

    fn missing_scopes(&self, _: &Subject<'_>, told: &[String]) -> Vec<&'static str> {
        lacking(SCOPES, told, |_| None)
    }

    fn status_page(&self) -> Option<StatusPage> {
        Some(StatusPage {
            url: "https://www.issquareup.com/api/v2/summary.json",
            form: Form::Statuspage(&[]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{answer, called, judged, trouble};

    const OWN: &[(&str, &str)] = &[("access_token", "hunter2"), ("merchant_id", "M1")];
    const STATUS: &str = r#"{"scopes":["PAYMENTS_READ"],"expires_at":"2026-12-14T14:44:00Z","client_id":"c","merchant_id":"M1"}"#;

    #[test]
    fn the_token_is_asked_what_it_is_worth() {
        assert_eq!(
            called(&SquareChecks, OWN).unwrap(),
            ["POST https://connect.squareup.com/oauth2/token/status"]
        );
        let sandbox = [OWN, &[("environment", "sandbox")]].concat();
        let sandbox = called(&SquareChecks, &sandbox).unwrap();
        assert_eq!(sandbox, ["POST https://connect.squareupsandbox.com/oauth2/token/status"]);
        assert_eq!(called(&SquareChecks, &[]).unwrap_err(), Unchecked::Missing("access_token"));
    }

    #[test]
    fn a_live_token_tells_its_end_and_what_it_may_do() {
        let judged = judged(&SquareChecks, OWN, 0, &answer(200, STATUS));
        let token = judged.token.unwrap();
        assert_eq!(judged.trouble, None);
        assert_eq!(token.expires_at.unwrap().to_string(), "2026-12-14T14:44:00Z");
        assert_eq!(token.scopes.unwrap(), ["PAYMENTS_READ"]);
    }

    #[test]
    fn a_token_of_another_merchant_is_said_to_be_one() {
        let found = trouble(&SquareChecks, &[("merchant_id", "M2")], 200, STATUS);
        assert_eq!(found, (Some(Trouble::Misconfigured), Some("other_merchant".into())));
    }

    #[test]
    fn what_is_wrong_is_told_in_squares_words() {
        for (status, code, wanted) in [
            (401, "ACCESS_TOKEN_EXPIRED", Trouble::TokenRefused),
            (403, "ACCESS_TOKEN_REVOKED", Trouble::TokenRefused),
            (403, "INSUFFICIENT_SCOPES", Trouble::ScopeMissing),
            (429, "RATE_LIMITED", Trouble::RateLimited),
            (503, "SERVICE_UNAVAILABLE", Trouble::ProviderError),
        ] {
            let body = format!(r#"{{"errors":[{{"category":"A","code":"{code}"}}]}}"#);
            assert_eq!(
                trouble(&SquareChecks, OWN, status, &body),
                (Some(wanted), Some(code.into())),
                "{code}"
            );
        }
        assert_eq!(trouble(&SquareChecks, OWN, 200, "{}").0, Some(Trouble::Unreadable));
    }
}
