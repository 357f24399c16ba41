//! One check of one connection: its provider is asked, and what it answers is judged.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tillwatch_domain::health::{Check, Finding, Trouble};
use tillwatch_domain::quota::Quota;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::outbound::OutboundError;
use tillwatch_providers::call::{Call, Response};
use tillwatch_providers::checks::{Checks, Judged, Subject, TokenFacts};

/// An answer that takes longer is late (E7: 2 s for an API).
pub(super) const LATE: Duration = Duration::from_secs(2);

/// One call, as it is kept. Holds no secret: neither the URL nor what came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// What was asked for: the path with names in the place of ids.
    #[serde(rename = "e")]
    pub endpoint: String,
    /// The HTTP status; none, if there was no answer.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    #[serde(rename = "d")]
    pub took_ms: u32,
    /// What was wrong, if anything was.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// The provider's own word for it.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why there was no answer.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The check, as the connection remembers it.
    pub check: Check,
    /// The provider's own word for what is wrong.
    pub code: Option<String>,
    /// What was asked when it went wrong; none, if nothing did.
    pub endpoint: Option<&'static str>,
    /// What to do, where nothing could be asked.
    pub advice: Option<String>,
    /// What is left of the provider's limits.
    pub quotas: Vec<Quota>,
    /// What was told of the token.
    pub token: Option<TokenFacts>,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The calls that were made.
    pub calls: Vec<Called>,
    /// Whether nothing came from anyone: it may be that nothing can be reached from here.
    pub is_cut_off: bool,
    /// Whether the provider refused our application when the token was to be refreshed.
    pub is_application_refused: bool,
}

impl Probed {
    fn nothing(at_ms: i64) -> Self {
        Self {
            check: Check::found(at_ms, None, 0),
            code: None,
            endpoint: None,
            advice: None,
            quotas: Vec::new(),
            token: None,
            retry_after: None,
            calls: Vec::new(),
            is_cut_off: false,
            is_application_refused: false,
        }
    }

    /// Nothing could be asked, for this reason.
    pub fn unchecked(at_ms: i64, advice: String) -> Self {
        let check = Check::found(at_ms, Some(Trouble::Misconfigured), 0);
        Self { check, advice: Some(advice), ..Self::nothing(at_ms) }
    }

    /// The same, where it turned out that nothing at all is to be reached from here.
    #[must_use]
    pub fn cut_off(mut self) -> Self {
        let Check { at_ms, took_ms, .. } = self.check;
        self.check = Check::found(at_ms, Some(Trouble::OurNetwork), took_ms);
        self
    }
}

/// Makes calls.
pub trait Caller: Sync {
    /// Makes one.
    fn call(&self, call: &Call) -> impl Future<Output = Result<Response, OutboundError>> + Send;
}

