//! The configuration: written part by part, read back without secrets.
#![expect(
    clippy::disallowed_types,
    reason = "what serde derives for flattened maps names floats; none is held here"
)]

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tillwatch_domain::connection::is_id;
use tillwatch_domain::location::{Business, BusinessConnection, Configuration, ConnectionSettings, Scalar};
use tillwatch_domain::{Connection, Location};
use tillwatch_platform::connections::{Kind, Unknown};
use tillwatch_providers::catalogue;

use super::operators::Who;
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, body, clipped, json, only};
use crate::configuration::{
    CONTENTIONS, Change, Path, Said, Says, Severity, StoredLocation, Told, Unconfigured, Written,
    check_as_written,
};

/// How many locations a page holds.
const PAGE: i32 = 100;

#[derive(Serialize)]
struct Changes {
    changes: Vec<Change>,
}

/// One page of the configuration that is in force.
#[derive(Serialize)]
struct ConfigurationPage {
    businesses: BTreeMap<String, Business>,
    providers: BTreeMap<String, BTreeMap<String, Scalar>>,
    locations: Vec<StoredLocation>,
    connections: Vec<Value>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Mode {
    connections: String,
}

/// What an application says of one connection.
#[derive(Deserialize)]
struct Integration {
    provider: String,
    #[serde(flatten)]
    settings: ConnectionSettings,
}

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["config"]
            | ["config", "mode"]
            | ["config", "businesses" | "providers" | "locations" | "business-connections", _]
            | ["pos-integration", _]
    )
}

pub(super) fn says(who: &Who) -> Says {
    match who {
        Who::Operator => Says::Operator,
        Who::Business(_) => Says::Business,
    }
}

