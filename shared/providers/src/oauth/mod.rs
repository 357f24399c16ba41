//! Signing in anew at a provider, as data: the page that a person is sent to, the call that exchanges what comes back for
//! tokens, and whose account they are for. A provider's own part is in its `connect.rs`; it never asks anyone anything itself.
//!
//! The answer to the exchange is read as that to a refresh is (`tokens`). Where it does not say whose the tokens are, the
//! provider is asked with them: what another account's person signed in for must never become this connection's.

mod callback;

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tillwatch_domain::health::Trouble;

use crate::call::{Call, Response, encoded};
use crate::checks::{self, Judged, Subject, Unchecked, Way};
use crate::tokens::client;

pub use callback::Callback;

/// What is asked of the provider's page.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Comes back as it was sent.
    pub state: &'a str,
    /// Where the person is sent back to: as it is registered at the provider.
    pub redirect_uri: &'a str,
    /// What the verifier must fit, by `S256`; none, where there is no PKCE.
    pub challenge: Option<&'a str>,
}

/// What is exchanged for tokens. Debug output shows nothing of it.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// What came back.
    pub code: &'a str,
    /// Where the person was sent back to.
    pub redirect_uri: &'a str,
    /// What proves that whoever began it ends it; none, where there is no PKCE.
    pub verifier: Option<&'a str>,
}

impl fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").finish_non_exhaustive()
    }
}

/// Why what came back is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// The provider has not signed it.
    #[error("it is not signed by the provider")]
    WrongSignature,
    /// It was signed too long ago, or will be.
    #[error("it was signed too long ago, or by a clock that is wrong")]
    Stale,
    /// It is of another account than the connection's.
    #[error("it is of another account")]
    OtherAccount,
}

/// Whose tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The connection's account's.
    Theirs,
    /// Another account's.
    Others,
    /// They may not do what the connection needs.
    Barred,
    /// Nobody could tell.
    Untold,
}

/// How a person signs in at a provider.
pub trait SignIn: Sync + fmt::Debug {
    /// Whether the provider takes a challenge (RFC 7636) with this connection's credentials.
    fn takes_challenge(&self, _: &Subject<'_>) -> bool {
        false
    }

    /// The page that a person is sent to; an error says what is missing.
    fn page(&self, of: &Subject<'_>, asked: &Asked<'_>) -> Result<String, Unchecked>;

    /// Whether what came back is the provider's, where that is proved beyond the state in it.
    fn proved(&self, _: &Subject<'_>, _: &Callback, _: Timestamp) -> Result<(), Unproved> {
        Ok(())
    }

    /// The call that exchanges the code. It may be made once.
    fn exchange(&self, of: &Subject<'_>, given: &Given<'_>) -> Result<Call, Unchecked>;

    /// Whose the tokens are by the answer to the exchange; none: that is asked with them.
    fn told(&self, _: &Subject<'_>, _: &Response) -> Option<Whose> {
        None
    }

