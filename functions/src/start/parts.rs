//! What handlers are built of, as the environment has it. Each function builds what it needs and no more.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use lambda_runtime::Error;
use tillwatch_platform::aws::{self, Patience, SdkConfig};
use tillwatch_platform::clock::{Clock, SystemClock};
use tillwatch_platform::config::{ConfigError, Environment};
use tillwatch_platform::connections::Connections;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::{Limits, Outbound};
use tillwatch_platform::payloads::Bucket;
use tillwatch_platform::queue::Sqs;
use tillwatch_platform::secrets::{Secrets, SecretsManager};
use tillwatch_platform::table::Table;
use tillwatch_platform::vault::Vault;
use tillwatch_platform::watched::{Of, Watched};
use tillwatch_platform::watcher::CloudWatch;
use tillwatch_providers::checks::status_pages;
use tillwatch_workflows::agenda::Agenda;
use tillwatch_workflows::backlog::Backlog;
use tillwatch_workflows::configuration::Configurator;
use tillwatch_workflows::credentials::Credentials;
use tillwatch_workflows::own_settings::OwnSettings;
use tillwatch_workflows::receive::Receiver;
use tillwatch_workflows::reconcile::{self, ReconcileRoster};
use tillwatch_workflows::replay::{Receivers, Replays};
use tillwatch_workflows::signing::SettingsCache;
use tillwatch_workflows::subscriptions::Keeper;
use tillwatch_workflows::tally::TallyStore;
use tillwatch_workflows::tokens::{Refresher, TokenRoster};
use tillwatch_workflows::watch::{Beside, EVERY, REFERENCES, Reach, Roster, Surveys, Watch};
use tokio::sync::Mutex;

/// Builds parts.
pub(super) struct Parts {
    pub(super) environment: Environment,
    config: SdkConfig,
}

impl Parts {
    pub(super) fn new(environment: Environment, patience: Patience) -> Result<Self, Error> {
        Ok(Self { environment, config: aws::from_environment(patience)? })
    }

    pub(super) fn table(&self) -> Result<Table, ConfigError> {
        let (main, figures) = (self.environment.table()?, self.environment.figures_table()?);
        Ok(Table::new(&self.config, main, figures))
    }

    pub(super) fn connections(&self) -> Result<Connections, ConfigError> {
        Ok(Connections::new(&self.config, self.environment.connections_table()?))
    }

    fn watched(&self, of: Of) -> Result<Watched, ConfigError> {
        let (connections, figures) =
            (self.environment.connections_table()?, self.environment.figures_table()?);
        Ok(Watched::new(&self.config, of, connections, figures))
    }

    pub(super) fn queue(&self, url: String) -> Arc<Sqs> {
        Arc::new(Sqs::new(&self.config, url))
    }

    pub(super) fn payloads(&self) -> Result<Arc<Bucket>, ConfigError> {
        Ok(Arc::new(Bucket::new(&self.config, self.environment.payload_bucket()?)))
    }

    pub(super) fn secrets(&self) -> Arc<dyn Secrets> {
        Arc::new(SecretsManager::new(&self.config))
    }

    pub(super) fn metrics(&self) -> Arc<Metrics> {
        Arc::new(Metrics::stdout(&self.environment.stage()))
    }

    /// The vault of what proves webhooks.
    pub(super) async fn webhook_vault(&self) -> Result<Arc<Vault>, Error> {
        self.vault(self.environment.vault_webhooks()?).await
    }

    async fn vault(&self, name: String) -> Result<Arc<Vault>, Error> {
        Ok(Arc::new(Vault::open(self.secrets(), name, SystemClock.now()).await?))
    }

    pub(super) async fn configurator(&self) -> Result<Configurator, Error> {
        Ok(Configurator {
            connections: self.connections()?,
            webhook_vault: self.webhook_vault().await?,
            token_vault: self.vault(self.environment.vault_tokens()?).await?,
            secrets: self.secrets(),
            secrets_prefix: self.environment.provider_secrets()?,
        })
    }

    /// Calls to the outside that take no longer than `whole`.
    pub(super) fn outbound(&self, whole: Duration) -> Result<Arc<Outbound>, ConfigError> {
        let allow_private = self.environment.allow_private()?;
        Ok(Arc::new(Outbound::new(Limits { whole, allow_private, ..Limits::default() })))
    }

