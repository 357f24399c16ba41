//! Webhook subscriptions at the providers, as data: what is wanted, what a provider says there is, the steps from the one
//! to the other, and the calls that make them. A provider's own part is in its `subscriptions.rs`; it never asks anyone
//! anything itself.

mod plan;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Settings;
use crate::call::{Call, Response, Words};

pub use plan::{Condition, Step, assess, plan};

/// Whom a subscription belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All the provider's connections: it is made with the application's own credentials.
    Shared,
    /// One connection.
    Own,
}

/// What is known of those who want a subscription. Pure input: nothing here is looked up.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whether it is for all the provider's connections or for one.
    pub scope: Scope,
    /// The connection's id; the provider's name where it is for all.
    pub owner: &'a str,
    /// The API's own address, without a slash at its end: `https://hooks.example.com`.
    pub public_url: &'a str,
    /// The connection's settings and tokens; empty where it is for all.
    pub own: &'a Words,
    /// What the provider's secret holds under `api`.
    pub shared: &'a Words,
    /// The settings of each connection that shares it; of the one alone where it is for one.
    pub peers: &'a [Words],
    /// What the webhooks are verified with.
    pub webhook: &'a Settings,
    /// The present moment.
    pub now: Timestamp,
}

impl<'a> Wanted<'a> {
    /// A setting or secret of the connection that there must be.
    pub fn own(&self, name: &'static str) -> Result<&'a str, Refused> {
        self.own.get(name).ok_or(Refused::Setting(name))
    }

    /// A word under `api` that there must be.
    pub fn shared(&self, name: &'static str) -> Result<&'a str, Refused> {
        self.shared.get(name).ok_or(Refused::Api(name))
    }

    /// Where the API is reached with the connection's own credentials.
    pub fn own_base(&self, default: &str) -> String {
        base(self.own, default)
    }

    /// Where it is reached with the application's. A connection's `base_url` has no say in where those go.
    pub fn shared_base(&self, default: &str) -> String {
        base(self.shared, default)
    }

    /// The events to subscribe to.
    pub fn events(&self, default: &[&str]) -> Vec<String> {
        let said = match self.scope {
            Scope::Shared => self.shared.get("events"),
            Scope::Own => self.own.get("events").or_else(|| self.shared.get("events")),
        };
        let listed = |text: &str| {
            let names = text.split([',', ' ', '\n']).map(str::trim).filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        };
        said.map_or_else(|| default.iter().map(|name| (*name).to_owned()).collect(), listed)
    }

    /// The URL at which all the provider's webhooks arrive.
    pub fn shared_url(&self, provider: &str) -> String {
        format!("{}/webhooks/{provider}", self.public_url)
    }

    /// The URL of the one connection.
    pub fn own_url(&self, provider: &str) -> String {
        format!("{}/webhooks/{provider}/{}", self.public_url, self.owner)
    }
}

fn base(words: &Words, default: &str) -> String {
    words.get("base_url").unwrap_or(default).trim_end_matches('/').to_owned()
}

/// One subscription that is wanted.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// What tells it from the others of its owner: a topic, an object, or a word.
    pub key: String,
    /// The events that it must bring.
    pub events: Vec<String>,
    /// The URL that it must send to. May hold a secret; see [`without_secret`].
    pub url: String,
}

/// One subscription that there is, as its provider tells of it, or, where the provider lists none, as it was kept.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The key of the item that it can be; none, if it is of no kind that is wanted here.
    pub key: Option<String>,
    /// The provider's id.
    pub id: String,
    /// What else its provider wants to know to end it.
    pub resource: Option<String>,
    /// The URL that it sends to.
    pub url: String,
    /// The events that it brings. `*`: all there are.
    pub events: Vec<String>,
    /// Whether it sends.
    pub active: bool,
    /// Whether it bears the mark of this program.
    pub marked: bool,
    /// The key that its webhooks are signed with, if the list tells.
    pub secret: Option<SecretString>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// What a creation gave back.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// The provider's id.
    pub id: String,
    /// What else its provider wants to know to end it.
    pub resource: Option<String>,
    /// The key that its webhooks are signed with, if there is one of its own.
    pub secret: Option<SecretString>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// What is kept of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The item's key.
    pub key: String,
    /// The provider's id.
    pub id: String,
    /// What else its provider wants to know to end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The URL that it sends to, without its secret.
    pub url: String,
    /// The events that it brings.
    #[serde(default)]
    pub events: Vec<String>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The key that its webhooks are signed with, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// That key's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// What is made up for a creation.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// An id of ours.
    pub id: String,
}

