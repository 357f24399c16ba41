//! How one connection does, as it is kept: what its checks found, and what they told beside.

use serde::{Deserialize, Serialize};
use tillwatch_domain::health::{Health, Turn, Verdict};
use tillwatch_domain::quota::{Tracked, track};
use tillwatch_domain::span::HOUR_MS;
use tillwatch_domain::tally::hour_of;
use tillwatch_domain::{Connection, State};
use tillwatch_providers::catalogue::TOKEN_EXPIRES_AT;
use tillwatch_providers::checks::TokenFacts;

use super::probe::Probed;

/// How a connection does. Stored under one-letter names: with its keys it should fit one write unit of the table, 1 KiB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// The business that it belongs to.
    #[serde(rename = "b")]
    pub business: String,
    /// From which hour on (since 1970, as webhooks are counted) all that is known of it is this business's, if it was another's
    /// before.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub owned_from: Option<i64>,
    /// The location, unless it is the whole business's.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether it is to be checked.
    #[serde(rename = "st", default, skip_serializing_if = "is_enabled")]
    pub state: State,
    /// What its checks found.
    #[serde(rename = "h", default)]
    pub health: Health,
    /// The provider's own word for what was wrong last.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was asked when it went wrong last.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Why nothing could be asked, and what to do.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Whether the provider refuses our application: it says so, or the token is refused because it was not refreshed for it.
    #[serde(rename = "ar", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_application_refused: bool,
    /// What is left of the provider's limits.
    #[serde(rename = "q", default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Tracked>,
    /// What was told of the token last.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub token: Option<ToldOfToken>,
    /// When the token ends as its configuration says, Unix milliseconds.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub said_ends_ms: Option<i64>,
    /// The scopes that the token lacks and our calls need, as far as it was told what it may do.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub missing_scopes: Vec<String>,
}

/// What a provider told of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldOfToken {
    /// When it was told, Unix milliseconds.
    #[serde(rename = "a")]
    pub at_ms: i64,
    /// When the token ends; none: it was not told, or never.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// Whether it was told that it never does.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    pub never_expires: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_enabled(state: &State) -> bool {
    *state == State::Enabled
}

/// How much of a provider's word and of an advice is kept.
const LONGEST_ADVICE: usize = 300;

impl Doing {
    /// A connection of which nothing is known yet.
    pub fn of(connection: &Connection, now_ms: i64) -> Self {
        let mut doing = Self::default();
        doing.describe(connection, now_ms);
        doing
    }

    /// Takes over what is said of the connection.
    pub fn describe(&mut self, connection: &Connection, now_ms: i64) {
        if !self.business.is_empty() && self.business != connection.business {
            // What was found for one business is not told to another.
            *self = Self { owned_from: Some(hour_of(now_ms) + 1), ..Self::default() };
        }
        self.business.clone_from(&connection.business);
        self.location.clone_from(&connection.location);
        let said = connection.settings.get(TOKEN_EXPIRES_AT);
        let said = said.and_then(|said| said.trim().parse::<jiff::Timestamp>().ok());
        self.said_ends_ms = said.map(jiff::Timestamp::as_millisecond);
        if self.state != connection.state && connection.state == State::Enabled {
            // Of the time in between nothing is known.
            self.health = Health::default();
        }
        self.state = connection.state;
    }

    /// From when on all that is known of it is its business's, Unix milliseconds; none, if it was never another's.
    pub fn owned_ms(&self) -> Option<i64> {
        self.owned_from.map(|hour| hour * HOUR_MS)
    }

    /// When it was checked last, Unix milliseconds.
    pub fn checked_ms(&self) -> Option<i64> {
        self.health.checks().last().map(|check| check.at_ms)
    }

    /// When its token ends: as the provider told, or else as its configuration says; none: never, or nobody knows.
    pub fn token_ends_ms(&self) -> Option<i64> {
        match self.token {
            Some(told) if told.never_expires || told.expires_ms.is_some() => told.expires_ms,
            _ => self.said_ends_ms,
        }
    }

    /// Takes in a check.
    pub fn take(&mut self, probed: &Probed) -> Option<Turn> {
        let turn = self.health.take(probed.check);
        let at_ms = probed.check.at_ms;
        if probed.check.trouble.is_some() {
            self.code.clone_from(&probed.code);
            self.endpoint = probed.endpoint.map(str::to_owned);
            let clipped = |text: &String| text.chars().take(LONGEST_ADVICE).collect();
            self.advice = probed.advice.as_ref().map(clipped);
        } else {
            (self.code, self.endpoint, self.advice) = (None, None, None);
        }
        self.is_application_refused = probed.is_application_refused;
        track(&mut self.quotas, probed.quotas.clone(), at_ms);
        if let Some(TokenFacts { expires_at, never_expires, .. }) = &probed.token {
            let expires_ms = expires_at.map(jiff::Timestamp::as_millisecond);
            self.token = Some(ToldOfToken { at_ms, expires_ms, never_expires: *never_expires });
        }
        if let Some(missing) = &probed.missing_scopes {
            self.missing_scopes = missing.iter().copied().map(str::to_owned).collect();
        }
        turn
    }

