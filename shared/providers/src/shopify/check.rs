//! Shopify's check: the shop and what its token may do, in one GraphQL call.
//!
//! Facts ("GraphQL Admin API: rate limits", "response status codes"): a throttled call is a `200` whose errors say
//! `THROTTLED`; the answer tells what is left of the bucket. `401`: the app is uninstalled or the token gone; `402`: the shop
//! is frozen; `423`: it is locked.

use serde_json::{Value, json};
use tillwatch_domain::health::Trouble;

use super::connect::SCOPES;
use super::shop;
use super::subscriptions::{VERSION, is_version};
use crate::call::{Call, Method, Response};
use crate::checks::{
    Checks, Form, Judged, StatusPage, Subject, TokenFacts, Unchecked, lacking, quota, read, success,
};
use crate::subscriptions::text;

const QUERY: &str = "{shop{myshopifyDomain} currentAppInstallation{accessScopes{handle}}}";

#[derive(Debug)]
pub(crate) struct ShopifyChecks;

pub(super) fn code(body: &Value) -> Option<&str> {
    text(body, "/errors/0/extensions/code")
}

impl Checks for ShopifyChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let shop = shop(of)?;
        let token = of.own("access_token")?;
        let version = of.own.get("api_version").unwrap_or(VERSION);
        if !is_version(version) {
            return Err(Unchecked::Senseless("api_version", "is no version such as 2026-07"));
        }
        let url = format!("{}/admin/api/{version}/graphql.json", of.base(&format!("https://{shop}")));
        let call = Call::new(Method::Post, url, "/admin/api/{version}/graphql.json");
        Ok(vec![call.header("x-shopify-access-token", token).json(&json!({"query": QUERY}))])
    }

    fn judge(&self, _: &Subject<'_>, _: usize, response: &Response) -> Judged {
        let body = match read(response, code) {
            Ok(body) => body,
            Err(judged) => return judged,
        };
        let bucket = quota::of_shopify_bucket(&body);
        let judged = match (code(&body), text(&body, "/data/shop/myshopifyDomain")) {
            (Some("THROTTLED"), _) => Judged::of(Trouble::RateLimited, Some("THROTTLED")),
            (Some("ACCESS_DENIED"), _) => Judged::of(Trouble::ScopeMissing, Some("ACCESS_DENIED")),
            (Some("INTERNAL_SERVER_ERROR"), _) => {
                Judged::of(Trouble::ProviderError, Some("INTERNAL_SERVER_ERROR"))
            }
            (Some(other), None) => Judged::of(Trouble::Refused, Some(other)),
            (None, None) if body.get("errors").is_some() => Judged::of(Trouble::Refused, None),
            (None, None) => Judged::of(Trouble::Unreadable, None),
            (_, Some(_)) => {
                let handles = body.pointer("/data/currentAppInstallation/accessScopes");
                let scopes = handles.and_then(Value::as_array).map(|scopes| {
                    scopes.iter().filter_map(|scope| text(scope, "/handle")).map(str::to_owned).collect()
                });
                success(response).with_token(TokenFacts { scopes, ..TokenFacts::default() })
            }
        };
        judged.with_quotas(bucket)
    }

    fn missing_scopes(&self, _: &Subject<'_>, told: &[String]) -> Vec<&'static str> {
        // Who may write may read.
        lacking(SCOPES, told, |scope| Some(scope.replacen("read_", "write_", 1)))
    }

    fn status_page(&self) -> Option<StatusPage> {
        // Its components are API & Mobile, Admin, Checkout and others of the shop itself.
        Some(StatusPage {
            url: "https://www.shopifystatus.com/api/v2/summary.json",
            form: Form::Statuspage(&["api"]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{answer, called, judged, trouble};

    const OWN: &[(&str, &str)] = &[("shop", "sample.myshopify.com"), ("access_token", "hunter2")];
    const SHOP: &str = r#"{"data":{"shop":{"myshopifyDomain":"sample.myshopify.com"},"currentAppInstallation":{"accessScopes":[{"handle":"read_orders"}]}},"extensions":{"cost":{"requestedQueryCost":2,"throttleStatus":{"maximumAvailable":2000.0,"currentlyAvailable":1998,"restoreRate":100.0}}}}"#;

    #[test]
    fn the_shop_is_asked_at_its_own_domain_and_at_no_other() {
        let calls = called(&ShopifyChecks, OWN).unwrap();
        assert_eq!(calls, ["POST https://sample.myshopify.com/admin/api/2026-07/graphql.json"]);
        let elsewhere = called(&ShopifyChecks, &[("shop", "evil.example"), ("access_token", "hunter2")]);
        assert!(matches!(elsewhere, Err(Unchecked::Senseless("shop", _))));
    }

    #[test]
    fn a_shop_tells_its_bucket_and_what_the_token_may_do() {
        let judged = judged(&ShopifyChecks, OWN, 0, &answer(200, SHOP));
        assert_eq!((judged.trouble, judged.quotas[0].remaining), (None, 1_998));
        assert_eq!(judged.token.unwrap().scopes.unwrap(), ["read_orders"]);
    }

    #[test]
    fn a_failure_in_a_success_is_one() {
        for (code, wanted) in [
            ("THROTTLED", Trouble::RateLimited),
            ("ACCESS_DENIED", Trouble::ScopeMissing),
            ("INTERNAL_SERVER_ERROR", Trouble::ProviderError),
            ("MAX_COST_EXCEEDED", Trouble::Refused),
        ] {
            let body = format!(r#"{{"errors":[{{"message":"m","extensions":{{"code":"{code}"}}}}]}}"#);
            assert_eq!(trouble(&ShopifyChecks, OWN, 200, &body), (Some(wanted), Some(code.into())), "{code}");
        }
        assert_eq!(trouble(&ShopifyChecks, OWN, 200, r#"{"errors":"Not Found"}"#).0, Some(Trouble::Refused));
        assert_eq!(trouble(&ShopifyChecks, OWN, 200, "{}").0, Some(Trouble::Unreadable));
        assert_eq!(trouble(&ShopifyChecks, OWN, 402, "{}").0, Some(Trouble::AccountGone));
    }
}
