//! What is left of a provider's limits, as its answers tell: in the forms of the IETF draft (`ratelimit`), of everyone
//! before it (`x-ratelimit-remaining`), of Shopify's buckets and of Meta's percentages.
//!
//! Sources: draft-ietf-httpapi-ratelimit-headers-11; "REST Admin API rate limits" and "GraphQL Admin API rate limits"
//! (Shopify); "Graph API: rate limits" (Meta).

use serde_json::Value;
use tillwatch_domain::quota::Quota;

use crate::Headers;
use crate::call::http_date;

/// The longest name that is kept.
const LONGEST_NAME: usize = 64;
/// A window that is longer tells no seconds, but a moment.
const LONGEST_WINDOW: u64 = 366 * 86_400;
/// From here on a moment is in milliseconds.
const MILLISECONDS: u64 = 100_000_000_000;

/// One of this name, which is bounded.
fn quota(name: &str, remaining: u64, limit: Option<u64>, resets_in: Option<u64>) -> Quota {
    let name = name.chars().filter(char::is_ascii_graphic).take(LONGEST_NAME).collect();
    Quota { name, remaining: limit.map_or(remaining, |limit| remaining.min(limit)), limit, resets_in }
}

/// The limits that an answer's headers tell of.
pub fn of_headers(headers: &Headers) -> Vec<Quota> {
    let mut quotas = draft(headers);
    if quotas.is_empty() {
        quotas.extend(common(headers));
    }
    quotas.extend(shopify(headers));
    quotas.extend(meta(headers));
    quotas
}

/// `ratelimit: "default";r=50;t=30`, and its policy `"default";q=100;w=60`.
fn draft(headers: &Headers) -> Vec<Quota> {
    let items = |name: &str| -> Vec<(String, Vec<(String, u64)>)> {
        let Some(text) = headers.get(name) else { return Vec::new() };
        let item = |item: &str| {
            let mut parts = item.split(';');
            let name = parts.next()?.trim().trim_matches('"').to_owned();
            let parameters = parts.filter_map(|part| {
                let (name, value) = part.split_once('=')?;
                Some((name.trim().to_owned(), value.trim().parse().ok()?))
            });
            Some((name, parameters.collect()))
        };
        text.split(',').filter_map(item).collect()
    };
    let value = |parameters: &[(String, u64)], wanted: &str| {
        parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value)
    };
    let policies = items("ratelimit-policy");
    let of = |(name, parameters): (String, Vec<(String, u64)>)| {
        let policy = policies.iter().find(|(policy, _)| *policy == name);
        let limit = policy.and_then(|(_, parameters)| value(parameters, "q"));
        Some(quota(&name, value(&parameters, "r")?, limit, value(&parameters, "t")))
    };
    items("ratelimit").into_iter().filter_map(of).collect()
}

/// The names that were there before the draft, with either spelling.
fn common(headers: &Headers) -> Option<Quota> {
    let get = |what: &str| {
        ["ratelimit-", "x-ratelimit-", "x-rate-limit-"]
            .iter()
            .find_map(|prefix| headers.get(&format!("{prefix}{what}")))
    };
    // Several windows are told with commas between them; the first is the narrowest.
    let number = |text: &str| text.split([',', ';']).next()?.trim().parse::<u64>().ok();
    let remaining = number(get("remaining")?)?;
    let arrived = headers.get("date").and_then(seconds_of);
    let resets_in = get("reset").and_then(|text| resets_in(text, arrived));
    Some(quota("calls", remaining, get("limit").and_then(number), resets_in))
}

/// Seconds, Unix seconds, Unix milliseconds or an HTTP date, told apart by their size; the last three by the answer's own
/// clock.
fn resets_in(text: &str, arrived: Option<u64>) -> Option<u64> {
    let whole = text.trim().split(['.', ',', ';']).next()?;
    let at = match whole.parse::<u64>() {
        Ok(span) if span <= LONGEST_WINDOW => return Some(span),
        Ok(at) if at >= MILLISECONDS => at / 1_000,
        Ok(at) => at,
        Err(_) => seconds_of(text)?,
    };
    arrived.map(|arrived| at.saturating_sub(arrived))
}

/// An HTTP date as Unix seconds.
fn seconds_of(date: &str) -> Option<u64> {
    u64::try_from(http_date(date)?.as_second()).ok()
}

/// `x-shopify-shop-api-call-limit: 32/40`.
fn shopify(headers: &Headers) -> Option<Quota> {
    let (used, limit) = headers.get("x-shopify-shop-api-call-limit")?.trim().split_once('/')?;
    let (used, limit): (u64, u64) = (used.trim().parse().ok()?, limit.trim().parse().ok()?);
    Some(quota("calls", limit.saturating_sub(used), Some(limit), None))
}

/// The bucket that Shopify's GraphQL answers tell of in their body.
pub fn of_shopify_bucket(body: &Value) -> Option<Quota> {
    let status = body.pointer("/extensions/cost/throttleStatus")?;
    let points = |name: &str| {
        let text = status.get(name)?.to_string();
        text.split('.').next()?.parse::<u64>().ok()
    };
    let (limit, left, rate) =
        (points("maximumAvailable")?, points("currentlyAvailable")?, points("restoreRate").unwrap_or(0));
    let resets_in = (rate > 0).then(|| limit.saturating_sub(left).div_ceil(rate));
    Some(quota("points", left, Some(limit), resets_in))
}

