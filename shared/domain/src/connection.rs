//! Connections: one location's, or one business's, link to one provider. Most of what is watched hangs off them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The business of connections that nobody has configured.
pub const UNASSIGNED: &str = "unassigned";

/// Whether a connection's events take effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// They do.
    #[default]
    Enabled,
    /// They are kept and held until it is enabled again, and nobody is told how it does.
    Paused,
    /// The same, and its token is not refreshed either.
    Disabled,
}

/// What a connection is to its location while another provider is rolled out beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The one that counts.
    #[default]
    Primary,
    /// Its events are received and recorded, and change nothing.
    Shadow,
    /// Its events count; orders are pushed to it only when the primary one fails.
    Fallback,
}

impl State {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Paused, Self::Disabled];

    /// The name used in configurations and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

impl Role {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Primary, Self::Shadow, Self::Fallback];

    /// The name used in configurations and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Shadow => "shadow",
            Self::Fallback => "fallback",
        }
    }
}

/// A location's, or a business's, link to one provider, as it is kept. Holds no secret: those are sealed apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its id, unique among all: `harbour-square`.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// The business that it belongs to.
    pub business: String,
    /// The location, unless it is the whole business's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The provider's ids by which webhooks find it: merchant, shop, account, restaurant, channel.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// The provider's id of the place inside the account, where several locations share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Whether its events take effect.
    #[serde(default)]
    pub state: State,
    /// What the configuration says of that. What an operator does about it afterwards holds until this is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<State>,
    /// What it is to its location.
    #[serde(default)]
    pub role: Role,
    /// What was said of it beyond that, but for secrets.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The names of its settings that are sealed.
    #[serde(default)]
    pub sealed: BTreeSet<String>,
    /// Made because a verified event of its account came, and not by a configuration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
}

impl Connection {
    /// Whether it names the accounts that are its own.
    pub fn names_accounts(&self) -> bool {
        self.accounts.iter().any(|account| !account.is_empty())
    }
}

/// What an event must know of its connection: what is found by the account and place that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// The connection's id.
    pub connection: String,
    /// The business that it belongs to.
    pub business: String,
    /// Whether its events take effect.
    pub state: State,
    /// What it is to its location.
    pub role: Role,
    /// The provider's id of the place, if the connection is of one place only.
    pub place: Option<String>,
    /// Whether it names the accounts that are its own. One that names none is known by its id or its secret alone.
    pub names_accounts: bool,
}

/// The connection of an event that names `place`, among those of its account. The one of that place; else the one of no
/// particular place; else, if the event names none, the only one, or the first by id: an account's events must not be
/// without a home because they don't say where they happened.
pub fn choose<'a>(routes: &'a [Routed], place: Option<&str>) -> Option<&'a Routed> {
    let of = |place: Option<&str>| {
        let mut found: Vec<_> = routes.iter().filter(|route| route.place.as_deref() == place).collect();
        found.sort_by(|one, other| {
            (one.state as u8, &one.connection).cmp(&(other.state as u8, &other.connection))
        });
        found.first().copied()
    };
    let exact = place.and_then(|place| of(Some(place)));
    let whole = exact.or_else(|| of(None));
    match (whole, place) {
        (Some(route), _) => Some(route),
        (None, Some(_)) => None,
        (None, None) => routes.iter().min_by(|one, other| one.connection.cmp(&other.connection)),
    }
}

/// Whether a text may be an id of ours: up to 64 lower-case letters, digits and hyphens, the first and last no hyphen.
pub fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(connection: &str, place: Option<&str>) -> Routed {
        Routed {
            connection: connection.into(),
            business: "b".into(),
            state: State::Enabled,
            role: Role::Primary,
            place: place.map(str::to_owned),
            names_accounts: true,
        }
    }

    fn chosen<'a>(routes: &'a [Routed], place: Option<&str>) -> Option<&'a str> {
        choose(routes, place).map(|route| route.connection.as_str())
    }

    #[test]
    fn an_event_goes_to_its_place_then_to_the_whole_account_and_never_to_another_place() {
        let places = [routed("b", Some("2")), routed("a", Some("1"))];
        assert_eq!(chosen(&places, Some("2")), Some("b"));
        assert_eq!(chosen(&places, Some("3")), None);
        assert_eq!(chosen(&places, None), Some("a"));
        let with_whole = [routed("b", Some("2")), routed("whole", None)];
        assert_eq!(chosen(&with_whole, Some("2")), Some("b"));
        assert_eq!(chosen(&with_whole, Some("3")), Some("whole"));
        assert_eq!(chosen(&with_whole, None), Some("whole"));
        assert_eq!(chosen(&[], None), None);
    }

    #[test]
    fn of_two_connections_of_one_place_the_enabled_one_is_chosen() {
        let paused = Routed { state: State::Paused, ..routed("a", None) };
        assert_eq!(chosen(&[paused, routed("b", None)], None), Some("b"));
    }

    #[test]
    fn an_id_is_made_for_paths() {
        for good in ["a", "harbour-square", "0", &"a".repeat(64)] {
            assert!(is_id(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "ü", &"a".repeat(65)] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
