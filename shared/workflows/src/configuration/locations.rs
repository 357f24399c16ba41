//! Locations written with their connections: as somebody says them whole, or with one integration put into them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use jiff::Timestamp;
use tillwatch_domain::location::ConnectionSettings;
use tillwatch_domain::{Connection, Location, State};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::table::Written;
use tokio::sync::MutexGuard;

use super::resolve::resolve;
use super::store::{Change, Configurator, StoredLocation, Unconfigured, is_secret};

/// Who says what a location is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// An operator.
    Operator,
    /// A business of its own: it takes no connection that is another's, and no account that an operator has not given to it.
    Business,
}

/// What becomes of the things that a location is written with, by what they are, over all attempts at it.
#[derive(Debug, Default)]
pub struct Told(pub Vec<Change>);

impl Told {
    /// Adds what came of one of them.
    pub fn add(&mut self, change: Change) {
        let Some(earlier) = self.0.iter_mut().find(|earlier| earlier.what == change.what) else {
            return self.0.push(change);
        };
        if change.change != "unchanged" && earlier.change != "created" {
            earlier.change = change.change;
        }
        earlier.fields.extend(change.fields);
        earlier.fields.sort();
        earlier.fields.dedup();
        // A secret that was made is told however often the rest had to be done again.
        earlier.webhook_url = change.webhook_url.or(earlier.webhook_url.take());
    }
}

/// What is said of a location.
#[derive(Debug, Clone, Copy)]
pub enum Said<'a> {
    /// All of it.
    Whole(&'a Location),
    /// One integration that is put into it, whatever others put into it meanwhile.
    Integration {
        /// The location.
        location: &'a Location,
        /// The provider's name.
        provider: &'a str,
        /// What is said of the connection.
        settings: &'a ConnectionSettings,
    },
}

impl Said<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Whole(location) | Self::Integration { location, .. } => &location.id,
        }
    }

    /// The whole location, where this is what is there; none, if there must be one and is none.
    pub fn over(&self, stored: Option<&Location>) -> Option<Location> {
        match self {
            Self::Whole(location) => Some((*location).clone()),
            Self::Integration { provider, settings, .. } => {
                let mut location = stored?.clone();
                location.providers.insert((*provider).to_owned(), (*settings).clone());
                Some(location)
            }
        }
    }

    fn is_of(&self, name: &str) -> bool {
        matches!(self, Self::Whole(_))
            || matches!(self, Self::Integration { provider, .. } if *provider == name)
    }
}

/// A location whose connections are written, and which is not yet.
pub struct Prepared<'a> {
    /// What becomes of its connections, and of it.
    pub changes: Vec<Change>,
    /// Whether it differs from what is there.
    pub differs: bool,
    document: StoredLocation,
    over: Option<i64>,
    _alone: Vec<MutexGuard<'a, ()>>,
}

/// The largest location, in bytes of its JSON: what an item of the table holds, with room for what goes with it.
const LARGEST: usize = 300_000;

