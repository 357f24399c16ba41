//! Reading and writing the attributes of one item.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Item, TableError, Written};

/// What became of a conditional write.
pub(crate) fn conditional<T>(outcome: Result<T, TableError>) -> Result<Written, TableError> {
    match outcome {
        Ok(_) => Ok(Written::Yes),
        Err(error) if error.condition_failed() => Ok(Written::No),
        Err(error) => Err(error),
    }
}

/// Reads attributes of one item; an attribute that is not as we write it is an error that names it.
pub(crate) struct Reader<'a> {
    pub(crate) action: &'static str,
    pub(crate) item: &'a Item,
}

impl<'a> Reader<'a> {
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.item.get(name).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok())
    }

    pub(crate) fn must<T>(&self, name: &str, value: Option<T>) -> Result<T, TableError> {
        value.ok_or_else(|| TableError::corrupt(self.action, name))
    }
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
