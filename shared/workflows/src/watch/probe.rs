//! One check of one connection: its provider is asked, and what it answers is judged. A mail server is signed in to instead,
//! and what comes of that is the same.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tillwatch_domain::health::{Check, Finding, Trouble};
use tillwatch_domain::quota::Quota;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::outbound::OutboundError;
use tillwatch_providers::call::{Call, Response};
use tillwatch_providers::checks::{Checks, Judged, Subject, TokenFacts, Way};
use tillwatch_providers::smtp::{self, MailServer};

/// What to do where the provider refuses our application.
const OUR_APPLICATION: &str = "the provider refuses our application, and says nothing of this connection: correct its id and \
                               secret under `api` in the provider's secret";

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
    /// The scopes that the token lacks and our calls need; none, where it is not told what it may do.
    pub missing_scopes: Option<Vec<&'static str>>,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The calls that were made.
    pub calls: Vec<Called>,
    /// Whether nothing came from anyone: it may be that nothing can be reached from here.
    pub is_cut_off: bool,
    /// Whether the provider refuses our application: it says so, or did when the token was to be refreshed.
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
            missing_scopes: None,
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

/// Makes calls, and signs in.
pub trait Caller: Sync {
    /// Makes one call.
    fn call(&self, call: &Call) -> impl Future<Output = Result<Response, OutboundError>> + Send;

    /// Signs in at a mail server.
    fn sign_in(&self, server: &MailServer) -> impl Future<Output = Result<Judged, OutboundError>> + Send;
}

/// What came of one thing that was asked.
struct Asked {
    endpoint: &'static str,
    took: Duration,
    /// After how long it is late.
    late: Duration,
    /// The HTTP status, if there is one.
    status: Option<u16>,
    answer: Result<Judged, OutboundError>,
    /// What to do, where the trouble's own remedy does not tell.
    advice: Option<&'static str>,
}

impl Probed {
    /// Takes in what came of one of the things that are asked: the worst of them is what they come to together.
    fn take(&mut self, asked: Asked) {
        let Asked { endpoint, took, late, status, answer, advice } = asked;
        let (judged, error_text) = match answer {
            Ok(judged) => (judged, None),
            // Says the host and what to look at, and never the rest of the URL.
            Err(error) => (Judged::of(trouble(&error), None), Some(error.to_string())),
        };
        let is_late = judged.trouble.is_none() && took > late;
        let found = if is_late { Some(Trouble::Slow) } else { judged.trouble };
        if let Some(advice) = error_text.clone().or(advice.map(str::to_owned)) {
            self.advice = Some(advice);
        }
        self.calls.push(Called {
            endpoint: endpoint.to_owned(),
            status,
            took_ms: millis(took),
            trouble: found,
            code: judged.code.clone(),
            error: error_text,
        });
        self.quotas.extend(judged.quotas);
        self.token = judged.token.or(self.token.take());
        let longest = self.check.took_ms.max(millis(took));
        if is_worse(found, self.check.trouble) {
            self.is_application_refused = judged.is_of_our_application;
            self.code = judged.code;
            self.endpoint = Some(endpoint);
            self.check = Check::found(self.check.at_ms, found, longest);
        } else {
            self.check.took_ms = longest;
        }
    }
}

/// Makes one check.
pub async fn probe(caller: &impl Caller, way: Way, of: &Subject<'_>, clock: &dyn Clock) -> Probed {
    match way {
        Way::Calls(checks) => called(caller, checks, of, clock).await,
        Way::Mail => signed_in(caller, of, clock).await,
    }
}

/// Makes the calls of one check, one after the other.
async fn called(caller: &impl Caller, checks: &dyn Checks, of: &Subject<'_>, clock: &dyn Clock) -> Probed {
    let began = clock.now();
    let mut probed = Probed::nothing(began.as_millisecond());
    let calls = match checks.calls(of) {
        Ok(calls) => calls,
        Err(unchecked) => return Probed::unchecked(began.as_millisecond(), unchecked.to_string()),
    };
    let mut unanswered = 0;
    for (place, call) in calls.iter().enumerate() {
        if let Some(unsendable) = of.unsendable(call) {
            return Probed::unchecked(began.as_millisecond(), unsendable.to_string());
        }
        let asked = clock.now();
        let answer = caller.call(call).await;
        let took = since(asked, clock);
        if let Ok(response) = &answer {
            probed.retry_after = probed.retry_after.max(response.retry_after());
        }
        unanswered += usize::from(answer.as_ref().is_err_and(is_silence));
        let status = answer.as_ref().ok().map(|response| response.status);
        let answer = answer.map(|response| checks.judge(of, place, &response));
        if let Ok(Judged { trouble: None, token: Some(TokenFacts { scopes: Some(told), .. }), .. }) = &answer
        {
            probed.missing_scopes = Some(checks.missing_scopes(of, told));
        }
        let is_of_ours = answer.as_ref().is_ok_and(|judged| judged.is_of_our_application);
        let advice = is_of_ours.then_some(OUR_APPLICATION);
        let late = checks.late();
        probed.take(Asked { endpoint: call.endpoint, took, late, status, answer, advice });
    }
    probed.is_cut_off = unanswered > 0 && unanswered == calls.len();
    if checks.is_tenants_server() {
        // Whoever runs the server chooses the names, and each name is a series of metrics for ever.
        probed.quotas.truncate(1);
        for quota in &mut probed.quotas {
            "calls".clone_into(&mut quota.name);
        }
    }
    probed
}

