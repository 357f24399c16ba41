//! Businesses and their locations, as a configuration describes them: what `locations.yaml` holds when its environment
//! variables are filled in, and what the API takes and gives as JSON.

#![expect(
    clippy::disallowed_types,
    reason = "what serde derives for flattened maps names floats; none is held here"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::connection::{Role, State};

/// A whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// Businesses by id. One that a location names and this does not list has its id for a name.
    pub businesses: BTreeMap<String, Business>,
    /// Settings by provider, for connections that say nothing else.
    pub providers: BTreeMap<String, BTreeMap<String, Scalar>>,
    /// The locations.
    pub locations: Vec<Location>,
    /// Connections of a whole business.
    pub connections: Vec<BusinessConnection>,
}

/// A tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Business {
    /// The name that people read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A connection of a whole business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusinessConnection {
    /// The business's id.
    pub business: String,
    /// The provider's name.
    pub provider: String,
    /// What is said of it.
    #[serde(flatten)]
    pub connection: ConnectionSettings,
}

/// One store of a business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    /// Its id: lower-case letters, digits and hyphens.
    pub id: String,
    /// The business's id.
    pub business: String,
    /// The name that people read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Street and number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The city.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// The island, state or region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What it sells, in the platform's own words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subcategories: Vec<String>,
    /// Degrees north, as a decimal number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<Scalar>,
    /// Degrees east, as a decimal number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<Scalar>,
    /// The name of its time zone: `Europe/Athens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The number that customers ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The number that customers write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whatsapp: Option<String>,
    /// Whom to tell when something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// The tables that can be ordered at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ordering_tables: Vec<Scalar>,
    /// Where its food can be ordered, by service.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub delivery_links: BTreeMap<String, String>,
    /// When it is open. Left out: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opening_hours: Option<OpeningHours>,
    /// Whatever else the platform keeps of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Scalar>,
    /// Its connections, by provider.
    pub providers: BTreeMap<String, ConnectionSettings>,
}

/// Whom to tell when something is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// A name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// When a location is open, in its own time zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpeningHours {
    /// By which rule.
    pub mode: HoursMode,
    /// By weekday; a day without times is closed.
    #[serde(flatten)]
    pub days: BTreeMap<Weekday, Vec<Span>>,
    /// Days that differ, by date (`2026-12-25`); one without times is closed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exceptions: BTreeMap<String, Vec<Span>>,
}

/// By which rule a location is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoursMode {
    /// As the weekdays say.
    #[default]
    Weekly,
    /// Day and night.
    Always,
    /// Not at all, for the time being.
    Closed,
}

/// A day of the week. Its name may begin with a capital.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are the days")]
pub enum Weekday {
    #[serde(alias = "Monday")]
    Monday,
    #[serde(alias = "Tuesday")]
    Tuesday,
    #[serde(alias = "Wednesday")]
    Wednesday,
    #[serde(alias = "Thursday")]
    Thursday,
    #[serde(alias = "Friday")]
    Friday,
    #[serde(alias = "Saturday")]
    Saturday,
    #[serde(alias = "Sunday")]
    Sunday,
}

impl HoursMode {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Weekly, Self::Always, Self::Closed];

    /// The name used in configurations and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weekly => "weekly",
            Self::Always => "always",
            Self::Closed => "closed",
        }
    }
}

impl Weekday {
    /// Every one, from Monday on.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// The name used in configurations and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }
}

/// From one time of the day to another. One that ends before it begins goes on into the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// `09:30`.
    #[serde(alias = "Open")]
    pub open: String,
    /// `23:00`; `24:00` is the day's end.
    #[serde(alias = "Close")]
    pub close: String,
}

/// What is said of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionSettings {
    /// Its id; left out: the location's or business's id, a hyphen and the provider's name with hyphens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether its events take effect.
    #[serde(default)]
    pub state: State,
    /// What it is to its location.
    #[serde(default)]
    pub role: Role,
    /// The settings that the provider's module lists, by name.
    #[serde(flatten)]
    pub settings: BTreeMap<String, Scalar>,
}

/// A value that is text wherever it matters: `4`, `"4"` and `true` are all written in configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Scalar;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, a number, true or false")
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
                Ok(Scalar(flag.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            // A degree or an option, never money.
            fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Location {
    /// The id of its connection to a provider, if the configuration gives it none.
    pub fn connection_id(owner: &str, provider: &str) -> String {
        format!("{owner}-{}", provider.replace('_', "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_comes_back_from_json_as_it_was() {
        let text = r#"{"id":"harbour","business":"b","latitude":"-33.89","opening_hours":{"mode":"weekly","monday":[{"open":"09:00","close":"17:00"}],"sunday":[]},"providers":{"square":{"state":"paused","role":"primary","merchant_id":"M"}}}"#;
        let location: Location = serde_json::from_str(text).unwrap();
        assert_eq!(location.providers["square"].state, State::Paused);
        assert_eq!(location.providers["square"].settings["merchant_id"].0, "M");
        assert_eq!(location.opening_hours.as_ref().unwrap().days[&Weekday::Sunday], []);
        assert_eq!(serde_json::to_string(&location).unwrap(), text);
    }

    #[test]
    fn days_and_times_may_begin_with_a_capital() {
        let text = r#"{"mode":"weekly","Monday":[{"Open":"09:00","Close":"17:00"}]}"#;
        let hours: OpeningHours = serde_json::from_str(text).unwrap();
        assert_eq!(hours.days[&Weekday::Monday][0].close, "17:00");
    }

    #[test]
    fn names_are_those_that_are_written() {
        for day in Weekday::ALL {
            assert_eq!(serde_json::to_value(day).unwrap(), day.name());
        }
        for mode in HoursMode::ALL {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        }
    }

    #[test]
    fn numbers_and_flags_are_texts_where_settings_are() {
        let settings: ConnectionSettings = serde_json::from_str(r#"{"a":4,"b":true,"c":"x"}"#).unwrap();
        let texts: Vec<_> = settings.settings.values().map(|scalar| scalar.0.as_str()).collect();
        assert_eq!(texts, ["4", "true", "x"]);
    }
}
