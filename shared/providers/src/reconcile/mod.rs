//! What a provider itself says has happened, as data: the calls that list it, and their answers as webhooks would have put
//! it. A provider's own part is in its `reconcile.rs`; it never asks anyone anything itself.
//!
//! Each thing that is listed comes as a body, and headers, of the webhook's shape, so that the one parser that there is makes
//! of it the same changes of the same records, in the same order of versions.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tillwatch_domain::health::Trouble;

use crate::Headers;
use crate::call::{Call, Response};
use crate::checks::{Judged, Subject, Unchecked, read};

/// Whose events are listed.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The connection's id.
    pub connection: &'a str,
    /// Its settings and tokens.
    pub of: Subject<'a>,
}

/// A part of the past: what changed from then on, and before then. Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first moment of it.
    pub from_ms: i64,
    /// The first moment after it.
    pub to_ms: i64,
}

impl Window {
    /// Its first moment, in RFC 3339.
    pub(crate) fn from(self) -> String {
        rfc3339(self.from_ms)
    }

    /// The first moment after it, in RFC 3339.
    pub(crate) fn to(self) -> String {
        rfc3339(self.to_ms)
    }

    /// Both in whole units of so many milliseconds, wider rather than narrower: what lies beyond is left out afterwards.
    pub(crate) fn in_units(self, unit_ms: i64) -> (i64, i64) {
        (self.from_ms.div_euclid(unit_ms), (self.to_ms + unit_ms - 1).div_euclid(unit_ms))
    }
}

fn rfc3339(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// One thing that is listed, in the shape of the webhook that tells of it. Debug output does not show the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Listed {
    /// The headers that parsing needs.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// When it changed, by the provider's clock, Unix milliseconds; none, if it does not say.
    pub at_ms: Option<i64>,
}

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, at_ms, .. } = self;
        f.debug_struct("Listed").field("body", &body.len()).field("at_ms", at_ms).finish_non_exhaustive()
    }
}

impl Listed {
    pub(crate) fn new(body: String, at_ms: Option<i64>) -> Self {
        Self { headers: Headers::new(), body: body.into_bytes(), at_ms }
    }
}

/// What one answer lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What is listed.
    pub listed: Vec<Listed>,
    /// Where the next call goes on; none: that was all.
    pub next: Option<String>,
    /// What the token may not list, and what to do, where the rest is listed all the same.
    pub barred: Option<&'static str>,
}

impl Page {
    pub(crate) fn new(listed: Vec<Listed>, next: Option<String>) -> Self {
        Self { listed, next, barred: None }
    }
}

/// By what it is told whether something that is listed has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The list is of events, under the ids that their webhooks have.
    ByEvent,
    /// The list is of things as they are now: what is kept of them must be as new.
    ByState,
}