impl Console {
    pub(super) async fn configuration_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        let now = self.clock.now();
        if let ["config"] = segments {
            only(request, "GET")?;
            return Ok(json(200, &self.configuration_page(who, query).await?));
        }
        let dry_run = match query.get("dry_run") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::bad_parameter("dry_run", "is true or false")),
        };
        query.only(&["dry_run"])?;
        if let ["pos-integration", location] = segments {
            only(request, "POST")?;
            let Integration { provider, settings } = body(request)?;
            let location = self.location(who, location).await?.location;
            let said = Said::Integration { location: &location, provider: &provider, settings: &settings };
            if let Some(whole) = said.over(Some(&location)).filter(|_| !dry_run) {
                self.refuse_mistakes(&whole).await?;
            }
            return self.write_location(who, said, dry_run).await;
        }
        only(request, "PUT")?;
        who.operator()?;
        let changes = match segments {
            ["config", "mode"] => {
                let mode: Mode = body(request)?;
                let unknown = Unknown::named(&mode.connections).ok_or_else(|| {
                    let detail = "`connections` is `auto` or `declared`.";
                    Problem::new(422, "refused", "That can't be configured", detail)
                })?;
                self.configuration.set_unknown(unknown).await?;
                self.forget().await;
                Vec::new()
            }
            ["config", "businesses", id] => {
                let business: Business = body(request)?;
                vec![self.configuration.put_business(an_id(id)?, &business, dry_run).await?]
            }
            ["config", "providers", id] => {
                let defaults: BTreeMap<String, Scalar> = body(request)?;
                let providers = BTreeMap::from([((*id).to_owned(), defaults.clone())]);
                refuse_what_is_wrong(
                    &Configuration { providers, ..Configuration::default() },
                    &Written::default(),
                )?;
                vec![self.configuration.put_defaults(id, &defaults, dry_run).await?]
            }
            ["config", "locations", id] => {
                let location: Location = body(request)?;
                if location.id != an_id(id)? {
                    let detail = "The body's `id` is another than the path's.";
                    return Err(Problem::new(422, "refused", "That can't be configured", detail));
                }
                // What would only be tried may stand on defaults that are not written yet.
                if !dry_run {
                    self.refuse_mistakes(&location).await?;
                }
                return self.write_location(who, Said::Whole(&location), dry_run).await;
            }
            _ => {
                let said: BusinessConnection = body(request)?;
                if !dry_run {
                    self.refuse_mistakes_of(segments[2], &said).await?;
                }
                let put = self.configuration.put_business_connection(segments[2], &said, dry_run, now);
                let change = put.await?;
                if !dry_run {
                    self.announce(std::slice::from_ref(&change), false).await?;
                }
                vec![change]
            }
        };
        Ok(json(200, &Changes { changes }))
    }

    /// Writes a location and what hangs on it, as often as others write it first.
    async fn write_location(&self, who: &Who, said: Said<'_>, dry_run: bool) -> Result<ApiAnswer, Problem> {
        let now = self.clock.now();
        let mut told = Told::default();
        for _ in 0..CONTENTIONS {
            let prepared = self.configuration.prepare_location(says(who), said, dry_run, now).await?;
            prepared.changes.iter().cloned().for_each(|change| told.add(change));
            let is_done = dry_run || {
                self.announce(&prepared.changes, prepared.differs).await?;
                self.configuration.put_prepared(prepared).await? == tillwatch_platform::table::Written::Yes
            };
            if is_done {
                return Ok(json(200, &Changes { changes: told.0 }));
            }
        }
        Err(Unconfigured::Contended.into())
    }

    async fn refuse_mistakes(&self, location: &Location) -> Result<(), Problem> {
        let connections = &self.configuration.connections;
        let stored = connections.document::<StoredLocation>(Kind::Location, &location.id).await?;
        let sealed = stored.map(|stored| stored.document.sealed).unwrap_or_default();
        let mut defaults = BTreeMap::new();
        for name in location.providers.keys() {
            defaults.insert(name.clone(), self.configuration.defaults(name).await?);
        }
        refuse(location, defaults, &sealed)
    }

    async fn refuse_mistakes_of(&self, id: &str, said: &BusinessConnection) -> Result<(), Problem> {
        let stored = self.configuration.connections.document::<Connection>(Kind::Connection, id).await?;
        let sealed = stored.map(|stored| stored.document.sealed).unwrap_or_default();
        let (mut said, mut written) = (said.clone(), Written::default());
        let path = Path::default().to("connections").at(0);
        let known = catalogue::of(&said.provider);
        for name in sealed.into_iter().filter(|name| known.is_some_and(|known| known.setting(name).is_some()))
        {
            if let Entry::Vacant(vacant) = said.connection.settings.entry(name.clone()) {
                vacant.insert(Scalar("sealed".to_owned()));
                written.unknown.insert(path.to(&name));
            }
        }
        let defaults = self.configuration.defaults(&said.provider).await.unwrap_or_default();
        let providers = BTreeMap::from([(said.provider.clone(), defaults)]);
        let providers = if known.is_some() { providers } else { BTreeMap::new() };
        let whole = Configuration { providers, connections: vec![said], ..Configuration::default() };
        refuse_what_is_wrong(&whole, &written)
    }

    /// Has what hangs on connections know of their changes; of all of them, where it may be that somebody ended before.
    async fn announce(&self, changes: &[Change], all: bool) -> Result<(), Problem> {
        let mut providers = BTreeSet::new();
        for change in changes.iter().filter(|change| all || change.change != "unchanged") {
            let Some(id) = change.what.strip_prefix("connection ") else { continue };
            let stored = self.configuration.connections.document::<Connection>(Kind::Connection, id).await?;
            let Some(connection) = stored.map(|stored| stored.document) else { continue };
            let has_held = change.change == "unchanged" || change.fields.iter().any(|field| field == "state");
            if has_held && change.change != "created" {
                self.changed(&connection).await?;
            } else {
                self.look_after(&connection).await?;
            }
            providers.insert(connection.provider);
        }
        if !providers.is_empty() {
            self.forget().await;
        }
        for provider in providers {
            self.replays.start_for_accounts(&provider).await?;
        }
        Ok(())
    }

    /// Has the processor read connections anew, where it is in this process.
    pub(super) async fn forget(&self) {
        if let Some(routing) = &self.routing {
            routing.forget().await;
        }
    }

    /// The location of that id, if it may be seen.
    pub(super) async fn location(&self, who: &Who, id: &str) -> Result<StoredLocation, Problem> {
        let stored = self.configuration.connections.document::<StoredLocation>(Kind::Location, id).await?;
        let location = stored.map(|stored| stored.document);
        location
            .filter(|stored| who.may_see(&stored.location.business))
            .ok_or_else(|| Problem::not_found(format!("No location is called `{}`.", clipped(id))))
    }

    async fn configuration_page(&self, who: &Who, query: &Query) -> Result<ConfigurationPage, Problem> {
        query.only(&["cursor"])?;
        let after = query.get("cursor").unwrap_or_default();
        let connections = &self.configuration.connections;
        let (mut locations, mut last) = (Vec::new(), after.to_owned());
        let more = loop {
            let (found, more) =
                connections.documents::<StoredLocation>(Kind::Location, "", &last, PAGE).await?;
            if let Some(found) = found.last() {
                last.clone_from(&found.location.id);
            }
            // The ids of others' are nobody's business, the last of a page included.
            locations.extend(found.into_iter().filter(|stored| who.may_see(&stored.location.business)));
            if !more || !locations.is_empty() {
                break more;
            }
        };
        let next = locations.last().filter(|_| more).map(|stored| stored.location.id.clone());
        let mut page = ConfigurationPage {
            businesses: BTreeMap::new(),
            providers: BTreeMap::new(),
            connections: Vec::new(),
            locations,
            next,
        };
        // The rest is on the first page.
        if !after.is_empty() {
            return Ok(page);
        }
        for provider in catalogue::all() {
            let defaults = self.configuration.defaults(provider.name()).await?;
            if !defaults.is_empty() && *who == Who::Operator {
                page.providers.insert(provider.name().to_owned(), defaults);
            }
            let mut last = String::new();
            loop {
                let (found, more) = connections
                    .documents::<Connection>(Kind::Connection, provider.name(), &last, 500)
                    .await?;
                for connection in found {
                    last.clone_from(&connection.id);
                    let of_business = connection.location.is_none() && !connection.automatic;
                    if of_business && who.may_see(&connection.business) {
                        page.connections.push(of_a_business(&connection));
                    }
                }
                if !more {
                    break;
                }
            }
        }
        let mut last = String::new();
        loop {
            let (ids, more) = connections.ids(Kind::Business, "", &last, 500).await?;
            for id in ids {
                last.clone_from(&id);
                if !who.may_see(&id) {
                    continue;
                }
                if let Some(stored) = connections.document::<Business>(Kind::Business, &id).await? {
                    page.businesses.insert(id, stored.document);
                }
            }
            if !more {
                break;
            }
        }
        Ok(page)
    }
}

