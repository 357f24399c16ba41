//! Checks of a connection, as data: the call that tells most for least, and what its answer says of the connection, its
//! token and its quotas. A provider's own part is in its `check.rs`; it never asks anyone anything itself. A mail server is
//! not called but talked to: that conversation is in [`crate::smtp`].
//!
//! Answers that hide failure in a success are read for what they say: a `200` with an error in it is none.

pub mod quota;
pub mod status_page;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tillwatch_domain::health::Trouble;
use tillwatch_domain::threshold;

use crate::call::{Call, Response, Words};
use crate::subscriptions::is_code;

pub use self::status_page::{Form, StatusPage};
pub use tillwatch_domain::quota::Quota;

/// What is known of a connection that is to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The connection's settings and tokens.
    pub own: &'a Words,
    /// What the provider's secret holds under `api`.
    pub shared: &'a Words,
}

/// Why a check can't be made: a setting that it needs is missing or senseless. Says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unchecked {
    /// It is missing.
    #[error(
        "the setting `{0}` is missing, without which nothing can be checked: put it into the connection's configuration"
    )]
    Missing(&'static str),
    /// It makes no sense.
    #[error("the setting `{0}` {1}: correct it in the connection's configuration")]
    Senseless(&'static str, &'static str),
}

/// Why a call can't be sent: the setting of that name, which is part of a header, is nothing that a header can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the setting `{0}` can't be sent: it holds a line break, a typographic quote or another letter beyond A to Z. Enter it \
     anew, without what came along when it was copied"
)]
pub struct Unsendable(pub String);

impl<'a> Subject<'a> {
    /// A setting or token of the connection that there must be.
    pub fn own(&self, name: &'static str) -> Result<&'a str, Unchecked> {
        self.own.get(name).ok_or(Unchecked::Missing(name))
    }

    /// A credential that the connection has for itself, or else the application for all.
    pub fn any(&self, name: &'static str) -> Option<&'a str> {
        self.own.get(name).or_else(|| self.shared.get(name))
    }

    /// Why a call can't be sent, if it can't: its headers hold what no header can.
    pub fn unsendable(&self, call: &Call) -> Option<Unsendable> {
        let is_sendable = |text: &str| text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        let bad = |words: &'a Words| words.all().filter(|(_, text)| !is_sendable(text));
        let is_of = |text: &str| call.headers.iter().any(|(_, value)| value.expose_secret().contains(text));
        let found = bad(self.own).chain(bad(self.shared)).find(|(_, text)| is_of(text));
        found.map(|(name, _)| Unsendable(name.to_owned()))
    }

    /// Where the API is reached with the connection's own credentials, without a slash at its end.
    pub fn base(&self, default: &str) -> String {
        self.own.get("base_url").unwrap_or(default).trim_end_matches('/').to_owned()
    }

    /// Where it is reached with this credential, which may be everyone's: then the connection has no say in where it goes.
    pub fn base_for(&self, credential: &str, default: &str) -> String {
        let words = if self.own.get(credential).is_some() { self.own } else { self.shared };
        words.get("base_url").unwrap_or(default).trim_end_matches('/').to_owned()
    }
}

/// What a token's answer says of the token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFacts {
    /// When it ends by itself; none: not told.
    pub expires_at: Option<Timestamp>,
    /// Whether it is told that it never does.
    pub never_expires: bool,
    /// What it may do, where that is told.
    pub scopes: Option<Vec<String>>,
}

/// What one answer says.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// What is wrong; none: nothing.
    pub trouble: Option<Trouble>,
    /// The provider's own word for it, `ACCESS_TOKEN_EXPIRED`: never a sentence, which might quote a secret.
    pub code: Option<String>,
    /// What is left of the provider's limits, as far as the answer tells.
    pub quotas: Vec<Quota>,
    /// What is told of the token.
    pub token: Option<TokenFacts>,
    /// Whether it is our application that the provider refuses: it says nothing of the connection.
    pub is_of_our_application: bool,
}

impl fmt::Debug for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judged")
            .field("trouble", &self.trouble)
            .field("code", &self.code)
            .field("quotas", &self.quotas)
            .field("token", &self.token)
            .field("is_of_our_application", &self.is_of_our_application)
            .finish()
    }
}

impl Judged {
    /// All is well.
    pub fn good() -> Self {
        Self::default()
    }

    /// This is wrong.
    pub fn of(trouble: Trouble, code: Option<&str>) -> Self {
        Self { trouble: Some(trouble), ..Self::default() }.with_code(code)
    }

