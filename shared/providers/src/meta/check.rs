//! Meta's checks: what the token is worth, where the app's own credentials are known; and the WhatsApp number, or else the
//! WhatsApp Business account, and the ad account that it is for.
//!
//! Facts ("Graph API: `debug_token`", "Handling errors", "Rate limits"): what is said of a token that is not valid comes with
//! `200`, under `is_valid`; an error in its place is of the app, whose own token asks. `expires_at` is 0 where it never ends. A
//! reached limit is a `400` with the codes 4, 17, 32, 613 and 80000 to 80014; a token that is not good is the code 190, with
//! `400` or `401`.

use serde_json::Value;
use tillwatch_domain::health::Trouble;

use super::subscriptions::BASE;
use super::version;
use crate::call::{Call, Method, Response, encoded};
use crate::checks::{
    Checks, Form, Judged, StatusPage, Subject, TokenFacts, Unchecked, lacking, moment, quota, success,
};
use crate::subscriptions::{text, texts};

/// The groups of Meta's status page, whose form is documented nowhere, and the services of these that are called or send.
const ON_THE_PAGE: Form =
    Form::Meta(&[("graph-api", &[]), ("marketing-api", &[]), ("whatsapp-business-api", &["Cloud API"])]);

#[derive(Debug)]
pub(crate) struct MetaChecks;

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Token,
    Number,
    Business,
    Ads,
    Oneself,
}

/// What is asked about a connection, one call each.
fn all(of: &Subject<'_>) -> Vec<About> {
    let has_app = of.any("app_id").is_some() && of.any("app_secret").is_some();
    let mut all: Vec<_> = has_app.then_some(About::Token).into_iter().chain(accounts(of)).collect();
    if all.is_empty() {
        all.push(About::Oneself);
    }
    all
}

/// What of it only a token of the connection's own account sees: the rest is the same for everyone's.
pub(super) fn accounts(of: &Subject<'_>) -> Vec<About> {
    let has = |setting| of.own.get(setting).is_some();
    [
        (has("phone_number_id"), About::Number),
        (has("business_account_id") && !has("phone_number_id"), About::Business),
        (has("ad_account_id"), About::Ads),
    ]
    .into_iter()
    .filter_map(|(is_asked, about)| is_asked.then_some(about))
    .collect()
}

/// What an error's number means.
fn meaning(code: i64, status: u16) -> Trouble {
    match code {
        4 | 17 | 32 | 613 | 80_000..=80_014 => Trouble::RateLimited,
        102 | 190 => Trouble::TokenRefused,
        10 | 200..=299 => Trouble::ScopeMissing,
        1 | 2 => Trouble::ProviderError,
        _ => crate::checks::by_status(status).unwrap_or(Trouble::Refused),
    }
}

/// The calls that ask about these.
pub(super) fn calls(of: &Subject<'_>, all: Vec<About>) -> Result<Vec<Call>, Unchecked> {
    let token = of.own("access_token")?;
    let version = version(of)?;
    let get = |path: String, endpoint| {
        Call::new(Method::Get, format!("{}/{version}/{path}", of.base(BASE)), endpoint)
    };
    let call = |about| {
        Ok(match about {
            About::Token => {
                let (app, secret) =
                    (of.any("app_id").unwrap_or_default(), of.any("app_secret").unwrap_or_default());
                let base = of.base_for("app_secret", BASE);
                let url = format!("{base}/{version}/debug_token?input_token={}", encoded(token));
                Call::new(Method::Get, url, "/{version}/debug_token").bearer(&format!("{app}|{secret}"))
            }
            About::Number => {
                let path = format!("{}?fields=quality_rating", encoded(of.own("phone_number_id")?));
                get(path, "/{version}/{phone_number}").bearer(token)
            }
            About::Business => {
                let path = format!("{}?fields=id", encoded(of.own("business_account_id")?));
                get(path, "/{version}/{business_account}").bearer(token)
            }
            About::Ads => {
                let account = of.own("ad_account_id")?.trim_start_matches("act_");
                let path = format!("act_{}?fields=account_status", encoded(account));
                get(path, "/{version}/{ad_account}").bearer(token)
            }
            About::Oneself => get("me?fields=id".to_owned(), "/{version}/me").bearer(token),
        })
    };
    all.into_iter().map(call).collect()
}

