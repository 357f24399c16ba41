//! Secrets that are replaced: by new ones that overlap with the old, and by the same sealed with a newer key.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};
use tillwatch_domain::Connection;
use tillwatch_platform::connections::{Kind, Stored};
use tillwatch_platform::entropy;
use tillwatch_platform::table::Written;
use tillwatch_providers::Settings;
use tillwatch_providers::catalogue::{self, Entry};
use utoipa::ToSchema;

use super::keys::{self, KeyKind, KeyView};
use super::store::{CONTENTIONS, Configurator, Opened, Unconfigured};
use crate::own_settings::sealed_for;
use crate::subscriptions::Subscribed;

/// How many connections of a provider are looked at before sealing anew answers.
const RESEALED_AT_ONCE: i32 = 100;

/// A secret that was made here, and is told once.
#[derive(Clone, Serialize, ToSchema)]
pub struct Issued(pub String);

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issued")
    }
}

/// A rotation that is asked for.
#[derive(Debug)]
pub struct Rotation {
    /// Of which kind of secret.
    pub kind: KeyKind,
    /// The new secret; none: one is made.
    pub new: Option<SecretString>,
    /// For how long the old ones stay live.
    pub overlap: Duration,
}

/// A rotation that was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rotated {
    /// The new secret's name.
    pub key: String,
    /// The new secret itself, if it was made here: told this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub issued: Option<Issued>,
    /// All that are live now, newest first.
    pub live: Vec<KeyView>,
}

/// How far sealing anew has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Resealed {
    /// How many connections' secrets were sealed anew.
    pub resealed: u32,
    /// The connections whose secrets can't be opened: the key that sealed them is not on the ring, or they are damaged.
    pub unopenable: Vec<String>,
    /// Pass it as `cursor` to go on; null, when all was looked at.
    pub next: Option<String>,
}

impl Configurator {
    /// Seals anew what older keys of a ring sealed, of some connections after `after`, which is `provider/id`.
    pub async fn reseal(&self, tokens: bool, after: &str, now: Timestamp) -> Result<Resealed, Unconfigured> {
        // As it is at this moment: what is left sealed with an older key would be lost with it.
        let vault = if tokens { &self.token_vault } else { &self.webhook_vault };
        vault.ring_now(now).await?;
        let (from, id) = after.split_once('/').unwrap_or(("", ""));
        let later = |provider: &Entry| from.is_empty() || provider.name() >= from;
        let mut providers: Vec<_> = catalogue::all().filter(later).collect();
        providers.sort_by_key(Entry::name);
        let mut done = Resealed { resealed: 0, unopenable: Vec::new(), next: None };
        for provider in providers {
            let after = if provider.name() == from { id } else { "" };
            let (connections, more) = self
                .connections
                .documents::<Connection>(Kind::Connection, provider.name(), after, RESEALED_AT_ONCE)
                .await?;
            if after.is_empty() && !tokens {
                let shared = format!("provider:{}", provider.name());
                done.resealed += u32::from(self.reseal_subscriptions(&shared, now).await?);
            }
            for connection in &connections {
                match self.reseal_one(connection, tokens, now).await {
                    Ok(is_done) => done.resealed += u32::from(is_done),
                    Err(Unconfigured::Vault(_)) => done.unopenable.push(connection.id.clone()),
                    Err(error) => return Err(error),
                }
            }
            if let Some(last) = connections.last().filter(|_| more) {
                done.next = Some(format!("{}/{}", provider.name(), last.id));
                return Ok(done);
            }
        }
        Ok(done)
    }

    async fn reseal_one(
        &self,
        connection: &Connection,
        tokens: bool,
        now: Timestamp,
    ) -> Result<bool, Unconfigured> {
        if tokens {
            return self.reseal_tokens(connection, now).await;
        }
        let of_subscriptions = self.reseal_subscriptions(&connection.id, now).await?;
        let ring = self.webhook_vault.fresh_ring(now).await?;
        let route = self.connections.own_route(&connection.provider, &connection.id).await?;
        if route.sealed.is_none_or(|sealed| ring.is_current(&sealed)) && !route.is_unfinished {
            return Ok(of_subscriptions);
        }
        self.update(&connection.id, now, |_, _| {}).await?;
        Ok(true)
    }

    /// Seals anew what subscriptions are signed with.
    async fn reseal_subscriptions(&self, id: &str, now: Timestamp) -> Result<bool, Unconfigured> {
        let ring = self.webhook_vault.fresh_ring(now).await?;
        for _ in 0..CONTENTIONS {
            let stored = self.connections.document::<Subscribed>(Kind::Subscription, id).await?;
            let Some(Stored { mut document, revision }) = stored else { return Ok(false) };
            let mut is_old = false;
            for sealed in document
                .items
                .iter_mut()
                .chain(&mut document.retiring)
                .filter_map(|kept| kept.sealed.as_mut())
            {
                if !ring.is_current(sealed) {
                    let of = sealed_for(id);
                    *sealed = ring.seal(&of, &ring.open(&of, sealed)?);
                    is_old = true;
                }
            }
            let (group, over) = (document.provider.clone(), Some(revision));
            if !is_old
                || self.connections.put_document(Kind::Subscription, id, &group, &document, over).await?
                    == Written::Yes
            {
                return Ok(is_old);
            }
        }
        Err(Unconfigured::Contended)
    }

