//! Signing in at Shopify: the app is installed, or its permissions are granted anew, at one shop.
//!
//! Facts ("Authenticate standalone apps", "About offline access tokens"; `@shopify/shopify-api` 13.1): page and exchange are
//! the shop's own. What comes back is signed: HMAC-SHA256 in hexadecimal digits, with the app's secret, over all of the query
//! but `hmac` and `signature`, by name, encoded as `URLSearchParams` does; `timestamp` may be 90 seconds off. `expiring=1`
//! asks for a token that ends and comes with a refresh token. There is no PKCE here.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::json;

use super::shop;
use crate::call::{Call, Method, Response};
use crate::checks::{Subject, Unchecked};
use crate::hmac::{hex_tag, tag};
use crate::oauth::{Asked, Callback, Given, SignIn, Unproved, Whose, page_url, scopes, with_query};
use crate::tokens::{client, token_url};

pub(super) const SCOPES: &[&str] = &["read_orders"];
/// How far Shopify's clock and ours may be apart, and the person's way take, in seconds.
const TOLERANCE: i64 = 90;

#[derive(Debug)]
pub(crate) struct ShopifySignIn;

/// What is signed.
fn message(callback: &Callback) -> String {
    let signed = callback.sorted().filter(|(name, _)| !["hmac", "signature"].contains(name));
    let pairs: Vec<_> =
        signed.map(|(name, value)| format!("{}={}", as_in_a_form(name), as_in_a_form(value))).collect();
    pairs.join("&")
}

/// A text as `URLSearchParams` writes it.
fn as_in_a_form(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            other => drop(write!(encoded, "%{other:02X}")),
        }
    }
    encoded
}

impl SignIn for ShopifySignIn {
    fn page(&self, of: &Subject<'_>, asked: &Asked<'_>) -> Result<String, Unchecked> {
        let (id, _) = client(of)?;
        let page = page_url(of, format!("https://{}/admin/oauth/authorize", shop(of)?));
        let scope = scopes(of, SCOPES, ",");
        let (state, redirect_uri) = (asked.state, asked.redirect_uri);
        Ok(with_query(
            &page,
            &[("client_id", id), ("scope", &scope), ("redirect_uri", redirect_uri), ("state", state)],
        ))
    }

    fn proved(&self, of: &Subject<'_>, callback: &Callback, now: Timestamp) -> Result<(), Unproved> {
        let secret = of.any("client_secret").ok_or(Unproved::WrongSignature)?;
        let told = callback.get("hmac").and_then(hex_tag::<32>).ok_or(Unproved::WrongSignature)?;
        if !crate::hmac::same(&tag(secret.as_bytes(), &[message(callback).as_bytes()]), &told) {
            return Err(Unproved::WrongSignature);
        }
        let signed =
            callback.get("timestamp").and_then(|at| at.parse::<i64>().ok()).ok_or(Unproved::Stale)?;
        if now.as_second().abs_diff(signed) > TOLERANCE.unsigned_abs() {
            return Err(Unproved::Stale);
        }
        match (callback.get("shop"), of.own.get("shop")) {
            (Some(told), Some(wanted)) if told.eq_ignore_ascii_case(wanted) => Ok(()),
            _ => Err(Unproved::OtherAccount),
        }
    }

    fn exchange(&self, of: &Subject<'_>, given: &Given<'_>) -> Result<Call, Unchecked> {
        let shop = shop(of)?;
        let (id, secret) = client(of)?;
        let url = token_url(of, format!("https://{shop}/admin/oauth/access_token"));
        let body = json!({"client_id": id, "client_secret": secret, "code": given.code, "expiring": "1"});
        Ok(Call::new(Method::Post, url, "/admin/oauth/access_token").json(&body))
    }

    /// The shop's own address gives the shop's own tokens.
    fn told(&self, _: &Subject<'_>, _: &Response) -> Option<Whose> {
        Some(Whose::Theirs)
    }

    fn whose_calls(&self, _: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        Ok(Vec::new())
    }