    /// The same with the provider's word, if it is one.
    #[must_use]
    pub fn with_code(mut self, code: Option<&str>) -> Self {
        self.code = code.filter(|code| is_code(code)).map(str::to_owned);
        self
    }

    /// The same with what the answer's headers say of limits.
    #[must_use]
    pub fn with_quotas(mut self, quotas: impl IntoIterator<Item = Quota>) -> Self {
        self.quotas.extend(quotas);
        self
    }

    /// The same with what is told of the token.
    #[must_use]
    pub fn with_token(self, token: TokenFacts) -> Self {
        Self { token: Some(token), ..self }
    }
}

/// How a provider's connections are checked.
pub trait Checks: Sync + fmt::Debug {
    /// The calls that tell most for least: each must go well.
    fn calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked>;

    /// What the answer to the call of that place says.
    fn judge(&self, of: &Subject<'_>, place: usize, response: &Response) -> Judged;

    /// Of the scopes that our calls need for this connection, those for checks and those by which what never came is fetched,
    /// the ones that a token lacks which may do this.
    fn missing_scopes(&self, _: &Subject<'_>, _told: &[String]) -> Vec<&'static str> {
        Vec::new()
    }

    /// How many times as long as usual it must be left between two checks, because they cost the provider much.
    fn seldom(&self) -> u32 {
        1
    }

    /// After how long an answer is late.
    fn late(&self) -> Duration {
        threshold::API
    }

    /// Whether each connection's server is its tenant's own, and not the provider's.
    fn is_tenants_server(&self) -> bool {
        false
    }

    /// Where the provider tells of its own incidents.
    fn status_page(&self) -> Option<StatusPage> {
        None
    }
}

/// In which way a provider's connections are checked.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// By calls of its API.
    Calls(&'static dyn Checks),
    /// By signing in at the connection's own mail server.
    Mail,
}

impl Way {
    /// By which calls; none, if it is by none.
    pub fn by_calls(self) -> Option<&'static dyn Checks> {
        match self {
            Self::Calls(checks) => Some(checks),
            Self::Mail => None,
        }
    }

    /// See [`Checks::seldom`].
    pub fn seldom(self) -> u32 {
        match self {
            Self::Calls(checks) => checks.seldom(),
            Self::Mail => 1,
        }
    }

    /// After how long what is asked is late.
    pub fn late(self) -> Duration {
        match self {
            Self::Calls(checks) => checks.late(),
            Self::Mail => threshold::EMAIL,
        }
    }

    /// See [`Checks::is_tenants_server`].
    pub fn is_tenants_server(self) -> bool {
        match self {
            Self::Calls(checks) => checks.is_tenants_server(),
            Self::Mail => true,
        }
    }

    /// See [`Checks::status_page`].
    pub fn status_page(self) -> Option<StatusPage> {
        match self {
            Self::Calls(checks) => checks.status_page(),
            Self::Mail => None,
        }
    }
}

/// How connections of that provider are checked.
pub fn of(provider: &str) -> Option<Way> {
    Some(Way::Calls(match provider {
        "square" => &crate::square::check::SquareChecks,
        "shopify" => &crate::shopify::check::ShopifyChecks,
        "zettle" => &crate::zettle::check::ZettleChecks,
        "loyverse" => &crate::loyverse::check::LoyverseChecks,
        "odoo" => &crate::odoo::check::OdooChecks,
        "petpooja" => &crate::petpooja::check::PetPoojaChecks,
        "stripe" => &crate::stripe::check::StripeChecks,
        "twilio" => &crate::twilio::check::TwilioChecks,
        "meta" => &crate::meta::check::MetaChecks,
        "google_calendar" => &crate::google_calendar::check::GoogleCalendarChecks,
        crate::smtp::NAME => return Some(Way::Mail),
        _ => return None,
    }))
}

/// Where the providers tell of their own incidents, by name: those that do it on a page for machines.
pub fn status_pages() -> BTreeMap<String, String> {
    let page = |name: &'static str| Some((name.to_owned(), of(name)?.status_page()?.url.to_owned()));
    crate::ALL.iter().filter_map(|provider| page(provider.name())).collect()
}

/// What HTTP means with a status; none: a success.
pub fn by_status(status: u16) -> Option<Trouble> {
    match status {
        200..=299 => None,
        401 => Some(Trouble::TokenRefused),
        402 | 410 | 423 => Some(Trouble::AccountGone),
        403 => Some(Trouble::ScopeMissing),
        408 | 504 => Some(Trouble::TimedOut),
        429 => Some(Trouble::RateLimited),
        500..=599 => Some(Trouble::ProviderError),
        _ => Some(Trouble::Refused),
    }
}

/// The answer's JSON if it is a success; else what is wrong, with the word that `code` finds in the body.
pub(crate) fn read(response: &Response, code: impl Fn(&Value) -> Option<&str>) -> Result<Value, Judged> {
    let body = response.json();
    let quotas = quota::of_headers(&response.headers);
    if let Some(trouble) = by_status(response.status) {
        let word = body.as_ref().and_then(code);
        return Err(Judged::of(trouble, word).with_quotas(quotas));
    }
    // A page where data should be: a proxy's, or a sign-in's.
    body.ok_or_else(|| Judged::of(Trouble::Unreadable, None).with_quotas(quotas))
}

/// Which of these scopes are not among those that are told; one is as good as another that holds it, if `holding` says so.
pub(crate) fn lacking(
    needed: &[&'static str],
    told: &[String],
    holding: impl Fn(&str) -> Option<String>,
) -> Vec<&'static str> {
    let is_told = |scope: &str| told.iter().any(|told| told == scope);
    let lacks = |scope: &&&'static str| !is_told(scope) && !holding(scope).is_some_and(|more| is_told(&more));
    needed.iter().filter(lacks).copied().collect()
}

/// A success, with what its headers say of limits.
pub(crate) fn success(response: &Response) -> Judged {
    Judged::good().with_quotas(quota::of_headers(&response.headers))
}

/// A success, if the id of whom the token belongs to is told and is the configured one in whatever case; `other` is the
/// word for it if it is not.
pub(crate) fn theirs(response: &Response, told: Option<&str>, wanted: Option<&str>, other: &str) -> Judged {
    match (told, wanted) {
        (None, _) => Judged::of(Trouble::Unreadable, None),
        (Some(told), Some(wanted)) if !told.eq_ignore_ascii_case(wanted) => {
            Judged::of(Trouble::Misconfigured, Some(other))
        }
        _ => success(response),
    }
}

/// A time that a provider writes as RFC 3339, or as Unix seconds, as a number or a text.
pub(crate) fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok().or_else(|| Timestamp::from_second(text.parse().ok()?).ok()),
        Value::Number(number) => Timestamp::from_second(number.as_i64()?).ok(),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::Headers;