/// Meta's percentages: of the app, of each business, of an ad account.
fn meta(headers: &Headers) -> Vec<Quota> {
    let json = |name: &str| serde_json::from_str::<Value>(headers.get(name)?).ok();
    let left = |used: u64| 100_u64.saturating_sub(used);
    let percent = |value: &Value| -> Option<u64> { value.to_string().split('.').next()?.parse().ok() };
    let mut quotas = Vec::new();
    if let Some(app) = json("x-app-usage") {
        for name in ["call_count", "total_cputime", "total_time"] {
            if let Some(used) = app.get(name).and_then(percent) {
                quotas.push(quota(&format!("app.{name}"), left(used), Some(100), None));
            }
        }
    }
    if let Some(Value::Object(businesses)) = json("x-business-use-case-usage") {
        for usage in businesses.values().filter_map(Value::as_array).flatten() {
            let kind = usage.get("type").and_then(Value::as_str).unwrap_or("business");
            let minutes = usage.get("estimated_time_to_regain_access").and_then(percent);
            if let Some(used) = usage.get("call_count").and_then(percent) {
                let resets_in = minutes.filter(|minutes| *minutes > 0).map(|minutes| minutes * 60);
                quotas.push(quota(&format!("{kind}.call_count"), left(used), Some(100), resets_in));
            }
        }
    }
    if let Some(used) =
        json("x-ad-account-usage").as_ref().and_then(|usage| percent(usage.get("acc_id_util_pct")?))
    {
        quotas.push(quota("ad_account", left(used), Some(100), None));
    }
    quotas
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(headers: &[(&str, &str)]) -> Vec<(String, u64, Option<u64>, Option<u64>)> {
        let headers: Headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let told = |quota: Quota| (quota.name, quota.remaining, quota.limit, quota.resets_in);
        of_headers(&headers).into_iter().map(told).collect()
    }

    #[test]
    fn the_drafts_form_is_read_with_its_policies() {
        assert_eq!(
            of(&[
                ("ratelimit", r#""burst";r=5;t=1, "daily";r=900;t=3600"#),
                ("ratelimit-policy", r#""burst";q=10;w=1,"daily";q=1000;w=86400"#)
            ]),
            [("burst".into(), 5, Some(10), Some(1)), ("daily".into(), 900, Some(1_000), Some(3_600))]
        );
        assert_eq!(of(&[("ratelimit", "default;r=50")]), [("default".into(), 50, None, None)]);
    }

    #[test]
    fn a_reset_is_read_as_seconds_a_moment_in_either_unit_or_a_date() {
        let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        for (text, seconds) in [
            ("30", Some(30)),
            ("30.5", Some(30)),
            ("1792567710", Some(30)),
            ("1792567710000", Some(30)),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(30)),
            ("1792567000", Some(0)),
            ("soon", None),
        ] {
            for prefix in ["ratelimit-", "x-ratelimit-", "x-rate-limit-"] {
                let [remaining, reset, limit] =
                    ["remaining", "reset", "limit"].map(|name| format!("{prefix}{name}"));
                let headers = [(remaining.as_str(), "7"), (&reset, text), (&limit, "100, 100;w=60"), date];
                assert_eq!(of(&headers), [("calls".into(), 7, Some(100), seconds)], "{prefix} {text}");
            }
        }
        assert_eq!(of(&[("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "1792567710")])[0].3, None);
    }

    #[test]
    fn shopifys_buckets_are_read_in_both_apis() {
        let rest = [("x-shopify-shop-api-call-limit", "32/40")];
        assert_eq!(of(&rest), [("calls".into(), 8, Some(40), None)]);
        let body = serde_json::json!({"extensions": {"cost": {"throttleStatus":
            {"maximumAvailable": 2000.0, "currentlyAvailable": 1900, "restoreRate": 100.0}}}});
        let quota = of_shopify_bucket(&body).unwrap();
        assert_eq!((quota.remaining, quota.limit, quota.resets_in), (1_900, Some(2_000), Some(1)));
        assert_eq!(quota.used_percent(), Some(5));
        assert_eq!(of_shopify_bucket(&serde_json::json!({})), None);
    }

    #[test]
    fn metas_percentages_are_read_of_the_app_each_business_and_the_ad_account() {
        let usage = r#"{"102":[{"type":"messaging","call_count":98,"total_cputime":1,"estimated_time_to_regain_access":19}]}"#;
        let told = of(&[
            ("x-app-usage", r#"{"call_count":28,"total_time":25,"total_cputime":25}"#),
            ("x-business-use-case-usage", usage),
            ("x-ad-account-usage", r#"{"acc_id_util_pct":9.67}"#),
        ]);
        assert_eq!(told[0], ("app.call_count".into(), 72, Some(100), None));
        assert_eq!(told[3], ("messaging.call_count".into(), 2, Some(100), Some(1_140)));
        assert_eq!(told[4], ("ad_account".into(), 91, Some(100), None));
    }

    #[test]
    fn what_tells_no_limit_tells_none() {
        assert_eq!(of(&[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "many")]), []);
        assert_eq!(of(&[("x-app-usage", "much"), ("x-shopify-shop-api-call-limit", "40")]), []);
        assert_eq!(quota("calls", 1, None, None).used_percent(), None);
        assert_eq!(quota("calls", 1, Some(0), None).used_percent(), None);
    }

    proptest! {
        #[test]
        fn whatever_a_header_holds_no_quota_is_left_with_more_than_its_limit(text in ".*", other in ".*") {
            for name in ["ratelimit", "ratelimit-policy", "x-ratelimit-remaining", "x-ratelimit-limit",
                "x-ratelimit-reset", "x-app-usage", "x-business-use-case-usage", "x-shopify-shop-api-call-limit", "date"]
            {
                let headers = Headers::from_iter([(name, text.clone()), ("x-ratelimit-remaining", other.clone())]);
                for quota in of_headers(&headers) {
                    prop_assert!(quota.limit.is_none_or(|limit| quota.remaining <= limit));
                    prop_assert!(quota.used_percent().is_none_or(|percent| percent <= 100));
                }
            }
        }
    }
}
