//! Signing in at Square.
//!
//! Facts ("OAuth API: Authorize", "Obtain token", "OAuth best practices"): the permissions stand with spaces between them;
//! `session=false` has the seller sign in though a session is there, so that the account is chosen and not met; a code lives
//! five minutes. There are two flows: with the application's secret, whose refresh token does not end, and with PKCE instead
//! of it, whose refresh token is used once and ends after 90 days. So PKCE is for an application without a secret: refreshes
//! tell the two apart by the same. The answer names the merchant.

use serde_json::json;

use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::oauth::{Asked, Given, SignIn, Whose, by_check, by_id, check_calls, page_url, scopes, with_code};
use crate::subscriptions::text;
use crate::tokens::token_url;

/// What payments, refunds and orders are read with.
pub(super) const SCOPES: &[&str] = &["MERCHANT_PROFILE_READ", "PAYMENTS_READ", "ORDERS_READ"];

#[derive(Debug)]
pub(crate) struct SquareSignIn;

fn client_id<'a>(of: &Subject<'a>) -> Result<&'a str, Unchecked> {
    of.any("client_id").ok_or(Unchecked::Missing("client_id"))
}

impl SignIn for SquareSignIn {
    fn takes_challenge(&self, of: &Subject<'_>) -> bool {
        of.any("client_secret").is_none()
    }

    fn page(&self, of: &Subject<'_>, asked: &Asked<'_>) -> Result<String, Unchecked> {
        let host = super::host(of.any("environment"));
        let page = page_url(of, format!("{host}/oauth2/authorize"));
        Ok(with_code(&page, client_id(of)?, &scopes(of, SCOPES, " "), asked) + "&session=false")
    }

    fn exchange(&self, of: &Subject<'_>, given: &Given<'_>) -> Result<Call, Unchecked> {
        let mut body = json!({
            "client_id": client_id(of)?, "grant_type": "authorization_code", "code": given.code,
            "redirect_uri": given.redirect_uri,
        });
        match (given.verifier, of.any("client_secret")) {
            (Some(verifier), _) => body["code_verifier"] = verifier.into(),
            (None, Some(secret)) => body["client_secret"] = secret.into(),
            (None, None) => return Err(Unchecked::Missing("client_secret")),
        }
        let host = super::host(of.any("environment"));
        let call = Call::new(Method::Post, token_url(of, format!("{host}/oauth2/token")), "/oauth2/token");
        Ok(call.json(&body))
    }

    fn told(&self, of: &Subject<'_>, response: &Response) -> Option<Whose> {
        let body = response.json()?;
        Some(by_id(text(&body, "/merchant_id"), of.own.get("merchant_id")))
            .filter(|whose| *whose != Whose::Untold)
    }

    fn whose_calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        check_calls("square", of)
    }

    fn whose(&self, of: &Subject<'_>, place: usize, response: &Response) -> Whose {
        by_check("square", of, place, response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Words;
    use crate::checks::testing::answer;
    use crate::oauth::testing::{exchanged, page};

    const APP: &[(&str, &str)] = &[("client_id", "sq0idp-1"), ("client_secret", "s")];

    #[test]
    fn the_seller_chooses_the_account_and_the_secret_is_used() {
        let page = page(&SquareSignIn, APP).unwrap();
        assert_eq!(
            page,
            "https://connect.squareup.com/oauth2/authorize?response_type=code&client_id=sq0idp-1\
             &redirect_uri=https%3A%2F%2Fhooks.example.com%2Fconnect%2Fcallback%2Fx\
             &scope=MERCHANT_PROFILE_READ%20PAYMENTS_READ%20ORDERS_READ&state=st.1&session=false"
        );
        let (url, body) = exchanged(&SquareSignIn, APP).unwrap();
        assert_eq!(url, "POST https://connect.squareup.com/oauth2/token");
        assert!(body.contains(r#""client_secret":"s""#) && !body.contains("code_verifier"), "{body}");
    }

    #[test]
    fn an_application_without_a_secret_proves_itself_by_the_challenge() {
        let page = page(&SquareSignIn, &APP[..1]).unwrap();
        assert!(page.contains("&code_challenge=ch&code_challenge_method=S256&"), "{page}");
        let (_, body) = exchanged(&SquareSignIn, &APP[..1]).unwrap();
        assert!(body.contains(r#""code_verifier":"vf""#) && !body.contains("client_secret"), "{body}");
        assert_eq!(exchanged(&SquareSignIn, &[]).unwrap_err(), Unchecked::Missing("client_id"));
    }

    #[test]
    fn the_answer_names_the_merchant() {
        let own: Words = [("merchant_id", "M1")].into_iter().collect();
        let of = Subject { own: &own, shared: &Words::default() };
        let told = |body| SquareSignIn.told(&of, &answer(200, body));
        assert_eq!(told(r#"{"merchant_id":"M1"}"#), Some(Whose::Theirs));
        assert_eq!(told(r#"{"merchant_id":"M2"}"#), Some(Whose::Others));
        assert_eq!(told("{}"), None);
    }
}
