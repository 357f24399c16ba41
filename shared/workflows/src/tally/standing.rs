//! What is concluded of each connection from more than its checks: whether its webhooks fell silent or fail, and how its
//! token stands.

use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};
use tillwatch_domain::figures::outcome_figure;
use tillwatch_domain::hours::is_open_in;
use tillwatch_domain::location::OpeningHours;
use tillwatch_domain::rhythm::Rhythms;
use tillwatch_domain::silence::{Silence, Week, judge};
use tillwatch_domain::tally::{Tally, Webhooks, hour_of};
use tillwatch_domain::token::Standing as TokenState;
use tillwatch_domain::{Connection, Location, Outcome, State};
use tillwatch_platform::connections::Kind;

use super::{Tallies, TallyError};
use crate::tokens::TokenStanding;
use crate::watch::{Row, Survey};

/// What was concluded of all connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The first day that is not counted for good, in days since 1970.
    pub(super) days_through: i64,
    /// By connection, of those of which there is anything to say.
    pub connections: BTreeMap<String, Sent>,
}

/// What was concluded of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// When its last webhook that was believed arrived, Unix milliseconds.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<i64>,
    /// Its silence, if it is silent.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<Silent>,
    /// Whether its webhooks come, and that is known: neither silent nor of too little history.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_normal: bool,
    /// Of a thousand of its webhooks of the last hours, how many were not believed or did not take effect, if there were
    /// enough to say.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub failing_per_mille: Option<u64>,
    /// How its token stands, if it is refreshed here.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenState>,
    /// When its token ends, if that is known by its refreshing, Unix milliseconds.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub token_ends_ms: Option<i64>,
}

/// A silence, with what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    /// When it sent last, Unix milliseconds.
    pub since_ms: i64,
    /// How many it sends in these hours of the week, on average.
    pub expected: u32,
    /// How many it sent in the week that brought least.
    pub least: u32,
    /// How many weeks say so.
    pub weeks: u32,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since_ms, expected, least, weeks } = self;
        let since = Timestamp::from_millisecond(*since_ms).unwrap_or_default().round(Unit::Second);
        let since = since.unwrap_or_default();
        write!(
            f,
            "Nothing has come since {since}. In the same hours of the last {weeks} weeks {expected} came on average, and \
             {least} at least."
        )
    }
}

/// So many must have come for their share to say something.
const ENOUGH: i64 = 20;

impl Standing {
    /// How many connections are silent.
    pub fn silent(&self) -> usize {
        self.connections.values().filter(|sent| sent.silent.is_some()).count()
    }
}

