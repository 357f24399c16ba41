//! Writing configurations down, and reading what is in force.
#![expect(
    clippy::disallowed_types,
    reason = "what serde derives for flattened maps names floats; none is held here"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tillwatch_domain::connection::is_id;
use tillwatch_domain::location::{Business, BusinessConnection, Location, Scalar};
use tillwatch_domain::{Connection, State};
use tillwatch_platform::connections::{Connections, Kind, OwnRoute, Unknown};
use tillwatch_platform::entropy;
use tillwatch_platform::secrets::{Secrets, SecretsError};
use tillwatch_platform::table::{TableError, Written};
use tillwatch_platform::vault::{Vault, VaultError};
use tillwatch_providers::call::encoded;
use tillwatch_providers::catalogue::{self, Entry, SettingKind};
use tillwatch_providers::{OpenSecret, Provider, Settings};
use utoipa::ToSchema;

use super::keys::{self, KeyKind, OVERLAP};
use super::locations::Says;
use super::resolve::{Resolved, resolve};
use super::tokens::OpenedTokens;
use crate::own_settings::sealed_for;

/// How many times a document is read again because somebody else wrote it first.
pub const CONTENTIONS: u32 = 5;

/// What becomes of one thing that a configuration speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Change {
    /// `location harbour`, `connection harbour-square`, `business group`, `defaults of square`.
    pub what: String,
    /// `created`, `changed`, `disabled` or `unchanged`.
    pub change: &'static str,
    /// The settings that change, by name; of secrets too, and of nothing the value.
    pub fields: Vec<String>,
    /// The part of a webhook URL after the stack's address, secret included, if one was made: told this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
}

/// Why a configuration was not written.
#[derive(Debug, thiserror::Error)]
pub enum Unconfigured {
    /// What was asked for can't be: says what, where and how to mend it.
    #[error("{0}")]
    Refused(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// There is no such thing.
    #[error("{0}")]
    Missing(String),
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The secret store.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// Others kept writing the same.
    #[error("it was written by others each of {CONTENTIONS} times")]
    Contended,
}

impl Unconfigured {
    /// That what is sealed can't be opened, and that asking again will not help, in words; else the error itself.
    pub(crate) fn unopenable(self) -> Result<String, Self> {
        match self {
            Self::Vault(error @ (VaultError::UnknownKey(_) | VaultError::Damaged)) => Ok(error.to_string()),
            error => Err(error),
        }
    }
}

/// A location as it is kept: without secrets, and with the names of those that are sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLocation {
    /// What the configuration said.
    #[serde(flatten)]
    pub location: Location,
    /// The names of sealed settings, by provider.
    #[serde(default)]
    pub sealed: BTreeMap<String, BTreeSet<String>>,
}

/// What a connection's webhooks and calls are made with. Opened: not to be kept.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// What proves its webhooks.
    pub webhook: Settings,
    /// What its calls are made with.
    pub tokens: OpenedTokens,
    /// How it is found, and what proves its webhooks as it was sealed.
    route: OwnRoute,
}

/// What configurations are written and read with.
#[derive(Clone)]
pub struct Configurator {
    /// The table of connections.
    pub connections: Connections,
    /// What seals webhook secrets.
    pub webhook_vault: Arc<Vault>,
    /// What seals tokens.
    pub token_vault: Arc<Vault>,
    /// The providers' secrets.
    pub secrets: Arc<dyn Secrets>,
    /// What comes before a provider's name in the name of its secret.
    pub secrets_prefix: String,
}

impl Configurator {
    /// The name of a provider's secret.
    pub fn secret_of(&self, provider: &str) -> String {
        format!("{}{provider}", self.secrets_prefix)
    }

    pub(super) fn provider(name: &str) -> Result<Entry, Unconfigured> {
        catalogue::of(name)
            .ok_or_else(|| Unconfigured::Refused(format!("No provider is called `{}`.", name.escape_debug())))
    }