/// How a subscription is tried.
#[derive(Debug, Clone)]
pub enum Trial {
    /// The provider sends a test when it is told to.
    Asked(Call),
    /// We send what the provider would to see whether a URL is ours: this URL must answer 200 with this text.
    Handshake(Call, String),
    /// There is no test: that the address answers as Tillwatch is all that can be seen.
    Reach,
}

/// Why something can't be had of a provider. Says what to do, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A setting of the connection is missing.
    #[error("the setting `{0}` is missing: put it into the connection's configuration")]
    Setting(&'static str),
    /// A credential of the application is missing.
    #[error("`api.{0}` is missing: put it into the provider's secret")]
    Api(&'static str),
    /// A setting makes no sense.
    #[error("the setting `{0}` {1}")]
    BadSetting(&'static str, &'static str),
    /// The credentials are not good, or not enough.
    #[error(
        "the provider refuses the credentials ({status}): put a new `{setting}` in their place, one with the permissions that the subscription needs"
    )]
    Credentials {
        /// The HTTP status.
        status: u16,
        /// What to replace.
        setting: &'static str,
    },
    /// There is no such thing at the provider.
    #[error("{0}")]
    NotThere(&'static str),
    /// Too many calls.
    #[error("the provider takes no more calls for now: try again in {seconds} s", seconds = .0.as_secs())]
    Limited(std::time::Duration),
    /// The provider's own trouble.
    #[error("the provider is not available ({0}): try again later")]
    Unavailable(u16),
    /// The provider does not want it so.
    #[error("the provider refuses ({status}{}): {advice}", .code.as_ref().map(|code| format!(", {code}")).unwrap_or_default())]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// Its own word for why.
        code: Option<String>,
        /// What to look at.
        advice: &'static str,
    },
    /// What came is not what its API answers.
    #[error("what answered ({0}) is not the provider's API: check `base_url`, and proxies on the way")]
    Unreadable(u16),
    /// A subscription is there whose key was told once, to someone else.
    #[error(
        "a subscription to this URL was made elsewhere, and its signing key is not known here: put the key into the configuration, or delete it at the provider and ask again"
    )]
    UnknownKey,
}

/// What a provider's module knows of its subscriptions.
pub trait Subscriptions: Send + Sync {
    /// Which subscriptions a connection with these settings needs.
    fn scopes(&self, own: &Words, shared: &Words) -> &'static [Scope];

