//! What the fuzz targets try, one target for each thing that is read. `.ci/fuzz` builds and runs them.
//!
//! A target fails by panicking.
#![expect(clippy::missing_panics_doc, reason = "panicking is what they are for")]

use std::sync::OnceLock;

use jiff::Timestamp;
use tillwatch_domain::{Currency, Money};
use tillwatch_providers::{Headers, Key, Provider, Received, Request, Settings};
use tillwatch_workflows::envelope::Message;
use tillwatch_workflows::payload;

/// Parses the input as a body, under the headers of each event type that the provider can send.
pub fn parse(provider: &dyn Provider, input: &[u8]) {
    // A target tries one provider, always the same.
    static HEADERS: OnceLock<Vec<Headers>> = OnceLock::new();
    for headers in HEADERS.get_or_init(|| headers(provider)) {
        let received = Received { headers, body: input, at: Timestamp::UNIX_EPOCH };
        let (once, again) = (provider.parse(received), provider.parse(received));
        assert_eq!(once, again, "the same request was read in two ways");
    }
}

/// The headers of each event type; where the type is in the body, they are the same for all.
fn headers(provider: &dyn Provider) -> Vec<Headers> {
    let kinds = provider.sample_kinds().iter();
    let samples = kinds.filter_map(|kind| provider.sample(kind, 0, Timestamp::UNIX_EPOCH));
    let mut all: Vec<_> = samples.map(|(headers, _)| headers).collect();
    all.dedup();
    all
}

/// Verifies a request whose signature header is the input. Nobody can write a right one without the key.
pub fn signature(provider: &dyn Provider, header: &str, input: &[u8]) {
    let Ok(value) = std::str::from_utf8(input) else { return };
    let keys: Vec<_> = ["a new secret of a URL", "an old secret of a URL"].map(Key::new).into();
    let settings = Settings { signing_keys: keys.clone(), url_keys: keys, ..Settings::default() };
    let settings = settings.with_url("https://example.com/");
    let request = Request::new(Headers::from_iter([(header, value)]), b"{}".to_vec());
    let checked = request.check(provider, &settings, Timestamp::UNIX_EPOCH);
    assert!(checked.is_err(), "a signature was made without the key");
}

/// Reads the input as an amount of money; one that is read is written and read again as itself.
pub fn money(input: &[u8]) {
    let Some((code, text)) = std::str::from_utf8(input).ok().and_then(|text| text.split_once(' ')) else {
        return;
    };
    let Ok(currency) = code.parse::<Currency>() else { return };
    let Ok(money) = Money::from_decimal(text, currency) else { return };
    assert_eq!(
        Money::from_decimal(&money.major(), currency),
        Ok(money),
        "written otherwise than it was read"
    );
    assert_eq!(money.plus(Money::from_minor(0, currency)), Ok(money), "nothing was added");
}

/// Reads the input as a message of the queue; one that is read is written and read again as itself, and what it says of its
/// payload can be kept.
pub fn envelope(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(message) = Message::from_text(text) else { return };
    assert_eq!(
        Message::from_text(&message.to_text()),
        Ok(message.clone()),
        "written otherwise than it was read"
    );
    if let Message::Request(envelope) = message
        && let Ok(kept) = envelope.payload.for_table()
    {
        let again = tillwatch_workflows::envelope::Payload::from_table(&kept);
        assert_eq!(again.for_table().ok(), Some(kept), "kept otherwise than it came");
    }
}

/// Unpacks the input as each provider's stored headers and body, and as nobody's; what is unpacked is packed and unpacked
/// again as itself.
pub fn payload(input: &[u8]) {
    let _ = payload::unpack(None, input);
    for provider in tillwatch_providers::ALL.iter().copied() {
        if let Ok((headers, body)) = payload::unpack(Some(provider), input) {
            let packed = payload::pack(provider, &headers, &body);
            assert_eq!(payload::unpack(Some(provider), &packed), Ok((headers, body)), "packed otherwise");
        }
    }
}