/// How what has happened at a provider is listed.
pub trait Reconciles: Sync + fmt::Debug {
    /// The call that lists what changed in the window; the first one without, each further one with what the answer before
    /// gave as `next`.
    fn call(&self, whose: &Whose<'_>, window: Window, cursor: Option<&str>) -> Result<Call, Unchecked>;

    /// What the answer to that call lists, or what is wrong.
    fn read(&self, whose: &Whose<'_>, cursor: Option<&str>, response: &Response) -> Result<Page, Judged>;

    /// By what it is told whether something has arrived.
    fn told(&self) -> Told {
        Told::ByState
    }

    /// By how much a window begins before the end of the last one: lists are behind what they list, and some things are
    /// told of late.
    fn overlap(&self) -> Duration {
        Duration::from_mins(10)
    }
}

/// How what has happened at that provider is listed; none, if it has no list that says.
pub fn of(provider: &str) -> Option<&'static dyn Reconciles> {
    Some(match provider {
        "square" => &crate::square::reconcile::SquareLists,
        "shopify" => &crate::shopify::reconcile::ShopifyLists,
        "zettle" => &crate::zettle::reconcile::ZettleLists,
        "loyverse" => &crate::loyverse::reconcile::LoyverseLists,
        "odoo" => &crate::odoo::reconcile::OdooLists,
        "stripe" => &crate::stripe::reconcile::StripeLists,
        _ => return None,
    })
}

/// A successful answer's JSON as `T`; else what is wrong, with the word that `code` finds in the body.
pub(crate) fn page<'a, T: Deserialize<'a>>(
    response: &'a Response,
    code: impl Fn(&Value) -> Option<&str>,
) -> Result<T, Judged> {
    read(response, code)?;
    unreadable(serde_json::from_slice(&response.body).ok())
}

/// What is missing makes an answer unreadable.
pub(crate) fn unreadable<T>(read: Option<T>) -> Result<T, Judged> {
    read.ok_or_else(|| Judged::of(Trouble::Unreadable, None))
}

/// That the token is another account's than the one that is configured: what it lists is not ours to take.
pub(crate) fn theirs(told: Option<&str>, wanted: Option<&str>, other: &str) -> Result<(), Judged> {
    match (told, wanted) {
        (None, _) => Err(Judged::of(Trouble::Unreadable, None)),
        (Some(told), Some(wanted)) if told.eq_ignore_ascii_case(wanted) => Ok(()),
        _ => Err(Judged::of(Trouble::Misconfigured, Some(other))),
    }
}

/// A time in RFC 3339, as Unix milliseconds.
pub(crate) fn millis(text: Option<&str>) -> Option<i64> {
    text?.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
pub(crate) mod testing {
    use tillwatch_domain::Event;

    use super::*;
    use crate::Received;
    use crate::call::Words;
    use crate::checks::testing::answer;

    pub(crate) const WINDOW: Window = Window { from_ms: 1_795_474_800_000, to_ms: 1_795_478_400_000 };

    pub(crate) fn with<T>(own: &[(&str, &str)], does: impl FnOnce(&Whose<'_>) -> T) -> T {
        let (own, shared): (Words, _) = (own.iter().copied().collect(), Words::default());
        does(&Whose { connection: "harbour", of: Subject { own: &own, shared: &shared } })
    }

    /// The method, URL and body of a call.
    pub(crate) fn called(lists: &dyn Reconciles, own: &[(&str, &str)], cursor: Option<&str>) -> String {
        use secrecy::ExposeSecret as _;
        with(own, |whose| {
            let call = lists.call(whose, WINDOW, cursor).unwrap();
            let body =
                call.body.as_ref().map(|body| format!(" {}", body.expose_secret())).unwrap_or_default();
            format!("{} {}{body}", call.method.name(), call.url)
        })
    }

    pub(crate) fn page(
        lists: &dyn Reconciles,
        own: &[(&str, &str)],
        cursor: Option<&str>,
        body: &str,
    ) -> Page {
        with(own, |whose| lists.read(whose, cursor, &answer(200, body)).unwrap())
    }

    pub(crate) fn trouble(
        lists: &dyn Reconciles,
        own: &[(&str, &str)],
        cursor: Option<&str>,
        status: u16,
        body: &str,
    ) -> (Option<Trouble>, Option<String>) {
        with(own, |whose| {
            let judged = lists.read(whose, cursor, &answer(status, body)).unwrap_err();
            (judged.trouble, judged.code)
        })
    }

    /// What the parser makes of what is listed.
    pub(crate) fn events(provider: &str, page: &Page) -> Vec<Event> {
        let provider = crate::named(provider).unwrap();
        let parse = |listed: &Listed| {
            let at = Timestamp::from_millisecond(listed.at_ms.unwrap()).unwrap();
            provider.parse(Received { headers: &listed.headers, body: &listed.body, at }).unwrap()
        };
        page.listed.iter().flat_map(parse).collect()
    }

    /// What the parser makes of a webhook's body.
    pub(crate) fn webhook(provider: &str, headers: &[(&str, &str)], body: &str) -> Event {
        let headers: Headers = headers.iter().copied().collect();
        let received = Received { headers: &headers, body: body.as_bytes(), at: Timestamp::UNIX_EPOCH };
        crate::named(provider).unwrap().parse(received).unwrap().remove(0)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{WINDOW, trouble, with};
    use super::*;

    #[test]
    fn every_list_reads_a_page_a_limit_and_a_failure_for_what_they_are() {
        for provider in crate::ALL {
            let Some(lists) = of(provider.name()) else { continue };
            for (status, body, wanted) in [
                (200, "<html>Sign in</html>", Trouble::Unreadable),
                (200, "", Trouble::Unreadable),
                (200, "[1]", Trouble::Unreadable),
                (502, "<html>Bad gateway</html>", Trouble::ProviderError),
                (429, "{}", Trouble::RateLimited),
                (401, "{}", Trouble::TokenRefused),
                (403, "{}", Trouble::ScopeMissing),
            ] {
                let found = trouble(lists, &[], None, status, body).0;
                assert_eq!(found, Some(wanted), "{} {status} {body}", provider.name());
            }
        }
    }

    #[test]
    fn nothing_is_listed_without_what_it_needs_and_what_is_missing_is_named() {
        for provider in crate::ALL {
            let Some(lists) = of(provider.name()) else { continue };
            let error = with(&[], |whose| lists.call(whose, WINDOW, None).unwrap_err().to_string());
            let named = provider
                .about()
                .settings
                .iter()
                .any(|setting| error.contains(&format!("`{}`", setting.name)));
            assert!(named, "{}: {error}", provider.name());
        }
    }

    #[test]
    fn what_is_listed_is_not_shown_by_debug_output() {
        let listed = Listed::new("hunter2".to_owned(), Some(1));
        assert!(!format!("{listed:?}").contains("hunter2"));
    }

    #[test]
    fn a_window_in_coarser_units_holds_the_window() {
        let window = Window { from_ms: 61_000, to_ms: 119_001 };
        assert_eq!((window.in_units(60_000), window.in_units(1_000)), ((1, 2), (61, 120)));
    }
}