    /// The verdict at that time, of what is checked as often as that.
    pub fn verdict(&self, now_ms: i64, every: std::time::Duration) -> Verdict {
        match self.state {
            State::Enabled => self.health.as_of(now_ms, every),
            State::Paused | State::Disabled => Verdict::Paused,
        }
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::health::{Check, Trouble};
    use tillwatch_domain::quota::Quota;

    use super::*;

    fn probed(minute: i64, trouble: Option<Trouble>) -> Probed {
        let quota = |name: &str| Quota {
            name: name.to_owned(),
            remaining: 399_999,
            limit: Some(400_000),
            resets_in: Some(3_600),
        };
        Probed {
            check: Check::found(1_795_474_800_000 + minute * 60_000, trouble, 1_234),
            code: trouble.map(|_| "ACCESS_TOKEN_EXPIRED".to_owned()),
            endpoint: trouble.map(|_| "/v2/merchants/{merchant}"),
            advice: None,
            quotas: vec![quota("calls"), quota("points")],
            token: Some(TokenFacts {
                expires_at: jiff::Timestamp::from_second(1_795_474_800).ok(),
                never_expires: false,
                scopes: None,
            }),
            missing_scopes: Some(vec!["MERCHANT_PROFILE_READ", "PAYMENTS_READ", "ORDERS_READ"]),
            retry_after: None,
            calls: Vec::new(),
            is_cut_off: false,
            is_application_refused: true,
        }
    }

    #[test]
    fn with_all_that_is_told_it_fits_a_write_unit() {
        let mut doing = Doing {
            business: "harbour-restaurants-group".to_owned(),
            owned_from: Some(498_743),
            location: Some("harbour-promenade-north".to_owned()),
            ..Doing::default()
        };
        for minute in 0..20 {
            doing.take(&probed(minute, Some(Trouble::TokenRefused)));
        }
        let stored = serde_json::to_string(&doing).unwrap();
        // What stands beside it: keys, provider, revision, and the names of the attributes.
        let rest = 2 * "H#harbour-promenade-north-google_calendar".len() + 80;
        assert!(stored.len() + rest <= 1_024, "{} + {rest}: {stored}", stored.len());
        assert_eq!(serde_json::from_str::<Doing>(&stored).unwrap(), doing);
    }

    #[test]
    fn what_was_wrong_is_told_until_a_check_goes_well() {
        let mut doing = Doing::default();
        doing.take(&probed(0, Some(Trouble::TokenRefused)));
        assert_eq!(doing.code.as_deref(), Some("ACCESS_TOKEN_EXPIRED"));
        doing.take(&probed(1, None));
        assert_eq!((doing.code, doing.endpoint), (None, None));
    }

    fn connection() -> Connection {
        Connection {
            id: "c".into(),
            provider: "square".into(),
            business: "b".into(),
            location: None,
            accounts: vec![],
            place: None,
            state: State::Enabled,
            configured: None,
            role: tillwatch_domain::Role::Primary,
            settings: std::collections::BTreeMap::new(),
            sealed: std::collections::BTreeSet::new(),
            automatic: false,
        }
    }

    #[test]
    fn what_goes_to_another_business_is_its_own_from_the_next_whole_hour_on() {
        let mut connection = connection();
        let mut doing = Doing::of(&connection, 5);
        assert_eq!(doing.owned_ms(), None);
        doing.take(&probed(0, Some(Trouble::TokenRefused)));
        connection.business = "another".into();
        doing.describe(&connection, 7 * HOUR_MS + 5);
        assert_eq!((doing.owned_ms(), doing.health.checks().len()), (Some(8 * HOUR_MS), 0));
        doing.describe(&connection, 9 * HOUR_MS);
        assert_eq!(doing.owned_ms(), Some(8 * HOUR_MS));
    }

    #[test]
    fn a_token_ends_when_its_configuration_says_unless_the_provider_tells() {
        let mut connection = connection();
        let said = |connection: &mut Connection, text: &str| {
            connection.settings.insert(TOKEN_EXPIRES_AT.to_owned(), text.to_owned());
        };
        said(&mut connection, "2027-02-28T00:00:00Z");
        let mut doing = Doing::of(&connection, 0);
        assert_eq!(doing.token_ends_ms(), Some(1_803_772_800_000));
        said(&mut connection, "2027-02-28T00:00:01Z");
        doing.describe(&connection, 0);
        assert_eq!(doing.token_ends_ms(), Some(1_803_772_801_000));
        doing.take(&probed(0, None));
        assert_eq!(doing.token_ends_ms(), Some(1_795_474_800_000));
        doing.token = Some(ToldOfToken { at_ms: 0, expires_ms: None, never_expires: true });
        assert_eq!(doing.token_ends_ms(), None);
        (doing.token, connection.settings) = (None, std::collections::BTreeMap::new());
        doing.describe(&connection, 0);
        assert_eq!(doing.token_ends_ms(), None);
    }

    #[test]
    fn after_a_pause_nothing_is_known() {
        let mut connection = connection();
        let mut doing = Doing::of(&connection, 0);
        doing.take(&probed(0, None));
        let (now, every) = (1_795_474_800_000, std::time::Duration::from_mins(5));
        assert_eq!(doing.verdict(now, every), Verdict::Up);
        connection.state = State::Paused;
        doing.describe(&connection, 0);
        assert_eq!(doing.verdict(now, every), Verdict::Paused);
        connection.state = State::Enabled;
        doing.describe(&connection, 0);
        assert_eq!(doing.verdict(now, every), Verdict::Unknown);
    }
}
