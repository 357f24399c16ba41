//! Our own address for a provider's webhooks, asked over the public way: whether the function behind it answers, how soon,
//! and for how long its certificate is good. What is sent is no webhook, and nothing is kept of it (`receive/trial.rs`).

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tillwatch_domain::certificate::Validity;
use tillwatch_domain::health::{Check, Health, Trouble, Turn, Verdict};
use tillwatch_domain::threshold;
use tillwatch_platform::entropy;
use tillwatch_platform::outbound::{Answer, Ask, OutboundError};
use tillwatch_providers::checks::by_status;

use super::check::{CUT_OFF, SOON, UNCHECKED, is_far, regular};
use super::probe::{is_silence, trouble};
use super::synthetic::Synthetic;
use super::{Checked, Watch, WatchError};
use crate::agenda::{Why, millis};
use crate::receive::trial;

/// What is kept of an address. Stored under one-letter names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its URL.
    #[serde(rename = "u", default)]
    pub url: String,
    /// What the checks found.
    #[serde(rename = "h", default)]
    pub health: Health,
    /// What is known beyond that of what is wrong.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// When its certificate ends, as it was seen last; Unix milliseconds.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends_ms: Option<i64>,
    /// What became of the synthetic webhooks that were sent there.
    #[serde(rename = "y", default)]
    pub synthetic: Synthetic,
}

impl Endpoint {
    /// The verdict at that time, of what is checked as often as that.
    pub fn verdict(&self, now_ms: i64, every: Duration) -> Verdict {
        self.health.as_of(now_ms, every)
    }

    /// What is wrong, if anything is, of what is due then.
    pub fn trouble(&self, due_ms: i64, now_ms: i64, every: Duration) -> Option<Trouble> {
        if self.health.is_overdue(due_ms, now_ms, every) {
            return Some(Trouble::NotChecked);
        }
        self.health.trouble().filter(|_| self.verdict(now_ms, every) != Verdict::Up)
    }
}

/// What to do about it, where it is our own address that is in trouble.
pub fn remedy(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::NoAddress | Trouble::Unreachable | Trouble::TimedOut => {
            "Look at its name, the gateway and the firewall: providers may not get through either. If they do, this machine \
             can't reach its own public address."
        }
        Trouble::Certificate => "Renew its certificate: providers do not send to it.",
        Trouble::CertificateEndsSoon => "Renew its certificate, and see why that was not done by itself.",
        Trouble::ProviderError => {
            "Read the log of this provider's webhook function: it can take no webhooks."
        }
        Trouble::RateLimited => "Raise the gateway's limit, or see who sends so much.",
        Trouble::Slow => "Look at how long the webhook function takes, and at what is in front of it.",
        Trouble::Misconfigured | Trouble::AddressNotPublic => {
            "Set TILLWATCH_PUBLIC_URL to the `https` address at which providers reach this."
        }
        Trouble::OurNetwork | Trouble::Unprocessed | Trouble::Silent | Trouble::NotChecked => {
            trouble.remedy()
        }
        Trouble::Unreadable
        | Trouble::TokenRefused
        | Trouble::ScopeMissing
        | Trouble::AccountGone
        | Trouble::Refused => {
            "Something else answers there: see where its name leads, and whether TILLWATCH_PUBLIC_URL is right."
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    trouble: Option<Trouble>,
    advice: Option<String>,
    certificate: Option<Validity>,
}

/// What an answer means that should have repeated the word.
fn judged(answer: &Result<Answer, OutboundError>, word: &str, took: Duration, now: Timestamp) -> Found {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let trouble = match error {
                // It has a public address for others, most likely, and none from here: that says nothing.
                OutboundError::NotPublic(_) => Trouble::Misconfigured,
                OutboundError::Redirects(..) => Trouble::Refused,
                error => trouble(error),
            };
            return Found { trouble: Some(trouble), advice: Some(error.to_string()), certificate: None };
        }
    };
    let certificate = answer.certificate;
    let ends_soon = certificate.filter(|certificate| certificate.ends_soon(now.as_millisecond()));
    let trouble = match by_status(answer.status) {
        None if answer.body != word.as_bytes() => Some(Trouble::Unreadable),
        None if ends_soon.is_some() => Some(Trouble::CertificateEndsSoon),
        None => (took > threshold::API).then_some(Trouble::Slow),
        // It is no token that is refused.
        Some(Trouble::TokenRefused | Trouble::ScopeMissing | Trouble::AccountGone) => Some(Trouble::Refused),
        Some(trouble) => Some(trouble),
    };
    let advice = match trouble {
        Some(Trouble::CertificateEndsSoon) => ends_soon.map(ends),
        Some(Trouble::Slow) | None => None,
        Some(_) => Some(format!("It answered with the status {}.", answer.status)),
    };
    Found { trouble, advice, certificate }
}

