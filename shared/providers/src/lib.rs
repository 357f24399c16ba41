//! What Tillwatch knows of each provider: how its requests prove where they come from, and what they say.
//!
//! One folder a provider, the same files in each: `verify.rs` (bytes in, a verdict out), `parse.rs` (a verified body
//! in, events out), `sample.rs` (payloads of the provider's shape, for trying things out), and `mod.rs`, which binds
//! them to the [`Provider`] trait. Pure: no I/O, no clock.
//!
//! To add one, write its folder and name it in [`ALL`]; `docs/adding-a-provider.md` walks through it, and the
//! conformance suite (`tests/conformance`) holds every entry of [`ALL`] to the same rules.

mod hmac;
pub mod json;
pub mod request;
pub mod settings;
pub mod shopify;
pub mod square;
pub mod stripe;
mod template;
pub mod vectors;

use jiff::Timestamp;
use tillwatch_domain::{Cause, Event};

pub use request::{Headers, Request, Unbelieved, Unverified, Verified};
pub use settings::{Settings, SettingsError};

/// Every provider, in the order in which they are listed.
pub const ALL: &[&dyn Provider] = &[&square::Square, &shopify::Shopify, &stripe::Stripe];

/// The provider of that name.
pub fn named(name: &str) -> Option<&'static dyn Provider> {
    ALL.iter().copied().find(|provider| provider.name() == name)
}

/// Everything that is different from provider to provider.
pub trait Provider: Send + Sync {
    /// The name in paths, settings and figures: lower-case letters and underscores.
    fn name(&self) -> &'static str;

    /// The headers, in lower case, that verification or parsing reads or that an operator wants to see. Only these are
    /// kept. A header that is itself a secret must not be among them.
    fn kept_headers(&self) -> &'static [&'static str];

    /// Whether the request was signed by one of the live keys, over exactly the bytes that the provider signs, in
    /// constant time. Returns which key of `settings` matched.
    ///
    /// Called by [`Request::check`], which has already refused empty and oversized bodies.
    fn verify(
        &self,
        request: &Request<Unverified>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<usize, Failure>;

    /// What a verified request says. An event type that is not modelled gives an event without changes, never an
    /// error.
    fn parse(&self, headers: &Headers, body: &[u8]) -> Result<Vec<Event>, ParseError>;

    /// The headers that the provider would send with this body: signed with the first key of `settings` at `now`.
    fn sign(&self, settings: &Settings, body: &[u8], now: Timestamp) -> Result<Headers, SettingsError>;

    /// The JSON object that `tillwatch serve` puts into a new secrets file: settings with `key`, random hexadecimal
    /// digits, in the provider's form, and with `url`, where the provider signs the notification URL.
    fn fresh_settings(&self, key: &str, url: &str) -> serde_json::Value;

    /// Event types that [`Provider::sample`] can make, the commonest first.
    fn sample_kinds(&self) -> &'static [&'static str];

    /// A payload of the provider's real shape, the same for the same arguments. `kind` is one of
    /// [`Provider::sample_kinds`]; `number` makes the event and the record it concerns unlike those of any other
    /// number; `at` is when it happened. The headers are those that parsing needs, without the signature.
    fn sample(&self, kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)>;

    /// Text typical of the provider's payloads, which compression starts from (see `workflows::payload`). Part of the
    /// format of stored payloads: once released it must never change.
    fn dictionary(&self) -> &'static [u8];
}

/// Why verification did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The sender's fault.
    #[error("{}", .0.explanation())]
    Rejected(Cause),
    /// Ours: the settings can't verify anything. The provider must retry.
    #[error(transparent)]
    Misconfigured(#[from] SettingsError),
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::Rejected(cause)
    }
}

/// Why a verified body could not be read. Says where, never what: bodies hold personal data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or JSON of another shape than the event type's.
    #[error("the body is not the JSON of a {} event: {problem} at line {line}, column {column}", .kind.escape_debug())]
    Body {
        /// The event type, or what is known of it.
        kind: String,
        /// `syntax`, `end of input` or `unexpected shape`.
        problem: &'static str,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A field holds what it cannot.
    #[error("the field `{field}` of a {} event {problem}", .kind.escape_debug())]
    Field {
        /// The event type.
        kind: String,
        /// Its path from the root.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A header that says what the body is about is missing.
    #[error("the header `{0}` is missing")]
    Header(&'static str),
    /// A header that says what the body is about came more than once.
    #[error("the header `{0}` came more than once")]
    Repeated(&'static str),
}