    /// The calls that tell whose they are, with the new tokens among the connection's own words: those of its checks, unless
    /// the provider has better ones.
    fn whose_calls(&self, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked>;

    /// What the answer to the call of that place says.
    fn whose(&self, of: &Subject<'_>, place: usize, response: &Response) -> Whose;
}

/// How a person signs in at that provider; none: tokens are made by hand there.
pub fn of(provider: &str) -> Option<&'static dyn SignIn> {
    Some(match provider {
        "square" => &crate::square::connect::SquareSignIn,
        "shopify" => &crate::shopify::connect::ShopifySignIn,
        "zettle" => &crate::zettle::connect::ZettleSignIn,
        "loyverse" => &crate::loyverse::connect::LoyverseSignIn,
        "meta" => &crate::meta::connect::MetaSignIn,
        "google_calendar" => &crate::google_calendar::connect::GoogleSignIn,
        _ => return None,
    })
}

/// The challenge that a verifier fits (RFC 7636, 4.2: `S256`).
pub fn challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Where a person signs in. As with `token_url`, only who has an application of its own has a say.
pub(crate) fn page_url(of: &Subject<'_>, default: impl Into<String>) -> String {
    let is_own = of.own.get("client_secret").is_some() || of.own.get("app_secret").is_some();
    let words = if is_own { of.own } else { of.shared };
    words.get("authorize_url").map_or_else(|| default.into(), str::to_owned)
}

/// What is asked for: as the application says (`scopes`, with spaces or commas between them), else these.
pub(crate) fn scopes(of: &Subject<'_>, default: &[&str], between: &str) -> String {
    let said = of.any("scopes").map(|said| {
        let words = said.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
        words.collect::<Vec<_>>()
    });
    said.unwrap_or_else(|| default.to_vec()).join(between)
}

/// A page with this query.
pub(crate) fn with_query(page: &str, pairs: &[(&str, &str)]) -> String {
    let query: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    format!("{page}{}{}", if page.contains('?') { '&' } else { '?' }, query.join("&"))
}

/// The page as RFC 6749 has it (4.1.1), with the challenge of RFC 7636 if there is one.
pub(crate) fn with_code(page: &str, client_id: &str, scope: &str, asked: &Asked<'_>) -> String {
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", asked.redirect_uri),
        ("scope", scope),
        ("state", asked.state),
    ];
    if let Some(challenge) = asked.challenge {
        pairs.extend([("code_challenge", challenge), ("code_challenge_method", "S256")]);
    }
    with_query(page, &pairs)
}

/// The exchange as RFC 6749 has it (4.1.3), as a form with the application's credentials in it.
pub(crate) fn as_form(of: &Subject<'_>, call: Call, given: &Given<'_>) -> Result<Call, Unchecked> {
    let (id, secret) = client(of)?;
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("code", given.code),
        ("redirect_uri", given.redirect_uri),
        ("client_id", id),
        ("client_secret", secret),
    ];
    if let Some(verifier) = given.verifier {
        pairs.push(("code_verifier", verifier));
    }
    Ok(call.form(&pairs))
}

/// Whose tokens are by an id that an answer told.
pub(crate) fn by_id(told: Option<&str>, wanted: Option<&str>) -> Whose {
    match (told, wanted) {
        (Some(told), Some(wanted)) if told.eq_ignore_ascii_case(wanted) => Whose::Theirs,
        (Some(_), Some(_)) => Whose::Others,
        // There is nothing that it could contradict.
        (_, None) => Whose::Theirs,
        (None, Some(_)) => Whose::Untold,
    }
}

/// The calls of the provider's checks.
pub(crate) fn check_calls(provider: &str, of: &Subject<'_>) -> Result<Vec<Call>, Unchecked> {
    checks::of(provider).and_then(Way::by_calls).map_or_else(|| Ok(Vec::new()), |checks| checks.calls(of))
}

/// Whose tokens are by what the provider's check says of an answer.
pub(crate) fn by_check(provider: &str, of: &Subject<'_>, place: usize, response: &Response) -> Whose {
    checks::of(provider)
        .and_then(Way::by_calls)
        .map_or(Whose::Untold, |checks| by_judged(&checks.judge(of, place, response)))
}