/// When a certificate ends, in words.
pub(super) fn ends(certificate: Validity) -> String {
    let at = Timestamp::from_millisecond(certificate.ends_ms).unwrap_or(Timestamp::MAX);
    format!("The certificate ends on {}.", at.strftime("%Y-%m-%d at %H:%M UTC"))
}

impl Watch {
    /// Asks one, if that is due.
    pub(super) async fn ask_endpoint(
        &self,
        provider: &str,
        id: &str,
        why: Why,
    ) -> Result<Checked, WatchError> {
        let (roster, now) = (&self.roster, self.roster.clock.now());
        let kept = roster.agenda.watched.get_or_new::<Endpoint>(id).await?;
        if why.is_too_soon(kept.as_ref(), now) {
            return Ok(Checked::NotDue);
        }
        let url = match roster.beside.endpoint(provider) {
            Some(url) if roster.is_used(provider).await? => url,
            _ => {
                roster.agenda.watched.delete(id).await?;
                return Ok(Checked::Gone);
            }
        };
        let word = hex::encode(entropy::bytes::<16>());
        let sealed = trial::sealed(&self.webhook_vault.ring(), provider, &word);
        let answer = self.ask_over_the_public_way(provider, &url, &sealed).await;
        let took = Duration::try_from(roster.clock.now().duration_since(now)).unwrap_or_default();
        let mut found = judged(&answer, &word, took, roster.clock.now());
        let is_silent = answer.as_ref().is_err_and(is_silence) && is_far(&url);
        if is_silent && self.reach.is_cut_off(&self.outbound, roster.clock.now()).await {
            found.trouble = Some(Trouble::OurNetwork);
        }
        let before = kept.as_ref().filter(|kept| kept.document.url == url);
        let before = before.map(|kept| kept.document.synthetic.clone()).unwrap_or_default();
        let mut synthetic = self.followed(before, now).await?;
        if matches!(found.trouble, None | Some(Trouble::Slow | Trouble::CertificateEndsSoon))
            && synthetic.pending.is_none()
        {
            let made = self.synthetic(provider, now).await;
            synthetic.set_possible(made.is_some());
            if let Some(made) = made {
                synthetic.pending = self.send_synthetic(provider, &url, made).await;
            }
        }
        if let (None, Some(lost_ms)) = (found.trouble, synthetic.lost_ms) {
            let lost = Timestamp::from_millisecond(lost_ms).unwrap_or_default();
            found.trouble = Some(Trouble::Unprocessed);
            found.advice = Some(format!("A webhook of our own, taken at {lost}, has not come to its end."));
        }
        let took_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        let check = Check::found(now.as_millisecond(), found.trouble, took_ms);
        let mut turn = None;
        let take = |endpoint: &mut Endpoint| {
            if endpoint.url != url {
                // What was found at another address says nothing of this one.
                *endpoint = Endpoint { url: url.clone(), ..Endpoint::default() };
            }
            turn = endpoint.health.take(check);
            endpoint.advice.clone_from(&found.advice);
            endpoint.synthetic.clone_from(&synthetic);
            endpoint.certificate_ends_ms =
                found.certificate.map(|certificate| certificate.ends_ms).or(endpoint.certificate_ends_ms);
            self.next_asked(id, endpoint, found.trouble)
        };
        roster.agenda.change((id, provider), kept, take).await?;
        tell(provider, turn, found.trouble);
        Ok(Checked::Beside)
    }

