//! Fields whose type varies from restaurant to restaurant, and where the restaurant is named.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::ParseError;
use crate::json::{Exact, Reader};

/// The most ids of one callback. No restaurant sells as many things.
const MOST_IDS: usize = 10_000;

/// A text, a number's digits, `true` or `false`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Loose {
    /// Missing, `null` or blank.
    #[default]
    Nothing,
    Text(String),
    Flag(bool),
    /// A list or an object.
    Other,
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Box<RawValue> = Box::deserialize(deserializer)?;
        Self::read(raw.get()).map_err(serde::de::Error::custom)
    }
}

impl Loose {
    fn read(raw: &str) -> Result<Self, serde_json::Error> {
        let text = match raw.as_bytes().first() {
            Some(b'[' | b'{') => return Ok(Self::Other),
            Some(b'n') => return Ok(Self::Nothing),
            Some(b't') => return Ok(Self::Flag(true)),
            Some(b'f') => return Ok(Self::Flag(false)),
            _ => serde_json::from_str::<Exact>(raw)?,
        };
        let text = text.as_str().trim();
        Ok(if text.is_empty() { Self::Nothing } else { Self::Text(text.to_owned()) })
    }

    /// The text, if there is one.
    pub(super) fn text(self, reader: Reader<'_>, name: &'static str) -> Result<Option<String>, ParseError> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Flag(flag) => Ok(Some(flag.to_string())),
            Self::Other => Err(reader.wrong(name, "is of another type")),
        }
    }

    /// The id that it is, if it can be one.
    fn id(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Nothing | Self::Flag(_) | Self::Other => None,
        }
    }
}

/// Ids: one, a list of them or of objects that hold one, or an object whose values they are. Each once, in the order in
/// which they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ids(pub(super) Vec<String>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    itemid: Loose,
    item_id: Loose,
    #[serde(rename = "itemID")]
    item: Loose,
    id: Loose,
}

impl Entry {
    fn id(self) -> Option<String> {
        [self.itemid, self.item_id, self.item, self.id].into_iter().find_map(Loose::id)
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Box<RawValue> = Box::deserialize(deserializer)?;
        Self::read(raw.get()).map_err(serde::de::Error::custom)
    }
}

impl Ids {
    fn read(raw: &str) -> Result<Self, serde_json::Error> {
        let ids: Vec<String> = match raw.as_bytes().first() {
            Some(b'[') => {
                let entries: Vec<&RawValue> = serde_json::from_str(raw)?;
                if entries.len() > MOST_IDS {
                    return Err(serde::de::Error::custom("more ids than a menu has"));
                }
                let ids: Result<Vec<_>, _> =
                    entries.into_iter().map(|entry| Self::entry(entry.get())).collect();
                ids?.into_iter().flatten().collect()
            }
            Some(b'{') => {
                if let Some(id) = serde_json::from_str::<Entry>(raw)?.id() {
                    vec![id]
                } else {
                    let values: BTreeMap<String, Loose> = serde_json::from_str(raw)?;
                    values.into_values().filter_map(Loose::id).collect()
                }
            }
            _ => Loose::read(raw)?.id().into_iter().collect(),
        };
        let mut seen = BTreeSet::new();
        Ok(Self(ids.into_iter().filter(|id| seen.insert(id.clone())).collect()))
    }

    fn entry(raw: &str) -> Result<Option<String>, serde_json::Error> {
        match raw.as_bytes().first() {
            Some(b'{') => Ok(serde_json::from_str::<Entry>(raw)?.id()),
            _ => Ok(Loose::read(raw)?.id()),
        }
    }
}

/// Where a body names its restaurant.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    #[serde(rename = "restID")]
    rest: Loose,
    restaurant_id: Loose,
    restaurantid: Loose,
    restaurants: Option<Vec<Restaurant>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Restaurant {
    restaurantid: Loose,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    menusharingcode: Loose,
}

impl Named {
    /// The restaurant's id: the body's own, else that of the first restaurant of a pushed menu.
    pub(super) fn id(self) -> Option<String> {
        let own = [self.rest, self.restaurant_id, self.restaurantid].into_iter().find_map(Loose::id);
        own.or_else(|| {
            let first = self.restaurants?.into_iter().next()?;
            first.details.and_then(|details| details.menusharingcode.id()).or(first.restaurantid.id())
        })
    }
}

/// The restaurant that a body speaks of.
pub(super) fn restaurant(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Named>(body).ok()?.id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_whichever_type_it_is_of() {
        let read = |json: &str| serde_json::from_str::<Loose>(json).unwrap();
        let text = |text: &str| Loose::Text(text.to_owned());
        assert_eq!((read("\" 5 \""), read("-1"), read("false")), (text("5"), text("-1"), Loose::Flag(false)));
        assert_eq!((read("null"), read("\"  \"")), (Loose::Nothing, Loose::Nothing));
        assert_eq!((read("[]"), read("{\"a\":[1]}")), (Loose::Other, Loose::Other));
    }

    #[test]
    fn ids_are_read_from_one_a_list_and_an_object() {
        let read = |json: &str| serde_json::from_str::<Ids>(json).unwrap().0;
        for json in [
            r#"["7","8"]"#,
            "[7,8,7]",
            r#"{"0":"7","1":8,"all":true}"#,
            r#"[{"itemid":"7"},{"id":8,"itemname":"x"}]"#,
            r#"[7,null,[],{},true,"",8]"#,
        ] {
            assert_eq!(read(json), ["7", "8"], "{json}");
        }
        assert_eq!((read("7"), read("\"7\""), read(r#"{"item_id":7,"x":9}"#)), (ids(), ids(), ids()));
        assert_eq!((read("null"), read("true"), read("{}")), (vec![], vec![], vec![]));
    }

    #[test]
    fn more_ids_than_any_menu_has_are_refused() {
        let read = |count: usize| serde_json::from_str::<Ids>(&format!("[{}7]", "7,".repeat(count - 1)));
        assert_eq!(read(10_000).unwrap().0, ["7"]);
        assert!(read(10_001).is_err());
    }

    fn ids() -> Vec<String> {
        vec!["7".to_owned()]
    }

    #[test]
    fn a_restaurant_is_named_by_each_of_its_names_the_bodys_own_first() {
        for (body, id) in [
            (r#"{"restID":"r","restaurant_id":"x"}"#, Some("r")),
            (r#"{"restID":"","restaurant_id":4922}"#, Some("4922")),
            (r#"{"restaurantid":"r"}"#, Some("r")),
            (r#"{"restaurants":[{"restaurantid":"1","details":{"menusharingcode":"r"}}]}"#, Some("r")),
            (r#"{"restaurants":[{"restaurantid":"1","details":null},{"restaurantid":"2"}]}"#, Some("1")),
            (r#"{"restaurants":[]}"#, None),
            (r#"{"restID":["r"]}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(restaurant(body.as_bytes()).as_deref(), id, "{body}");
        }
    }
}