    /// An answer.
    pub(crate) fn answer(status: u16, body: &str) -> Response {
        Response { status, headers: Headers::new(), body: body.as_bytes().to_vec() }
    }

    /// What is said of an answer to the call of that place.
    pub(crate) fn judged(
        checks: &dyn Checks,
        own: &[(&str, &str)],
        place: usize,
        answer: &Response,
    ) -> Judged {
        let (own, shared): (Words, _) = (own.iter().copied().collect(), Words::default());
        checks.judge(&Subject { own: &own, shared: &shared }, place, answer)
    }

    /// The same, as the trouble and the provider's word alone.
    pub(crate) fn trouble(
        checks: &dyn Checks,
        own: &[(&str, &str)],
        status: u16,
        body: &str,
    ) -> (Option<Trouble>, Option<String>) {
        let judged = judged(checks, own, 0, &answer(status, body));
        (judged.trouble, judged.code)
    }

    /// The method and URL of each call, or why there is none.
    pub(crate) fn called(checks: &dyn Checks, own: &[(&str, &str)]) -> Result<Vec<String>, Unchecked> {
        let (own, shared): (Words, _) = (own.iter().copied().collect(), Words::default());
        let calls = checks.calls(&Subject { own: &own, shared: &shared })?;
        Ok(calls.iter().map(|call| format!("{} {}", call.method.name(), call.url)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{answer, judged};
    use super::*;

    /// The calls by which a provider's connections are checked.
    fn calls_of(provider: &str) -> &'static dyn Checks {
        match of(provider) {
            Some(Way::Calls(checks)) => checks,
            other => panic!("{provider} is checked by calls, and not by {other:?}"),
        }
    }

    #[test]
    fn statuses_mean_what_http_means_with_them() {
        for (status, trouble) in [
            (200, None),
            (204, None),
            (301, Some(Trouble::Refused)),
            (401, Some(Trouble::TokenRefused)),
            (402, Some(Trouble::AccountGone)),
            (403, Some(Trouble::ScopeMissing)),
            (404, Some(Trouble::Refused)),
            (429, Some(Trouble::RateLimited)),
            (500, Some(Trouble::ProviderError)),
            (503, Some(Trouble::ProviderError)),
            (504, Some(Trouble::TimedOut)),
        ] {
            assert_eq!(by_status(status), trouble, "{status}");
        }
    }

    #[test]
    fn every_provider_reads_a_page_a_limit_and_a_failure_of_its_own_for_what_they_are() {
        for provider in crate::ALL {
            let checks = calls_of(provider.name());
            for (status, body, wanted) in [
                (200, "<html>Sign in</html>", Trouble::Unreadable),
                (200, "", Trouble::Unreadable),
                (502, "<html>Bad gateway</html>", Trouble::ProviderError),
                (429, "{}", Trouble::RateLimited),
                (401, "{}", Trouble::TokenRefused),
            ] {
                let judged = judged(checks, &[], 0, &answer(status, body));
                assert_eq!(judged.trouble, Some(wanted), "{} {status} {body}", provider.name());
            }
        }
    }

    #[test]
    fn a_connection_has_no_say_in_where_everyones_credentials_go() {
        let own = [("access_token", "own"), ("base_url", "https://evil.example"), ("account", "acct_1")];
        let shared = [("api_key", "hunter2"), ("app_id", "1"), ("app_secret", "hunter2")];
        let (own, shared): (Words, Words) = (own.into_iter().collect(), shared.into_iter().collect());
        for provider in ["stripe", "meta"] {
            let calls = calls_of(provider).calls(&Subject { own: &own, shared: &shared }).unwrap();
            assert!(!calls[0].url.contains("evil"), "{provider}: {}", calls[0].url);
        }
    }

    #[test]
    fn what_no_header_can_hold_is_named_by_its_setting_and_never_quoted() {
        let base =
            [("url", "https://x.odoo.com"), ("database", "x"), ("api_key", "hunter2"), ("note", "café")];
        let unsendable = |more: &[(&str, &str)]| {
            let own: Words = [&base, more].concat().into_iter().collect();
            let of = Subject { own: &own, shared: &Words::default() };
            let calls = calls_of("odoo").calls(&of).unwrap();
            of.unsendable(&calls[0]).map(|unsendable| unsendable.to_string())
        };
        assert_eq!(unsendable(&[]), None, "what is in no header does no harm");
        for (name, text) in
            [("api_key", "hunter2\nhunter3"), ("api_key", "\u{201c}hunter2\u{201d}"), ("database", "café")]
        {
            let told = unsendable(&[(name, text)]).unwrap();
            assert!(told.contains(&format!("`{name}`")), "{told}");
            assert!(!told.contains("hunter2") && !told.contains("café"), "{told}");
        }
    }

    #[test]
    fn what_a_token_may_not_do_that_our_calls_need_is_named() {
        let missing = |provider: &str, own: &[(&str, &str)], told: &[&str]| {
            let (own, shared): (Words, _) = (own.iter().copied().collect(), Words::default());
            let told: Vec<_> = told.iter().map(|&told| told.to_owned()).collect();
            calls_of(provider).missing_scopes(&Subject { own: &own, shared: &shared }, &told)
        };
        let square = &["MERCHANT_PROFILE_READ", "PAYMENTS_READ", "ORDERS_READ", "ITEMS_READ"];
        assert_eq!(missing("square", &[], square), [""; 0]);
        assert_eq!(missing("square", &[], &square[..2]), ["ORDERS_READ"]);
        assert_eq!(missing("shopify", &[], &["write_orders"]), [""; 0]);
        assert_eq!(missing("shopify", &[], &["read_products"]), ["read_orders"]);
        let (number, ads) = (("phone_number_id", "2"), ("ad_account_id", "3"));
        assert_eq!(missing("meta", &[number], &["ads_read"]), ["whatsapp_business_management"]);
        assert_eq!(missing("meta", &[ads], &["ads_management"]), [""; 0]);
        assert_eq!(missing("meta", &[number, ads], &[]), ["whatsapp_business_management", "ads_read"]);
        assert_eq!(missing("stripe", &[], &[]), [""; 0], "nothing is told of it");
    }

    #[test]
    fn a_sentence_is_no_code() {
        let judged = Judged::of(Trouble::TokenRefused, Some("the token hunter2 is wrong"));
        assert_eq!(judged.code, None);
    }

    #[test]
    fn nothing_is_called_without_what_it_needs_and_what_is_missing_is_named() {
        for provider in crate::ALL {
            let checks = calls_of(provider.name());
            let error = testing::called(checks, &[]).unwrap_err().to_string();
            let named = provider
                .about()
                .settings
                .iter()
                .any(|setting| error.contains(&format!("`{}`", setting.name)));
            assert!(named, "{}: {error}", provider.name());
        }
    }
}