impl Tallies {
    /// What is concluded of all connections, by what they sent until then.
    pub(super) async fn judged(
        &self,
        rhythms: &Rhythms,
        recent: &BTreeMap<i64, Tally>,
        known_ms: i64,
        survey: &Survey,
    ) -> Result<BTreeMap<String, Sent>, TallyError> {
        // Since when those that were another business's are this one's.
        let owned = |row: &Row| Some((row.id.clone(), hour_of(row.owned_ms?)));
        let owned: BTreeMap<String, i64> = survey.rows.iter().filter_map(owned).collect();
        let mut all: BTreeMap<String, Sent> = BTreeMap::new();
        let mut together: BTreeMap<&str, Webhooks> = BTreeMap::new();
        for (connection, webhooks) in recent.values().flat_map(|tally| &tally.0) {
            together.entry(connection).or_default().merge(webhooks);
        }
        let nobody = Webhooks::default();
        for connection in rhythms.connections().chain(together.keys().copied()) {
            if all.contains_key(connection) {
                continue;
            }
            let of_late = together.get(connection).unwrap_or(&nobody);
            let last_ms = rhythms.last_ms(connection).max(of_late.last_ms);
            let count = |hour: i64| {
                if hour < rhythms.through() {
                    return rhythms.count(connection, hour);
                }
                let webhooks = recent.get(&hour)?.0.get(connection);
                let count = webhooks.map_or(0, Webhooks::believed);
                // What is not settled is of a source that was heard before.
                rhythms.last_ms(connection).map(|_| u32::try_from(count).unwrap_or(u32::MAX))
            };
            let mut silence = judge(known_ms, last_ms, Week::Utc, count, |_| true);
            // Its clock, and when it is open, is looked up for those alone that would be missed if they always were.
            if matches!(silence, Silence::Silent { .. }) {
                let opening = self.opening(connection).await?;
                // Nor is it missed for what it sent when it was another business's.
                let first = owned.get(connection).copied().unwrap_or(i64::MIN);
                let count = |hour: i64| count(hour).filter(|_| hour >= first);
                silence = judge(known_ms, last_ms, opening.week(), count, |hour| opening.is_open_in(hour));
            }
            let silent = match silence {
                Silence::Silent { since_ms, expected, least, weeks } => {
                    Some(Silent { since_ms, expected, least, weeks })
                }
                Silence::Normal | Silence::TooLittleKnown => None,
            };
            let sent = Sent {
                last_ms,
                silent,
                is_normal: silence == Silence::Normal,
                failing_per_mille: failing(of_late),
                ..Sent::default()
            };
            all.insert(connection.to_owned(), sent);
        }
        for kept in self.tokens.agenda.watched.all::<TokenStanding>().await? {
            if kept.document.refreshed_here {
                let sent = all.entry(kept.id).or_default();
                sent.token = Some(kept.document.standing);
                sent.token_ends_ms = kept.document.expires_ms;
            }
        }
        Ok(all)
    }

    /// When a connection's webhooks may be expected.
    async fn opening(&self, id: &str) -> Result<Opening, TallyError> {
        let connections = &self.roster.connections;
        let Some(stored) = connections.document::<Connection>(Kind::Connection, id).await? else {
            return Ok(Opening::Never);
        };
        let connection = stored.document;
        if connection.state != State::Enabled {
            return Ok(Opening::Never);
        }
        let Some(id) = connection.location else { return Ok(Opening::always()) };
        let Some(stored) = connections.document::<Location>(Kind::Location, &id).await? else {
            return Ok(Opening::always());
        };
        let Location { opening_hours, timezone, .. } = stored.document;
        let zone = timezone.and_then(|name| TimeZone::get(&name).ok());
        Ok(Opening::At { hours: opening_hours.map(Box::new), zone })
    }
}

/// When webhooks may be expected.
enum Opening {
    /// Not at all: it is disabled, or gone.
    Never,
    /// While its place is open; always, where nothing is said of that. By the place's clock, as far as it is known.
    At { hours: Option<Box<OpeningHours>>, zone: Option<TimeZone> },
}

impl Opening {
    fn always() -> Self {
        Self::At { hours: None, zone: None }
    }

    fn week(&self) -> Week<'_> {
        match self {
            Self::At { zone: Some(zone), .. } => Week::Of(zone),
            Self::At { zone: None, .. } | Self::Never => Week::Unknown,
        }
    }

    fn is_open_in(&self, hour: i64) -> bool {
        match self {
            Self::Never => false,
            Self::At { hours: None, .. } => true,
            Self::At { hours: Some(hours), zone } => {
                is_open_in(hours, zone.as_ref().unwrap_or(&TimeZone::UTC), hour)
            }
        }
    }
}

/// Of a thousand webhooks, how many were rejected, parked or still fail.
fn failing(webhooks: &Webhooks) -> Option<u64> {
    let sum = webhooks.sum();
    let received = sum.get(tillwatch_domain::figures::RECEIVED);
    let wrong: i64 = [Outcome::Rejected, Outcome::Parked, Outcome::Failed]
        .into_iter()
        .map(|outcome| sum.get(&outcome_figure(outcome)))
        .sum();
    (received >= ENOUGH).then(|| u64::try_from(wrong * 1_000 / received).unwrap_or(0))
}
