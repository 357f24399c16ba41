//! Calls to a provider's API, and its answers, as data: modules say what is to be asked and judge what comes back, and who
//! runs them does the asking.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::Headers;

/// The method of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or does.
    Post,
    /// Replaces.
    Put,
    /// Takes away.
    Delete,
}

impl Method {
    /// As HTTP has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One call. Debug output shows neither a header's value nor the body, for either may hold a secret.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The whole URL. May hold a calendar's address, or the word that answers Meta's question: not for the log.
    pub url: String,
    /// What is asked for, for the log: the path with names in the place of ids.
    pub endpoint: &'static str,
    /// The headers.
    pub headers: Vec<(&'static str, SecretString)>,
    /// The body.
    pub body: Option<SecretString>,
    /// How large an answer is read, in bytes; none: as large as everyone's.
    pub largest: Option<usize>,
}

impl Call {
    /// A call without headers or body.
    pub fn new(method: Method, url: impl Into<String>, endpoint: &'static str) -> Self {
        Self { method, url: url.into(), endpoint, headers: Vec::new(), body: None, largest: None }
    }

    /// The same with another header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, SecretString::from(value.into())));
        self
    }

    /// The same with a token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// The same, of which a larger answer is read.
    #[must_use]
    pub fn up_to(self, largest: usize) -> Self {
        Self { largest: Some(largest), ..self }
    }

    /// The same with a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        let call = self.header("content-type", "application/json");
        Self { body: Some(body.to_string().into()), ..call }
    }

    /// The same with a form as its body.
    #[must_use]
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let call = self.header("content-type", "application/x-www-form-urlencoded");
        let pair = |(name, value): &(&str, &str)| format!("{}={}", encoded(name), encoded(value));
        let body: Vec<_> = pairs.iter().map(pair).collect();
        Self { body: Some(body.join("&").into()), ..call }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Call")
            .field("method", &self.method.name())
            .field("endpoint", &self.endpoint)
            .field("headers", &names)
            .field("body", &self.body.as_ref().map(|body| body.expose_secret().len()))
            .finish_non_exhaustive()
    }
}

/// What was answered. Debug output does not show the body: it may hold a new signing key.
#[derive(Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, in lower case.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

/// An HTTP date: `Wed, 21 Oct 2026 07:28:00 GMT`.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    Some(rfc2822::parse(text.trim()).ok()?.timestamp())
}

impl Response {
    /// How long the provider asks to be left alone: in seconds, or until a time of its own clock (RFC 9110, 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get("retry-after")?.trim();
        // Shopify writes `2.0`.
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let Ok(seconds) = whole.parse::<u64>() else {
            let (until, now) = (http_date(text)?, http_date(self.headers.get("date")?)?);
            return Duration::try_from(until.duration_since(now)).ok();
        };
        let more = u64::from(rest.bytes().any(|digit| digit != b'0'));
        Some(Duration::from_secs(seconds.saturating_add(more)))
    }

    /// The body as JSON; none, if it is none.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, body, .. } = self;
        f.debug_struct("Response").field("status", status).field("body", &body.len()).finish_non_exhaustive()
    }
}

/// Settings and secrets by name, for calls. A blank one is none. Debug output shows the names alone.
#[derive(Clone, Default)]
pub struct Words(BTreeMap<String, SecretString>);

impl Words {
    /// The text of that name, if it is not blank.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.expose_secret().trim()).filter(|text| !text.is_empty())
    }

    /// All that are not blank, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.keys().filter_map(|name| Some((name.as_str(), self.get(name)?)))
    }

    /// Adds one, over one of the same name.
    pub fn put(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.0.insert(name.into(), SecretString::from(text.into()));
    }
}

impl<N: Into<String>, T: Into<String>> FromIterator<(N, T)> for Words {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(pairs: I) -> Self {
        let mut words = Self::default();
        for (name, text) in pairs {
            words.put(name, text);
        }
        words
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Percent-encodes whatever could mean something in a path, a query or a form.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        let call = Call::new(Method::Post, "https://api.example.com/v1/x", "/v1/x")
            .bearer("hunter2")
            .form(&[("token", "hunter2")]);
        let words = Words::from_iter([("access_token", "hunter2")]);
        let response = Response { status: 200, headers: Headers::new(), body: b"hunter2".to_vec() };
        let text = format!("{call:?} {words:?} {response:?}");
        assert!(
            !text.contains("hunter2") && text.contains("/v1/x") && text.contains("access_token"),
            "{text}"
        );
    }

    #[test]
    fn a_form_is_encoded_so_that_nothing_in_it_means_anything() {
        let call = Call::new(Method::Post, "", "").form(&[("a[]", "x&y=ü"), ("b", "+1")]);
        assert_eq!(call.body.unwrap().expose_secret(), "a%5B%5D=x%26y%3D%C3%BC&b=%2B1");
    }

    #[test]
    fn how_long_to_wait_is_read_in_whole_seconds_upwards() {
        let of = |text: &str| {
            let headers = Headers::from_iter([("Retry-After", text)]);
            Response { status: 429, headers, body: vec![] }.retry_after().map(|span| span.as_secs())
        };
        assert_eq!((of("2"), of("2.0"), of("1.5"), of(" 7 ")), (Some(2), Some(2), Some(2), Some(7)));
        assert_eq!((of("soon"), of("Wed, 21 Oct 2026 07:28:00 GMT"), of("-1")), (None, None, None));
    }

    #[test]
    fn a_time_to_wait_for_is_told_by_the_providers_own_clock() {
        let of = |date: &str| {
            let headers = [("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"), ("Date", date)];
            let headers = Headers::from_iter(headers);
            Response { status: 429, headers, body: vec![] }.retry_after().map(|span| span.as_secs())
        };
        assert_eq!(of("Wed, 21 Oct 2026 07:26:30 GMT"), Some(90));
        assert_eq!((of("Wed, 21 Oct 2026 08:00:00 GMT"), of("today")), (None, None));
    }

    #[test]
    fn a_blank_word_is_none() {
        let words = Words::from_iter([("a", " "), ("b", " x ")]);
        assert_eq!((words.get("a"), words.get("b"), words.get("c")), (None, Some("x"), None));
    }
}
