//! Requests, before and after their proof. Only [`Request::check`] makes a `Request<Verified>`, so nothing that was not
//! verified can be passed on as if it were: it does not compile.
//!
//! What a request is beyond its headers and body (method, the rest of the path, query) is kept among the headers, under
//! names that no header can have, for they begin with a colon. So it is stored, parsed and checked again as one thing.
//! A secret that a provider sends open, in the URL or a header, is replaced by its fingerprint before anything is kept.

use jiff::Timestamp;
use tillwatch_domain::Cause;

use crate::call::encoded;
use crate::fingerprint::Fingerprints;
use crate::form::percent_decoded;
use crate::settings::Proof;
use crate::{Failure, OpenSecret, Provider, Settings};

/// The largest body that is taken, in bytes.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// The method, where it is not `POST`.
pub const METHOD: &str = ":method";
/// The path after `/webhooks/<provider>`, as it came, where there is more: `/harbour-petpooja/order-status`.
pub const SUFFIX: &str = ":suffix";
/// The query as it came, without an open secret.
pub const QUERY: &str = ":query";
/// The fingerprint of an open secret.
pub const FINGERPRINT: &str = ":fingerprint";
/// An open secret, as a sender has it: never kept.
pub const SECRET: &str = ":secret";

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

    /// Takes all of that name away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
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

    /// The method.
    pub fn method(&self) -> &str {
        self.get(METHOD).unwrap_or("POST")
    }

    /// The query as it came, without an open secret; empty if there is none.
    pub fn query(&self) -> &str {
        self.get(QUERY).unwrap_or_default()
    }

    /// The parts of the path after `/webhooks/<provider>`: first the connection's id, if the path names one, then
    /// whatever the provider's module makes of the rest. `names` are first parts that are no connection's id.
    pub fn route<'a>(&'a self, names: &[&str]) -> Route<'a> {
        let suffix = self.get(SUFFIX).unwrap_or_default().trim_matches('/');
        let (first, rest) = suffix.split_once('/').unwrap_or((suffix, ""));
        if first.is_empty() || names.contains(&first) {
            Route { connection: None, rest: suffix }
        } else {
            Route { connection: Some(first), rest }
        }
    }
}

/// What the path says after the provider's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'a> {
    /// The connection's id.
    pub connection: Option<&'a str>,
    /// What follows, without slashes around it; empty, if nothing does.
    pub rest: &'a str,
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

/// The state of a request that one of the live secrets proved.
#[derive(Debug, Clone)]
pub struct Verified {
    proof: Proof,
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
    /// A request as it was kept, or one of a provider that sends no open secret: the headers and the body's exact bytes.
    pub fn new(headers: Headers, body: Vec<u8>) -> Self {
        Self { headers, body, state: Unverified(()) }
    }

    /// A request as it arrived. Only the headers that the provider's module reads are taken, and an open secret is
    /// replaced by its fingerprint.
    pub fn arrived(
        provider: &dyn Provider,
        headers: &Headers,
        body: Vec<u8>,
        fingerprints: &Fingerprints,
    ) -> Self {
        let kept = provider.kept_headers();
        let taken = |name: &str| matches!(name, METHOD | SUFFIX | QUERY) || kept.contains(&name);
        let mut taken: Headers = headers.iter().filter(|(name, _)| taken(name)).collect();
        for secret in open_secrets(provider, headers) {
            taken.push(FINGERPRINT, fingerprints.of(&secret));
        }
        if matches!(provider.open_secret(), Some(OpenSecret::Query)) {
            let rest: Vec<_> = headers.query().split('&').filter(|pair| !may_be_key(pair)).collect();
            taken.remove(QUERY);
            if !rest.concat().is_empty() {
                taken.push(QUERY, rest.join("&"));
            }
        }
        Self::new(taken, body)
    }

    /// Checks the request's proof.
    pub fn check(
        self,
        provider: &dyn Provider,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Request<Verified>, Box<Unbelieved>> {
        let verdict = if self.body.is_empty() && !provider.takes_empty_body(&self.headers) {
            Err(Cause::EmptyBody.into())
        } else if self.body.len() > MAX_BODY {
            Err(Cause::BodyTooLarge.into())
        } else {
            provider.verify(&self, settings, now)
        };
        match verdict {
            Ok(proof) => Ok(Request { headers: self.headers, body: self.body, state: Verified { proof } }),
            Err(failure) => Err(Box::new(Unbelieved { request: self, failure })),
        }
    }
}

/// A request as its sender sends it over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// `POST`, or `GET`.
    pub method: String,
    /// What follows `/webhooks/<provider>`, the query with its question mark included.
    pub path_and_query: String,
    /// The headers, a `content-type` among them if there is a body.
    pub headers: Headers,
}