/// What the answer to the call about this says.
pub(super) fn judged(about: Option<About>, response: &Response) -> Judged {
    let quotas = quota::of_headers(&response.headers);
    let wrong = |trouble, word: Option<&str>| match (about, trouble) {
        (Some(About::Token), Trouble::TokenRefused | Trouble::ScopeMissing | Trouble::Refused) => {
            Judged { is_of_our_application: true, ..Judged::of(Trouble::Misconfigured, word) }
        }
        (_, trouble) => Judged::of(trouble, word),
    };
    let Some(body) = response.json() else {
        let trouble = crate::checks::by_status(response.status).unwrap_or(Trouble::Unreadable);
        return wrong(trouble, None).with_quotas(quotas);
    };
    if let Some(error) = body.get("error") {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let subcode = error.get("error_subcode").and_then(Value::as_i64);
        let word = subcode.map_or_else(|| code.to_string(), |subcode| format!("{code}.{subcode}"));
        return wrong(meaning(code, response.status), Some(&word)).with_quotas(quotas);
    }
    if let Some(trouble) = crate::checks::by_status(response.status) {
        return wrong(trouble, None).with_quotas(quotas);
    }
    let status = |field: &str| body.get(field).and_then(Value::as_i64);
    match about {
        Some(About::Token) => token(&body).with_quotas(quotas),
        // 1: active, 9: in its grace period. What else there is means that no ad is shown.
        Some(About::Ads) => match status("account_status") {
            Some(1 | 9) => success(response),
            Some(other) => Judged::of(Trouble::AccountGone, Some(&other.to_string())).with_quotas(quotas),
            None => Judged::of(Trouble::Unreadable, None),
        },
        _ if text(&body, "/id").is_some() => success(response),
        _ => Judged::of(Trouble::Unreadable, None),
    }
}

impl Checks for MetaChecks {
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
        calls(of, all(of))
    }

    fn judge(&self, of: &Subject<'_>, place: usize, response: &Response) -> Judged {
        let judged = judged(all(of).get(place).copied(), response);
        // With an application of its own it is the connection's.
        let is_ours = judged.is_of_our_application && of.own.get("app_secret").is_none();
        Judged { is_of_our_application: is_ours, ..judged }
    }

    fn missing_scopes(&self, of: &Subject<'_>, told: &[String]) -> Vec<&'static str> {
        let needed = accounts(of).into_iter().map(|about| match about {
            About::Ads => "ads_read",
            _ => "whatsapp_business_management",
        });
        let holding = |scope: &str| (scope == "ads_read").then(|| "ads_management".to_owned());
        lacking(&needed.collect::<Vec<_>>(), told, holding)
    }

    fn status_page(&self) -> Option<StatusPage> {
        Some(StatusPage { url: "https://metastatus.com/data/orgs.json", form: ON_THE_PAGE })
    }
}

