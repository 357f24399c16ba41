//! What Tillwatch knows of each provider: how its requests prove where they come from, and what they say.
//!
//! One folder a provider, the same files in each: `verify.rs` (bytes in, a verdict out), `parse.rs` (a verified body
//! in, events out), `sample.rs` (payloads of the provider's shape, for trying things out), and `mod.rs`, which binds
//! them to the [`Provider`] trait. Pure: no I/O, no clock.
//!
//! To add one, write its folder and name it in [`ALL`]; `docs/adding-a-provider.md` walks through it, and the
//! conformance suite (`tests/conformance`) holds every entry of [`ALL`] to the same rules. What sends no webhooks and is
//! only configured and checked is in the [`catalogue`] alone.

pub mod call;
pub mod catalogue;
pub mod checks;
mod digest;
pub mod fingerprint;
mod form;
pub mod google_calendar;
mod hmac;
pub mod json;
pub mod loyverse;
pub mod meta;
pub mod oauth;
pub mod odoo;
pub mod petpooja;
pub mod reconcile;
pub mod request;
pub mod settings;
pub mod shopify;
pub mod smtp;
pub mod square;
pub mod stripe;
pub mod subscriptions;
mod template;
pub mod tokens;
pub mod twilio;
pub mod vectors;
pub mod zettle;

use std::time::Duration;

use jiff::Timestamp;
use tillwatch_domain::{Cause, Event};

pub use catalogue::{About, Setting};
pub use fingerprint::Fingerprints;
pub use request::{Headers, Request, Route, Unbelieved, Unverified, Verified};
pub use settings::{Key, Proof, Settings, SettingsError};

/// Every provider that sends webhooks, in the order in which they are listed.
pub const ALL: &[&dyn Provider] = &[
    &square::Square,
    &shopify::Shopify,
    &zettle::Zettle,
    &loyverse::Loyverse,
    &odoo::Odoo,
    &petpooja::PetPooja,
    &stripe::Stripe,
    &twilio::Twilio,
    &meta::Meta,
    &google_calendar::GoogleCalendar,
];

/// The provider of that name.
pub fn named(name: &str) -> Option<&'static dyn Provider> {
    ALL.iter().copied().find(|provider| provider.name() == name)
}

/// How many accounts of one request are looked up.
pub const MOST_CLAIMED: usize = 8;

/// Where a provider puts a secret that it sends as it is, instead of signing with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenSecret {
    /// In the query's parameter `key` of the URL that was given out.
    Query,
    /// In this header.
    Header(&'static str),
}

/// A request that was verified, as it was kept.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The headers, and what is kept among them; see [`request`].
    pub headers: &'a Headers,
    /// The body's exact bytes.
    pub body: &'a [u8],
    /// When it arrived. Not signed by anyone: only for what tells no time of its own.
    pub at: Timestamp,
}

/// What a provider is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body's type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Reply {
    /// 200 with JSON.
    pub fn json(body: impl Into<String>) -> Self {
        Self { status: 200, content_type: "application/json", body: body.into() }
    }

    /// 200 with text.
    pub fn text(body: impl Into<String>) -> Self {
        Self { status: 200, content_type: "text/plain", body: body.into() }
    }
}

/// Everything that is different from provider to provider.
pub trait Provider: Send + Sync {
    /// The name in paths, settings and figures: lower-case letters and underscores.
    fn name(&self) -> &'static str;

    /// What people and configurations know of it.
    fn about(&self) -> &'static About;

