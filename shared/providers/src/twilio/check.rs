//! Twilio's check: the account, whose status must be `active`: a suspended one answers `200` as well.
//!
//! Facts ("Account resource", error 20429): too many calls at once are a `429` of the code 20429.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tillwatch_domain::health::Trouble;

use crate::call::{Call, Method, Response, encoded};
use crate::checks::{Checks, Form, Judged, StatusPage, Subject, Unchecked, read, success};
use crate::subscriptions::text;

#[derive(Debug)]
pub(crate) struct TwilioChecks;

impl Checks for TwilioChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let account = of.own("account_sid")?;
        let user = of.own.get("api_key").unwrap_or(account);
        let credentials = BASE64_STANDARD.encode(format!("{user}:{}", of.own("api_secret")?));
        let url =
            format!("{}/2010-04-01/Accounts/{}.json", of.base("https://api.twilio.com"), encoded(account));
        let call = Call::new(Method::Get, url, "/2010-04-01/Accounts/{sid}.json");
        Ok(vec![call.header("authorization", format!("Basic {credentials}"))])
    }

    fn judge(&self, _: &Subject<'_>, _: usize, response: &Response) -> Judged {
        // Its codes are numbers.
        let body = match read(response, |_| None) {
            Ok(body) => body,
            Err(judged) => {
                let code = response.json().as_ref().and_then(|body| body.get("code")).map(Value::to_string);
                return judged.with_code(code.as_deref());
            }
        };
        match text(&body, "/status") {
            Some("active") => success(response),
            Some(status @ ("suspended" | "closed")) => Judged::of(Trouble::AccountGone, Some(status)),
            _ => Judged::of(Trouble::Unreadable, None),
        }
    }

    fn status_page(&self) -> Option<StatusPage> {
        // There is hardly a day without an incident at some carrier, none of which keeps its API from answering.
        Some(StatusPage {
            url: "https://status.twilio.com/api/v2/summary.json",
            form: Form::Statuspage(&["rest api"]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{called, trouble};

    const OWN: &[(&str, &str)] = &[("account_sid", "AC1"), ("api_secret", "hunter2")];

    #[test]
    fn the_account_must_be_active() {
        assert_eq!(
            called(&TwilioChecks, OWN).unwrap(),
            ["GET https://api.twilio.com/2010-04-01/Accounts/AC1.json"]
        );
        for (status, wanted) in [
            ("active", None),
            ("suspended", Some(Trouble::AccountGone)),
            ("closed", Some(Trouble::AccountGone)),
            ("other", Some(Trouble::Unreadable)),
        ] {
            let body = format!(r#"{{"sid":"AC1","status":"{status}"}}"#);
            assert_eq!(trouble(&TwilioChecks, OWN, 200, &body).0, wanted, "{status}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_twilios_number() {
        let body = r#"{"code":20003,"message":"Authenticate","status":401}"#;
        let found = trouble(&TwilioChecks, OWN, 401, body);
        assert_eq!(found, (Some(Trouble::TokenRefused), Some("20003".into())));
    }
}
