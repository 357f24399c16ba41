//! Loyverse's check: the merchant of the token. 300 requests in 300 seconds are an account's, and no header tells what is
//! left of them.

use serde_json::Value;

use crate::call::{Call, Method, Response};
use crate::checks::{Checks, Judged, Subject, Unchecked, read, theirs};
use crate::subscriptions::text;

#[derive(Debug)]
pub(crate) struct LoyverseChecks;

pub(super) fn code(body: &Value) -> Option<&str> {
    text(body, "/errors/0/code")
}

impl Checks for LoyverseChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let token = of.own("access_token")?;
        let url = format!("{}/merchant/", of.base("https://api.loyverse.com/v1.0"));
        Ok(vec![Call::new(Method::Get, url, "/v1.0/merchant/").bearer(token)])
    }

    fn judge(&self, of: &Subject<'_>, _: usize, response: &Response) -> Judged {
        let body = match read(response, code) {
            Ok(body) => body,
            Err(judged) => return judged,
        };
        theirs(response, text(&body, "/id"), of.own.get("merchant_id"), "other_merchant")
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::health::Trouble;

    use super::*;
    use crate::checks::testing::{called, trouble};

    const OWN: &[(&str, &str)] = &[("access_token", "hunter2"), ("merchant_id", "m-1")];

    #[test]
    fn the_merchant_is_asked_for_and_must_be_the_configured_one() {
        assert_eq!(called(&LoyverseChecks, OWN).unwrap(), ["GET https://api.loyverse.com/v1.0/merchant/"]);
        assert_eq!(trouble(&LoyverseChecks, OWN, 200, r#"{"id":"m-1"}"#), (None, None));
        let other = trouble(&LoyverseChecks, OWN, 200, r#"{"id":"m-2"}"#);
        assert_eq!(other, (Some(Trouble::Misconfigured), Some("other_merchant".into())));
    }

    #[test]
    fn what_is_wrong_is_told_in_loyverses_words() {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","details":"d"}]}"#;
        let found = trouble(&LoyverseChecks, OWN, 401, body);
        assert_eq!(found, (Some(Trouble::TokenRefused), Some("UNAUTHORIZED".into())));
        assert_eq!(trouble(&LoyverseChecks, OWN, 200, "[]").0, Some(Trouble::Unreadable));
    }
}