/// Signs in at the connection's mail server.
async fn signed_in(caller: &impl Caller, of: &Subject<'_>, clock: &dyn Clock) -> Probed {
    let began = clock.now();
    let server = match smtp::server(of) {
        Ok(server) => server,
        Err(unchecked) => return Probed::unchecked(began.as_millisecond(), unchecked.to_string()),
    };
    let mut probed = Probed::nothing(began.as_millisecond());
    let answer = caller.sign_in(&server).await;
    let took = since(began, clock);
    probed.is_cut_off = answer.as_ref().is_err_and(is_silence);
    let advice = answer.as_ref().ok().and_then(smtp::advice);
    probed.take(Asked {
        endpoint: smtp::ENDPOINT,
        took,
        late: Way::Mail.late(),
        status: None,
        answer,
        advice,
    });
    probed
}

fn since(asked: Timestamp, clock: &dyn Clock) -> Duration {
    Duration::try_from(clock.now().duration_since(asked)).unwrap_or_default()
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
pub(crate) fn trouble(error: &OutboundError) -> Trouble {
    match error {
        OutboundError::BadUrl | OutboundError::Plain(_) | OutboundError::Unsendable(_) => {
            Trouble::Misconfigured
        }
        OutboundError::NotPublic(_) => Trouble::AddressNotPublic,
        OutboundError::NotFound(_) => Trouble::NoAddress,
        OutboundError::NobodyListens(_) | OutboundError::Unreachable(_) | OutboundError::Broken(_) => {
            Trouble::Unreachable
        }
        OutboundError::Certificate(_) => Trouble::Certificate,
        OutboundError::TimedOut(_) => Trouble::TimedOut,
        OutboundError::TooLarge(_) => Trouble::Unreadable,
        OutboundError::Redirects(..) | OutboundError::Meddled(_) => Trouble::Refused,
        OutboundError::NoClient(_) => Trouble::OurNetwork,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use secrecy::ExposeSecret as _;
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

    impl Answering<'_> {
        fn answered(&self) -> Result<(u16, &str), OutboundError> {
            self.clock.0.fetch_add(self.each_ms, Ordering::SeqCst);
            let place = usize::try_from(self.next.fetch_add(1, Ordering::SeqCst)).unwrap();
            self.answers[place].clone()
        }
    }

    impl Caller for Answering<'_> {
        async fn call(&self, _: &Call) -> Result<Response, OutboundError> {
            let answer = self.answered();
            answer.map(|(status, body)| Response { status, headers: Headers::new(), body: body.into() })
        }

        async fn sign_in(&self, server: &MailServer) -> Result<Judged, OutboundError> {
            assert_eq!(server.password.expose_secret(), "hunter2");
            self.answered().map(|(status, word)| match status {
                235 => Judged::good(),
                _ => Judged::of(Trouble::TokenRefused, Some(word)),
            })
        }
    }

    const MAIL: &[(&str, &str)] =
        &[("host", "smtp.example.com"), ("username", "us"), ("password", "hunter2")];

    const META: &[(&str, &str)] =
        &[("access_token", "hunter2"), ("phone_number_id", "2"), ("ad_account_id", "3")];

    /// What a check of Meta's finds whose calls are answered so, each after so many milliseconds.
    async fn found(answers: &[Result<(u16, &str), OutboundError>], each_ms: i64) -> Probed {
        found_of("meta", META, answers, each_ms).await
    }

    /// The same of a provider's connection of which this is said.
    async fn found_of(
        provider: &str,
        own: &[(&str, &str)],
        answers: &[Result<(u16, &str), OutboundError>],
        each_ms: i64,
    ) -> Probed {
        let (own, shared): (Words, _) = (own.iter().copied().collect(), Words::default());
        let clock = Slow(AtomicI64::new(1_795_474_980_000));
        let answering = Answering { answers, each_ms, clock: &clock, next: AtomicI64::new(0) };
        let of = Subject { own: &own, shared: &shared };
        probe(&answering, checks::of(provider).unwrap(), &of, &clock).await
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
    async fn a_sign_in_is_one_call_that_is_judged_as_others_are() {
        let found = async |answer, ms| found_of("smtp", MAIL, &[answer], ms).await;
        let good = found(Ok((235, "")), 150).await;
        assert_eq!((good.check.finding, good.check.took_ms, good.endpoint), (Finding::Good, 150, None));
        assert_eq!((good.calls.len(), good.calls[0].endpoint.as_str()), (1, "SMTP AUTH"));
        assert_eq!(found(Ok((235, "")), 3_000).await.check.trouble, None);
        assert_eq!(found(Ok((235, "")), 3_001).await.check.trouble, Some(Trouble::Slow));
        let refused = found(Ok((535, "535.5.7.8")), 10).await;
        assert_eq!(refused.check.trouble, Some(Trouble::TokenRefused));
        assert_eq!((refused.code.as_deref(), refused.endpoint), (Some("535.5.7.8"), Some("SMTP AUTH")));
        assert!(refused.advice.as_ref().is_some_and(|advice| advice.contains("`password`")));
        assert!(!refused.is_cut_off && !format!("{refused:?}").contains("hunter2"));
        let silent = found(Err(OutboundError::TimedOut("smtp.example.com".to_owned())), 10).await;
        assert!(silent.is_cut_off && silent.check.trouble == Some(Trouble::TimedOut));
        let meddled = found(Err(OutboundError::Meddled("smtp.example.com".to_owned())), 10).await;
        assert!(!meddled.is_cut_off && meddled.check.trouble == Some(Trouble::Refused));
    }

    #[tokio::test]
    async fn who_refuses_our_application_says_nothing_of_the_connection() {
        let own: Words = META[..2].iter().copied().collect();
        let shared: Words = [("app_id", "1"), ("app_secret", "wrong")].into_iter().collect();
        let clock = Slow(AtomicI64::new(1_795_474_980_000));
        let answers = &[Ok((400, r#"{"error":{"code":190}}"#)), NUMBER];
        let answering = Answering { answers, each_ms: 10, clock: &clock, next: AtomicI64::new(0) };
        let of = Subject { own: &own, shared: &shared };
        let found = probe(&answering, checks::of("meta").unwrap(), &of, &clock).await;
        assert_eq!(found.check.finding, Finding::Inconclusive);
        assert!(found.is_application_refused && found.advice.unwrap().contains("our application"));
    }

    #[tokio::test]
    async fn what_the_token_lacks_is_told_where_it_works() {
        let own = [("access_token", "hunter2"), ("merchant_id", "M1")];
        let live = Ok((200, r#"{"scopes":["PAYMENTS_READ","ORDERS_READ"],"merchant_id":"M1"}"#));
        let found = found_of("square", &own, &[live], 10).await;
        assert_eq!(found.missing_scopes, Some(vec!["MERCHANT_PROFILE_READ"]));
        let refused = found_of("square", &own, &[Ok((401, r#"{"scopes":[]}"#))], 10).await;
        assert_eq!(refused.missing_scopes, None);
    }

    #[tokio::test]
    async fn a_menu_may_take_longer_than_other_answers() {
        let own = [
            ("restaurant_id", "r1"),
            ("menu_url", "https://petpooja.example.com/menus"),
            ("app_key", "k"),
            ("app_secret", "s"),
            ("access_token", "hunter2"),
        ];
        let menu = || Ok((200, r#"{"success":"1"}"#));
        assert_eq!(found_of("petpooja", &own, &[menu()], 3_000).await.check.trouble, None);
        assert_eq!(found_of("petpooja", &own, &[menu()], 9_000).await.check.trouble, Some(Trouble::Slow));
    }

    #[tokio::test]
    async fn what_no_header_can_hold_is_a_wrong_setting_and_not_our_network() {
        let own = [("access_token", "hunter2\nhunter2")];
        let found = found_of("square", &own, &[], 0).await;
        assert_eq!((found.check.trouble, found.calls.len()), (Some(Trouble::Misconfigured), 0));
        let advice = found.advice.unwrap();
        assert!(advice.contains("`access_token`") && !advice.contains("hunter2"), "{advice}");
        let named = OutboundError::Unsendable("authorization".to_owned());
        assert_eq!(trouble(&named), Trouble::Misconfigured);
    }

    #[tokio::test]
    async fn nobody_signs_in_at_the_port_of_mail_servers() {
        let at_25: Vec<_> = MAIL.iter().copied().chain([("port", "25")]).collect();
        let found = found_of("smtp", &at_25, &[], 0).await;
        assert_eq!((found.check.trouble, found.calls.len()), (Some(Trouble::Misconfigured), 0));
        assert!(found.advice.unwrap().contains("587"));
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
