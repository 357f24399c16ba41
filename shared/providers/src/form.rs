//! Forms and queries (`application/x-www-form-urlencoded`): decoded exactly, or not at all.
//!
//! What is signed or compared is the decoded text, so nothing is mended: a percent sign that begins no byte, or bytes that
//! are no UTF-8, would be read in one way here and in another elsewhere.

use std::collections::BTreeSet;

/// The most pairs that are read; providers send a few dozen.
const MOST_PAIRS: usize = 1_024;

/// Names and values, in the order in which they came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

/// A name that came with more than one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ambiguous;

impl Form {
    /// None, if it can't be read in exactly one way, or holds more than anyone sends. An empty text is an empty form.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let mut pairs = Vec::new();
        for pair in text.split(|&byte| byte == b'&').filter(|_| !text.is_empty()) {
            let end = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let (name, value) = (&pair[..end], pair.get(end + 1..).unwrap_or_default());
            if name.is_empty() || pairs.len() == MOST_PAIRS {
                return None;
            }
            pairs.push((decoded(name)?, decoded(value)?));
        }
        Some(Self(pairs))
    }

    /// Each name and value once, in the order of their bytes.
    pub(crate) fn sorted(&self) -> BTreeSet<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The names, as often as they came.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The values of that name, as often as they came.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of that name, if it is not empty. The same value may come again, another may not.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Ambiguous> {
        let mut values = self.all(name);
        let first = values.next();
        if values.any(|value| Some(value) != first) {
            return Err(Ambiguous);
        }
        Ok(first.filter(|value| !value.is_empty()))
    }
}

/// A part of a URL, whose plus signs are plus signs.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    decoded_with(text.as_bytes(), b'+')
}

fn decoded(text: &[u8]) -> Option<String> {
    decoded_with(text, b' ')
}

fn decoded_with(text: &[u8], plus: u8) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => plus,
            b'%' => {
                let mut decoded = [0];
                hex::decode_to_slice([*rest.next()?, *rest.next()?], &mut decoded).ok()?;
                decoded[0]
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Vec<(String, String)>> {
        Form::read(text.as_bytes()).map(|form| form.0)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn every_character_comes_through_as_it_was_sent() {
        let body = read("Body=++h%C3%A9llo+%2B1+%26+50%25+%e2%98%95+&a=b=c&Empty=&Bare").unwrap();
        assert_eq!(
            body,
            [pair("Body", "  héllo +1 & 50% ☕ "), pair("a", "b=c"), pair("Empty", ""), pair("Bare", "")]
        );
        assert_eq!(read(""), Some(vec![]));
    }

    #[test]
    fn what_has_no_one_reading_is_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%+1", "%C3=a", "a=%FF", "&", "a=1&", "&a=1", "a=1&&b=2", "=1"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(Form::read(b"a=\xff"), None);
    }

    #[test]
    fn more_pairs_than_anyone_sends_are_refused() {
        let of = |count: usize| read(&vec!["a=1"; count].join("&")).map(|pairs| pairs.len());
        assert_eq!((of(MOST_PAIRS), of(MOST_PAIRS + 1)), (Some(MOST_PAIRS), None));
    }

    #[test]
    fn pairs_are_sorted_by_their_bytes_and_each_counts_once() {
        let form = Form::read(b"b=1&a=2&B=3&a=1&a=2&%EE%80%80=x&%F0%9F%98%80=y").unwrap();
        let sorted: Vec<_> = form.sorted().into_iter().collect();
        assert_eq!(
            sorted,
            [("B", "3"), ("a", "1"), ("a", "2"), ("b", "1"), ("\u{e000}", "x"), ("\u{1f600}", "y")]
        );
    }

    #[test]
    fn a_name_with_two_values_is_ambiguous_and_an_empty_value_is_none() {
        let form = Form::read(b"a=1&a=1&b=1&b=2&c=&d=&d=1").unwrap();
        assert_eq!(form.one("a"), Ok(Some("1")));
        assert_eq!((form.one("b"), form.one("d")), (Err(Ambiguous), Err(Ambiguous)));
        assert_eq!((form.one("c"), form.one("e")), (Ok(None), Ok(None)));
        assert_eq!(form.all("a").count(), 2);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::read(&bytes);
        }
    }
}
