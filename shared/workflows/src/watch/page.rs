//! A provider's status page: read every five minutes, and believed for a quarter of an hour. A page that can't be read says
//! nothing, whatever came in its place.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tillwatch_domain::span;
use tillwatch_platform::outbound::Ask;
use tillwatch_providers::Headers;
use tillwatch_providers::call::Response;
use tillwatch_providers::checks::Form;
use tillwatch_providers::checks::status_page::{Incident, Told};

use super::check::regular;
use super::{Checked, Watch, WatchError};
use crate::agenda::Why;

/// How often a page is read.
const EVERY: Duration = Duration::from_mins(5);
/// How long what it said is believed.
const BELIEVED: Duration = Duration::from_mins(15);
/// The largest page that is read: some tell of all their incidents since ever.
const LARGEST: usize = 4 * 1024 * 1024;

/// What is kept of a page. Stored under one-letter names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Its URL.
    #[serde(rename = "u", default)]
    pub url: String,
    /// When it was read last, Unix milliseconds; none, if it never could be.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub read_ms: Option<i64>,
    /// What it said then.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

impl Page {
    /// What it says, if that was read of late.
    pub fn told(&self, now_ms: i64) -> Option<&Told> {
        let age_ms = now_ms.saturating_sub(self.read_ms?);
        self.told.as_ref().filter(|_| age_ms <= span::millis(BELIEVED))
    }

    /// Whether it tells of an incident that concerns what is called from here; none: nobody knows.
    pub fn has_incident(&self, now_ms: i64) -> Option<bool> {
        self.told(now_ms).map(|told| told.incident().is_some())
    }

    /// That incident.
    pub fn incident(&self, now_ms: i64) -> Option<&Incident> {
        self.told(now_ms)?.incident()
    }
}

impl Watch {
    /// Reads one, if that is due.
    pub(super) async fn read_page(&self, provider: &str, id: &str, why: Why) -> Result<Checked, WatchError> {
        let (roster, now) = (&self.roster, self.roster.clock.now());
        let kept = roster.agenda.watched.get_or_new::<Page>(id).await?;
        if why.is_too_soon(kept.as_ref(), now) {
            return Ok(Checked::NotDue);
        }
        let (url, form) = match roster.beside.page(provider) {
            Some(page) if roster.is_used(provider).await? => page,
            _ => {
                roster.agenda.watched.delete(id).await?;
                return Ok(Checked::Gone);
            }
        };
        let told = self.told_by_page(provider, url, form).await;
        let read_ms = roster.clock.now().as_millisecond();
        let mut incident = (None, None);
        let take = |page: &mut Page| {
            incident.0 = page.incident(read_ms).cloned();
            url.clone_into(&mut page.url);
            if let Some(told) = &told {
                (page.read_ms, page.told) = (Some(read_ms), Some(told.clone()));
            }
            incident.1 = page.incident(read_ms).cloned();
            regular(id, now, EVERY)
        };
        roster.agenda.change((id, provider), kept, take).await?;
        match incident {
            (None, Some(Incident { name, .. })) => {
                tracing::warn!(provider, incident = name, "a provider's status page tells of an incident");
            }
            (Some(_), None) if told.is_some() => {
                tracing::info!(provider, "a provider's status page tells of no incident any more");
            }
            _ => {}
        }
        Ok(Checked::Beside)
    }

    /// What the page says at this moment; none, if it can't be read.
    async fn told_by_page(&self, provider: &str, url: &str, form: Form) -> Option<Told> {
        let endpoint = "status page";
        let ask = Ask { provider, endpoint, method: "GET", url, headers: Vec::new(), body: None };
        let answer = self.outbound.ask_for(&ask, LARGEST).await.ok()?;
        let response = Response { status: answer.status, headers: Headers::new(), body: answer.body };
        form.read(&response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_said_is_believed_for_a_quarter_of_an_hour() {
        let incident = Incident { name: "Elevated errors".to_owned(), concerns: true };
        let told = Told { status: "major".to_owned(), incidents: vec![incident] };
        let page = Page { url: String::new(), read_ms: Some(0), told: Some(told) };
        assert_eq!(page.has_incident(900_000), Some(true));
        assert_eq!(page.has_incident(900_001), None);
        assert_eq!(Page::default().has_incident(0), None);
    }

    #[test]
    fn with_all_that_is_told_it_fits_a_write_unit() {
        let incident = Incident { name: "x".repeat(120), concerns: true };
        let told = Told { status: "maintenance".to_owned(), incidents: vec![incident; 5] };
        let url = "https://www.google.com/appsstatus/dashboard/incidents.json".to_owned();
        let stored = serde_json::to_string(&Page { url, read_ms: Some(1_795_474_800_000), told: Some(told) });
        assert!(stored.unwrap().len() < 900);
    }
}
