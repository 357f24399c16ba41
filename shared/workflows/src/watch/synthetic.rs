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
}

/// How long a webhook may take for all that is looked after it.
const PATIENCE: Duration = Duration::from_mins(1);

impl Watch {
    /// What became of the last one.
    pub(super) async fn followed(
        &self,
        mut known: Synthetic,
        now: Timestamp,
    ) -> Result<Synthetic, WatchError> {
        let Some((id, sent_ms)) = known.pending.take() else { return Ok(known) };
        let event = self.events.event(&id, false, now).await?;
        match event.and_then(|event| event.processed_ms) {
            Some(processed_ms) => {
                let took_ms = u32::try_from((processed_ms - sent_ms).max(0)).unwrap_or(u32::MAX);
                (known.done, known.lost_ms) = (Some((sent_ms, took_ms)), None);
            }
            None if now.as_millisecond() - sent_ms < tillwatch_domain::span::millis(PATIENCE) => {
                known.pending = Some((id, sent_ms));
            }
            None => {
                known.lost_ms.get_or_insert(sent_ms);
            }
        }
        Ok(known)
    }

    /// Sends another one. None was taken where there is no key to sign it with, or it is refused.
    pub(super) async fn send_synthetic(
        &self,
        provider: &str,
        url: &str,
        now: Timestamp,
    ) -> Option<(String, i64)> {
        let module = tillwatch_providers::named(provider)?;
        let settings = self.credentials.settings(provider).await?;
        let kind = module.sample_kinds().first()?;
        let number = u64::try_from(now.as_millisecond()).ok()?;
        let (headers, body) = module.sample(kind, number, now)?;
        let id = self.event_of(provider, &headers, &body)?;
        let (headers, body) = (signed(module, &settings, &headers, body.clone(), now)?, body);
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
