//! Shopify's expiring offline tokens live an hour, their refresh tokens 90 days. Tokens without a refresh token never end.
//!
//! Facts ("About offline access tokens"): the refresh token is another each time, and the one before stays good until the
//! new one is first used: so an answer that was lost can be asked for again.

use jiff::Timestamp;
use serde_json::json;
use tillwatch_domain::token::Grant;

use super::shop;
use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::tokens::{Answered, Refresh, Tokens, client, oauth, token_url};

#[derive(Debug)]
pub(crate) struct ShopifyTokens;

impl Tokens for ShopifyTokens {
    fn refresh(&self, of: &Subject<'_>) -> Result<Option<Refresh>, Unchecked> {
        let Some(token) = of.own.get("refresh_token") else { return Ok(None) };
        let shop = shop(of)?;
        let (id, secret) = client(of)?;
        let url = token_url(of, format!("https://{shop}/admin/oauth/access_token"));
        let body = json!({
            "client_id": id, "client_secret": secret, "grant_type": "refresh_token", "refresh_token": token,
        });
        let call = Call::new(Method::Post, url, "/admin/oauth/access_token").json(&body);
        let grant = Grant { every: None, single_use: true, may_repeat: true };
        Ok(Some(Refresh { grant, call }))
    }

    fn answered(&self, _: &Subject<'_>, response: &Response, now: Timestamp) -> Answered {
        oauth(response, now, |status, _| status == 401)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::testing::{called, told};

    const OWN: &[(&str, &str)] = &[
        ("refresh_token", "r"),
        ("client_id", "c"),
        ("client_secret", "s"),
        ("shop", "sample.myshopify.com"),
    ];

    #[test]
    fn it_is_refreshed_at_the_shop_and_nowhere_else() {
        let (url, _) = called(&ShopifyTokens, OWN).unwrap().unwrap();
        assert_eq!(url, "POST https://sample.myshopify.com/admin/oauth/access_token");
        let evil = [&OWN[..3], &[("shop", "evil.example")]].concat();
        assert!(matches!(called(&ShopifyTokens, &evil), Err(Unchecked::Senseless("shop", _))));
        assert!(called(&ShopifyTokens, &OWN[1..]).unwrap().is_none(), "a token that never ends");
    }

    #[test]
    fn both_tokens_are_told_with_their_lives() {
        let body = r#"{"access_token":"a","scope":"read_orders","expires_in":3600,"refresh_token":"n","refresh_token_expires_in":7776000}"#;
        assert_eq!(told(&ShopifyTokens, 200, body), Ok(("a".into(), Some("n".into()), Some(3_600))));
    }
}