pub(crate) fn by_judged(judged: &Judged) -> Whose {
    match judged.trouble {
        // A limit was reached: whose they are is told nevertheless by nobody.
        None => Whose::Theirs,
        Some(Trouble::Misconfigured) => Whose::Others,
        Some(Trouble::ScopeMissing) => Whose::Barred,
        Some(_) => Whose::Untold,
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::call::Words;

    pub(crate) const REDIRECT: &str = "https://hooks.example.com/connect/callback/x";

    /// The page, or why there is none. The challenge is there if the provider takes one.
    pub(crate) fn page(sign_in: &dyn SignIn, own: &[(&str, &str)]) -> Result<String, Unchecked> {
        let (own, shared): (Words, _) = (own.iter().copied().collect(), Words::default());
        let of = Subject { own: &own, shared: &shared };
        let challenge = sign_in.takes_challenge(&of).then_some("ch");
        sign_in.page(&of, &Asked { state: "st.1", redirect_uri: REDIRECT, challenge })
    }

    /// The method and URL of the exchange, and its body.
    pub(crate) fn exchanged(
        sign_in: &dyn SignIn,
        own: &[(&str, &str)],
    ) -> Result<(String, String), Unchecked> {
        let (own, shared): (Words, _) = (own.iter().copied().collect(), Words::default());
        let of = Subject { own: &own, shared: &shared };
        let verifier = sign_in.takes_challenge(&of).then_some("vf");
        let call = sign_in.exchange(&of, &Given { code: "c/1", redirect_uri: REDIRECT, verifier })?;
        let body = call.body.map(|body| body.expose_secret().to_owned()).unwrap_or_default();
        Ok((format!("{} {}", call.method.name(), call.url), body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Words;

    const OWN: &[(&str, &str)] = &[("shop", "s.myshopify.com"), ("access_token", "a"), ("calendar_id", "c")];
    const APP: &[(&str, &str)] =
        &[("client_id", "c"), ("client_secret", "hunter2"), ("app_id", "c"), ("app_secret", "hunter2")];

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn whoever_has_tokens_that_are_refreshed_can_sign_in_anew() {
        for provider in crate::ALL {
            let name = provider.name();
            assert_eq!(of(name).is_some(), crate::tokens::of(name).is_some(), "{name}");
        }
    }

    #[test]
    fn no_page_shows_a_secret_and_each_carries_the_state_and_the_way_back() {
        let own: Words = OWN.iter().copied().collect();
        let shared: Words = APP.iter().copied().collect();
        let subject = Subject { own: &own, shared: &shared };
        for provider in crate::ALL {
            let Some(sign_in) = of(provider.name()) else { continue };
            let asked = Asked { state: "st", redirect_uri: "https://h.example/x", challenge: None };
            let page = sign_in.page(&subject, &asked).unwrap();
            assert!(page.starts_with("https://") && !page.contains("hunter2"), "{page}");
            assert!(page.contains("state=st") && page.contains("redirect_uri=https%3A%2F%2Fh.example%2Fx"));
            let given = Given { code: "hunter2", redirect_uri: "https://h.example/x", verifier: None };
            let call = sign_in.exchange(&subject, &given).unwrap();
            assert!(!call.url.contains("hunter2") && !format!("{call:?} {given:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_connection_has_no_say_in_where_people_sign_in_for_the_application_of_all() {
        let evil = [("token_url", "https://evil.example/t"), ("authorize_url", "https://evil.example/a")];
        let own: Words = OWN.iter().copied().chain(evil).collect();
        let shared: Words = APP.iter().copied().collect();
        let asked = Asked { state: "st", redirect_uri: "https://h.example/x", challenge: None };
        let given = Given { code: "c", redirect_uri: "https://h.example/x", verifier: None };
        for provider in crate::ALL {
            let Some(sign_in) = of(provider.name()) else { continue };
            let of_all = Subject { own: &own, shared: &shared };
            assert!(!sign_in.page(&of_all, &asked).unwrap().contains("evil"), "{}", provider.name());
            assert!(!sign_in.exchange(&of_all, &given).unwrap().url.contains("evil"), "{}", provider.name());
            let own: Words = OWN.iter().chain(APP).copied().chain(evil).collect();
            let of_its_own = Subject { own: &own, shared: &Words::default() };
            let page = sign_in.page(&of_its_own, &asked).unwrap();
            assert!(page.starts_with("https://evil.example/a?"), "{page}");
        }
    }

    #[test]
    fn what_is_asked_for_is_what_the_application_says() {
        let own: Words = [("scopes", " a, b\n c:d ")].into_iter().collect();
        let of = Subject { own: &own, shared: &Words::default() };
        assert_eq!(scopes(&of, &["x"], "+"), "a+b+c:d");
        let none = Words::default();
        assert_eq!(scopes(&Subject { own: &none, shared: &none }, &["x", "y"], ","), "x,y");
    }

    #[test]
    fn an_id_that_is_not_told_proves_nothing() {
        assert_eq!(by_id(Some("M1"), Some("m1")), Whose::Theirs);
        assert_eq!(by_id(Some("M2"), Some("M1")), Whose::Others);
        assert_eq!(by_id(None, Some("M1")), Whose::Untold);
    }
}
