//! Reading JSON without losing anything: numbers stay the digits that were sent.

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tillwatch_domain::{Currency, Money};

use crate::ParseError;

/// Reads a body as `T`; an error says where it went wrong and never quotes the body.
///
/// The whole body must be UTF-8, as JSON is: the parser alone would not look into strings that `T` ignores.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8], kind: &str) -> Result<T, ParseError> {
    let wrong = |problem, line, column| ParseError::Body { kind: kind.to_owned(), problem, line, column };
    let text = std::str::from_utf8(body).map_err(|error| {
        let before = &body[..error.valid_up_to()];
        let mut lines = before.split(|&byte| byte == b'\n');
        wrong("syntax", lines.clone().count(), lines.next_back().map_or(0, <[u8]>::len) + 1)
    })?;
    serde_json::from_str(text).map_err(|error| {
        let problem = match error.classify() {
            serde_json::error::Category::Eof => "end of input",
            serde_json::error::Category::Data => "unexpected shape",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "syntax",
        };
        wrong(problem, error.line(), error.column())
    })
}

/// A time as a version: nanoseconds since 1970, the finest that any provider sends. Whatever lies before 1677, as a time
/// that was never set does, is the oldest.
pub fn nanoseconds(at: Timestamp) -> i64 {
    let end = if at < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX };
    i64::try_from(at.as_nanosecond()).unwrap_or(end)
}

/// A JSON string or number, kept as its own text: ids beyond 2^53, amounts with any number of decimals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exact(String);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Box<RawValue> = Box::deserialize(deserializer)?;
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => from_text(text).map(Self).map_err(serde::de::Error::custom),
            Some(b'-' | b'0'..=b'9') => Ok(Self(text.to_owned())),
            _ => Err(serde::de::Error::custom("neither a string nor a number")),
        }
    }
}

fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

impl Exact {
    /// The text of the string or number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Exact> for String {
    fn from(exact: Exact) -> Self {
        exact.0
    }
}

/// Names the fields of one event type in errors.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The event type.
    pub kind: &'a str,
}

impl Reader<'_> {
    /// The error that a field is wrong.
    pub fn wrong(&self, field: &'static str, problem: &'static str) -> ParseError {
        ParseError::Field { kind: self.kind.to_owned(), field, problem }
    }

    /// A field that must be there.
    pub fn required<T>(&self, field: &'static str, value: Option<T>) -> Result<T, ParseError> {
        value.ok_or_else(|| self.wrong(field, "is missing"))
    }

    /// A time in RFC 3339, with any offset and up to nanoseconds.
    pub fn time(&self, field: &'static str, text: &str) -> Result<Timestamp, ParseError> {
        let at: Timestamp = text.parse().map_err(|_| self.wrong(field, "is not an RFC 3339 time"))?;
        // Nothing could ever be newer than it.
        if i64::try_from(at.as_nanosecond()).is_err() && at > Timestamp::UNIX_EPOCH {
            return Err(self.wrong(field, "is a time that is not to come"));
        }
        Ok(at)
    }

    /// A time in whole seconds since 1970.
    pub fn unix(&self, field: &'static str, seconds: i64) -> Result<Timestamp, ParseError> {
        Timestamp::from_second(seconds).map_err(|_| self.wrong(field, "is not a time"))
    }

    /// A currency code in either case.
    pub fn currency(&self, field: &'static str, code: &str) -> Result<Currency, ParseError> {
        code.parse().map_err(|_| self.wrong(field, "is not a currency code"))
    }

    /// An amount in major units.
    pub fn decimal(&self, field: &'static str, text: &str, currency: Currency) -> Result<Money, ParseError> {
        Money::from_decimal(text, currency).map_err(|_| self.wrong(field, "is not an amount of money"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let exact: Vec<Exact> = from_text(r#"[820982911946154508, "a\/b", 155.575, 1.10, -3]"#).unwrap();
        let texts: Vec<_> = exact.iter().map(Exact::as_str).collect();
        assert_eq!(texts, ["820982911946154508", "a/b", "155.575", "1.10", "-3"]);
    }

    #[test]
    fn what_is_neither_string_nor_number_is_refused() {
        for text in ["null", "true", "[1]", "{}"] {
            assert!(from_text::<Exact>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_byte_that_is_no_text_is_found_wherever_it_is() {
        let error = read::<serde::de::IgnoredAny>(b"{\n\"a\": \"\xff\"}", "test").unwrap_err().to_string();
        assert_eq!(error, "the body is not the JSON of a test event: syntax at line 2, column 7");
    }

    #[test]
    fn an_error_says_where_and_never_what() {
        let error = read::<Vec<u8>>(br#"{"card":"4242424242424242"}"#, "test").unwrap_err().to_string();
        assert_eq!(error, "the body is not the JSON of a test event: unexpected shape at line 1, column 0");
        assert!(!error.contains("4242"));
    }
}
