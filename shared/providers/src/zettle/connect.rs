//! Signing in at Zettle.
//!
//! Facts ("Authorization `OAuth2` API"): as RFC 6749 has it, the exchange as a form; no PKCE is told of. The answer does not say
//! whose the tokens are: `users/self` does.

use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::oauth::{
    Asked, Given, SignIn, Whose, as_form, by_check, check_calls, page_url, scopes, with_code,
};
use crate::tokens::{client, token_url};

/// What purchases, products and stock are read with.
const SCOPES: &[&str] = &["READ:PURCHASE", "READ:PRODUCT", "READ:USERINFO"];

#[derive(Debug)]
pub(crate) struct ZettleSignIn;

impl SignIn for ZettleSignIn {
    fn page(&self, of: &Subject<'_>, asked: &Asked<'_>) -> Result<String, Unchecked> {
        let page = page_url(of, "https://oauth.zettle.com/authorize");
        Ok(with_code(&page, client(of)?.0, &scopes(of, SCOPES, " "), asked))
    }

    fn exchange(&self, of: &Subject<'_>, given: &Given<'_>) -> Result<Call, Unchecked> {
        let url = token_url(of, "https://oauth.zettle.com/token");
        as_form(of, Call::new(Method::Post, url, "/token"), given)
    }

    fn whose_calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        check_calls("zettle", of)
    }

    fn whose(&self, of: &Subject<'_>, place: usize, response: &Response) -> Whose {
        by_check("zettle", of, place, response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Words;
    use crate::checks::testing::answer;
    use crate::oauth::testing::{exchanged, page};

    #[test]
    fn a_person_signs_in_as_the_standard_has_it() {
        let app = [("client_id", "c"), ("client_secret", "s")];
        let page = page(&ZettleSignIn, &app).unwrap();
        assert!(
            page.starts_with("https://oauth.zettle.com/authorize?response_type=code&client_id=c&"),
            "{page}"
        );
        assert!(
            page.contains("scope=READ%3APURCHASE%20READ%3APRODUCT%20READ%3AUSERINFO&state=st.1"),
            "{page}"
        );
        let (url, body) = exchanged(&ZettleSignIn, &app).unwrap();
        assert_eq!(url, "POST https://oauth.zettle.com/token");
        assert!(body.starts_with("grant_type=authorization_code&code=c%2F1&redirect_uri=https"), "{body}");
        assert_eq!(exchanged(&ZettleSignIn, &app[..1]).unwrap_err(), Unchecked::Missing("client_secret"));
    }

    #[test]
    fn the_organisation_says_whose_the_tokens_are() {
        let own: Words = [("organization_uuid", "0B1C"), ("access_token", "a")].into_iter().collect();
        let of = Subject { own: &own, shared: &Words::default() };
        assert_eq!(ZettleSignIn.whose_calls(&of).unwrap().len(), 1);
        let whose = |status, body| ZettleSignIn.whose(&of, 0, &answer(status, body));
        assert_eq!(whose(200, r#"{"organizationUuid":"0b1c"}"#), Whose::Theirs);
        assert_eq!(whose(200, r#"{"organizationUuid":"0b1d"}"#), Whose::Others);
        assert_eq!(whose(403, "{}"), Whose::Barred);
        assert_eq!(whose(503, "<html>"), Whose::Untold);
    }
}
