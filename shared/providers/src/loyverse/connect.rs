//! Signing in at Loyverse.
//!
//! Facts: as RFC 6749 has it, the exchange as a form. The page's address is that of Loyverse's own documentation;
//! `cloud.loyverse.com` is seen as well, which `api.authorize_url` may say. Whether it takes PKCE is UNVERIFIED: none is sent.
//! The answer does not say whose the tokens are: `merchant/` does.

use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::oauth::{
    Asked, Given, SignIn, Whose, as_form, by_check, check_calls, page_url, scopes, with_code,
};
use crate::tokens::{client, token_url};

/// What receipts, items and stock are read with.
const SCOPES: &[&str] = &["MERCHANT_READ", "STORES_READ", "RECEIPTS_READ", "ITEMS_READ", "INVENTORY_READ"];

#[derive(Debug)]
pub(crate) struct LoyverseSignIn;

impl SignIn for LoyverseSignIn {
    fn page(&self, of: &Subject<'_>, asked: &Asked<'_>) -> Result<String, Unchecked> {
        let page = page_url(of, "https://api.loyverse.com/oauth/authorize");
        Ok(with_code(&page, client(of)?.0, &scopes(of, SCOPES, " "), asked))
    }

    fn exchange(&self, of: &Subject<'_>, given: &Given<'_>) -> Result<Call, Unchecked> {
        let url = token_url(of, "https://api.loyverse.com/oauth/token");
        as_form(of, Call::new(Method::Post, url, "/oauth/token"), given)
    }

    fn whose_calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        check_calls("loyverse", of)
    }

    fn whose(&self, of: &Subject<'_>, place: usize, response: &Response) -> Whose {
        by_check("loyverse", of, place, response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::testing::{exchanged, page};

    #[test]
    fn a_person_signs_in_as_the_standard_has_it() {
        let app = [("client_id", "c"), ("client_secret", "s")];
        let page = page(&LoyverseSignIn, &app).unwrap();
        assert!(page.starts_with("https://api.loyverse.com/oauth/authorize?response_type=code&client_id=c&"));
        assert!(
            page.contains("scope=MERCHANT_READ%20STORES_READ%20RECEIPTS_READ") && !page.contains("challenge")
        );
        let (url, body) = exchanged(&LoyverseSignIn, &app).unwrap();
        assert_eq!(url, "POST https://api.loyverse.com/oauth/token");
        assert!(body.ends_with("&client_id=c&client_secret=s"), "{body}");
    }
}
