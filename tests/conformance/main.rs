//! The rules that every provider keeps. A provider that is added to `tillwatch_providers::ALL` is held to them as it is.

mod believed;
mod complete;
mod format;
mod parsing;
mod properties;
mod refused;

use jiff::Timestamp;
use tillwatch_domain::{Cause, Event};
use tillwatch_providers::{ALL, Failure, Headers, ParseError, Provider, Request, Settings};

const URL: &str = "https://example.com/webhooks/here";

fn now() -> Timestamp {
    Timestamp::from_second(1_760_000_000).expect("a time")
}

fn settings<const N: usize>(keys: [&str; N]) -> Settings {
    Settings::with_keys(keys).with_url(URL)
}

/// A sample of each kind of each provider.
fn samples() -> impl Iterator<Item = Sample> {
    ALL.iter().flat_map(|&provider| {
        provider.sample_kinds().iter().map(move |kind| Sample::numbered(provider, kind, 7))
    })
}

struct Sample {
    provider: &'static dyn Provider,
    kind: &'static str,
    headers: Headers,
    body: Vec<u8>,
}

impl Sample {
    fn numbered(provider: &'static dyn Provider, kind: &'static str, number: u64) -> Self {
        let (headers, body) = provider.sample(kind, number, now()).expect("a sample of every kind listed");
        Self { provider, kind, headers, body }
    }

    /// The first of the provider's kinds, which is modelled.
    fn of(provider: &'static dyn Provider) -> Self {
        Self::numbered(provider, provider.sample_kinds()[0], 7)
    }

    fn name(&self) -> String {
        format!("{} {}", self.provider.name(), self.kind)
    }

    fn parse(&self) -> Result<Vec<Event>, ParseError> {
        self.provider.parse(&self.headers, &self.body)
    }

    fn event(&self) -> Event {
        let events = self.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name()));
        let [event] = <[Event; 1]>::try_from(events).expect("one event in a sample");
        event
    }

    fn with_body(&self, body: impl Into<Vec<u8>>) -> Self {
        Self { headers: self.headers.clone(), body: body.into(), ..*self }
    }

    fn signature(&self, key: &str) -> (String, String) {
        let signed = self.provider.sign(&settings([key]), &self.body, now()).expect("a signature");
        let [(name, value)] = signed.iter().collect::<Vec<_>>()[..] else { panic!("not one header") };
        (name.to_owned(), value.to_owned())
    }

    /// The verdict on the sample with these signature headers, under the keys `new` and `old`.
    fn verdict(&self, signatures: &[(String, String)]) -> Result<usize, Failure> {
        verdict(self.provider, &settings(["new", "old"]), &self.headers, signatures, &self.body)
    }

    /// That no way of writing the signature header is believed.
    fn assert_refused(&self, name: &str, value: &str, why: &str) {
        let verdict = self.verdict(&[(name.to_owned(), value.to_owned())]);
        assert!(matches!(verdict, Err(Failure::Rejected(_))), "{}, {why}: {verdict:?}", self.name());
    }
}

fn verdict(
    provider: &dyn Provider,
    settings: &Settings,
    headers: &Headers,
    signatures: &[(String, String)],
    body: &[u8],
) -> Result<usize, Failure> {
    let mut headers = headers.clone();
    for (name, value) in signatures {
        headers.push(name, value.as_str());
    }
    let checked = Request::new(headers, body.to_vec()).check(provider, settings, now());
    checked.map(|request| request.key()).map_err(|unbelieved| unbelieved.failure)
}

fn rejected(cause: Cause) -> Result<usize, Failure> {
    Err(Failure::Rejected(cause))
}