    /// A provider's defaults, as configured.
    pub async fn defaults(&self, provider: &str) -> Result<BTreeMap<String, Scalar>, Unconfigured> {
        let stored = self.connections.document::<BTreeMap<String, Scalar>>(Kind::Provider, provider).await?;
        Ok(stored.map(|stored| stored.document).unwrap_or_default())
    }

    /// Writes a provider's defaults; they hold for connections that are applied from then on.
    pub async fn put_defaults(
        &self,
        provider: &str,
        defaults: &BTreeMap<String, Scalar>,
        dry_run: bool,
    ) -> Result<Change, Unconfigured> {
        let module = Self::provider(provider)?;
        if let Some(name) = defaults.keys().find(|name| is_secret(module, name)) {
            return Err(Unconfigured::Refused(format!(
                "`{name}` is a secret: say it of each connection, or in the provider's own secret."
            )));
        }
        let what = format!("defaults of {provider}");
        self.put(Kind::Provider, provider, what, defaults, dry_run).await
    }

    /// Writes a business.
    pub async fn put_business(
        &self,
        id: &str,
        business: &Business,
        dry_run: bool,
    ) -> Result<Change, Unconfigured> {
        self.put(Kind::Business, id, format!("business {id}"), business, dry_run).await
    }

    async fn put<T>(
        &self,
        kind: Kind,
        id: &str,
        what: String,
        document: &T,
        dry_run: bool,
    ) -> Result<Change, Unconfigured>
    where
        T: Serialize + serde::de::DeserializeOwned + PartialEq,
    {
        for _ in 0..CONTENTIONS {
            let stored = self.connections.document::<T>(kind, id).await?;
            let change = match &stored {
                None => "created",
                Some(stored) if stored.document == *document => "unchanged",
                Some(_) => "changed",
            };
            let done = Change { what: what.clone(), change, fields: Vec::new(), webhook_url: None };
            if dry_run || change == "unchanged" {
                return Ok(done);
            }
            let over = stored.map(|stored| stored.revision);
            if self.connections.put_document(kind, id, "", document, over).await? == Written::Yes {
                return Ok(done);
            }
        }
        Err(Unconfigured::Contended)
    }

    /// That neither the connection is another business's nor one of its accounts new to it. Nothing proves that a merchant is
    /// who a business says it is: its events, past ones too, would be the business's to read and its secrets to forge.
    pub(super) async fn refuse_others(&self, connection: &Connection) -> Result<(), Unconfigured> {
        let Connection { id, provider, business, .. } = connection;
        let stored = self.connections.document::<Connection>(Kind::Connection, id).await?;
        let stored = stored.map(|stored| stored.document);
        let is_taken = match &stored {
            Some(stored) => stored.business != *business,
            // Else it could lie in wait at the id that another's connection will have.
            None => connection
                .location
                .as_deref()
                .is_none_or(|location| *id != Location::connection_id(location, provider)),
        };
        if is_taken {
            return Err(Unconfigured::Conflict(format!(
                "The connection's id `{id}` is taken, or an operator's to give: leave it out."
            )));
        }
        self.refuse_rivals(connection).await?;
        let is_its_already = |account: &String| {
            stored
                .as_ref()
                .is_some_and(|stored| stored.accounts.contains(account) && stored.place == connection.place)
        };
        // Where the URL's connection is the account, the account is as new as its id.
        let is_new = |account: &String| account == id && stored.is_none();
        if connection.accounts.iter().all(|account| is_its_already(account) || is_new(account)) {
            return Ok(());
        }
        Err(Unconfigured::Conflict(format!(
            "Which account of {provider} `{id}` is for, and which place in it, is an operator's to say."
        )))
    }

    /// That no other business has the same account and place, enabled or not: it may be that it was given to them since.
    async fn refuse_rivals(&self, connection: &Connection) -> Result<(), Unconfigured> {
        for account in &connection.accounts {
            let routes = self.connections.routes_now(&connection.provider, account).await?;
            if routes
                .iter()
                .any(|route| route.business != connection.business && route.place == connection.place)
            {
                return Err(Unconfigured::Conflict(format!(
                    "The account of `{}` is another business's as well: an operator can say whose it is.",
                    connection.id
                )));
            }
        }
        Ok(())
    }

