//! Connections: listed, shown with what is in force, tried, enabled and disabled, and their secrets rotated. And providers:
//! what each takes, and the secrets that all its connections share.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tillwatch_domain::{Connection, State};
use tillwatch_platform::connections::{By, Kind};
use tillwatch_providers::catalogue::{self, Entry};
use tillwatch_providers::{Headers, OpenSecret, Provider, Request, Settings};
use utoipa::ToSchema;

use super::configuration::says;
use super::operators::Who;
use super::{ApiAnswer, ApiRequest, Console, Problem, Query, body, clipped, json, known, only, sender};
use crate::configuration::keys::{self, OVERLAP};
use crate::configuration::{KeyKind, KeyView, Opened, Rotation, Unconfigured, in_force};

/// A connection, with what is in force for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionView {
    /// Its id.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// The business that it belongs to.
    pub business: String,
    /// The location; null, if it is the whole business's.
    pub location: Option<String>,
    /// The provider's ids by which webhooks find it.
    pub accounts: Vec<String>,
    /// The provider's id of the place inside the account.
    pub place: Option<String>,
    /// `enabled`, `paused` or `disabled`.
    pub state: &'static str,
    /// `primary`, `shadow` or `fallback`.
    pub role: &'static str,
    /// Whether an event of its account made it, and no configuration.
    pub automatic: bool,
    /// Its settings: what was said of it, over the provider's defaults. No secrets.
    pub settings: BTreeMap<String, String>,
    /// The names of its settings that are sealed.
    pub sealed: Vec<String>,
    /// The secrets of its own that prove its webhooks, newest first, by name.
    pub keys: Vec<KeyView>,
    /// Why its secrets can't be opened; null, if they can.
    pub secrets_problem: Option<String>,
    /// The path of its own webhook URL. Without the secret that belongs to it, if one does; null, if its provider sends no
    /// webhooks.
    pub webhook_path: Option<String>,
}

/// One page of connections, by provider and id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionPage {
    /// The connections.
    pub connections: Vec<ConnectionView>,
    /// Pass it as `cursor` for the next page; null if this is the last.
    pub next: Option<String>,
}

/// What came of trying a connection's webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionTest {
    /// Whether all is well.
    pub ok: bool,
    /// What was tried.
    pub checks: Vec<CheckView>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckView {
    /// What.
    pub check: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// What is wrong, and how to mend it.
    pub detail: Option<String>,
}

/// A rotation as it is asked for.
#[derive(Deserialize, ToSchema)]
pub(super) struct RotationRequest {
    /// `signing_key`, `url_key` or `verify_token`; left out: the kind that the provider's webhooks are proved by.
    kind: Option<String>,
    /// The new secret, where the provider made it; left out: one is made here, and told once.
    #[schema(value_type = Option<String>)]
    key: Option<SecretString>,
    /// For how many seconds the old ones stay live; a day, unless told.
    overlap_seconds: Option<u64>,
}

/// A vault's ring with a new key.
#[derive(Debug, Serialize, ToSchema)]
pub struct RingRotated {
    /// The new key's name.
    pub key: String,
}

/// The longest time that a replaced secret may stay live.
const LONGEST_OVERLAP: Duration = Duration::from_hours(24 * 30);

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["connections" | "providers"]
            | ["connections" | "providers", _]
            | ["connections", _, "test" | "rotate-secret" | "enable" | "disable"]
            | ["providers", _, "rotate-secret"]
            | ["vault", "webhooks" | "tokens", "rotate" | "reseal"]
            | ["pos-config", _, _]
            | ["pos-integration", _, "status" | "test"]
            | ["pos-integration", _, _, "rotate-secret"]
    )
}

