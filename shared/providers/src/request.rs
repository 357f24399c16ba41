//! Requests, before and after their proof. Only [`Request::check`] makes a `Request<Verified>`, so nothing that was not
//! verified can be passed on as if it were: it does not compile.

use jiff::Timestamp;
use tillwatch_domain::Cause;

use crate::{Failure, Provider, Settings};

/// The largest body that is taken, in bytes.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// Headers by lower-case name, in the order in which they came. A header sent twice is there twice, or once with its
/// values joined by commas, as API Gateway does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, its name made lower-case.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// The value, if the header is there; the first, if it came more than once.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a header that must come exactly once.
    pub fn only(&self, name: &str) -> Result<&str, Cause> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        match (values.next(), values.next()) {
            (None, _) => Err(Cause::MissingSignature),
            (Some((_, value)), None) if value.trim().is_empty() => Err(Cause::MissingSignature),
            (Some((_, value)), None) => Ok(value),
            (Some(_), Some(_)) => Err(Cause::AmbiguousSignature),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in pairs {
            headers.push(name.as_ref(), value);
        }
        headers
    }
}

/// The state of a request that proves nothing yet.
#[derive(Debug, Clone, Copy)]
pub struct Unverified(());

/// The state of a request that one of the live keys signed.
#[derive(Debug, Clone, Copy)]
pub struct Verified {
    key: usize,
}

/// What arrived at a webhook URL.
#[derive(Debug, Clone)]
pub struct Request<State> {
    headers: Headers,
    body: Vec<u8>,
    state: State,
}

/// A request that was not believed, and why.
#[derive(Debug)]
pub struct Unbelieved {
    /// What arrived.
    pub request: Request<Unverified>,
    /// Why it is not believed.
    pub failure: Failure,
}

impl Request<Unverified> {
    /// A request as it arrived: the headers and the body's exact bytes.
    pub fn new(headers: Headers, body: Vec<u8>) -> Self {
        Self { headers, body, state: Unverified(()) }
    }

    /// Checks the request's proof.
    pub fn check(
        self,
        provider: &dyn Provider,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Request<Verified>, Box<Unbelieved>> {
        let verdict = if self.body.is_empty() {
            Err(Cause::EmptyBody.into())
        } else if self.body.len() > MAX_BODY {
            Err(Cause::BodyTooLarge.into())
        } else {
            provider.verify(&self, settings, now)
        };
        match verdict {
            Ok(key) => Ok(Request { headers: self.headers, body: self.body, state: Verified { key } }),
            Err(failure) => Err(Box::new(Unbelieved { request: self, failure })),
        }
    }
}

impl<State> Request<State> {
    /// The headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The body's exact bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl Request<Verified> {
    /// Which of the settings' live keys signed it, the newest being 0.
    pub fn key(&self) -> usize {
        self.state.key
    }
}