    /// The replays, with a receiver of each provider that judges rejected requests anew.
    pub(super) fn replays(&self, vault: &Arc<Vault>) -> Result<Replays, ConfigError> {
        let connections = self.connections()?;
        let queue = self.queue(self.environment.queue_url()?);
        let (secrets, payloads, metrics) = (self.secrets(), self.payloads()?, self.metrics());
        let prefix = self.environment.provider_secrets()?;
        let receivers: Receivers = tillwatch_providers::ALL
            .iter()
            .map(|provider| {
                let own = OwnSettings::new(connections.clone(), Arc::clone(vault), provider.name());
                let secret = format!("{prefix}{}", provider.name());
                let receiver = Receiver::new(
                    *provider,
                    SettingsCache::new(Arc::clone(&secrets), secret),
                    own,
                    queue.clone(),
                    payloads.clone(),
                    Arc::new(SystemClock),
                    Arc::clone(&metrics),
                );
                (provider.name(), Arc::new(receiver))
            })
            .collect();
        Ok(Replays::new(self.table()?, connections, queue, receivers, Arc::new(SystemClock)))
    }

    pub(super) fn backlog(&self) -> Result<Backlog, ConfigError> {
        Ok(Backlog {
            watcher: Some(CloudWatch::new(&self.config)),
            events: self.queue(self.environment.queue_url()?),
            dead_letters: self.queue(self.environment.dead_letter_queue_url()?),
        })
    }

    fn agenda(&self, of: Of, queue_url: String) -> Result<Agenda, ConfigError> {
        Ok(Agenda {
            watched: self.watched(of)?,
            jobs: self.queue(queue_url),
            clock: Arc::new(SystemClock),
            // The schedule comes once a minute.
            ahead: Duration::from_mins(1),
        })
    }

    pub(super) fn roster(&self) -> Result<Roster, ConfigError> {
        let payloads = self.payloads()?;
        Ok(Roster {
            connections: self.connections()?,
            agenda: self.agenda(Of::Health, self.environment.checks_queue_url()?)?,
            beside: Beside { pages: status_pages(), public_url: self.environment.public_url() },
            tallies: Arc::new(TallyStore::new(payloads.clone(), Arc::new(SystemClock))),
            surveys: Surveys::kept_in(payloads),
            clock: Arc::new(SystemClock),
            every: self.environment.check_every()?.unwrap_or(EVERY),
            signed_ms: AtomicI64::default(),
        })
    }

    pub(super) fn token_roster(&self) -> Result<TokenRoster, ConfigError> {
        Ok(TokenRoster { agenda: self.agenda(Of::Tokens, self.environment.refreshes_queue_url()?)? })
    }

    pub(super) fn reconcile_roster(&self) -> Result<ReconcileRoster, ConfigError> {
        Ok(ReconcileRoster {
            agenda: self.agenda(Of::Reconciliations, self.environment.reconciliations_queue_url()?)?,
            every: self.environment.reconcile_every()?.unwrap_or(reconcile::EVERY),
        })
    }

    pub(super) fn watch(
        &self,
        configuration: Configurator,
        outbound: Arc<Outbound>,
    ) -> Result<Watch, ConfigError> {
        Ok(Watch {
            roster: Arc::new(self.roster()?),
            tokens: self.watched(Of::Tokens)?,
            events: self.table()?,
            webhook_vault: Arc::clone(&configuration.webhook_vault),
            credentials: Credentials::new(configuration),
            outbound,
            reach: Reach::new(REFERENCES),
            asked_peers: Mutex::default(),
            metrics: self.metrics(),
        })
    }

    pub(super) fn refresher(
        &self,
        configuration: Configurator,
        outbound: Arc<Outbound>,
    ) -> Result<Refresher, ConfigError> {
        Ok(Refresher {
            roster: Arc::new(self.token_roster()?),
            credentials: Credentials::new(configuration.clone()),
            configuration,
            doing: self.watched(Of::Health)?,
            outbound,
            clock: Arc::new(SystemClock),
            metrics: self.metrics(),
        })
    }

    pub(super) fn keeper(
        &self,
        configuration: Configurator,
        outbound: Arc<Outbound>,
    ) -> Result<Keeper, ConfigError> {
        Ok(Keeper {
            configuration,
            outbound,
            clock: Arc::new(SystemClock),
            metrics: self.metrics(),
            public_url: self.environment.public_url(),
            allow_plain: self.environment.allow_private()?,
        })
    }
}
