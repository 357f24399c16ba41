//! Signing in at Google.
//!
//! Facts ("Using OAuth 2.0 for web server applications", Google's own `openid-configuration`): `access_type=offline` asks for a
//! refresh token, which is given only when the person is asked anew, so `prompt=consent` has them asked; PKCE by `S256` goes
//! together with the application's secret. A person may leave boxes unticked. The answer does not say whose the tokens are:
//! the connection's calendar is asked for among those that the person has in their list.

use tillwatch_domain::health::Trouble;

use super::check::GoogleCalendarChecks;
use crate::call::{Call, Method, Response, encoded};
use crate::checks::{Checks as _, Subject, Unchecked};
use crate::oauth::{Asked, Given, SignIn, Whose, as_form, by_judged, page_url, scopes, with_code};
use crate::subscriptions::text;
use crate::tokens::{client, token_url};

const SCOPES: &[&str] = &["https://www.googleapis.com/auth/calendar.readonly"];

#[derive(Debug)]
pub(crate) struct GoogleSignIn;

impl SignIn for GoogleSignIn {
    fn takes_challenge(&self, _: &Subject<'_>) -> bool {
        true
    }

    fn page(&self, of: &Subject<'_>, asked: &Asked<'_>) -> Result<String, Unchecked> {
        let page = page_url(of, "https://accounts.google.com/o/oauth2/v2/auth");
        let page = with_code(&page, client(of)?.0, &scopes(of, SCOPES, " "), asked);
        Ok(page + "&access_type=offline&prompt=consent")
    }

    fn exchange(&self, of: &Subject<'_>, given: &Given<'_>) -> Result<Call, Unchecked> {
        let url = token_url(of, "https://oauth2.googleapis.com/token");
        as_form(of, Call::new(Method::Post, url, "/token"), given)
    }

    fn whose_calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let (token, calendar) = (of.own("access_token")?, encoded(of.own("calendar_id")?));
        let base = of.base("https://www.googleapis.com");
        let url = format!("{base}/calendar/v3/users/me/calendarList/{calendar}");
        let call = Call::new(Method::Get, url, "/calendar/v3/users/me/calendarList/{calendar}");
        Ok(vec![call.bearer(token)])
    }

    fn whose(&self, of: &Subject<'_>, place: usize, response: &Response) -> Whose {
        let body = response.json().unwrap_or_default();
        match (response.status, text(&body, "/kind")) {
            (200, Some("calendar#calendarListEntry")) => Whose::Theirs,
            (404, _) => Whose::Others,
            _ => {
                let judged = GoogleCalendarChecks.judge(of, place, response);
                // The API is switched off in our project: that says nothing of the person.
                let is_ours = judged.trouble == Some(Trouble::Misconfigured);
                if is_ours || judged.trouble.is_none() { Whose::Untold } else { by_judged(&judged) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Words;
    use crate::checks::testing::answer;
    use crate::oauth::testing::{exchanged, page};

    #[test]
    fn a_refresh_token_is_asked_for_and_the_challenge_is_sent() {
        let app = [("client_id", "c"), ("client_secret", "s")];
        let page = page(&GoogleSignIn, &app).unwrap();
        assert!(
            page.starts_with("https://accounts.google.com/o/oauth2/v2/auth?response_type=code&client_id=c&")
        );
        assert!(
            page.ends_with(
                "&state=st.1&code_challenge=ch&code_challenge_method=S256&access_type=offline&prompt=consent"
            ),
            "{page}"
        );
        let (url, body) = exchanged(&GoogleSignIn, &app).unwrap();
        assert_eq!(url, "POST https://oauth2.googleapis.com/token");
        assert!(body.ends_with("&client_secret=s&code_verifier=vf"), "{body}");
    }

    #[test]
    fn a_calendar_that_the_person_has_not_is_anothers() {
        let own: Words = [("calendar_id", "a@b.example"), ("access_token", "a")].into_iter().collect();
        let of = Subject { own: &own, shared: &Words::default() };
        let call = &GoogleSignIn.whose_calls(&of).unwrap()[0];
        assert!(call.url.ends_with("/calendar/v3/users/me/calendarList/a%40b.example"), "{}", call.url);
        let whose = |status, body| GoogleSignIn.whose(&of, 0, &answer(status, body));
        assert_eq!(whose(200, r#"{"kind":"calendar#calendarListEntry","id":"a@b.example"}"#), Whose::Theirs);
        assert_eq!(whose(404, r#"{"error":{"code":404,"errors":[{"reason":"notFound"}]}}"#), Whose::Others);
        let barred = r#"{"error":{"code":403,"errors":[{"reason":"insufficientPermissions"}]}}"#;
        assert_eq!(whose(403, barred), Whose::Barred);
        let off = r#"{"error":{"code":403,"errors":[{"reason":"accessNotConfigured"}]}}"#;
        assert_eq!(
            (whose(403, off), whose(200, "<html>"), whose(503, "")),
            (Whose::Untold, Whose::Untold, Whose::Untold)
        );
    }
}