    /// Whether another business's connection is found by one of its accounts, as an operator may have it, place by place.
    pub async fn shares_an_account(&self, connection: &Connection) -> Result<bool, Unconfigured> {
        for account in &connection.accounts {
            let routes = self.connections.routes_now(&connection.provider, account).await?;
            if routes.iter().any(|route| route.business != connection.business) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes a connection of a whole business, whose id it must be.
    pub async fn put_business_connection(
        &self,
        id: &str,
        said: &BusinessConnection,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Change, Unconfigured> {
        let provider = Self::provider(&said.provider)?;
        let defaults = self.defaults(&said.provider).await?;
        let resolved = resolve(provider, (&said.business, None), &said.connection, &defaults);
        if resolved.connection.id != id {
            return Err(Unconfigured::Refused(format!(
                "The connection's id is `{}`, and the path's is another.",
                resolved.connection.id.escape_debug()
            )));
        }
        self.put_connection(&resolved, dry_run, now).await
    }

    /// What is sealed of a connection, opened.
    pub async fn opened(&self, connection: &Connection, now: Timestamp) -> Result<Opened, Unconfigured> {
        let mut opened = Opened {
            route: self.connections.own_route(&connection.provider, &connection.id).await?,
            ..Opened::default()
        };
        if let Some(sealed) = &opened.route.sealed {
            let text = self.webhook_vault.open_sealed(&sealed_for(&connection.id), sealed, now).await?;
            opened.webhook = serde_json::from_str(text.expose_secret()).map_err(|_| VaultError::Damaged)?;
        }
        opened.tokens = self.tokens(&connection.id, now).await?;
        Ok(opened)
    }

    /// What is sealed under a connection's id, to be written over, and not to be believed.
    async fn unopened(&self, provider: &str, id: &str) -> Result<Opened, Unconfigured> {
        let route = self.connections.own_route(provider, id).await?;
        let tokens = self.unopened_tokens(id).await?;
        Ok(Opened { tokens, route, ..Opened::default() })
    }

    /// Writes a connection as it is to be.
    pub async fn put_connection(
        &self,
        resolved: &Resolved,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Change, Unconfigured> {
        let Connection { id, accounts, .. } = &resolved.connection;
        let _alone = self.connections.alone(accounts.iter().chain([id])).await;
        self.put_connection_alone(resolved, dry_run, now).await
    }

    /// Over what is there, as often as others write it first.
    pub(super) async fn put_connection_alone(
        &self,
        resolved: &Resolved,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Change, Unconfigured> {
        for _ in 0..CONTENTIONS {
            match self.put_connection_once(resolved, dry_run, now).await {
                Err(Unconfigured::Contended) => {}
                done => return done,
            }
        }
        Err(Unconfigured::Contended)
    }

    async fn put_connection_once(
        &self,
        resolved: &Resolved,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Change, Unconfigured> {
        bounded(resolved)?;
        let id = resolved.connection.id.clone();
        let provider = Self::provider(&resolved.connection.provider)?;
        let stored = self.connections.document::<Connection>(Kind::Connection, &id).await?;
        let before = stored.as_ref().map(|stored| &stored.document);
        if let Some(before) = before.filter(|before| before.provider != provider.name()) {
            return Err(Unconfigured::Conflict(format!(
                "The connection `{id}` is one to {}: give the one to {} another `id`.",
                before.provider,
                provider.name()
            )));
        }
        let mut connection = resolved.connection.clone();
        // Another business's secrets are not handed over, nor those of a connection that was never made to its end.
        let kept = before.filter(|before| before.business == connection.business);
        let opened = match kept {
            Some(before) => self.opened(before, now).await?,
            None => self.unopened(provider.name(), &id).await?,
        };
        if let Some(before) = kept.filter(|before| before.configured == connection.configured) {
            connection.state = before.state;
        }
        if let Some(before) = kept
            && provider.renews_accounts()
        {
            // Its channels are not in any configuration.
            connection.accounts.clone_from(&before.accounts);
            for name in provider.about().accounts {
                if let Some(value) = before.settings.get(*name) {
                    connection.settings.entry((*name).to_owned()).or_insert_with(|| value.clone());
                }
            }
        }
        let mut fields = changed_settings(before, &connection);
        let mut webhook = opened.webhook.clone();
        for (kind, new) in &resolved.keys {
            let newest = kind.0.of(&webhook).iter().find(|key| key.is_live(now));
            if newest.is_none_or(|newest| newest.expose() != new) {
                fields.push(kind.0.name().to_owned());
                keys::rotate(kind.0.of_mut(&mut webhook), new, OVERLAP, now);
            }
        }
        let issued = issued_url_key(provider, &connection, &mut webhook, now);
        if issued.is_some() {
            fields.push(KeyKind::Url.name().to_owned());
            connection.sealed.insert(KeyKind::Url.name().to_owned());
        }
        for kind in KeyKind::ALL {
            if !kind.of(&webhook).is_empty() {
                connection.sealed.insert(kind.name().to_owned());
            }
        }
        let new_tokens = opened.tokens.new_of(&resolved.tokens);
        fields.extend(new_tokens.keys().cloned());
        for name in opened.tokens.tokens.keys() {
            connection.sealed.insert(name.clone());
        }
        let change = match before {
            None => "created",
            Some(before) if *before == connection && fields.is_empty() && !opened.route.is_unfinished => {
                "unchanged"
            }
            Some(_) => "changed",
        };
        self.refuse_twins(&connection, dry_run).await?;
        let done = Change {
            what: format!("connection {id}"),
            change,
            fields,
            webhook_url: issued
                .filter(|_| !dry_run)
                .map(|key| format!("/webhooks/{}/{id}?key={}", connection.provider, encoded(&key))),
        };
        if dry_run || change == "unchanged" {
            return Ok(done);
        }
        if !new_tokens.is_empty() || (kept.is_none() && opened.tokens.sealed().is_some()) {
            let mut tokens = opened.tokens.clone();
            tokens.say(&new_tokens);
            self.put_tokens(&id, &tokens, now).await?;
        }
        let over = stored.as_ref().map(|stored| stored.revision);
        self.write((before, &opened), &connection, &webhook, over, now).await?;
        Ok(done)
    }

    /// Writes a connection's routes, with its webhook secrets sealed, and then its document.
    async fn write(
        &self,
        (before, opened): (Option<&Connection>, &Opened),
        connection: &Connection,
        webhook: &Settings,
        over: Option<i64>,
        now: Timestamp,
    ) -> Result<(), Unconfigured> {
        let has_own = webhook.notification_url.is_some()
            || KeyKind::ALL.into_iter().any(|kind| !kind.of(webhook).is_empty());
        let sealed = if has_own {
            let plain = serde_json::to_string(webhook).unwrap_or_default();
            let ring = self.webhook_vault.fresh_ring(now).await?;
            Some(ring.seal(&sealed_for(&connection.id), &plain.into()))
        } else {
            None
        };
        self.write_sealed((before, &opened.route), connection, sealed.as_deref(), over).await
    }

    async fn write_sealed(
        &self,
        (before, route): (Option<&Connection>, &OwnRoute),
        connection: &Connection,
        sealed: Option<&str>,
        over: Option<i64>,
    ) -> Result<(), Unconfigured> {
        let former = before.map_or(&[][..], |before| &before.accounts);
        let routing = self.connections.route_over(former, connection, sealed, route).await?;
        let routing = routing.ok_or(Unconfigured::Contended)?;
        let (id, provider) = (&connection.id, &connection.provider);
        match self.connections.put_document(Kind::Connection, id, provider, connection, over).await? {
            Written::Yes => Ok(self.connections.routed(&routing).await.map(drop)?),
            Written::No => Err(Unconfigured::Contended),
        }
    }

    /// That no other connection has the same account and place. One that an event made gives way, and one that is disabled
    /// is nobody's rival: so an account goes from one connection to another.
    async fn refuse_twins(&self, connection: &Connection, dry_run: bool) -> Result<(), Unconfigured> {
        for account in &connection.accounts {
            for route in self.connections.routes_now(&connection.provider, account).await? {
                if route.connection == connection.id {
                    continue;
                }
                let other =
                    self.connections.document::<Connection>(Kind::Connection, &route.connection).await?;
                let Some(other) = other.map(|stored| stored.document) else { continue };
                if other.automatic {
                    if other.state != State::Enabled {
                        return Err(Unconfigured::Conflict(format!(
                            "The connection `{}`, which an event of this account made, is {}, and would leave behind what it holds. Enable it first.",
                            other.id,
                            other.state.name(),
                        )));
                    }
                    if !dry_run {
                        self.connections.unroute(&other).await?;
                        self.connections.delete_document(Kind::Connection, &other.id).await?;
                    }
                } else if other.place == connection.place
                    && ![other.state, connection.state].contains(&State::Disabled)
                {
                    return Err(Unconfigured::Conflict(format!(
                        "The connection `{}` has the same account already. Two locations of one account differ by {}. To give the account to `{}`, disable `{}` first.",
                        other.id,
                        Self::provider(&connection.provider)?
                            .about()
                            .places
                            .first()
                            .copied()
                            .unwrap_or("the account"),
                        connection.id,
                        other.id,
                    )));
                }
            }
        }
        Ok(())
    }

    /// Changes a connection's document and routes, as often as others write it first.
    pub async fn update(
        &self,
        id: &str,
        now: Timestamp,
        change: impl Fn(&mut Connection, &mut Settings),
    ) -> Result<Connection, Unconfigured> {
        let _alone = self.connections.alone([id]).await;
        self.update_alone(id, now, change).await
    }

    /// Enables or disables a connection.
    pub async fn set_state(&self, says: Says, id: &str, state: State) -> Result<Connection, Unconfigured> {
        let stored = self.connections.document::<Connection>(Kind::Connection, id).await?;
        let accounts = stored.map(|stored| stored.document.accounts).unwrap_or_default();
        let _alone = self.connections.alone(accounts.iter().map(String::as_str).chain([id])).await;
        if let Some(stored) = self.connections.document::<Connection>(Kind::Connection, id).await? {
            let wanted = Connection { state, ..stored.document };
            if says == Says::Business && state != State::Disabled {
                self.refuse_rivals(&wanted).await?;
            }
            self.refuse_twins(&wanted, false).await?;
        }
        self.change_alone(id, |connection| connection.state = state).await
    }

    /// Pauses a connection, or ends its pause. One that is disabled stays so.
    pub async fn set_paused(&self, id: &str, state: State) -> Result<Connection, Unconfigured> {
        let _alone = self.connections.alone([id]).await;
        let set = |connection: &mut Connection| {
            if connection.state != State::Disabled {
                connection.state = state;
            }
        };
        self.change_alone(id, set).await
    }

    /// Changes what of a connection is no secret, as often as others write it first. Its secrets stay sealed.
    pub(super) async fn change_alone(
        &self,
        id: &str,
        change: impl Fn(&mut Connection),
    ) -> Result<Connection, Unconfigured> {
        for _ in 0..CONTENTIONS {
            let stored = self.connections.document::<Connection>(Kind::Connection, id).await?;
            let stored = stored.ok_or_else(|| missing(id))?;
            let route = self.connections.own_route(&stored.document.provider, id).await?;
            let mut connection = stored.document.clone();
            change(&mut connection);
            let (before, sealed) = (Some(&stored.document), route.sealed.as_deref());
            match self.write_sealed((before, &route), &connection, sealed, Some(stored.revision)).await {
                Err(Unconfigured::Contended) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(connection),
            }
        }
        Err(Unconfigured::Contended)
    }

    async fn update_alone(
        &self,
        id: &str,
        now: Timestamp,
        change: impl Fn(&mut Connection, &mut Settings),
    ) -> Result<Connection, Unconfigured> {
        for _ in 0..CONTENTIONS {
            let stored = self.connections.document::<Connection>(Kind::Connection, id).await?;
            let stored = stored.ok_or_else(|| missing(id))?;
            let opened = self.opened(&stored.document, now).await?;
            let mut webhook = opened.webhook.clone();
            let mut connection = stored.document.clone();
            change(&mut connection, &mut webhook);
            let over = Some(stored.revision);
            match self.write((Some(&stored.document), &opened), &connection, &webhook, over, now).await {
                Err(Unconfigured::Contended) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(connection),
            }
        }
        Err(Unconfigured::Contended)
    }

    /// Says what becomes of events of unknown accounts.
    pub async fn set_unknown(&self, unknown: Unknown) -> Result<(), Unconfigured> {
        Ok(self.connections.set_unknown(unknown).await?)
    }
}

/// The longest id of an account or a place, in bytes.
const LONGEST_ACCOUNT: usize = 512;
/// The most that may be said of a connection, and the most that may be sealed of it, in bytes: an item of the table holds
/// 400 KB, and sealed keys overlap.
const LARGEST: usize = 64 * 1024;

fn bounded(resolved: &Resolved) -> Result<(), Unconfigured> {
    let Connection { id, accounts, place, settings, .. } = &resolved.connection;
    if !is_id(id) {
        return Err(Unconfigured::Refused(format!(
            "`{}` is no connection's id: up to 64 lower-case letters, digits and hyphens.",
            id.escape_debug()
        )));
    }
    if accounts.iter().chain(place).any(|account| account.len() > LONGEST_ACCOUNT) {
        return Err(Unconfigured::Refused(format!(
            "An account's or a place's id of `{id}` is longer than {LONGEST_ACCOUNT} bytes."
        )));
    }
    let said: usize = settings.iter().map(|(name, value)| name.len() + value.len()).sum();
    let keys = resolved.keys.iter().map(|(_, key)| key.len());
    let sealed: usize =
        resolved.tokens.iter().map(|(name, value)| name.len() + value.len()).chain(keys).sum();
    if said > LARGEST || sealed > LARGEST {
        return Err(Unconfigured::Refused(format!(
            "The settings of `{id}` are larger than {LARGEST} bytes."
        )));
    }
    Ok(())
}

fn missing(id: &str) -> Unconfigured {
    Unconfigured::Missing(format!("No connection is called `{}`.", id.escape_debug()))
}

pub(super) fn is_secret(provider: Entry, name: &str) -> bool {
    let kind = provider.setting(name).map(|setting| setting.kind);
    matches!(kind, Some(SettingKind::Secret | SettingKind::SigningKey | SettingKind::UrlKey))
}

/// The names of what differs, but for secrets.
fn changed_settings(before: Option<&Connection>, after: &Connection) -> Vec<String> {
    let Some(before) = before else { return after.settings.keys().cloned().collect() };
    let names: BTreeSet<_> = before.settings.keys().chain(after.settings.keys()).collect();
    let mut changed: Vec<_> = names
        .into_iter()
        .filter(|name| before.settings.get(*name) != after.settings.get(*name))
        .cloned()
        .collect();
    let parts = [
        ("state", before.state != after.state),
        ("role", before.role != after.role),
        ("business", before.business != after.business),
        ("location", before.location != after.location),
    ];
    changed.extend(parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()));
    changed
}

/// Makes the secret of the connection's URL, where its webhooks are proved by nothing else and none was said.
fn issued_url_key(
    provider: Entry,
    connection: &Connection,
    webhook: &mut Settings,
    now: Timestamp,
) -> Option<String> {
    let in_url = |sender: &dyn Provider| sender.open_secret() == Some(OpenSecret::Query);
    let needs_one = provider.sender().is_some_and(in_url)
        && webhook.live_keys(now).is_err()
        && webhook.live_url_keys(now).is_err()
        && !connection.automatic;
    needs_one.then(|| {
        let key = hex::encode(entropy::bytes::<24>());
        keys::rotate(&mut webhook.url_keys, &key, OVERLAP, now);
        key
    })
}
