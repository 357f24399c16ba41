//! Odoo's check: whether the API key signs in. From 19 on by JSON-2; up to 18, which asks for the user's login, by JSON-RPC.
//!
//! Facts ("External JSON-2 API", "External RPC API"): JSON-RPC answers `200` whatever happened: an error is a member of the
//! body, and credentials that are not good are the result `false`.

use serde_json::{Value, json};
use tillwatch_domain::health::Trouble;

use crate::call::{Call, Method, Response};
use crate::checks::{Checks, Judged, Subject, Unchecked, read, success};
use crate::subscriptions::text;

#[derive(Debug)]
pub(crate) struct OdooChecks;

/// The last word of an exception's name: `odoo.exceptions.AccessDenied`.
pub(super) fn code(body: &Value) -> Option<&str> {
    let name = text(body, "/name").or_else(|| text(body, "/error/data/name"))?;
    name.rsplit('.').next()
}

impl Checks for OdooChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        let url = of.own("url")?.trim_end_matches('/');
        let base = of.base(url);
        let key = of.own("api_key")?;
        let Some(login) = of.own.get("login") else {
            let url = format!("{base}/json/2/res.users/context_get");
            let call = Call::new(Method::Post, url, "/json/2/res.users/context_get").bearer(key);
            let call = match of.own.get("database") {
                Some(database) => call.header("x-odoo-database", database),
                None => call,
            };
            return Ok(vec![call.json(&json!({}))]);
        };
        let database = of.own("database")?;
        let body = json!({
            "jsonrpc": "2.0", "method": "call", "id": 1,
            "params": {"service": "common", "method": "authenticate", "args": [database, login, key, {}]},
        });
        Ok(vec![Call::new(Method::Post, format!("{base}/jsonrpc"), "/jsonrpc").json(&body)])
    }

    fn is_tenants_server(&self) -> bool {
        true
    }

    fn judge(&self, of: &Subject<'_>, _: usize, response: &Response) -> Judged {
        let body = match read(response, code) {
            Ok(body) => body,
            Err(judged) => return judged,
        };
        if of.own.get("login").is_none() {
            return if body.is_object() { success(response) } else { Judged::of(Trouble::Unreadable, None) };
        }
        let word = code(&body);
        match (body.get("error"), body.get("result")) {
            (Some(_), _) if matches!(word, Some("AccessDenied" | "AccessError")) => {
                Judged::of(Trouble::TokenRefused, word)
            }
            (Some(_), _) => Judged::of(Trouble::ProviderError, word),
            (None, Some(Value::Bool(false))) => Judged::of(Trouble::TokenRefused, None),
            (None, Some(Value::Number(_))) => success(response),
            _ => Judged::of(Trouble::Unreadable, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{called, trouble};

    const NEW: &[(&str, &str)] = &[("url", "https://x.odoo.com/"), ("api_key", "hunter2")];

    fn old() -> Vec<(&'static str, &'static str)> {
        [NEW, &[("login", "us@example.com"), ("database", "x")]].concat()
    }

    #[test]
    fn the_way_in_is_the_one_of_its_version() {
        assert_eq!(
            called(&OdooChecks, NEW).unwrap(),
            ["POST https://x.odoo.com/json/2/res.users/context_get"]
        );
        assert_eq!(called(&OdooChecks, &old()).unwrap(), ["POST https://x.odoo.com/jsonrpc"]);
        let nameless = [NEW, &[("login", "us@example.com")]].concat();
        assert_eq!(called(&OdooChecks, &nameless).unwrap_err(), Unchecked::Missing("database"));
    }

    #[test]
    fn a_failure_of_json_rpc_is_one_although_it_comes_with_200() {
        let denied = r#"{"jsonrpc":"2.0","id":1,"error":{"code":200,"message":"Odoo Server Error","data":{"name":"odoo.exceptions.AccessDenied"}}}"#;
        for (body, wanted) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":7}"#, None),
            (r#"{"jsonrpc":"2.0","id":1,"result":false}"#, Some(Trouble::TokenRefused)),
            (denied, Some(Trouble::TokenRefused)),
            (&denied.replace("AccessDenied", "ValidationError"), Some(Trouble::ProviderError)),
            (r#"{"jsonrpc":"2.0","id":1}"#, Some(Trouble::Unreadable)),
        ] {
            assert_eq!(trouble(&OdooChecks, &old(), 200, body).0, wanted, "{body}");
        }
    }

    #[test]
    fn json_2_says_it_with_the_status() {
        assert_eq!(trouble(&OdooChecks, NEW, 200, r#"{"lang":"en_US"}"#), (None, None));
        let body = r#"{"name":"werkzeug.exceptions.Unauthorized","message":"Invalid apikey"}"#;
        let found = trouble(&OdooChecks, NEW, 401, body);
        assert_eq!(found, (Some(Trouble::TokenRefused), Some("Unauthorized".into())));
    }
}