    /// The names that signature vectors give to the ways in which its webhooks are proved. A provider may sign other
    /// things by other schemes (Shopify its install callback and its app proxy): those are no webhooks.
    fn schemes(&self) -> &'static [&'static str];

    /// The headers, in lower case, that verification or parsing reads or that an operator wants to see. Only these are
    /// kept. A header that is itself a secret must not be among them.
    fn kept_headers(&self) -> &'static [&'static str];

    /// Where it puts a secret that it sends as it is; none, if it signs all that it sends.
    fn open_secret(&self) -> Option<OpenSecret> {
        None
    }

    /// First parts of the path after its name that are no connection's id: `order-status`.
    fn paths(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it sends webhooks, or asks whether a URL is ours, by `GET`.
    fn takes_get(&self) -> bool {
        false
    }

    /// Whether a request with these headers says what it says without a body.
    fn takes_empty_body(&self, _headers: &Headers) -> bool {
        false
    }

    /// By when it must be answered. Later it hears 503, and comes again; who never comes again is worth waiting for.
    fn patience(&self) -> Duration {
        Duration::from_millis(4_500)
    }

    /// The account, shop, restaurant or channel that a request speaks of first, which decides whose secrets are tried.
    /// Nothing else may follow from it: it is not verified. None, if it can't be told.
    fn claimed_account(&self, headers: &Headers, body: &[u8]) -> Option<String>;

    /// All that it speaks of, each once: at most [`MOST_CLAIMED`], for each may cost a look-up.
    fn claimed_accounts(&self, headers: &Headers, body: &[u8]) -> Vec<String> {
        self.claimed_account(headers, body).into_iter().collect()
    }

    /// Whether its accounts are replaced by others now and then, as channels are that expire: then what it says belongs to
    /// the connection and not to the account.
    fn renews_accounts(&self) -> bool {
        false
    }

    /// The answer to a request that is no webhook but a question whether the URL is ours, or a trial of it: nothing of it
    /// is kept. None, if it is a webhook.
    fn handshake(
        &self,
        _request: &Request<Unverified>,
        _settings: &Settings,
        _now: Timestamp,
    ) -> Option<Result<Reply, Failure>> {
        None
    }

    /// Which of the live secrets of `settings` proves the request: by a signature over exactly the bytes that the provider
    /// signs, or as the open secret that it was given, compared in constant time.
    ///
    /// Called by [`Request::check`], which has already refused empty and oversized bodies.
    fn verify(
        &self,
        request: &Request<Unverified>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Proof, Failure>;

    /// What a verified request says. An event type that is not modelled gives an event without changes, never an
    /// error.
    fn parse(&self, received: Received<'_>) -> Result<Vec<Event>, ParseError>;

    /// The answer to a webhook with these headers that is durable under this id.
    fn accepted(&self, _headers: &Headers, id: &str) -> Reply {
        Reply::json(format!(r#"{{"id":"{id}"}}"#))
    }

    /// The HTTP status that tells the provider of a rejection, where another than the cause's own keeps it from giving up
    /// what may yet be mended.
    fn status_of(&self, cause: Cause) -> u16 {
        cause.status()
    }

    /// The headers that the provider would add to this request, signed with the newest key of `settings` at `now`. Where
    /// it sends an open secret in the URL, that is under [`request::SECRET`].
    fn sign(
        &self,
        settings: &Settings,
        request: &Request<Unverified>,
        now: Timestamp,
    ) -> Result<Headers, SettingsError>;

    /// The JSON object that `tillwatch serve` puts into a new secrets file: settings with `key`, random hexadecimal
    /// digits, in the provider's form, and with `url`, where the provider signs the notification URL.
    fn fresh_settings(&self, key: &str, url: &str) -> serde_json::Value;

    /// Event types that [`Provider::sample`] can make, the commonest first.
    fn sample_kinds(&self) -> &'static [&'static str];

    /// A payload of the provider's real shape, the same for the same arguments. `kind` is one of
    /// [`Provider::sample_kinds`]; `number` makes the event and the record it concerns unlike those of any other
    /// number; `at` is when it happened. The headers are those that parsing needs, without the signature; a path beyond
    /// the provider's own is under [`request::SUFFIX`].
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
    /// Not a form, or not in UTF-8.
    #[error("the body or query is not the form of a {} event", .kind.escape_debug())]
    Form {
        /// What is known of the event's type.
        kind: String,
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