    /// The subscriptions that are wanted.
    fn items(&self, wanted: &Wanted<'_>) -> Result<Vec<Item>, Refused>;

    /// The calls that list what there is; none, where the provider lists nothing and what is kept is the list.
    fn lists(&self, wanted: &Wanted<'_>) -> Result<Vec<Call>, Refused>;

    /// What the `nth` list's answer says, and the call for the next page.
    fn listed(
        &self,
        wanted: &Wanted<'_>,
        nth: usize,
        response: &Response,
    ) -> Result<(Vec<Found>, Option<Call>), Refused>;

    /// An id of ours for a new one.
    fn fresh(&self, random: [u8; 16], _now: Timestamp) -> Fresh {
        Fresh { id: hex::encode(random) }
    }

    /// Creates one.
    fn create(&self, wanted: &Wanted<'_>, item: &Item, fresh: &Fresh) -> Result<Call, Refused>;

    /// What a creation gave back.
    fn created(
        &self,
        wanted: &Wanted<'_>,
        item: &Item,
        fresh: &Fresh,
        response: &Response,
    ) -> Result<Made, Refused>;

    /// Enables one, with the item's URL and its events beside those that it has; none, where one can't be changed and is
    /// made anew.
    fn update(&self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<Option<Call>, Refused>;

    /// Whether that was done.
    fn updated(&self, item: &Item, response: &Response) -> Result<(), Refused>;

    /// Ends one.
    fn delete(&self, wanted: &Wanted<'_>, kept: &Kept) -> Result<Option<Call>, Refused>;

    /// Whether each has a signing key of its own.
    fn has_secret(&self) -> bool {
        false
    }

    /// Asks for that key of one that there is; none, where it is told once, at the creation.
    fn secret(&self, _wanted: &Wanted<'_>, _found: &Found) -> Result<Option<Call>, Refused> {
        Ok(None)
    }

    /// The key in the answer to that.
    fn told(&self, _response: &Response) -> Result<SecretString, Refused> {
        Err(Refused::UnknownKey)
    }

    /// How long before it ends by itself one is made anew; none, where none ends.
    fn renewed_before(&self) -> Option<SignedDuration> {
        None
    }

    /// Whether the webhooks need a secret in their URL or a token that is made here.
    fn needs_url_key(&self, _wanted: &Wanted<'_>) -> bool {
        false
    }

    /// Whether the provider signs the notification URL, which must then be known where webhooks are verified.
    fn signs_url(&self) -> bool {
        false
    }

    /// How one is tried.
    fn trial(&self, _wanted: &Wanted<'_>, _item: &Item, _found: &Found) -> Result<Trial, Refused> {
        Ok(Trial::Reach)
    }

    /// The HTTP status that the provider's test got from us.
    fn tried(&self, response: &Response) -> Result<u16, Refused> {
        Ok(response.status)
    }
}

/// How a provider's webhooks are subscribed to by its API; none, where they can't be. Not asked of the provider itself:
/// webhook functions would carry what none of them uses.
pub fn of(provider: &str) -> Option<&'static dyn Subscriptions> {
    Some(match provider {
        "square" => &crate::square::subscriptions::SquareSubscriptions,
        "shopify" => &crate::shopify::subscriptions::ShopifySubscriptions,
        "zettle" => &crate::zettle::subscriptions::ZettleSubscriptions,
        "loyverse" => &crate::loyverse::subscriptions::LoyverseSubscriptions,
        "stripe" => &crate::stripe::subscriptions::StripeSubscriptions,
        "twilio" => &crate::twilio::subscriptions::TwilioSubscriptions,
        "meta" => &crate::meta::subscriptions::MetaSubscriptions,
        "google_calendar" => &crate::google_calendar::subscriptions::ChannelSubscriptions,
        _ => return None,
    })
}

/// A URL as it may be kept and shown: without its query, where a secret may be.
pub fn without_secret(url: &str) -> &str {
    url.split_once('?').map_or(url, |(url, _)| url)
}

/// The JSON of a success, or why it is none, by what HTTP means with its statuses. `setting` is what holds the
/// credentials; `code` finds the provider's word for what is wrong.
pub(crate) fn success(
    response: &Response,
    setting: &'static str,
    code: impl Fn(&Value) -> Option<String>,
) -> Result<Value, Refused> {
    let status = response.status;
    let body = response.json();
    match status {
        200..=299 if response.body.is_empty() => Ok(Value::Null),
        200..=299 => body.ok_or(Refused::Unreadable(status)),
        401 | 403 => Err(Refused::Credentials { status, setting }),
        429 => Err(Refused::Limited(response.retry_after().unwrap_or(A_WHILE))),
        500..=599 => Err(Refused::Unavailable(status)),
        404 => Err(Refused::NotThere("the provider knows nothing of it")),
        _ => match body {
            Some(body) => {
                let code = code(&body).filter(|code| is_code(code));
                Err(Refused::Rejected { status, code, advice: "check the URL, the events and the settings" })
            }
            None => Err(Refused::Unreadable(status)),
        },
    }
}

/// How long is waited where the provider does not say.
pub(crate) const A_WHILE: std::time::Duration = std::time::Duration::from_secs(60);

/// Whether a text is a word for an error and no sentence, which might quote what we sent.
pub(crate) fn is_code(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// The text at a pointer, if it is one.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// The texts of a list.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// An answer's list.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str, status: u16) -> Result<&'a Vec<Value>, Refused> {
    value.pointer(pointer).and_then(Value::as_array).ok_or(Refused::Unreadable(status))
}

/// The events of both, each once.
pub fn union(one: &[String], other: &[String]) -> Vec<String> {
    let mut all = one.to_vec();
    all.extend(other.iter().filter(|event| !one.contains(event)).cloned());
    all
}
