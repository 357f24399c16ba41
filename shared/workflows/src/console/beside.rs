//! What is told with a provider's connections and is of none of them: the provider's own status page, and our own address for
//! its webhooks.

use serde::Serialize;
use tillwatch_domain::blame::{Blame, Reason};
use tillwatch_domain::health::Trouble;
use tillwatch_providers::checks::status_page::Incident;
use utoipa::ToSchema;

use super::rfc3339;
use super::watch::{BlameView, TroubleView};
use crate::watch::{EndpointRow, Page, endpoint};

/// What a provider's own status page says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatusPageView {
    /// `none`, `minor`, `major`, `critical` or `maintenance`, for all that the page is of; `unknown`, if it could not be read
    /// for a quarter of an hour.
    pub status: String,
    /// Whether there is an incident that concerns what is called from here; null: nobody knows.
    pub incident: Option<bool>,
    /// The open incidents, those that concern us first, at most five.
    pub incidents: Vec<IncidentView>,
    /// When it was read last; null, if it never could be.
    pub read_at: Option<String>,
    /// Where it is.
    pub url: String,
}

/// An incident, in the provider's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IncidentView {
    /// Its name.
    pub name: String,
    /// Whether it concerns what is called from here.
    pub concerns: bool,
}

/// How our own address for a provider's webhooks does, as it is reached from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EndpointView {
    /// The address.
    pub url: String,
    /// `up`, `degraded`, `down` or `unknown`.
    pub status: &'static str,
    /// Since when.
    pub since: Option<String>,
    /// When it was asked last.
    pub checked_at: Option<String>,
    /// How long the last answer took, in milliseconds.
    pub response_ms: Option<u32>,
    /// When its certificate ends, as it was seen last.
    pub certificate_expires_at: Option<String>,
    /// The last synthetic webhook that came to its end; null, if none did.
    pub synthetic: Option<SyntheticView>,
    /// What is wrong; null, if nothing is.
    pub trouble: Option<TroubleView>,
    /// Whose fault it is: ours; null, if nothing is wrong.
    pub blame: Option<BlameView>,
}

/// A webhook that Tillwatch sent to itself: it takes the whole way, takes no effect and is in no figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SyntheticView {
    /// When it was sent.
    pub sent_at: String,
    /// How long it took from its sending to its end, in milliseconds.
    pub took_ms: u32,
}

impl StatusPageView {
    pub(super) fn of(page: &Page, now_ms: i64) -> Self {
        let told = page.told(now_ms);
        let view =
            |incident: &Incident| IncidentView { name: incident.name.clone(), concerns: incident.concerns };
        Self {
            status: told.map_or_else(|| "unknown".to_owned(), |told| told.status.clone()),
            incident: page.has_incident(now_ms),
            incidents: told.into_iter().flat_map(|told| &told.incidents).map(view).collect(),
            read_at: page.read_ms.map(rfc3339),
            url: page.url.clone(),
        }
    }
}

impl EndpointView {
    pub(super) fn of(row: &EndpointRow) -> Self {
        let trouble = |trouble: Trouble| TroubleView {
            kind: trouble.name(),
            explanation: trouble.explanation(),
            remedy: endpoint::remedy(trouble),
            code: None,
            endpoint: None,
            detail: row.advice.clone(),
        };
        let reason = match row.trouble {
            Some(Trouble::OurNetwork) => Reason::NothingIsReached,
            _ => Reason::OurAddress,
        };
        Self {
            url: row.url.clone(),
            status: row.verdict.name(),
            since: row.since_ms.map(rfc3339),
            checked_at: row.checked_ms.map(rfc3339),
            response_ms: row.took_ms,
            certificate_expires_at: row.certificate_ends_ms.map(rfc3339),
            synthetic: row
                .synthetic
                .map(|(sent_ms, took_ms)| SyntheticView { sent_at: rfc3339(sent_ms), took_ms }),
            trouble: row.trouble.map(trouble),
            blame: row.trouble.map(|_| BlameView::of(Blame::Us, reason, None)),
        }
    }
}
