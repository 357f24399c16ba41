//! The rules that every provider keeps. A provider that is added to `tillwatch_providers::ALL` is held to them as it is, in
//! each way in which it proves its requests.

mod altered;
mod believed;
mod complete;
mod format;
mod open;
mod parsing;
mod properties;
mod refused;
mod ways;

use jiff::Timestamp;
use tillwatch_domain::{Cause, Event};
use tillwatch_providers::request::{KEY, QUERY, SECRET};
use tillwatch_providers::{
    ALL, Failure, Headers, ParseError, Provider, Received, Request, Settings, Unverified,
};
use ways::{Way, ways};

const URL: &str = "https://example.com/webhooks/here";

fn now() -> Timestamp {
    Timestamp::from_second(1_760_000_000).expect("a time")
}

/// A sample of each kind of each provider, in each way in which it proves itself.
fn samples() -> impl Iterator<Item = Sample> {
    let of = |(provider, way): (&'static dyn Provider, Way)| {
        provider.sample_kinds().iter().map(move |kind| Sample::numbered(provider, way, kind, 7))
    };
    all_ways().flat_map(of)
}

/// A sample of each kind of each provider, whichever way it proves itself.
fn payloads() -> impl Iterator<Item = Sample> {
    samples().filter(|sample| sample.way == ways(sample.provider)[0])
}

/// A sample of each provider's first kind, which is modelled, in each way in which it proves itself.
fn firsts() -> impl Iterator<Item = Sample> {
    all_ways().map(|(provider, way)| Sample::of(provider, way))
}

fn all_ways() -> impl Iterator<Item = (&'static dyn Provider, Way)> {
    ALL.iter().flat_map(|&provider| ways(provider).into_iter().map(move |way| (provider, way)))
}

struct Sample {
    provider: &'static dyn Provider,
    way: Way,
    kind: &'static str,
    headers: Headers,
    body: Vec<u8>,
}

impl Sample {
    fn numbered(provider: &'static dyn Provider, way: Way, kind: &'static str, number: u64) -> Self {
        let (headers, body) = provider.sample(kind, number, now()).expect("a sample of every kind listed");
        Self { provider, way, kind, headers, body }
    }

    fn of(provider: &'static dyn Provider, way: Way) -> Self {
        Self::numbered(provider, way, provider.sample_kinds()[0], 7)
    }

    fn name(&self) -> String {
        format!("{} {} by {:?}", self.provider.name(), self.kind, self.way)
    }

    fn is_signed(&self) -> bool {
        self.way == Way::Signature
    }

    /// Whether it says what it says in its body. Of one that does so in its headers no body is read.
    fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    fn parse(&self) -> Result<Vec<Event>, ParseError> {
        self.provider.parse(Received { headers: &self.headers, body: &self.body, at: now() })
    }

    fn event(&self) -> Event {
        let events = self.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name()));
        let [event] = <[Event; 1]>::try_from(events).expect("one event in a sample");
        event
    }

    fn with_body(&self, body: impl Into<Vec<u8>>) -> Self {
        Self { headers: self.headers.clone(), body: body.into(), ..*self }
    }

    fn with_headers(&self, headers: Headers) -> Self {
        Self { headers, body: self.body.clone(), ..*self }
    }

    fn unsigned(&self) -> Request<Unverified> {
        Request::new(self.headers.clone(), self.body.clone())
    }

    /// What proves it under this key: a header's name and value, or `?` and the name of the query's parameter.
    fn signature(&self, key: &str) -> (String, String) {
        let signed = self.provider.sign(&self.way.settings([key]), &self.unsigned(), now());
        let signed = signed.expect("a signature");
        let [(name, value)] = signed.iter().collect::<Vec<_>>()[..] else { panic!("not one header") };
        if name == SECRET {
            (format!("?{KEY}"), tillwatch_providers::call::encoded(value))
        } else {
            (name.to_owned(), value.to_owned())
        }
    }

    /// The verdict on the sample with these signatures, under the keys `new` and `old`.
    fn verdict(&self, signatures: &[(String, String)]) -> Result<usize, Failure> {
        self.verdict_under(&self.way.settings(["new", "old"]), signatures)
    }

    fn verdict_under(&self, settings: &Settings, signatures: &[(String, String)]) -> Result<usize, Failure> {
        let request = self.arrived(settings, signatures);
        let checked = request.check(self.provider, settings, now());
        checked.map(|request| request.proof().position).map_err(|unbelieved| unbelieved.failure)
    }

    /// The request as it is kept.
    fn arrived(&self, settings: &Settings, signatures: &[(String, String)]) -> Request<Unverified> {
        let mut headers = self.headers.clone();
        let mut query = Vec::new();
        for (name, value) in signatures {
            match name.strip_prefix('?') {
                Some(name) => query.push(format!("{name}={value}")),
                None => headers.push(name, value.as_str()),
            }
        }
        if !query.is_empty() {
            headers.push(QUERY, query.join("&"));
        }
        Request::arrived(self.provider, &headers, self.body.clone(), &settings.fingerprints)
    }

    /// That no way of writing the signature is believed.
    fn assert_refused(&self, name: &str, value: &str, why: &str) {
        let verdict = self.verdict(&[(name.to_owned(), value.to_owned())]);
        assert!(matches!(verdict, Err(Failure::Rejected(_))), "{}, {why}: {verdict:?}", self.name());
    }
}

fn rejected(cause: Cause) -> Result<usize, Failure> {
    Err(Failure::Rejected(cause))
}
