//! Zettle's check: whose the token is.
//!
//! Facts ("OAuth API: users/self"): an expired token is a `401` whose `www-authenticate` says `ACCESS_TOKEN_EXPIRED`.

use serde_json::Value;

use crate::call::{Call, Method, Response};
use crate::checks::{Checks, Judged, Subject, Unchecked, read, theirs};
use crate::subscriptions::text;

#[derive(Debug)]
pub(crate) struct ZettleChecks;

pub(super) fn code(body: &Value) -> Option<&str> {
    text(body, "/errorType").or_else(|| text(body, "/error"))
}

/// The word in `error_description="ACCESS_TOKEN_EXPIRED"`.
fn described(response: &Response) -> Option<&str> {
    let (_, rest) = response.headers.get("www-authenticate")?.split_once("error_description=\"")?;
    rest.split('"').next()
}

impl Checks for ZettleChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let token = of.own("access_token")?;
        let url = format!("{}/users/self", of.base("https://oauth.zettle.com"));
        Ok(vec![Call::new(Method::Get, url, "/users/self").bearer(token)])
    }

    fn judge(&self, of: &Subject<'_>, _: usize, response: &Response) -> Judged {
        let body = match read(response, code) {
            Ok(body) => body,
            Err(judged) if judged.code.is_none() => return judged.with_code(described(response)),
            Err(judged) => return judged,
        };
        let organization = text(&body, "/organizationUuid");
        theirs(response, organization, of.own.get("organization_uuid"), "other_organization")
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::health::Trouble;

    use super::*;
    use crate::Headers;
    use crate::checks::testing::{called, judged, trouble};

    const OWN: &[(&str, &str)] = &[("access_token", "hunter2"), ("organization_uuid", "0B1C")];
    const SELF: &str = r#"{"uuid":"u","organizationUuid":"0b1c"}"#;

    #[test]
    fn the_token_is_asked_whose_it_is() {
        assert_eq!(called(&ZettleChecks, OWN).unwrap(), ["GET https://oauth.zettle.com/users/self"]);
        assert_eq!(trouble(&ZettleChecks, OWN, 200, SELF), (None, None));
        let other = trouble(&ZettleChecks, &[("organization_uuid", "0b1d")], 200, SELF);
        assert_eq!(other, (Some(Trouble::Misconfigured), Some("other_organization".into())));
        assert_eq!(trouble(&ZettleChecks, OWN, 200, "{}").0, Some(Trouble::Unreadable));
    }

    #[test]
    fn an_expired_token_is_told_by_the_header() {
        let says = r#"Bearer error="invalid_request", error_description="ACCESS_TOKEN_EXPIRED""#;
        let headers = Headers::from_iter([("www-authenticate", says)]);
        let found = judged(&ZettleChecks, OWN, 0, &Response { status: 401, headers, body: vec![] });
        assert_eq!(found, Judged::of(Trouble::TokenRefused, Some("ACCESS_TOKEN_EXPIRED")));
    }
}