impl Console {
    pub(super) async fn connections_route(
        &self,
        who: &Who,
        request: &ApiRequest,
        segments: &[&str],
        query: &Query,
    ) -> Result<ApiAnswer, Problem> {
        let now = self.clock.now();
        match segments {
            ["providers"] => {
                only(request, "GET")?;
                let all = catalogue::all().map(|provider| (provider.name(), provider.about()));
                Ok(json(200, &all.collect::<BTreeMap<_, _>>()))
            }
            ["providers", name] => {
                only(request, "GET")?;
                Ok(json(200, known(name)?.about()))
            }
            ["providers", name, _] => {
                only(request, "POST")?;
                who.operator()?;
                let provider = sender(name)?;
                let rotation = rotation(body(request)?, provider, &Settings::default())?;
                let rotated = self.configuration.rotate_provider(provider.name(), rotation, now).await?;
                Ok(json(200, &rotated))
            }
            ["vault", which, what] => {
                only(request, "POST")?;
                who.operator()?;
                self.vault(which, what, query).await
            }
            ["connections"] => {
                only(request, "GET")?;
                Ok(json(200, &self.list(who, query).await?))
            }
            ["connections", id] => {
                only(request, "GET")?;
                let connection = self.connection(who, id).await?;
                Ok(json(200, &self.view(connection, now).await?))
            }
            ["connections", id, "test"] => {
                only(request, "POST")?;
                let connection = self.connection(who, id).await?;
                Ok(json(200, &self.test(&connection, now).await?))
            }
            ["connections", id, "rotate-secret"] => {
                only(request, "POST")?;
                let connection = self.connection(who, id).await?;
                self.rotate(who, &connection, request, now).await
            }
            ["connections", id, change] => {
                only(request, "POST")?;
                let state = if *change == "enable" { State::Enabled } else { State::Disabled };
                let connection = self.connection(who, id).await?;
                let connection = self.configuration.set_state(says(who), &connection.id, state).await?;
                self.changed(&connection).await?;
                Ok(json(200, &self.view(connection, now).await?))
            }
            ["pos-config", location, provider] => {
                only(request, "GET")?;
                let connection = self.connection_at(who, location, known(provider)?).await?;
                Ok(json(200, &self.view(connection, now).await?))
            }
            ["pos-integration", location, provider, _] => {
                only(request, "POST")?;
                let connection = self.connection_at(who, location, known(provider)?).await?;
                self.rotate(who, &connection, request, now).await
            }
            ["pos-integration", location, "status"] => {
                only(request, "GET")?;
                let mut views = Vec::new();
                for connection in self.connections_of(who, location).await? {
                    views.push(self.view(connection, now).await?);
                }
                Ok(json(200, &ConnectionPage { connections: views, next: None }))
            }
            ["pos-integration", location, _] => {
                only(request, "POST")?;
                let mut tests = BTreeMap::new();
                for connection in self.connections_of(who, location).await? {
                    tests.insert(connection.id.clone(), self.test(&connection, now).await?);
                }
                Ok(json(200, &tests))
            }
            _ => Err(Problem::not_found("No such path.")),
        }
    }

    /// Rotates a vault's ring, or seals anew what its older keys sealed, some connections at a time.
    async fn vault(&self, which: &str, what: &str, query: &Query) -> Result<ApiAnswer, Problem> {
        query.only(&["cursor"])?;
        let now = self.clock.now();
        let of_tokens = which == "tokens";
        if what == "rotate" {
            let vault =
                if of_tokens { &self.configuration.token_vault } else { &self.configuration.webhook_vault };
            let key = vault.rotate(now).await.map_err(|error| Problem::ours(&error))?;
            return Ok(json(200, &RingRotated { key }));
        }
        let after = query.get("cursor").unwrap_or_default();
        Ok(json(200, &self.configuration.reseal(of_tokens, after, now).await?))
    }

    async fn list(&self, who: &Who, query: &Query) -> Result<ConnectionPage, Problem> {
        query.only(&["provider", "business", "location", "limit", "cursor"])?;
        let limit = usize::try_from(query.number("limit", 100, 500)?).unwrap_or(100);
        let (from, mut after) = match query.get("cursor") {
            None => (None, String::new()),
            Some(cursor) => match cursor.split_once('/') {
                Some((provider, id)) => (Some(known(provider)?), id.to_owned()),
                None => return Err(Problem::bad_parameter("cursor", "is not one that a page gave")),
            },
        };
        let only = query.get("provider").map(known).transpose()?;
        let wanted = |connection: &Connection| {
            who.may_see(&connection.business)
                && query.get("business").is_none_or(|business| connection.business == business)
                && query
                    .get("location")
                    .is_none_or(|location| connection.location.as_deref() == Some(location))
        };
        let (mut found, now) = (Vec::new(), self.clock.now());
        let providers =
            catalogue::all().filter(|provider| only.is_none_or(|only| only.name() == provider.name()));
        for provider in
            providers.skip_while(|provider| from.is_some_and(|from| from.name() != provider.name()))
        {
            loop {
                let page = i32::try_from(limit.clamp(50, 500)).unwrap_or(100);
                let (connections, more) = self
                    .configuration
                    .connections
                    .documents::<Connection>(Kind::Connection, provider.name(), &after, page)
                    .await?;
                for connection in connections {
                    after.clone_from(&connection.id);
                    if wanted(&connection) {
                        found.push(self.view(connection, now).await?);
                    }
                    if found.len() == limit {
                        let next = Some(format!("{}/{after}", provider.name()));
                        return Ok(ConnectionPage { connections: found, next });
                    }
                }
                if !more {
                    break;
                }
            }
            after.clear();
        }
        Ok(ConnectionPage { connections: found, next: None })
    }

