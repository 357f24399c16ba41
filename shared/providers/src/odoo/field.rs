//! Fields as Odoo writes them: `false` stands for nothing, and a link is an id or an id with a name.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::ParseError;
use crate::json::{Exact, Reader};

/// A field of any type. Which one is right is known where it is asked for.
#[derive(Debug, Default)]
pub(super) enum Field {
    /// Not selected, or `null`.
    #[default]
    Nothing,
    /// Nothing too, but for a flag.
    False,
    True,
    /// A text, or a number's digits.
    Text(String),
    /// `[id, "name"]`.
    Link(String, String),
    /// What Odoo writes nowhere that is read here.
    Other,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Box<RawValue> = Box::deserialize(deserializer)?;
        let text = raw.get();
        Ok(match text {
            "null" => Self::Nothing,
            "false" => Self::False,
            "true" => Self::True,
            _ if text.starts_with('[') => match serde_json::from_str::<(Exact, String)>(text) {
                Ok((id, name)) => Self::Link(id.into(), name),
                Err(_) => Self::Other,
            },
            _ if text.starts_with('{') => Self::Other,
            _ => Self::Text(serde_json::from_str::<Exact>(text).map_err(serde::de::Error::custom)?.into()),
        })
    }
}

impl Field {
    /// A text, a number or a link's id.
    pub(super) fn text(self, reader: Reader<'_>, name: &'static str) -> Result<Option<String>, ParseError> {
        match self {
            Self::Nothing | Self::False => Ok(None),
            Self::Text(text) | Self::Link(text, _) => Ok(Some(text).filter(|text| !text.is_empty())),
            Self::True | Self::Other => Err(reader.wrong(name, "is of another type")),
        }
    }

    /// True or false.
    pub(super) fn flag(self, reader: Reader<'_>, name: &'static str) -> Result<Option<bool>, ParseError> {
        match self {
            Self::Nothing => Ok(None),
            Self::False => Ok(Some(false)),
            Self::True => Ok(Some(true)),
            Self::Text(_) | Self::Link(..) | Self::Other => Err(reader.wrong(name, "is of another type")),
        }
    }

    /// A name: a text, or the one in a link. Digits are an id and no name.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Link(_, text) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: Reader<'static> = Reader { kind: "test" };

    fn text(json: &str) -> Result<Option<String>, ParseError> {
        serde_json::from_str::<Field>(json).unwrap().text(READER, "field")
    }

    #[test]
    fn false_is_nothing_where_a_text_or_a_number_is_asked_for() {
        assert_eq!(text("false"), Ok(None));
        assert_eq!(text("null"), Ok(None));
        assert_eq!(text("\"\""), Ok(None));
        assert_eq!(text("\"paid\""), Ok(Some("paid".to_owned())));
        assert_eq!(text("820982911946154508"), Ok(Some("820982911946154508".to_owned())));
    }

    #[test]
    fn a_link_is_its_id_with_or_without_its_name() {
        assert_eq!(text("2"), Ok(Some("2".to_owned())));
        assert_eq!(text("[2, \"Bar\"]"), Ok(Some("2".to_owned())));
    }

    #[test]
    fn false_is_false_where_a_flag_is_asked_for() {
        let flag = |json: &str| serde_json::from_str::<Field>(json).unwrap().flag(READER, "field");
        assert_eq!((flag("false"), flag("true"), flag("null")), (Ok(Some(false)), Ok(Some(true)), Ok(None)));
        assert!(flag("\"yes\"").is_err());
    }

    #[test]
    fn what_is_of_another_type_is_an_error_that_names_the_field() {
        for json in ["{}", "[]", "[1]", "[1,2]", "[1,\"a\",2]", "[[1],\"a\"]", "true"] {
            let error = text(json).unwrap_err().to_string();
            assert_eq!(error, "the field `field` of a test event is of another type", "{json}");
        }
    }
}