    async fn ask_over_the_public_way(
        &self,
        provider: &str,
        url: &str,
        sealed: &SecretString,
    ) -> Result<Answer, OutboundError> {
        // A connection that was made before shows the certificate of then.
        let close = SecretString::from("close".to_owned());
        let headers = vec![(trial::HEADER, sealed), ("connection", &close)];
        let ask = Ask { provider, endpoint: "our own address", method: "POST", url, headers, body: None };
        let answer = self.outbound.ask(&ask).await;
        if answer.is_ok() && is_far(url) {
            self.reach.heard(self.roster.clock.now());
        }
        answer
    }

    fn next_asked(&self, id: &str, endpoint: &Endpoint, trouble: Option<Trouble>) -> i64 {
        let (now, every) = (self.roster.clock.now(), self.roster.every);
        match trouble {
            Some(Trouble::Misconfigured) => regular(id, now, every.max(UNCHECKED)),
            Some(Trouble::OurNetwork) => millis(now, CUT_OFF.min(every)),
            // It ends in days: nothing is to be learnt of it within seconds.
            Some(Trouble::CertificateEndsSoon) => regular(id, now, every),
            _ if endpoint.health.is_in_doubt() => millis(now, SOON.min(every)),
            _ => regular(id, now, every),
        }
    }
}

fn tell(provider: &str, turn: Option<Turn>, trouble: Option<Trouble>) {
    match turn {
        None => {}
        Some(Turn { from: Verdict::Unknown, to: Verdict::Up, .. }) => {
            tracing::info!(provider, "our own address for its webhooks answers");
        }
        Some(Turn { from, to, since_ms }) => {
            let since = Timestamp::from_millisecond(since_ms).unwrap_or_default();
            let (from, to, trouble) = (from.name(), to.name(), trouble.map(Trouble::name));
            tracing::warn!(provider, from, to, %since, trouble, "how our own address does has changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;

    fn answer(status: u16, body: &str, days: i64) -> Answer {
        let certificate = Validity { begins_ms: (days - 90) * DAY_MS, ends_ms: days * DAY_MS };
        Answer { status, headers: Vec::new(), body: body.into(), certificate: Some(certificate) }
    }

    fn found(answer: &Result<Answer, OutboundError>) -> Option<Trouble> {
        judged(answer, "word", Duration::from_millis(90), Timestamp::UNIX_EPOCH).trouble
    }

    #[test]
    fn the_function_has_answered_if_it_repeats_the_word_and_nothing_else_has() {
        for (status, body, trouble) in [
            (200, "word", None),
            (200, "<html>parked</html>", Some(Trouble::Unreadable)),
            (200, "", Some(Trouble::Unreadable)),
            (401, "{}", Some(Trouble::Refused)),
            (404, "{}", Some(Trouble::Refused)),
            (429, "{}", Some(Trouble::RateLimited)),
            (503, "{}", Some(Trouble::ProviderError)),
        ] {
            assert_eq!(found(&Ok(answer(status, body, 60))), trouble, "{status} {body}");
        }
    }

    #[test]
    fn a_certificate_near_its_end_is_told_with_the_day() {
        let found = judged(&Ok(answer(200, "word", 5)), "word", Duration::ZERO, Timestamp::UNIX_EPOCH);
        assert_eq!(found.trouble, Some(Trouble::CertificateEndsSoon));
        assert_eq!(found.advice.as_deref(), Some("The certificate ends on 1970-01-06 at 00:00 UTC."));
    }

    #[test]
    fn an_address_that_is_not_public_from_here_says_nothing_and_a_bad_certificate_all() {
        let host = || "hooks.example.com".to_owned();
        assert_eq!(found(&Err(OutboundError::NotPublic(host()))), Some(Trouble::Misconfigured));
        assert_eq!(found(&Err(OutboundError::Plain(host()))), Some(Trouble::Misconfigured));
        assert_eq!(found(&Err(OutboundError::Certificate(host()))), Some(Trouble::Certificate));
        assert_eq!(found(&Err(OutboundError::TimedOut(host()))), Some(Trouble::TimedOut));
    }

    #[test]
    fn what_to_do_never_sends_anyone_to_a_connection() {
        for trouble in Trouble::ALL {
            assert!(!remedy(trouble).contains("base_url"), "{trouble:?}");
        }
    }
}