    /// The connection of that id, if it may be seen.
    pub(super) async fn connection(&self, who: &Who, id: &str) -> Result<Connection, Problem> {
        let stored = self.configuration.connections.document::<Connection>(Kind::Connection, id).await?;
        let connection = stored.map(|stored| stored.document);
        connection
            .filter(|connection| who.may_see(&connection.business))
            .ok_or_else(|| Problem::not_found(format!("No connection is called `{}`.", clipped(id))))
    }

    /// The connections of a location, by provider.
    pub(super) async fn connections_of(&self, who: &Who, location: &str) -> Result<Vec<Connection>, Problem> {
        let stored = self.location(who, location).await?;
        let mut found = Vec::new();
        for (name, said) in &stored.location.providers {
            let id = said.id.clone();
            let id = id.unwrap_or_else(|| tillwatch_domain::Location::connection_id(location, name));
            if let Ok(connection) = self.connection(who, &id).await {
                found.push(connection);
            }
        }
        Ok(found)
    }

    pub(super) async fn connection_at(
        &self,
        who: &Who,
        location: &str,
        provider: Entry,
    ) -> Result<Connection, Problem> {
        let all = self.connections_of(who, location).await?;
        all.into_iter().find(|connection| connection.provider == provider.name()).ok_or_else(|| {
            let (location, label) = (clipped(location), provider.about().label);
            Problem::not_found(format!("The location `{location}` has no connection to {label}."))
        })
    }

    pub(super) async fn view(
        &self,
        connection: Connection,
        now: Timestamp,
    ) -> Result<ConnectionView, Problem> {
        let provider = known(&connection.provider)?;
        let (opened, secrets_problem) = match self.configuration.opened(&connection, now).await {
            Ok(opened) => (opened, None),
            // One that can't be opened must not hide the others.
            Err(Unconfigured::Vault(error)) => (Opened::default(), Some(format!("{error}."))),
            Err(error) => return Err(error.into()),
        };
        Ok(ConnectionView {
            settings: in_force(provider, &connection),
            keys: keys::views(&opened.webhook, now),
            secrets_problem,
            webhook_path: provider
                .sender()
                .map(|sender| format!("/webhooks/{}/{}", sender.name(), connection.id)),
            sealed: connection.sealed.into_iter().collect(),
            state: connection.state.name(),
            role: connection.role.name(),
            id: connection.id,
            provider: connection.provider,
            business: connection.business,
            location: connection.location,
            accounts: connection.accounts,
            place: connection.place,
            automatic: connection.automatic,
        })
    }

    async fn rotate(
        &self,
        who: &Who,
        connection: &Connection,
        request: &ApiRequest,
        now: Timestamp,
    ) -> Result<ApiAnswer, Problem> {
        let provider = sender(&connection.provider)?;
        if *who != Who::Operator && self.configuration.shares_an_account(connection).await? {
            let detail = "Other businesses share its account: with a secret of its own it could forge their events. \
                          An operator can rotate it.";
            return Err(Problem::new(409, "conflict", "It contradicts what is there", detail));
        }
        let opened = self.configuration.opened(connection, now).await?;
        let rotation = rotation(body(request)?, provider, &opened.webhook)?;
        Ok(json(200, &self.configuration.rotate_connection(&connection.id, rotation, now).await?))
    }

    /// What hangs on a connection that was made or changed.
    pub(super) async fn changed(&self, connection: &Connection) -> Result<(), Problem> {
        self.forget().await;
        self.look_after(connection).await?;
        self.replays.start_for_connection(connection).await?;
        Ok(())
    }