    async fn reseal_tokens(&self, connection: &Connection, now: Timestamp) -> Result<bool, Unconfigured> {
        let _alone = self.connections.alone([&connection.id]).await;
        let ring = self.token_vault.fresh_ring(now).await?;
        for _ in 0..CONTENTIONS {
            let sealed = self.connections.sealed_tokens(&connection.id).await?.sealed;
            if sealed.is_none_or(|sealed| ring.is_current(&sealed)) {
                return Ok(false);
            }
            let tokens = self.tokens(&connection.id, now).await?;
            match self.put_tokens(&connection.id, &tokens, now).await {
                Err(Unconfigured::Contended) => {}
                done => return done.map(|_| true),
            }
        }
        Err(Unconfigured::Contended)
    }

    /// Rotates a secret of a connection's own webhooks.
    pub async fn rotate_connection(
        &self,
        id: &str,
        rotation: Rotation,
        now: Timestamp,
    ) -> Result<Rotated, Unconfigured> {
        let (new, issued) = new_secret(&rotation)?;
        let (kind, overlap) = (rotation.kind, rotation.overlap);
        let rotate = |connection: &mut Connection, webhook: &mut Settings| {
            keys::rotate(kind.of_mut(webhook), new.expose_secret(), overlap, now);
            connection.sealed.insert(kind.name().to_owned());
        };
        let connection = self.update(id, now, rotate).await?;
        let Opened { webhook, .. } = self.opened(&connection, now).await?;
        Ok(rotated(&new, issued, &webhook, now))
    }

    /// Rotates a secret of a provider's webhooks, in the secret store.
    pub async fn rotate_provider(
        &self,
        provider: &str,
        rotation: Rotation,
        now: Timestamp,
    ) -> Result<Rotated, Unconfigured> {
        if Self::provider(provider)?.sender().is_none() {
            return Err(Unconfigured::Refused(format!(
                "{provider} sends no webhooks, and so has no secret of theirs."
            )));
        }
        let (new, issued) = new_secret(&rotation)?;
        let rotate = |settings: &mut Settings| {
            keys::rotate(rotation.kind.of_mut(settings), new.expose_secret(), rotation.overlap, now);
            true
        };
        let settings = self.change_provider(provider, rotate).await?;
        Ok(rotated(&new, issued, &settings, now))
    }

    /// Changes the webhook settings in a provider's secret, if `change` says that it did, as often as others write it first;
    /// what they are then. Whatever else the secret holds stays.
    pub async fn change_provider(
        &self,
        provider: &str,
        change: impl Fn(&mut Settings) -> bool,
    ) -> Result<Settings, Unconfigured> {
        let damaged =
            |_| Unconfigured::Conflict(format!("The secret of {provider} is not a JSON object of settings."));
        let name = self.secret_of(provider);
        for _ in 0..CONTENTIONS {
            let read = self.secrets.read(&name).await?;
            let text = read.as_ref().map_or("{}", |text| text.expose_secret());
            let mut secret: Map<String, Value> = serde_json::from_str(text).map_err(damaged)?;
            let mut settings: Settings =
                serde_json::from_value(Value::Object(secret.clone())).map_err(damaged)?;
            let before = serde_json::to_value(&settings).map_err(damaged)?;
            if !change(&mut settings) {
                return Ok(settings);
            }
            if let Value::Object(after) = serde_json::to_value(&settings).map_err(damaged)? {
                secret.extend(after.into_iter().filter(|(name, value)| before.get(name) != Some(value)));
            }
            let text = serde_json::to_string_pretty(&secret).map_err(damaged)?;
            if self.secrets.write(&name, &text.into(), read.as_ref()).await? == Written::Yes {
                return Ok(settings);
            }
        }
        Err(Unconfigured::Contended)
    }
}

fn new_secret(rotation: &Rotation) -> Result<(SecretString, Option<Issued>), Unconfigured> {
    match &rotation.new {
        Some(new) if new.expose_secret().trim().is_empty() => {
            Err(Unconfigured::Refused("The new secret is blank.".to_owned()))
        }
        Some(new)
            if rotation.kind == KeyKind::Url
                && new.expose_secret().len() < tillwatch_providers::settings::SHORTEST_URL_KEY =>
        {
            Err(Unconfigured::Refused("A URL's secret has 16 characters or more.".to_owned()))
        }
        Some(new) => Ok((new.clone(), None)),
        None => {
            let made = hex::encode(entropy::bytes::<24>());
            Ok((made.clone().into(), Some(Issued(made))))
        }
    }
}

fn rotated(new: &SecretString, issued: Option<Issued>, settings: &Settings, now: Timestamp) -> Rotated {
    let key = tillwatch_providers::Key::new(new.expose_secret()).id();
    Rotated { key, issued, live: keys::views(settings, now) }
}
