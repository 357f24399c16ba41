//! What a provider's API is called with: a connection's own settings and tokens, and what its provider's secret holds for
//! all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tillwatch_domain::Connection;
use tillwatch_domain::certificate::Validity;
use tillwatch_platform::outbound::{Ask, Outbound, OutboundError};
use tillwatch_providers::call::{Call, Response, Words};
use tillwatch_providers::{Headers, Settings};
use tokio::sync::Mutex;

use crate::configuration::{Configurator, Tokens, Unconfigured};

/// How old what was read of a provider's secret may be.
const FRESH: Duration = Duration::from_mins(1);

/// What was read of the providers' secrets, by provider, and when.
type Read = BTreeMap<String, (Timestamp, Arc<Words>)>;

/// Reads what calls are made with. What all connections of a provider share is read once a minute: each is asked for many
/// times more often.
pub struct Credentials {
    configuration: Configurator,
    shared: Mutex<Read>,
}

impl Credentials {
    /// Of these connections and providers.
    pub fn new(configuration: Configurator) -> Self {
        Self { configuration, shared: Mutex::default() }
    }

    /// What the provider's secret holds under `api`; nothing, where there is no secret, or none that can be read. Who sends no
    /// webhooks has none.
    pub async fn shared(&self, provider: &str, now: Timestamp) -> Result<Arc<Words>, Unconfigured> {
        if tillwatch_providers::named(provider).is_none() {
            return Ok(Arc::default());
        }
        let mut read = self.shared.lock().await;
        if let Some((at, words)) = read.get(provider)
            && now.duration_since(*at).unsigned_abs() < FRESH
        {
            return Ok(Arc::clone(words));
        }
        let name = self.configuration.secret_of(provider);
        let secret = self.configuration.secrets.read(&name).await?;
        let value = secret.and_then(|secret| serde_json::from_str::<Value>(secret.expose_secret()).ok());
        let words = Arc::new(value.map(|value| words(&value["api"])).unwrap_or_default());
        read.insert(provider.to_owned(), (now, Arc::clone(&words)));
        Ok(words)
    }

    /// What the provider's webhooks are signed with; none, if nothing can be read of that.
    pub async fn settings(&self, provider: &str) -> Option<Settings> {
        let name = self.configuration.secret_of(provider);
        let secret = self.configuration.secrets.read(&name).await.ok()??;
        serde_json::from_str(secret.expose_secret()).ok()
    }

    /// The connection's settings and tokens.
    pub async fn own(&self, connection: &Connection, now: Timestamp) -> Result<Words, Unconfigured> {
        Ok(own(connection, &self.configuration.tokens(&connection.id, now).await?.tokens))
    }
}

/// A connection's settings with its tokens among them.
pub(crate) fn own(connection: &Connection, tokens: &Tokens) -> Words {
    let mut own: Words = connection.settings.iter().collect();
    for (name, token) in tokens {
        own.put(name.as_str(), token.expose_secret());
    }
    own
}

/// The texts and numbers of an object.
pub(crate) fn words(value: &Value) -> Words {
    let word = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return None,
        };
        Some((name.clone(), text))
    };
    value.as_object().into_iter().flatten().filter_map(word).collect()
}

/// Makes one call of a provider's API.
pub(crate) async fn ask(outbound: &Outbound, provider: &str, call: &Call) -> Result<Response, OutboundError> {
    Ok(ask_and_see(outbound, provider, call).await?.0)
}

/// The same, with how long the certificate is good of who answered.
pub(crate) async fn ask_and_see(
    outbound: &Outbound,
    provider: &str,
    call: &Call,
) -> Result<(Response, Option<Validity>), OutboundError> {
    let headers = call.headers.iter().map(|(name, value)| (*name, value)).collect();
    let ask = Ask {
        provider,
        endpoint: call.endpoint,
        method: call.method.name(),
        url: &call.url,
        headers,
        body: call.body.as_ref().filter(|body| !body.expose_secret().is_empty()),
    };
    let answer = match call.largest {
        Some(largest) => outbound.ask_for(&ask, largest).await?,
        None => outbound.ask(&ask).await?,
    };
    let headers: Headers = answer.headers.into_iter().collect();
    Ok((Response { status: answer.status, headers, body: answer.body }, answer.certificate))
}