    /// Tries whether a connection's webhooks would be believed and found, without sending any.
    async fn test(&self, connection: &Connection, now: Timestamp) -> Result<ConnectionTest, Problem> {
        let provider = known(&connection.provider)?;
        let mut checks = Vec::new();
        let mut note = |check, problem: Option<String>| {
            checks.push(CheckView { check, ok: problem.is_none(), detail: problem });
        };
        let missing: Vec<_> = provider
            .about()
            .settings
            .iter()
            .filter(|setting| setting.required)
            .filter(|setting| {
                !connection.settings.contains_key(setting.name) && !connection.sealed.contains(setting.name)
            })
            .map(|setting| setting.name)
            .collect();
        note(
            "settings",
            (!missing.is_empty()).then(|| format!("There is nothing for {}.", missing.join(", "))),
        );
        let state = (connection.state != State::Enabled)
            .then(|| format!("It is {}: its events are held.", connection.state.name()));
        note("state", state);
        let Some(provider) = provider.sender() else {
            return Ok(ConnectionTest { ok: checks.iter().all(|check| check.ok), checks });
        };
        let opened = self.configuration.opened(connection, now).await?;
        note("secrets", self.proof_problem(provider, &opened.webhook, now).await);
        let mut lost = Vec::new();
        for account in &connection.accounts {
            let routes = self.configuration.connections.routes(&connection.provider, account).await?;
            if !routes.iter().any(|route| route.connection == connection.id) {
                lost.push(account.clone());
            }
        }
        let by = By::Connection(connection.id.clone());
        let by_url = self.configuration.connections.webhook_routes(&connection.provider, &by).await?;
        let found = lost.is_empty() && !by_url.is_empty();
        note(
            "routes",
            (!found).then(|| "Its webhooks do not find it. Apply its configuration again.".to_owned()),
        );
        Ok(ConnectionTest { ok: checks.iter().all(|check| check.ok), checks })
    }

    /// What keeps the connection's webhooks from being believed, if anything does.
    async fn proof_problem(&self, provider: &dyn Provider, own: &Settings, now: Timestamp) -> Option<String> {
        let name = self.configuration.secret_of(provider.name());
        let Ok(shared) = self.configuration.secrets.read(&name).await else {
            return Some("The secret store can't be read at the moment.".to_owned());
        };
        let shared: Settings = match shared {
            None => Settings::default(),
            Some(text) => match serde_json::from_str(secrecy::ExposeSecret::expose_secret(&text)) {
                Ok(settings) => settings,
                Err(_) => {
                    return Some(format!("The secret of {} is not an object of settings.", provider.name()));
                }
            },
        };
        let settings = shared.of_connection(own);
        let (headers, sample) = provider.sample(provider.sample_kinds().first()?, 1, now)?;
        let request = Request::new(headers.clone(), sample.clone());
        let signed = match provider.sign(&settings, &request, now) {
            Ok(signed) => signed,
            Err(error) => return Some(format!("{error}.")),
        };
        let headers: Headers = headers.iter().chain(signed.iter()).collect();
        let request = Request::arrived(provider, &headers, sample, &settings.fingerprints);
        let believed = request.check(provider, &settings, now).is_ok();
        (!believed).then(|| "What is signed with its newest secret is not believed.".to_owned())
    }
}

/// A rotation of the kind that is asked for, else of the one that proves the provider's webhooks.
fn rotation(asked: RotationRequest, provider: &dyn Provider, own: &Settings) -> Result<Rotation, Problem> {
    let refused = |detail: String| Problem::new(422, "refused", "That can't be rotated", detail);
    let by_url = provider.open_secret().is_some() && own.signing_keys.is_empty();
    let kind = match asked.kind.as_deref() {
        None if by_url => KeyKind::Url,
        None => KeyKind::Signing,
        Some(name) => KeyKind::named(name).ok_or_else(|| {
            let names = KeyKind::ALL.map(KeyKind::name).join(", ");
            refused(format!("`kind` is one of {names}."))
        })?,
    };
    if asked.key.is_none() && kind == KeyKind::Signing && provider.open_secret() != Some(OpenSecret::Query) {
        let label = provider.about().label;
        return Err(refused(format!(
            "{label} makes its signing keys: have it make a new one, and send it as `key`."
        )));
    }
    let overlap = asked.overlap_seconds.map_or(OVERLAP, Duration::from_secs);
    if overlap > LONGEST_OVERLAP {
        return Err(refused("`overlap_seconds` is at most 30 days.".to_owned()));
    }
    Ok(Rotation { kind, new: asked.key, overlap })
}
