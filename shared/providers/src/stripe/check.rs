//! Stripe's check: the balance. A restricted key that may not read it answers `403`, and works.
//!
//! Facts ("API keys", "Rate limits"): `429` without the reason header is a lock and no limit; a bad key is a `401`.

use serde_json::Value;
use tillwatch_domain::health::Trouble;

use crate::call::{Call, Method, Response};
use crate::checks::{Checks, Form, Judged, StatusPage, Subject, Unchecked, read, success};
use crate::subscriptions::text;

#[derive(Debug)]
pub(crate) struct StripeChecks;

pub(super) fn code(body: &Value) -> Option<&str> {
    text(body, "/error/code").or_else(|| text(body, "/error/type"))
}

impl Checks for StripeChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let key = of.any("api_key").ok_or(Unchecked::Missing("api_key"))?;
        let call = Call::new(
            Method::Get,
            format!("{}/v1/balance", of.base_for("api_key", "https://api.stripe.com")),
            "/v1/balance",
        );
        let call = call.bearer(key);
        // The platform's own key speaks for a connected account; an account's key is its own.
        let connected = of.own.get("account").filter(|_| of.own.get("api_key").is_none());
        Ok(vec![match connected {
            Some(account) => call.header("stripe-account", account),
            None => call,
        }])
    }

    fn judge(&self, _: &Subject<'_>, _: usize, response: &Response) -> Judged {
        let body = match read(response, code) {
            Ok(body) => body,
            Err(judged) if judged.trouble == Some(Trouble::ScopeMissing) && is_permission(response) => {
                return Judged { trouble: None, ..judged };
            }
            Err(judged) => return judged,
        };
        if text(&body, "/object") == Some("balance") {
            success(response)
        } else {
            Judged::of(Trouble::Unreadable, None)
        }
    }

    fn status_page(&self) -> Option<StatusPage> {
        // Its other components are products and payment methods of others.
        Some(StatusPage {
            url: "https://www.stripestatus.com/api/v2/summary.json",
            form: Form::Statuspage(&["stripe api", "core components"]),
        })
    }
}

/// Whether the key is good and may not read the balance; an account that has taken back its permission says so otherwise.
fn is_permission(response: &Response) -> bool {
    let body = response.json().unwrap_or_default();
    text(&body, "/error/type") == Some("invalid_request_error")
        && text(&body, "/error/code") != Some("account_invalid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{called, trouble};

    const OWN: &[(&str, &str)] = &[("api_key", "rk_live_x")];

    #[test]
    fn the_balance_is_asked_for() {
        assert_eq!(called(&StripeChecks, OWN).unwrap(), ["GET https://api.stripe.com/v1/balance"]);
        assert_eq!(trouble(&StripeChecks, OWN, 200, r#"{"object":"balance"}"#), (None, None));
        assert_eq!(trouble(&StripeChecks, OWN, 200, r#"{"object":"list"}"#).0, Some(Trouble::Unreadable));
    }

    #[test]
    fn a_restricted_key_that_may_not_read_it_works_and_one_that_was_taken_back_does_not() {
        let error = |code: &str| format!(r#"{{"error":{{"type":"invalid_request_error"{code}}}}}"#);
        assert_eq!(trouble(&StripeChecks, OWN, 403, &error("")).0, None);
        let gone = trouble(&StripeChecks, OWN, 403, &error(r#","code":"account_invalid""#));
        assert_eq!(gone, (Some(Trouble::ScopeMissing), Some("account_invalid".into())));
        let expired = trouble(&StripeChecks, OWN, 401, &error(r#","code":"api_key_expired""#));
        assert_eq!(expired, (Some(Trouble::TokenRefused), Some("api_key_expired".into())));
    }
}