impl Outgoing {
    /// What a request is sent as that has these headers, signature and all, and things kept among them.
    pub fn of(headers: &Headers, has_body: bool) -> Self {
        let secret = headers.get(SECRET).map(|secret| format!("{KEY}={}", encoded(secret)));
        let query: Vec<_> = [Some(headers.query().to_owned()), secret].into_iter().flatten().collect();
        let query = query.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("&");
        let suffix = headers.get(SUFFIX).unwrap_or_default();
        let mark = if query.is_empty() { "" } else { "?" };
        let mut sent: Headers = headers.iter().filter(|(name, _)| !name.starts_with(':')).collect();
        if has_body && sent.get("content-type").is_none() {
            sent.push("content-type", "application/json");
        }
        Self {
            method: headers.method().to_owned(),
            path_and_query: format!("{suffix}{mark}{query}"),
            headers: sent,
        }
    }
}

/// The name of the query's parameter that holds an open secret.
pub const KEY: &str = "key";

fn is_key(pair: &str) -> bool {
    pair.split_once('=').map_or(pair, |(name, _)| name) == KEY
}

/// Whether whoever wrote that may have meant the open secret: it is not taken for one, and is not kept either.
fn may_be_key(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    let decoded = percent_decoded(name);
    decoded
        .as_deref()
        .unwrap_or(name)
        .trim_matches(|sign: char| sign.is_whitespace() || sign == '+')
        .eq_ignore_ascii_case(KEY)
}

/// The open secrets that a request carries. More than one is one too many, and the module says so.
fn open_secrets(provider: &dyn Provider, headers: &Headers) -> Vec<String> {
    let given = headers.iter().filter(|(name, _)| *name == SECRET).map(|(_, value)| value.to_owned());
    match provider.open_secret() {
        None => Vec::new(),
        Some(OpenSecret::Header(header)) => {
            let of_header = headers.iter().filter(|(name, _)| *name == header);
            of_header.map(|(_, value)| value.to_owned()).chain(given).collect()
        }
        Some(OpenSecret::Query) => {
            let pairs = headers.query().split('&').filter(|pair| is_key(pair));
            let values = pairs.map(|pair| pair.split_once('=').map_or("", |(_, value)| value));
            // What is no encoding of anything is a secret as it stands.
            let of_query = values.map(|value| percent_decoded(value).unwrap_or_else(|| value.to_owned()));
            of_query.chain(given).collect()
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

    /// The URL as the provider knows it: the configured one, and what came after it.
    pub fn url(&self, configured: &str) -> String {
        if configured.contains('?') {
            return configured.to_owned();
        }
        let (suffix, query) = (self.headers.get(SUFFIX).unwrap_or_default(), self.headers.query());
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{configured}{suffix}{mark}{query}")
    }
}

impl Request<Verified> {
    /// What proved it.
    pub fn proof(&self) -> &Proof {
        &self.state.proof
    }

    /// The same as if it had never been checked.
    pub fn forget(self) -> Request<Unverified> {
        Request::new(self.headers, self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_connection_unless_its_first_part_is_a_name_of_the_providers() {
        let of = |suffix: &str| {
            let headers = Headers::from_iter([(SUFFIX, suffix)]);
            let route = headers.route(&["order-status"]);
            (route.connection.map(str::to_owned), route.rest.to_owned())
        };
        assert_eq!(of(""), (None, String::new()));
        assert_eq!(of("/order-status"), (None, "order-status".to_owned()));
        assert_eq!(of("/harbour/order-status/"), (Some("harbour".to_owned()), "order-status".to_owned()));
        assert_eq!(of("/harbour"), (Some("harbour".to_owned()), String::new()));
    }

    #[test]
    fn the_url_is_the_configured_one_and_what_came_after_it() {
        let request = |pairs: &[(&str, &str)]| Request::new(pairs.iter().copied().collect(), vec![]);
        let plain = request(&[]);
        assert_eq!(plain.url("https://a/w"), "https://a/w");
        let more = request(&[(SUFFIX, "/harbour"), (QUERY, "a=%27&b")]);
        assert_eq!(more.url("https://a/w"), "https://a/w/harbour?a=%27&b");
        assert_eq!(more.url("https://a/w?x=1"), "https://a/w?x=1");
    }
}
