//! Who needs subscriptions, and all that is known of them.

use secrecy::ExposeSecret as _;
use serde_json::Value;
use tillwatch_domain::{Connection, State};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::table::TableError;
use tillwatch_providers::call::Words;
use tillwatch_providers::subscriptions::{self, Scope, Subscriptions, Wanted};
use tillwatch_providers::{Provider, Settings};

use super::Keeper;
use super::mend::Trouble;
use crate::configuration::KeyKind;
use crate::credentials::{own, words};

/// How many documents are read at once.
const PAGE: i32 = 200;

/// One who needs subscriptions: a connection, or all that share them.
pub(super) struct Target {
    pub(super) provider: &'static dyn Provider,
    pub(super) subscriptions: &'static dyn Subscriptions,
    pub(super) scope: Scope,
    /// The document's id.
    pub(super) id: String,
    /// The connections that it is for; one, if it is a connection's own.
    pub(super) connections: Vec<Connection>,
}

impl Target {
    /// The connection, if it is one's own.
    pub(super) fn connection(&self) -> Option<&Connection> {
        self.connections.first().filter(|_| self.scope == Scope::Own)
    }

    /// How it is called in errors.
    pub(super) fn called(&self) -> String {
        match self.connection() {
            Some(connection) => format!("the connection {}", connection.id),
            None => format!("the provider {}", self.provider.name()),
        }
    }
}

/// What a target is known by, read once a look.
pub(super) struct Known {
    pub(super) own: Words,
    pub(super) shared: Words,
    pub(super) peers: Vec<Words>,
    /// What its webhooks are verified with.
    pub(super) webhook: Settings,
    /// What the provider's secret says of that, for all connections.
    pub(super) provider_webhook: Settings,
}

impl Known {
    pub(super) fn wanted<'a>(
        &'a self,
        target: &'a Target,
        public_url: &'a str,
        now: jiff::Timestamp,
    ) -> Wanted<'a> {
        let owner = target.connection().map_or(target.provider.name(), |connection| &connection.id);
        Wanted {
            scope: target.scope,
            owner,
            public_url,
            own: &self.own,
            shared: &self.shared,
            peers: &self.peers,
            webhook: &self.webhook,
            now,
        }
    }
}

/// The connection's settings, with a word in the place of each that is sealed.
fn without_secrets(connection: &Connection) -> Words {
    let mut words: Words = connection.settings.iter().collect();
    for name in &connection.sealed {
        words.put(name.as_str(), "sealed");
    }
    words
}

impl Keeper {
    /// All who need subscriptions at a provider, those that share them first, then by their ids.
    pub(super) async fn targets(
        &self,
        provider: &'static dyn Provider,
        connection: Option<&str>,
    ) -> Result<Vec<Target>, TableError> {
        let Some(subscriptions) = subscriptions::of(provider.name()) else { return Ok(Vec::new()) };
        let (mut all, mut after) = (Vec::<Connection>::new(), String::new());
        loop {
            let found =
                self.configuration.connections.documents(Kind::Connection, provider.name(), &after, PAGE);
            let (page, more): (Vec<Connection>, _) = found.await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            all.extend(page.into_iter().filter(|connection| connection.state != State::Disabled));
            if !more {
                break;
            }
        }
        let shared = self.api(provider).await.unwrap_or_default();
        let scopes = |connection: &Connection| subscriptions.scopes(&without_secrets(connection), &shared);
        let is_asked = |one: &Connection| connection.is_none_or(|id| id == one.id);
        let sharing = all.iter().filter(|one| scopes(one).contains(&Scope::Shared));
        let sharing: Vec<_> = sharing.cloned().collect();
        let mut targets = Vec::new();
        if sharing.iter().any(is_asked) {
            targets.push(Target {
                provider,
                subscriptions,
                scope: Scope::Shared,
                id: format!("provider:{}", provider.name()),
                connections: sharing,
            });
        }
        // Nobody has said anything of a connection that its first event made: there is nothing to ask its provider with.
        let own = all.iter().filter(|one| is_asked(one) && !one.automatic);
        for connection in own.filter(|one| scopes(one).contains(&Scope::Own)) {
            targets.push(Target {
                provider,
                subscriptions,
                scope: Scope::Own,
                id: connection.id.clone(),
                connections: vec![connection.clone()],
            });
        }
        Ok(targets)
    }

    /// The provider's secret.
    async fn secret(&self, provider: &dyn Provider) -> Result<Value, Trouble> {
        let name = self.configuration.secret_of(provider.name());
        let Some(secret) = self.configuration.secrets.read(&name).await? else { return Ok(Value::Null) };
        serde_json::from_str(secret.expose_secret())
            .map_err(|_| Trouble::Ours(format!("the secret of {} is no JSON object", provider.name())))
    }

    /// What the provider's secret holds under `api`.
    async fn api(&self, provider: &dyn Provider) -> Result<Words, Trouble> {
        Ok(words(&self.secret(provider).await?["api"]))
    }

    /// All that is known of a target.
    pub(super) async fn known(&self, target: &Target) -> Result<Known, Trouble> {
        let secret = self.secret(target.provider).await?;
        let provider_webhook: Settings = if secret.is_null() {
            Settings::default()
        } else {
            let malformed = format!("the secret of {} holds no settings", target.provider.name());
            serde_json::from_value(secret.clone()).map_err(|_| Trouble::Ours(malformed))?
        };
        let shared = words(&secret["api"]);
        let peers = target.connections.iter().map(without_secrets).collect();
        let Some(connection) = target.connection() else {
            let webhook = provider_webhook.clone();
            return Ok(Known { own: Words::default(), shared, peers, webhook, provider_webhook });
        };
        let opened = self.configuration.opened(connection, self.clock.now()).await?;
        let own = own(connection, &opened.tokens.tokens);
        let webhook = provider_webhook.of_connection(&opened.webhook);
        Ok(Known { own, shared, peers, webhook, provider_webhook })
    }

    /// Changes a connection's own webhook settings, if `change` says that there is something to change.
    pub(super) async fn change_webhook(
        &self,
        connection: &Connection,
        change: impl Fn(&mut Settings) -> bool,
    ) -> Result<(), Trouble> {
        let now = self.clock.now();
        let mut webhook = self.configuration.opened(connection, now).await?.webhook;
        if !change(&mut webhook) {
            return Ok(());
        }
        let update = |connection: &mut Connection, webhook: &mut Settings| {
            change(webhook);
            let kinds = KeyKind::ALL.into_iter().filter(|kind| !kind.of(webhook).is_empty());
            connection.sealed.extend(kinds.map(|kind| kind.name().to_owned()));
        };
        self.configuration.update(&connection.id, now, update).await?;
        Ok(())
    }

    /// Has webhooks of these accounts find the connection: before they come, so that none is refused. The first is its
    /// present one, the second the one before.
    pub(super) async fn renew_accounts(
        &self,
        connection: &Connection,
        accounts: &[String],
    ) -> Result<(), Trouble> {
        let names = tillwatch_providers::named(&connection.provider);
        let names = names.map(|provider| provider.about().accounts).unwrap_or_default();
        let update = |connection: &mut Connection, _: &mut Settings| {
            connection.accounts = accounts.to_vec();
            for (nth, name) in names.iter().enumerate() {
                match accounts.get(nth) {
                    Some(account) => connection.settings.insert((*name).to_owned(), account.clone()),
                    None => connection.settings.remove(*name),
                };
            }
        };
        self.configuration.update(&connection.id, self.clock.now(), update).await?;
        Ok(())
    }
}
