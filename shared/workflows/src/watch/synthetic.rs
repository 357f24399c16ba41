//! Synthetic webhooks from who sends them: one with each check of our own address, and with the next the answer whether it
//! took its end, and how soon.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tillwatch_platform::outbound::Ask;
use tillwatch_providers::request::Outgoing;
use tillwatch_providers::{Headers, Received, Request, Settings};

use super::{Watch, WatchError};
use crate::receive::synthetic::{HEADER, mark};

/// What is known of a provider's synthetic webhooks. Times are Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synthetic {
    /// The event that the last one makes, and when it was sent; none, if none was taken.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<(String, i64)>,
    /// When the last one was sent that came to its end, and how long that took.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub done: Option<(i64, u32)>,
    /// Since when none came to its end, of those that were taken.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub lost_ms: Option<i64>,
    /// The event of the last of these, and when it was sent.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    lost: Option<(String, i64)>,
    /// Whether one can be made: where the provider's webhooks are signed by what is shared, and that is known. None: not tried
    /// yet.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub can_be_made: Option<bool>,
}

/// One that is to be sent.
pub(super) struct Made {
    /// The event that it makes.
    id: String,
    headers: Headers,
    body: Vec<u8>,
}

impl Synthetic {
    /// Takes in how the last one ended, or that it has not.
    fn follow(&mut self, of: (String, i64), processed_ms: Option<i64>, now_ms: i64) {
        let sent_ms = of.1;
        match processed_ms {
            Some(processed_ms) => {
                let took_ms = u32::try_from((processed_ms - sent_ms).max(0)).unwrap_or(u32::MAX);
                (self.done, self.lost_ms, self.lost) = (Some((sent_ms, took_ms)), None, None);
            }
            None if now_ms - sent_ms < tillwatch_domain::span::millis(PATIENCE) => self.pending = Some(of),
            None => {
                self.lost_ms.get_or_insert(sent_ms);
                self.lost = Some(of);
            }
        }
    }

    /// Takes in whether another can be made. If none can, nothing will ever tell that what was lost is no longer so.
    pub(super) fn set_possible(&mut self, can: bool) {
        self.can_be_made = Some(can);
        if !can {
            (self.lost_ms, self.lost) = (None, None);
        }
    }
}

/// How long a webhook may take for all that is looked after it.
const PATIENCE: Duration = Duration::from_mins(1);

impl Watch {
    /// What became of the last one: of the one that is awaited or, where none is, of the one that was lost.
    pub(super) async fn followed(
        &self,
        mut known: Synthetic,
        now: Timestamp,
    ) -> Result<Synthetic, WatchError> {
        let Some((id, sent_ms)) = known.pending.take().or_else(|| known.lost.clone()) else {
            return Ok(known);
        };
        let event = self.events.event(&id, false, now).await?;
        let processed_ms = event.and_then(|event| event.processed_ms);
        known.follow((id, sent_ms), processed_ms, now.as_millisecond());
        Ok(known)
    }

    /// Another one; none, where there is no key that signs it.
    pub(super) async fn synthetic(&self, provider: &str, now: Timestamp) -> Option<Made> {
        let module = tillwatch_providers::named(provider)?;
        let settings = self.credentials.settings(provider).await?;
        let kind = module.sample_kinds().first()?;
        let number = u64::try_from(now.as_millisecond()).ok()?;
        let (headers, body) = module.sample(kind, number, now)?;
        let id = self.event_of(provider, &headers, &body)?;
        let headers = signed(module, &settings, &headers, body.clone(), now)?;
        Some(Made { id, headers, body })
    }

    /// Sends it. None, if it is not taken.
    pub(super) async fn send_synthetic(
        &self,
        provider: &str,
        url: &str,
        made: Made,
    ) -> Option<(String, i64)> {
        let Made { id, headers, body } = made;
        let outgoing = Outgoing::of(&headers, !body.is_empty());
        let mark = mark(&self.webhook_vault.ring(), provider, &body);
        let texts: Vec<(String, SecretString)> = outgoing
            .headers
            .iter()
            .map(|(name, value)| (name.to_owned(), SecretString::from(value.to_owned())))
            .collect();
        let mut headers: Vec<(&str, &SecretString)> =
            texts.iter().map(|(name, value)| (name.as_str(), value)).collect();
        headers.push((HEADER, &mark));
        let url = format!("{url}{}", outgoing.path_and_query);
        let body = SecretString::from(String::from_utf8(body).ok()?);
        let ask = Ask {
            provider,
            endpoint: "our own address, a synthetic webhook",
            method: &outgoing.method,
            url: &url,
            headers,
            body: (!body.expose_secret().is_empty()).then_some(&body),
        };
        let sent_ms = self.roster.clock.now().as_millisecond();
        match self.outbound.ask(&ask).await {
            Ok(answer) if (200..300).contains(&answer.status) => Some((id, sent_ms)),
            Ok(answer) => {
                tracing::warn!(provider, status = answer.status, "our own synthetic webhook was refused");
                None
            }
            Err(error) => {
                tracing::warn!(provider, %error, "our own synthetic webhook could not be sent");
                None
            }
        }
    }

    /// The id of the event that a sample makes.
    fn event_of(&self, provider: &str, headers: &Headers, body: &[u8]) -> Option<String> {
        let received = Received { headers, body, at: self.roster.clock.now() };
        let events = tillwatch_providers::named(provider)?.parse(received).ok()?;
        Some(events.first()?.dedupe.event_id().to_string())
    }
}

fn signed(
    module: &dyn tillwatch_providers::Provider,
    settings: &Settings,
    headers: &Headers,
    body: Vec<u8>,
    now: Timestamp,
) -> Option<Headers> {
    let request = Request::new(headers.clone(), body);
    let signature = module.sign(settings, &request, now).ok()?;
    Some(headers.iter().chain(signature.iter()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn sent(minute: i64) -> (String, i64) {
        (format!("e{minute}"), minute * MINUTE_MS)
    }

    #[test]
    fn one_that_is_late_is_awaited_then_lost_and_found_again() {
        let mut known = Synthetic::default();
        known.follow(sent(0), None, 30_000);
        assert_eq!((&known.pending, known.lost_ms), (&Some(sent(0)), None));
        known.pending = None;
        known.follow(sent(0), None, MINUTE_MS);
        known.follow(sent(5), None, 10 * MINUTE_MS);
        assert_eq!((&known.lost, known.lost_ms), (&Some(sent(5)), Some(0)));
        known.follow(sent(5), Some(11 * MINUTE_MS), 12 * MINUTE_MS);
        assert_eq!((known.done, known.lost_ms), (Some((5 * MINUTE_MS, 360_000)), None));
    }

    #[test]
    fn where_none_can_be_made_any_more_none_is_lost() {
        let mut known = Synthetic::default();
        known.follow(sent(0), None, MINUTE_MS);
        known.set_possible(true);
        assert_eq!(known.lost_ms, Some(0));
        known.set_possible(false);
        assert_eq!((known.lost_ms, known.can_be_made), (None, Some(false)));
    }
}