/// What is said of the token.
fn token(body: &Value) -> Judged {
    let Some(data) = body.get("data") else { return Judged::of(Trouble::Unreadable, None) };
    let expires = data.get("expires_at").and_then(Value::as_i64);
    // A person's token may outlive their permission to read their data, and is of no use then.
    let ends = ["expires_at", "data_access_expires_at"]
        .map(|field| data.get(field).filter(|at| at.as_i64() != Some(0)));
    let expires_at = ends.into_iter().flatten().filter_map(moment).min();
    let facts = TokenFacts {
        expires_at,
        never_expires: expires == Some(0) && expires_at.is_none(),
        scopes: data.get("scopes").map(texts),
    };
    match data.get("is_valid").and_then(Value::as_bool) {
        Some(true) => Judged::good().with_token(facts),
        Some(false) => {
            let code = data.pointer("/error/code").map(Value::to_string);
            Judged::of(Trouble::TokenRefused, code.as_deref()).with_token(facts)
        }
        None => Judged::of(Trouble::Unreadable, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{answer, called, judged, trouble};

    const TOKEN: &[(&str, &str)] = &[("access_token", "hunter2")];
    const APP: &[(&str, &str)] = &[
        ("access_token", "hunter2"),
        ("app_id", "1"),
        ("app_secret", "s"),
        ("phone_number_id", "2"),
        ("ad_account_id", "act_3"),
    ];

    #[test]
    fn all_that_a_connection_is_for_is_asked_about() {
        let base = "GET https://graph.facebook.com/v25.0";
        assert_eq!(called(&MetaChecks, TOKEN).unwrap(), [format!("{base}/me?fields=id")]);
        assert_eq!(
            called(&MetaChecks, APP).unwrap(),
            [
                format!("{base}/debug_token?input_token=hunter2"),
                format!("{base}/2?fields=quality_rating"),
                format!("{base}/act_3?fields=account_status"),
            ]
        );
        let business = [TOKEN, &[("business_account_id", "4")]].concat();
        assert_eq!(called(&MetaChecks, &business).unwrap(), [format!("{base}/4?fields=id")]);
    }

    #[test]
    fn a_token_that_is_not_valid_is_told_with_200() {
        let body = r#"{"data":{"is_valid":false,"expires_at":1792567710,"scopes":[],"error":{"code":190,"message":"m"}}}"#;
        let found = judged(&MetaChecks, APP, 0, &answer(200, body));
        assert_eq!((found.trouble, found.code.as_deref()), (Some(Trouble::TokenRefused), Some("190")));
        let live = judged(&MetaChecks, APP, 0, &answer(200, &body.replace("false", "true")));
        assert_eq!(live.trouble, None);
        assert_eq!(live.token.unwrap().expires_at.unwrap().as_second(), 1_792_567_710);
    }

    #[test]
    fn an_error_in_the_place_of_what_a_token_is_worth_is_of_the_app_and_says_nothing_of_the_token() {
        let own: crate::call::Words = TOKEN.iter().copied().collect();
        let shared: crate::call::Words = [("app_id", "1"), ("app_secret", "wrong")].into_iter().collect();
        let of = Subject { own: &own, shared: &shared };
        let found = |status, body: &str| MetaChecks.judge(&of, 0, &answer(status, body));
        for (status, code) in [(400, 190), (401, 190), (400, 101), (400, 100)] {
            let found = found(status, &format!(r#"{{"error":{{"code":{code}}}}}"#));
            assert_eq!(found.trouble, Some(Trouble::Misconfigured), "{code}");
            assert!(found.is_of_our_application);
        }
        let busy = found(400, r#"{"error":{"code":4}}"#);
        assert_eq!((busy.trouble, busy.is_of_our_application), (Some(Trouble::RateLimited), false));
        // With an application of its own the fault is the connection's.
        let own = judged(&MetaChecks, APP, 0, &answer(400, r#"{"error":{"code":190}}"#));
        assert_eq!((own.trouble, own.is_of_our_application), (Some(Trouble::Misconfigured), false));
    }

    #[test]
    fn a_token_without_an_end_has_none_unless_its_data_has() {
        let body = r#"{"data":{"is_valid":true,"expires_at":0,"data_access_expires_at":0}}"#;
        let token = |body: &str| judged(&MetaChecks, APP, 0, &answer(200, body)).token.unwrap();
        assert!(token(body).never_expires);
        let ending =
            token(&body.replace(r#""data_access_expires_at":0"#, r#""data_access_expires_at":1792567710"#));
        assert_eq!((ending.never_expires, ending.expires_at.unwrap().as_second()), (false, 1_792_567_710));
    }

    #[test]
    fn limits_and_refusals_are_told_by_metas_numbers_whatever_the_status() {
        for (status, code, wanted) in [
            (400, 4, Trouble::RateLimited),
            (400, 80_007, Trouble::RateLimited),
            (400, 190, Trouble::TokenRefused),
            (403, 200, Trouble::ScopeMissing),
            (500, 2, Trouble::ProviderError),
            (400, 100, Trouble::Refused),
        ] {
            let body = format!(r#"{{"error":{{"message":"m","code":{code},"error_subcode":463}}}}"#);
            let found = trouble(&MetaChecks, TOKEN, status, &body);
            assert_eq!(found, (Some(wanted), Some(format!("{code}.463"))), "{code}");
        }
    }

    #[test]
    fn an_ad_account_must_be_active_and_a_number_there() {
        let of = |place, body: &str| judged(&MetaChecks, APP, place, &answer(200, body)).trouble;
        assert_eq!(of(1, r#"{"quality_rating":"GREEN","id":"2"}"#), None);
        assert_eq!(of(1, "{}"), Some(Trouble::Unreadable));
        assert_eq!(of(2, r#"{"account_status":1,"id":"act_3"}"#), None);
        assert_eq!(of(2, r#"{"account_status":2,"id":"act_3"}"#), Some(Trouble::AccountGone));
    }
}
