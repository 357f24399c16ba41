//! Google's check: the first of the calendars that the token can see.
//!
//! Facts ("Calendar API: handle errors"): a reached limit is a `429`, or a `403` whose reason says so.

use serde_json::Value;
use tillwatch_domain::health::Trouble;

use crate::call::{Call, Method, Response};
use crate::checks::{Checks, Form, Judged, StatusPage, Subject, Unchecked, read, success};
use crate::subscriptions::text;

#[derive(Debug)]
pub(crate) struct GoogleCalendarChecks;

fn code(body: &Value) -> Option<&str> {
    text(body, "/error/errors/0/reason").or_else(|| text(body, "/error/status"))
}

impl Checks for GoogleCalendarChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let token = of.own("access_token")?;
        let base = of.base("https://www.googleapis.com");
        let url = format!("{base}/calendar/v3/users/me/calendarList?maxResults=1");
        Ok(vec![Call::new(Method::Get, url, "/calendar/v3/users/me/calendarList").bearer(token)])
    }

    fn judge(&self, _: &Subject<'_>, _: usize, response: &Response) -> Judged {
        let body = match read(response, code) {
            Ok(body) => body,
            Err(judged) => {
                let trouble = match judged.code.as_deref() {
                    Some(
                        "rateLimitExceeded"
                        | "userRateLimitExceeded"
                        | "quotaExceeded"
                        | "dailyLimitExceeded",
                    ) => Some(Trouble::RateLimited),
                    // The API is switched off in our project.
                    Some("accessNotConfigured") => Some(Trouble::Misconfigured),
                    _ => judged.trouble,
                };
                return Judged { trouble, ..judged };
            }
        };
        match text(&body, "/kind") {
            Some("calendar#calendarList") => success(response),
            _ => Judged::of(Trouble::Unreadable, None),
        }
    }

    fn status_page(&self) -> Option<StatusPage> {
        Some(StatusPage {
            url: "https://www.google.com/appsstatus/dashboard/incidents.json",
            form: Form::Google("Google Calendar"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{called, trouble};

    const OWN: &[(&str, &str)] = &[("access_token", "hunter2")];

    #[test]
    fn the_calendars_are_asked_for() {
        let url = "GET https://www.googleapis.com/calendar/v3/users/me/calendarList?maxResults=1";
        assert_eq!(called(&GoogleCalendarChecks, OWN).unwrap(), [url]);
        let body = r#"{"kind":"calendar#calendarList","items":[]}"#;
        assert_eq!(trouble(&GoogleCalendarChecks, OWN, 200, body), (None, None));
    }

    #[test]
    fn the_reason_of_a_403_says_whether_a_limit_was_reached() {
        for (reason, wanted) in [
            ("rateLimitExceeded", Trouble::RateLimited),
            ("quotaExceeded", Trouble::RateLimited),
            ("accessNotConfigured", Trouble::Misconfigured),
            ("insufficientPermissions", Trouble::ScopeMissing),
        ] {
            let body = format!(r#"{{"error":{{"code":403,"errors":[{{"reason":"{reason}"}}]}}}}"#);
            let found = trouble(&GoogleCalendarChecks, OWN, 403, &body);
            assert_eq!(found, (Some(wanted), Some(reason.into())), "{reason}");
        }
    }
}