/// A business's connection in the form in which it is written.
fn of_a_business(connection: &Connection) -> Value {
    let mut said = serde_json::json!({
        "id": connection.id,
        "business": connection.business,
        "provider": connection.provider,
        "state": connection.state,
        "role": connection.role,
        "sealed": connection.sealed,
    });
    for (name, value) in &connection.settings {
        said[name] = value.clone().into();
    }
    said
}

/// That a location is one that can be meant, with the defaults that are in force. Secrets that are sealed already need
/// not be said again.
fn refuse(
    location: &Location,
    defaults: BTreeMap<String, BTreeMap<String, Scalar>>,
    sealed: &BTreeMap<String, BTreeSet<String>>,
) -> Result<(), Problem> {
    let (mut whole, mut written) = (location.clone(), Written::default());
    for (provider, names) in sealed {
        let Some(said) = whole.providers.get_mut(provider) else { continue };
        for name in names.iter().filter(|name| !location.providers[provider].settings.contains_key(*name)) {
            said.settings.insert(name.clone(), Scalar("sealed".to_owned()));
            let path = Path::default().to("locations").at(0).to("providers").to(provider).to(name);
            written.unknown.insert(path);
        }
    }
    let configuration =
        Configuration { providers: defaults, locations: vec![whole], ..Configuration::default() };
    refuse_what_is_wrong(&configuration, &written)
}

fn refuse_what_is_wrong(configuration: &Configuration, written: &Written) -> Result<(), Problem> {
    let mistakes = check_as_written(configuration, written);
    let errors: Vec<_> = mistakes
        .iter()
        .filter(|mistake| mistake.severity == Severity::Error)
        .map(|mistake| match &mistake.meant {
            Some(meant) => format!("{}: {}. {meant}.", mistake.path, mistake.wrong),
            None => format!("{}: {}.", mistake.path, mistake.wrong),
        })
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Problem::new(422, "refused", "That can't be configured", errors.join(" ")))
}

fn an_id(text: &str) -> Result<&str, Problem> {
    if is_id(text) {
        return Ok(text);
    }
    let detail = format!("`{}` is no id: up to 64 lower-case letters, digits and hyphens.", clipped(text));
    Err(Problem::new(422, "refused", "That can't be configured", detail))
}
