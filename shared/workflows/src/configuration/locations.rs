//! Locations written with their connections: as somebody says them whole, or with one integration put into them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use tillwatch_domain::location::ConnectionSettings;
use tillwatch_domain::{Connection, Location, State};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::table::Written;
use tillwatch_providers::Settings;

use super::resolve::resolve;
use super::store::{CONTENTIONS, Change, Configurator, StoredLocation, Unconfigured, is_secret};

/// Who says what a location is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// An operator.
    Operator,
    /// A business of its own: it takes no connection that is another's, and no account that an operator has not given to it.
    Business,
}

/// What becomes of the things that a location is written with, by what they are, over all attempts at it.
#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, change: Change) {
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

impl Configurator {
    /// Writes a location with its connections. Those that it had and has no more are disabled: their events are held.
    pub async fn put_location(
        &self,
        says: Says,
        location: &Location,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Vec<Change>, Unconfigured> {
        let _alone = self.connections.alone(touched(location)).await;
        self.write_location(says, &location.id, |_| Some(location.clone()), dry_run, now).await
    }

    /// Puts an integration into a location, whatever others put into it meanwhile.
    pub async fn put_integration(
        &self,
        says: Says,
        into: &Location,
        provider: &str,
        settings: &ConnectionSettings,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Vec<Change>, Unconfigured> {
        let with = |mut location: Location| {
            location.providers.insert(provider.to_owned(), settings.clone());
            location
        };
        let _alone = self.connections.alone(touched(&with(into.clone()))).await;
        self.write_location(says, &into.id, |stored| stored.cloned().map(with), dry_run, now).await
    }

    /// Writes what `said` makes of the location that is there, and its connections, as often as others write it first.
    async fn write_location(
        &self,
        says: Says,
        id: &str,
        said: impl Fn(Option<&Location>) -> Option<Location>,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Vec<Change>, Unconfigured> {
        let mut changes = Changes::default();
        let what = format!("location {id}");
        changes.add(Change {
            what: what.clone(),
            change: "unchanged",
            fields: Vec::new(),
            webhook_url: None,
        });
        for _ in 0..CONTENTIONS {
            let stored = self.connections.document::<StoredLocation>(Kind::Location, id).await?;
            let before = stored.as_ref().map(|stored| &stored.document);
            let Some(location) = said(before.map(|before| &before.location)) else {
                return Err(Unconfigured::Missing(format!("No location is called `{}`.", id.escape_debug())));
            };
            let gone = before.map(|before| &before.location);
            self.put_its_connections(says, &location, gone, dry_run, now, &mut changes).await?;
            let document = without_secrets(&location, before)?;
            let change = match before {
                None => "created",
                Some(before) if *before == document => "unchanged",
                Some(_) => "changed",
            };
            let over = stored.as_ref().map(|stored| stored.revision);
            let is_done = dry_run || change == "unchanged";
            if is_done
                || self.connections.put_document(Kind::Location, id, "", &document, over).await?
                    == Written::Yes
            {
                changes.add(Change { what, change, fields: Vec::new(), webhook_url: None });
                return Ok(changes.0);
            }
        }
        Err(Unconfigured::Contended)
    }

    /// Writes the connections that a location has, and disables those that only the one before it had.
    async fn put_its_connections(
        &self,
        says: Says,
        location: &Location,
        before: Option<&Location>,
        dry_run: bool,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<(), Unconfigured> {
        let mut all = Vec::new();
        for (name, said) in &location.providers {
            let owner = (location.business.as_str(), Some(location.id.as_str()));
            let resolved = resolve(Self::provider(name)?, owner, said, &self.defaults(name).await?);
            if says == Says::Business {
                self.refuse_others(&resolved.connection).await?;
            }
            all.push(resolved);
        }
        // Together: they are of different providers, and none stands on another.
        let puts = all.iter().map(|resolved| self.put_connection_alone(resolved, dry_run, now));
        try_join_all(puts).await?.into_iter().for_each(|change| changes.add(change));
        for (name, said) in before.into_iter().flat_map(|before| &before.providers) {
            if !location.providers.contains_key(name) {
                let id = said.id.clone().unwrap_or_else(|| Location::connection_id(&location.id, name));
                self.disable(&id, dry_run).await?.into_iter().for_each(|change| changes.add(change));
            }
        }
        Ok(())
    }

    async fn disable(&self, id: &str, dry_run: bool) -> Result<Option<Change>, Unconfigured> {
        let stored = self.connections.document::<Connection>(Kind::Connection, id).await?;
        let Some(stored) = stored.filter(|stored| stored.document.state != State::Disabled) else {
            return Ok(None);
        };
        if !dry_run {
            let now = Timestamp::UNIX_EPOCH;
            let disable = |connection: &mut Connection, _: &mut Settings| connection.state = State::Disabled;
            self.update_alone(&stored.document.id, now, disable).await?;
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
        let about = Configurator::provider(name)?.about();
        let said_before = before.and_then(|before| before.sealed.get(name)).into_iter().flatten().cloned();
        let said_now = said.settings.keys().filter(|name| is_secret(about, name)).cloned();
        let names: BTreeSet<_> = said_now.chain(said_before).collect();
        said.settings.retain(|name, _| !is_secret(about, name));
        if !names.is_empty() {
            sealed.insert(name.clone(), names);
        }
    }
    Ok(StoredLocation { location: kept, sealed })
}