    fn whose(&self, _: &Subject<'_>, _: usize, _: &Response) -> Whose {
        Whose::Theirs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Words;
    use crate::oauth::testing::{exchanged, page};

    const SHOP: &str = "some-shop.myshopify.com";
    const APP: &[(&str, &str)] = &[("client_id", "c"), ("client_secret", "hush"), ("shop", SHOP)];
    const AT: i64 = 1_337_178_173;

    /// What is said of a query that is signed with this secret, so many seconds later, of this shop's connection.
    fn proved(query: &str, secret: &str, later: i64, shop: &str) -> Result<(), Unproved> {
        let unsigned = Callback::read(query).unwrap();
        let hmac = hex::encode(tag(secret.as_bytes(), &[message(&unsigned).as_bytes()]));
        judged(&format!("{query}&hmac={hmac}"), later, shop)
    }

    fn judged(query: &str, later: i64, shop: &str) -> Result<(), Unproved> {
        let own: Words = [("client_secret", "hush"), ("shop", shop)].into_iter().collect();
        let of = Subject { own: &own, shared: &Words::default() };
        let now = Timestamp::from_second(AT + later).unwrap();
        ShopifySignIn.proved(&of, &Callback::read(query).unwrap(), now)
    }

    #[test]
    fn the_vectors_of_shopifys_libraries_get_their_verdict() {
        let vectors = include_str!("../../../../tests/vectors/signatures.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        let of_callbacks: Vec<_> =
            vectors.iter().filter(|vector| vector["scheme"] == "shopify-oauth").collect();
        assert_eq!(of_callbacks.len(), 3);
        for vector in of_callbacks {
            let (_, query) = vector["url"].as_str().unwrap().split_once('?').unwrap();
            let own: Words =
                [("client_secret", vector["secret"].as_str().unwrap()), ("shop", SHOP)].into_iter().collect();
            let of = Subject { own: &own, shared: &Words::default() };
            let now = Timestamp::from_second(vector["now"].as_i64().unwrap()).unwrap();
            let verdict = ShopifySignIn.proved(&of, &Callback::read(query).unwrap(), now);
            assert_eq!(verdict.is_ok(), vector["valid"] == true, "{}: {verdict:?}", vector["id"]);
        }
    }

    #[test]
    fn what_is_signed_is_encoded_as_forms_are() {
        let callback = Callback::read("b=%C3%BC+*~/:&a=1&signature=x&hmac=y").unwrap();
        assert_eq!(message(&callback), "a=1&b=%C3%BC+*%7E%2F%3A");
    }

    #[test]
    fn only_what_shopify_signed_now_for_this_shop_is_believed() {
        let query = format!("code=c&host=YWRt%3D&shop={SHOP}&state=st.1&timestamp={AT}");
        assert_eq!(proved(&query, "hush", 90, SHOP), Ok(()));
        assert_eq!(proved(&query, "hush", -90, SHOP), Ok(()));
        assert_eq!(proved(&query, "hush", 91, SHOP), Err(Unproved::Stale));
        assert_eq!(proved(&query, "hush", -91, SHOP), Err(Unproved::Stale));
        assert_eq!(proved(&query, "another", 0, SHOP), Err(Unproved::WrongSignature));
        assert_eq!(proved(&query, "hush", 0, "other.myshopify.com"), Err(Unproved::OtherAccount));
        assert_eq!(judged(&query, 0, SHOP), Err(Unproved::WrongSignature));
        let without = format!("code=c&shop={SHOP}");
        assert_eq!(proved(&without, "hush", 0, SHOP), Err(Unproved::Stale));
    }

    #[test]
    fn page_and_exchange_are_the_shops_own_and_no_others() {
        let page = page(&ShopifySignIn, APP).unwrap();
        assert_eq!(
            page,
            "https://some-shop.myshopify.com/admin/oauth/authorize?client_id=c&scope=read_orders\
             &redirect_uri=https%3A%2F%2Fhooks.example.com%2Fconnect%2Fcallback%2Fx&state=st.1"
        );
        let (url, body) = exchanged(&ShopifySignIn, APP).unwrap();
        assert_eq!(url, "POST https://some-shop.myshopify.com/admin/oauth/access_token");
        assert!(body.contains(r#""expiring":"1""#) && body.contains(r#""code":"c/1""#), "{body}");
        for evil in [
            "evil.example",
            "evil.example/.myshopify.com",
            "a.myshopify.com.evil.example",
            "a.b.myshopify.com",
        ] {
            let own = [APP[0], APP[1], ("shop", evil)];
            assert!(
                matches!(exchanged(&ShopifySignIn, &own), Err(Unchecked::Senseless("shop", _))),
                "{evil}"
            );
            assert!(crate::oauth::testing::page(&ShopifySignIn, &own).is_err(), "{evil}");
        }
    }
}
