//! Reading JSON without losing anything: numbers stay the digits that were sent.

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
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

/// The most digits that a number may have, and the furthest that an exponent may move its point.
const MOST_DIGITS: usize = 64;

fn plain(text: &str) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => (text, 0),
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<isize>().ok()?),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all = format!("{whole}{fraction}");
    let fits = !all.is_empty() && all.len() <= MOST_DIGITS && exponent.unsigned_abs() <= MOST_DIGITS;
    if !fits || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // With that many zeros on either side the point has somewhere to move to.
    let zeros = "0".repeat(MOST_DIGITS);
    all = format!("{zeros}{all}{zeros}");
    let (whole, fraction) = all.split_at((MOST_DIGITS + whole.len()).checked_add_signed(exponent)?);
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if negative && (whole, fraction) != ("0", "") { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// A list of no more than [`Few::MOST`]: of a longer one, which no provider sends, no more is read than that.
#[derive(Debug, Default)]
pub struct Few<T>(pub Vec<T>);

impl<T> Few<T> {
    /// The most that are read.
    pub const MOST: usize = 10_000;
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counting<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Counting<T> {
            type Value = Few<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Few<T>, A::Error> {
                let mut few = Vec::new();
                while let Some(item) = items.next_element()? {
                    if few.len() == Few::<T>::MOST {
                        return Err(serde::de::Error::custom("too many"));
                    }
                    few.push(item);
                }
                Ok(Few(few))
            }
        }

        deserializer.deserialize_seq(Counting(PhantomData))
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
        self.believable(field, at)
    }

    /// A time that may be: of one beyond what a version can hold, nothing could ever be newer.
    fn believable(&self, field: &'static str, at: Timestamp) -> Result<Timestamp, ParseError> {
        if i64::try_from(at.as_nanosecond()).is_err() && at > Timestamp::UNIX_EPOCH {
            return Err(self.wrong(field, "is a time that is not to come"));
        }
        Ok(at)
    }

    /// A time in milliseconds since 1970.
    pub fn unix_milliseconds(&self, field: &'static str, milliseconds: i64) -> Result<Timestamp, ParseError> {
        let at = Timestamp::from_millisecond(milliseconds).map_err(|_| self.wrong(field, "is not a time"))?;
        self.believable(field, at)
    }

    /// A time in whole seconds since 1970.
    pub fn unix(&self, field: &'static str, seconds: i64) -> Result<Timestamp, ParseError> {
        Timestamp::from_second(seconds).map_err(|_| self.wrong(field, "is not a time"))
    }

    /// A currency code in either case.
    pub fn currency(&self, field: &'static str, code: &str) -> Result<Currency, ParseError> {
        code.parse().map_err(|_| self.wrong(field, "is not a currency code"))
    }

    /// A decimal number in plain digits, exact: without an exponent, and without zeros that say nothing, so that two
    /// equal numbers are equal texts.
    pub fn plain(&self, field: &'static str, text: &str) -> Result<String, ParseError> {
        plain(text).ok_or_else(|| self.wrong(field, "is not a decimal number"))
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
    fn a_number_is_written_in_plain_digits_without_losing_any() {
        for (text, written) in [
            ("10.5", "10.5"),
            ("10.50", "10.5"),
            ("010", "10"),
            ("-0.0", "0"),
            ("-3.", "-3"),
            (".5", "0.5"),
            ("1.25e2", "125"),
            ("1.25E+1", "12.5"),
            ("-4e-3", "-0.004"),
            ("2.9999999999999996", "2.9999999999999996"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(plain(text).as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_one_beyond_measure_is_refused() {
        let long = "1".repeat(MOST_DIGITS + 1);
        for text in [
            "",
            "-",
            ".",
            "1,5",
            "1.2.3",
            "--1",
            "NaN",
            "1e",
            "1e65",
            "1e-65",
            "1e99999999999999999999",
            "１",
            &long,
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
        assert_eq!(plain("1e64").map(|text| text.len()), Some(MOST_DIGITS + 1));
    }

    #[test]
    fn of_a_list_longer_than_any_provider_sends_nothing_is_made() {
        let of = |count: usize| from_text::<Few<u8>>(&format!("[{}0]", "0,".repeat(count - 1)));
        assert_eq!(of(Few::<u8>::MOST).unwrap().0.len(), Few::<u8>::MOST);
        assert!(of(Few::<u8>::MOST + 1).is_err());
        assert!(from_text::<Few<u8>>("{}").is_err());
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
