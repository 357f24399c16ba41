//! Signing in at Meta: a person lets the app do what it does in their name.
//!
//! Facts ("Manually build a login flow", "Facebook Login for Business"): the page is a dialog of the Graph API's version,
//! permissions with commas between them; Login for Business has a `config_id` instead of permissions. PKCE is there for
//! `OpenID` Connect alone, in testing: none is sent. The answer says nothing of an account: the number, or else the WhatsApp
//! Business account, and the ad account that the connection is for are asked with the token, which another person's does not
//! show. That a token is good says nothing of whose it is.

use tillwatch_domain::health::Trouble;

use super::subscriptions::BASE;
use super::{check, version};
use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::oauth::{Asked, Given, SignIn, Whose, by_judged, page_url, scopes, with_query};
use crate::tokens::token_url;

const WHATSAPP: &[&str] = &["whatsapp_business_management", "whatsapp_business_messaging"];
const ADS: &[&str] = &["ads_management", "ads_read"];

#[derive(Debug)]
pub(crate) struct MetaSignIn;

fn app<'a>(of: &Subject<'a>) -> Result<(&'a str, &'a str), Unchecked> {
    let id = of.any("app_id").ok_or(Unchecked::Missing("app_id"))?;
    Ok((id, of.any("app_secret").ok_or(Unchecked::Missing("app_secret"))?))
}

impl SignIn for MetaSignIn {
    fn page(&self, of: &Subject<'_>, asked: &Asked<'_>) -> Result<String, Unchecked> {
        let (id, _) = app(of)?;
        let page = page_url(of, format!("https://www.facebook.com/{}/dialog/oauth", version(of)?));
        let has = |setting| of.own.get(setting).is_some();
        let mut wanted = Vec::new();
        if has("phone_number_id") || has("business_account_id") || !has("ad_account_id") {
            wanted.extend(WHATSAPP);
        }
        if has("ad_account_id") {
            wanted.extend(ADS);
        }
        let scope = scopes(of, &wanted, ",");
        let what = match of.any("config_id") {
            Some(config) => ("config_id", config),
            None => ("scope", scope.as_str()),
        };
        let (state, redirect_uri) = (asked.state, asked.redirect_uri);
        let code = ("response_type", "code");
        Ok(with_query(
            &page,
            &[code, ("client_id", id), ("redirect_uri", redirect_uri), what, ("state", state)],
        ))
    }

    fn exchange(&self, of: &Subject<'_>, given: &Given<'_>) -> Result<Call, Unchecked> {
        let (id, secret) = app(of)?;
        // As a form, so that no secret stands in a URL.
        let url = token_url(of, format!("{BASE}/{}/oauth/access_token", version(of)?));
        Ok(Call::new(Method::Post, url, "/{version}/oauth/access_token").form(&[
            ("client_id", id),
            ("client_secret", secret),
            ("redirect_uri", given.redirect_uri),
            ("code", given.code),
        ]))
    }

    fn whose_calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        check::calls(of, check::accounts(of))
    }

    fn whose(&self, of: &Subject<'_>, place: usize, response: &Response) -> Whose {
        let Some(about) = check::accounts(of).get(place).copied() else { return Whose::Untold };
        let judged = check::judged(Some(about), response);
        match judged.trouble {
            // What is not there for this person: "Unsupported get request", "object does not exist".
            Some(Trouble::Refused) if response.status == 400 || response.status == 404 => Whose::Others,
            _ => by_judged(&judged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Words;
    use crate::checks::testing::answer;
    use crate::oauth::testing::{exchanged, page};

    const APP: &[(&str, &str)] = &[("app_id", "1"), ("app_secret", "s")];

    #[test]
    fn what_is_asked_for_is_what_the_connection_is_for() {
        let of = |more: &[(&str, &str)]| page(&MetaSignIn, &[APP, more].concat()).unwrap();
        assert!(
            of(&[])
                .starts_with("https://www.facebook.com/v25.0/dialog/oauth?response_type=code&client_id=1&")
        );
        assert!(of(&[("phone_number_id", "2")]).contains("scope=whatsapp_business_management%2Cwhatsapp"));
        let ads = of(&[("ad_account_id", "3")]);
        assert!(ads.contains("scope=ads_management%2Cads_read") && !ads.contains("whatsapp"), "{ads}");
        let business = of(&[("config_id", "4")]);
        assert!(business.contains("config_id=4") && !business.contains("scope"), "{business}");
        let (url, body) = exchanged(&MetaSignIn, APP).unwrap();
        assert_eq!(url, "POST https://graph.facebook.com/v25.0/oauth/access_token");
        assert!(body.starts_with("client_id=1&client_secret=s&redirect_uri=https"), "{body}");
    }

    #[test]
    fn a_number_that_the_person_does_not_see_is_anothers() {
        let own: Words = [("phone_number_id", "2"), ("access_token", "a")].into_iter().collect();
        let of = Subject { own: &own, shared: &Words::default() };
        let whose = |status, body| MetaSignIn.whose(&of, 0, &answer(status, body));
        assert_eq!(whose(200, r#"{"id":"2"}"#), Whose::Theirs);
        assert_eq!(whose(400, r#"{"error":{"code":100,"error_subcode":33}}"#), Whose::Others);
        assert_eq!(whose(403, r#"{"error":{"code":200}}"#), Whose::Barred);
        assert_eq!(whose(500, r#"{"error":{"code":2}}"#), Whose::Untold);
        assert_eq!(whose(400, r#"{"error":{"code":4}}"#), Whose::Untold, "a limit says nothing");
    }

    #[test]
    fn a_token_is_asked_about_an_account_and_not_whether_it_is_good() {
        let asked = |more: &[(&str, &str)]| {
            let own: Words = [APP, &[("access_token", "a")], more].concat().into_iter().collect();
            let of = Subject { own: &own, shared: &Words::default() };
            let calls = MetaSignIn.whose_calls(&of).unwrap();
            calls.into_iter().map(|call| call.endpoint).collect::<Vec<_>>()
        };
        assert_eq!(asked(&[("business_account_id", "4")]), ["/{version}/{business_account}"]);
        assert_eq!(asked(&[("phone_number_id", "2")]), ["/{version}/{phone_number}"]);
        assert_eq!(asked(&[]), [""; 0], "nobody can tell");
        let own: Words = [("business_account_id", "4"), ("access_token", "a")].into_iter().collect();
        let of = Subject { own: &own, shared: &Words::default() };
        let whose = |status, body| MetaSignIn.whose(&of, 0, &answer(status, body));
        assert_eq!(whose(200, r#"{"id":"4"}"#), Whose::Theirs);
        assert_eq!(whose(400, r#"{"error":{"code":100,"error_subcode":33}}"#), Whose::Others);
    }
}