/// Makes the calls of one check, one after the other, and says what they come to together: the worst of them.
pub async fn probe(caller: &impl Caller, checks: &dyn Checks, of: &Subject<'_>, clock: &dyn Clock) -> Probed {
    let began = clock.now();
    let mut probed = Probed::nothing(began.as_millisecond());
    let calls = match checks.calls(of) {
        Ok(calls) => calls,
        Err(unchecked) => return Probed::unchecked(began.as_millisecond(), unchecked.to_string()),
    };
    let mut longest = Duration::ZERO;
    let mut unanswered = 0;
    for (place, call) in calls.iter().enumerate() {
        let asked = clock.now();
        let answer = caller.call(call).await;
        let took = Duration::try_from(clock.now().duration_since(asked)).unwrap_or_default();
        longest = longest.max(took);
        let mut error_text = None;
        let judged = match &answer {
            Ok(response) => {
                probed.retry_after = probed.retry_after.max(response.retry_after());
                checks.judge(of, place, response)
            }
            Err(error) => {
                unanswered += usize::from(is_silence(error));
                // Says the host and what to look at, and never the rest of the URL.
                error_text = Some(error.to_string());
                probed.advice.clone_from(&error_text);
                Judged::of(trouble(error), None)
            }
        };
        let is_late = judged.trouble.is_none() && took > LATE;
        let found = if is_late { Some(Trouble::Slow) } else { judged.trouble };
        probed.calls.push(Called {
            endpoint: call.endpoint.to_owned(),
            status: answer.as_ref().ok().map(|response| response.status),
            took_ms: millis(took),
            trouble: found,
            code: judged.code.clone(),
            error: error_text,
        });
        probed.quotas.extend(judged.quotas);
        probed.token = judged.token.or(probed.token);
        if is_worse(found, probed.check.trouble) {
            probed.check.trouble = found;
            probed.code = judged.code;
            probed.endpoint = Some(call.endpoint);
        }
    }
    probed.is_cut_off = unanswered > 0 && unanswered == calls.len();
    probed.check = Check::found(began.as_millisecond(), probed.check.trouble, millis(longest));
    probed
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// Whether not even a refusal came: not from the provider, and from nobody on the way to it.
pub(super) fn is_silence(error: &OutboundError) -> bool {
    matches!(error, OutboundError::NotFound(_) | OutboundError::Unreachable(_) | OutboundError::TimedOut(_))
}

/// Whether one trouble says more of a connection than another: what fails more than what is poor, and that more than what
/// says nothing.
fn is_worse(found: Option<Trouble>, known: Option<Trouble>) -> bool {
    let grade = |trouble: Option<Trouble>| match trouble.map(Trouble::finding) {
        None | Some(Finding::Good) => 0,
        Some(Finding::Inconclusive) => 1,
        Some(Finding::Poor) => 2,
        Some(Finding::Failed) => 3,
    };
    grade(found) > grade(known)
}

/// What it means for a connection that there was no answer.
pub(super) fn trouble(error: &OutboundError) -> Trouble {
    match error {
        OutboundError::BadUrl | OutboundError::Plain(_) => Trouble::Misconfigured,
        OutboundError::NotPublic(_) => Trouble::AddressNotPublic,
        OutboundError::NotFound(_) => Trouble::NoAddress,
        OutboundError::NobodyListens(_) | OutboundError::Unreachable(_) | OutboundError::Broken(_) => {
            Trouble::Unreachable
        }
        OutboundError::Certificate(_) => Trouble::Certificate,
        OutboundError::TimedOut(_) => Trouble::TimedOut,
        OutboundError::TooLarge(_) => Trouble::Unreadable,
        OutboundError::Redirects(..) => Trouble::Refused,
        OutboundError::NoClient(_) => Trouble::OurNetwork,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use jiff::Timestamp;
    use tillwatch_providers::Headers;
    use tillwatch_providers::call::Words;
    use tillwatch_providers::checks;

    use super::*;

    /// A clock that stands still but while an answer is waited for.
    #[derive(Debug)]
    struct Slow(AtomicI64);

    impl Clock for Slow {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
        }
    }

    /// Answers one after the other, each after so many milliseconds.
    struct Answering<'a> {
        answers: &'a [Result<(u16, &'a str), OutboundError>],
        each_ms: i64,
        clock: &'a Slow,
        next: AtomicI64,
    }

    impl Caller for Answering<'_> {
        async fn call(&self, _: &Call) -> Result<Response, OutboundError> {
            self.clock.0.fetch_add(self.each_ms, Ordering::SeqCst);
            let place = usize::try_from(self.next.fetch_add(1, Ordering::SeqCst)).unwrap();
            let answer = self.answers[place].clone();
            answer.map(|(status, body)| Response { status, headers: Headers::new(), body: body.into() })
        }
    }

    const META: &[(&str, &str)] =
        &[("access_token", "hunter2"), ("phone_number_id", "2"), ("ad_account_id", "3")];

    /// What a check of Meta's finds whose calls are answered so, each after so many milliseconds.
    async fn found(answers: &[Result<(u16, &str), OutboundError>], each_ms: i64) -> Probed {
        let (own, shared): (Words, _) = (META.iter().copied().collect(), Words::default());
        let clock = Slow(AtomicI64::new(1_795_474_980_000));
        let answering = Answering { answers, each_ms, clock: &clock, next: AtomicI64::new(0) };
        let of = Subject { own: &own, shared: &shared };
        probe(&answering, checks::of("meta").unwrap(), &of, &clock).await
    }

    const NUMBER: Result<(u16, &str), OutboundError> = Ok((200, r#"{"id":"2"}"#));
    const ADS: Result<(u16, &str), OutboundError> = Ok((200, r#"{"account_status":1,"id":"act_3"}"#));

    #[tokio::test]
    async fn what_answers_well_and_in_time_is_good() {
        let found = found(&[NUMBER, ADS], 150).await;
        assert_eq!((found.check.finding, found.check.took_ms, found.endpoint), (Finding::Good, 150, None));
    }

    #[tokio::test]
    async fn the_worst_of_several_answers_counts_and_says_what_was_asked() {
        let closed = Ok((200, r#"{"account_status":2,"id":"act_3"}"#));
        let limited = Ok((400, r#"{"error":{"code":4}}"#));
        let found = found(&[limited, closed], 10).await;
        assert_eq!(found.check.trouble, Some(Trouble::AccountGone));
        assert_eq!((found.code.as_deref(), found.endpoint), (Some("2"), Some("/{version}/{ad_account}")));
    }

    #[tokio::test]
    async fn a_late_answer_is_poor_and_one_that_fails_late_has_failed() {
        assert_eq!(found(&[NUMBER, ADS], 2_001).await.check.trouble, Some(Trouble::Slow));
        let failed = Ok((500, "<html>"));
        assert_eq!(found(&[failed, ADS], 2_001).await.check.trouble, Some(Trouble::ProviderError));
    }

    #[tokio::test]
    async fn no_answer_is_told_for_what_it_is_and_shows_no_token() {
        let host = || "graph.facebook.com".to_owned();
        for (error, wanted) in [
            (OutboundError::TimedOut(host()), Trouble::TimedOut),
            (OutboundError::NotFound(host()), Trouble::NoAddress),
            (OutboundError::Unreachable(host()), Trouble::Unreachable),
            (OutboundError::NobodyListens(host()), Trouble::Unreachable),
            (OutboundError::Certificate(host()), Trouble::Certificate),
            (OutboundError::NotPublic(host()), Trouble::AddressNotPublic),
            (OutboundError::TooLarge(host()), Trouble::Unreadable),
            (OutboundError::Redirects(host(), 302), Trouble::Refused),
            (OutboundError::Plain(host()), Trouble::Misconfigured),
        ] {
            let found = found(&[Err(error), ADS], 1).await;
            assert_eq!(found.check.trouble, Some(wanted));
            assert!(found.advice.as_ref().is_some_and(|advice| advice.contains("graph.facebook.com")));
            assert!(!format!("{found:?}").contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn without_its_settings_nothing_is_asked_and_nothing_is_concluded() {
        let clock = Slow(AtomicI64::new(0));
        let nobody = Answering { answers: &[], each_ms: 0, clock: &clock, next: AtomicI64::new(0) };
        let of = Subject { own: &Words::default(), shared: &Words::default() };
        let found = probe(&nobody, checks::of("square").unwrap(), &of, &clock).await;
        assert_eq!(found.check.finding, Finding::Inconclusive);
        assert!(found.advice.unwrap().contains("`access_token`"));
    }
}