impl Configurator {
    /// Writes the connections of a location as it is to be. Those that it had and has no more are disabled: their events are
    /// held. The location itself is written last ([`Configurator::put_prepared`]), when all is done that its connections
    /// owe: whoever ends in between leaves one that is still to be written.
    pub async fn prepare_location(
        &self,
        says: Says,
        said: Said<'_>,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Prepared<'_>, Unconfigured> {
        let read = async || self.connections.document::<StoredLocation>(Kind::Location, said.id()).await;
        let missing =
            || Unconfigured::Missing(format!("No location is called `{}`.", said.id().escape_debug()));
        let stored = read().await?.map(|stored| stored.document.location);
        let touched = touched(&said.over(stored.as_ref()).ok_or_else(missing)?);
        let alone = self.connections.alone(touched).await;
        let stored = read().await?;
        let before = stored.as_ref().map(|stored| &stored.document);
        let location = said.over(before.map(|before| &before.location)).ok_or_else(missing)?;
        let document = without_secrets(&location, before)?;
        if serde_json::to_vec(&document).is_ok_and(|json| json.len() > LARGEST) {
            return Err(Unconfigured::Refused(format!(
                "The location `{}` is larger than {LARGEST} bytes: say less in its options.",
                location.id
            )));
        }
        let change = match before {
            None => "created",
            Some(before) if *before == document => "unchanged",
            Some(_) => "changed",
        };
        let what = format!("location {}", location.id);
        let mut changes = vec![Change { what, change, fields: Vec::new(), webhook_url: None }];
        let gone = before.map(|before| &before.location);
        changes.extend(self.put_its_connections(says, said, (gone, &location), dry_run, now).await?);
        let over = stored.as_ref().map(|stored| stored.revision);
        Ok(Prepared { changes, differs: change != "unchanged", document, over, _alone: alone })
    }

    /// Writes a location whose connections are written, unless somebody else has meanwhile: then it is to be prepared again.
    pub async fn put_prepared(&self, prepared: Prepared<'_>) -> Result<Written, Unconfigured> {
        let Prepared { document, over, differs, .. } = &prepared;
        if !differs {
            return Ok(Written::Yes);
        }
        Ok(self.connections.put_document(Kind::Location, &document.location.id, "", document, *over).await?)
    }

    /// Writes the connections that are spoken of, and disables those that only the location before had.
    async fn put_its_connections(
        &self,
        says: Says,
        said: Said<'_>,
        (before, location): (Option<&Location>, &Location),
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Vec<Change>, Unconfigured> {
        let mut all = Vec::new();
        for (name, settings) in location.providers.iter().filter(|(name, _)| said.is_of(name)) {
            let owner = (location.business.as_str(), Some(location.id.as_str()));
            let resolved = resolve(Self::provider(name)?, owner, settings, &self.defaults(name).await?);
            if says == Says::Business {
                self.refuse_others(&resolved.connection).await?;
                if !resolved.keys.is_empty() && self.shares_an_account(&resolved.connection).await? {
                    return Err(Unconfigured::Conflict(format!(
                        "Other businesses share the account of `{}`: with a secret of its own it could forge their \
                         events. An operator can give it one.",
                        resolved.connection.id
                    )));
                }
            }
            all.push(resolved);
        }
        // Together: they are of different providers, and none stands on another. Each to its end, whatever comes of the others.
        let puts = all.iter().map(|resolved| self.put_connection_alone(resolved, dry_run, now));
        let mut changes = join_all(puts).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let ids = |location: &Location| -> BTreeSet<String> {
            let id = |(name, said): (&String, &ConnectionSettings)| {
                said.id.clone().unwrap_or_else(|| Location::connection_id(&location.id, name))
            };
            location.providers.iter().map(id).collect()
        };
        let (had, has) = (before.map(ids).unwrap_or_default(), ids(location));
        for id in had.difference(&has) {
            changes.extend(self.disable(id, &location.id, dry_run).await?);
        }
        Ok(changes)
    }

    /// Disables a connection that a location has no more, unless it is another's by now.
    async fn disable(&self, id: &str, location: &str, dry_run: bool) -> Result<Option<Change>, Unconfigured> {
        let stored = self.connections.document::<Connection>(Kind::Connection, id).await?;
        let is_its = |connection: &Connection| {
            connection.location.as_deref() == Some(location) && connection.state != State::Disabled
        };
        if !stored.is_some_and(|stored| is_its(&stored.document)) {
            return Ok(None);
        }
        if !dry_run {
            let disable = |connection: &mut Connection| {
                if connection.location.as_deref() == Some(location) {
                    (connection.state, connection.configured) = (State::Disabled, None);
                }
            };
            self.change_alone(id, disable).await?;
        }
        let what = format!("connection {id}");
        Ok(Some(Change { what, change: "disabled", fields: vec!["state".to_owned()], webhook_url: None }))
    }
}

/// What writing a location touches: its connections, and the accounts that they are found by.
fn touched(location: &Location) -> Vec<String> {
    let mut all = vec![location.id.clone()];
    for (name, said) in &location.providers {
        all.push(said.id.clone().unwrap_or_else(|| Location::connection_id(&location.id, name)));
        let accounts = tillwatch_providers::named(name).map_or(&[][..], |provider| provider.about().accounts);
        let values = accounts.iter().filter_map(|account| said.settings.get(*account));
        all.extend(values.map(|value| value.0.trim().to_owned()));
    }
    all
}

/// A location as it is kept: the values of its secrets are with its connections, sealed.
fn without_secrets(
    location: &Location,
    before: Option<&StoredLocation>,
) -> Result<StoredLocation, Unconfigured> {
    let (mut kept, mut sealed) = (location.clone(), BTreeMap::new());
    for (name, said) in &mut kept.providers {
        let provider = Configurator::provider(name)?;
        let said_before = before.and_then(|before| before.sealed.get(name)).into_iter().flatten().cloned();
        let said_now = said.settings.keys().filter(|name| is_secret(provider, name)).cloned();
        let names: BTreeSet<_> = said_now.chain(said_before).collect();
        said.settings.retain(|name, _| !is_secret(provider, name));
        if !names.is_empty() {
            sealed.insert(name.clone(), names);
        }
    }
    Ok(StoredLocation { location: kept, sealed })
}
