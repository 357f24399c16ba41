//! What the functions' mains do: read the environment, build what the handler needs, open connections while start-up
//! has the whole processor, and wait for events.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_platform::aws::{self, Patience};
use tillwatch_platform::clock::{Clock, SystemClock};
use tillwatch_platform::config::Environment;
use tillwatch_platform::connections::Connections;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::{Limits, Outbound};
use tillwatch_platform::payloads::{Bucket, Payloads};
use tillwatch_platform::queue::{Queue, Sqs};
use tillwatch_platform::secrets::{Secrets, SecretsManager};
use tillwatch_platform::table::{Table, Which};
use tillwatch_platform::vault::Vault;
use tillwatch_platform::watched::{Of, Watched};
use tillwatch_platform::watcher::CloudWatch;
use tillwatch_providers::checks::status_pages;
use tillwatch_workflows::agenda::Agenda;
use tillwatch_workflows::backlog::Backlog;
use tillwatch_workflows::configuration::Configurator;
use tillwatch_workflows::console::{Console, Operators};
use tillwatch_workflows::credentials::Credentials;
use tillwatch_workflows::deadman::DeadMan;
use tillwatch_workflows::own_settings::OwnSettings;
use tillwatch_workflows::process::Processor;
use tillwatch_workflows::receive::Receiver;
use tillwatch_workflows::reconcile::{self, ReconcileRoster, Reconciler};
use tillwatch_workflows::reconnect::Reconnect;
use tillwatch_workflows::replay::{Receivers, Replays};
use tillwatch_workflows::routing::Routing;
use tillwatch_workflows::signing::SettingsCache;
use tillwatch_workflows::subscriptions::Keeper;
use tillwatch_workflows::tally::{Tallies, TallyStore};
use tillwatch_workflows::tokens::{Refresher, TokenRoster};
use tillwatch_workflows::watch::{Beside, EVERY, REFERENCES, Reach, Roster, Surveys, Watch};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::processor::{Handler, Source};
use crate::rollup::StreamBatch;

/// Runs a function to its end, on one thread: a function below 1,769 MB has no more than one processor.
fn block_on(main: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(main)
}

/// Logs as JSON lines, as CloudWatch likes them.
fn log(environment: Environment) -> Result<(), Error> {
    let filter: Targets = environment.log_level()?.parse()?;
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
    tracing_subscriber::registry().with(lines.with_span_list(false)).with(filter).init();
    Ok(())
}

fn name_in(url: &str) -> String {
    url.rsplit('/').next().unwrap_or(url).to_owned()
}

/// The webhook function of one provider.
pub fn webhook(provider: &str) -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    let provider = tillwatch_providers::named(provider).ok_or("there is no such provider")?;
    block_on(async {
        let config = aws::from_environment(Patience::WEBHOOK)?;
        let queue = Arc::new(Sqs::new(&config, environment.queue_url()?));
        let secrets: Arc<dyn Secrets> = Arc::new(SecretsManager::new(&config));
        let clock = SystemClock;
        let connections = Connections::new(&config, environment.connections_table()?);
        let vault = Vault::open(Arc::clone(&secrets), environment.vault_webhooks()?, clock.now()).await?;
        let own = OwnSettings::new(connections, Arc::new(vault), provider.name());
        let fingerprints = own.fingerprints().clone();
        let receiver = Receiver::new(
            provider,
            SettingsCache::new(secrets, environment.secret()?).with_fingerprints(fingerprints),
            own,
            Arc::clone(&queue) as Arc<dyn Queue>,
            Arc::new(Bucket::new(&config, environment.payload_bucket()?)),
            Arc::new(clock),
            Arc::new(Metrics::stdout(&environment.stage())),
        );
        tokio::join!(receiver.warm(), queue.warm());
        let receiver = &receiver;
        lambda_runtime::run(service_fn(|event: LambdaEvent<_>| async move {
            Ok::<_, Error>(crate::webhook::handle(receiver, event.payload).await)
        }))
        .await
    })
}

/// The processor function.
pub fn processor() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let (url, dead_url) = (environment.queue_url()?, environment.dead_letter_queue_url()?);
        let source = |url: &str| Source {
            name: name_in(url),
            queue: Arc::new(Sqs::new(&config, url.to_owned())) as Arc<dyn Queue>,
        };
        let (events, dead_letters) = (source(&url), source(&dead_url));
        let table = Table::new(&config, environment.table()?, environment.figures_table()?);
        table.warm(Which::Main).await;
        let connections = Connections::new(&config, environment.connections_table()?);
        let processor = Processor {
            table,
            routing: Arc::new(Routing::new(connections, environment.unknown()?)),
            queue: Arc::clone(&events.queue),
            payloads: Arc::new(Bucket::new(&config, environment.payload_bucket()?)),
            clock: Arc::new(SystemClock),
            metrics: Arc::new(Metrics::stdout(&environment.stage())),
            policy: RetryPolicy::with_attempts(environment.attempts()?),
        };
        let handler = Handler { processor: Arc::new(processor), events, dead_letters };
        let handler = &handler;
        lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
            let until = Instant::now() + left(event.context.deadline);
            Ok::<_, Error>(handler.handle(event.payload, until).await)
        }))
        .await
    })
}

/// The rollup function.
pub fn rollup() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let table = Table::new(&config, environment.table()?, environment.figures_table()?);
        table.warm(Which::Figures).await;
        let table = &table;
        lambda_runtime::run(service_fn(|event: LambdaEvent<StreamBatch>| async move {
            crate::rollup::handle(table, &event.payload, &SystemClock).await.map_err(Error::from)
        }))
        .await
    })
}

/// The console function.
pub fn console() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let payloads: Arc<dyn Payloads> = Arc::new(Bucket::new(&config, environment.payload_bucket()?));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let secrets: Arc<dyn Secrets> = Arc::new(SecretsManager::new(&config));
        let configuration = configurator(environment, &config, &secrets).await?;
        // Half of what the function has: its answer must be there in time.
        let outbound = outbound(environment, Duration::from_secs(5))?;
        let refresher = refresher(environment, &config, configuration.clone(), Arc::clone(&outbound))?;
        let watch = watch(environment, &config, configuration.clone(), Arc::clone(&outbound))?;
        let console = Console {
            replays: Arc::new(replays(environment, &config).await?),
            table: Table::new(&config, environment.table()?, environment.figures_table()?),
            queue: Arc::new(Sqs::new(&config, environment.queue_url()?)),
            backlog: backlog(environment, &config)?,
            payloads,
            clock: Arc::clone(&clock),
            operators: Operators::new(Arc::clone(&secrets), environment.secret()?),
            reconciled: Arc::new(reconcile_roster(environment, &config)?),
            tokens: Arc::clone(&refresher.roster),
            reconnect: Arc::new(Reconnect {
                refresher: Arc::new(refresher),
                roster: Arc::clone(&watch.roster),
                public_url: environment.public_url(),
            }),
            watch: Arc::new(watch),
            subscriptions: Arc::new(keeper(environment, configuration.clone(), outbound)?),
            configuration,
            routing: None,
        };
        console.table.warm(Which::Main).await;
        let console = &console;
        lambda_http::run(lambda_http::service_fn(|request: lambda_http::Request| async move {
            Ok::<_, Error>(crate::console::handle(console, &request).await)
        }))
        .await
    })
}

/// The jobs function.
pub fn jobs() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let replays = replays(environment, &config).await?;
        let replays = &replays;
        lambda_runtime::run(service_fn(|event: LambdaEvent<serde::de::IgnoredAny>| async move {
            let until = Instant::now() + left(event.context.deadline);
            crate::jobs::handle(replays, until).await.map_err(Error::from)
        }))
        .await
    })
}

/// The scheduler function.
pub fn scheduler() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let (roster, tokens) = (roster(environment, &config)?, token_roster(environment, &config)?);
        let reconciled = reconcile_roster(environment, &config)?;
        let deadman = DeadMan {
            url: environment.deadman_url().map(Into::into),
            outbound: outbound(environment, Limits::default().whole)?,
            beats: roster.agenda.watched.clone(),
            clock: Arc::new(SystemClock),
            told_ms: Mutex::default(),
        };
        let (roster, tokens, reconciled, deadman) = (&roster, &tokens, &reconciled, &deadman);
        lambda_runtime::run(service_fn(|event: LambdaEvent<crate::checks::Tick>| async move {
            let sweeps = event.payload.sweep;
            let scheduled = crate::checks::schedule(roster, tokens, reconciled, sweeps).await?;
            deadman.tell().await?;
            Ok::<_, Error>(scheduled)
        }))
        .await
    })
}

/// The checks function.
pub fn checks() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let secrets: Arc<dyn Secrets> = Arc::new(SecretsManager::new(&config));
        let configuration = configurator(environment, &config, &secrets).await?;
        let outbound = outbound(environment, Limits::default().whole)?;
        let watch = Arc::new(watch(environment, &config, configuration, outbound)?);
        let watch = &watch;
        lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
            Ok::<_, Error>(crate::checks::handle(watch, event.payload).await)
        }))
        .await
    })
}

/// The refreshes function.
pub fn refreshes() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let secrets: Arc<dyn Secrets> = Arc::new(SecretsManager::new(&config));
        let configuration = configurator(environment, &config, &secrets).await?;
        let outbound = outbound(environment, Limits::default().whole)?;
        let refresher = Arc::new(refresher(environment, &config, configuration, outbound)?);
        let refresher = &refresher;
        lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
            Ok::<_, Error>(crate::refreshes::handle(refresher, event.payload).await)
        }))
        .await
    })
}

/// The tally function.
pub fn tally() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let roster = Arc::new(roster(environment, &config)?);
        let tallies = Tallies {
            table: Table::new(&config, environment.table()?, environment.figures_table()?),
            store: Arc::clone(&roster.tallies),
            roster,
            tokens: Arc::new(token_roster(environment, &config)?),
            backlog: backlog(environment, &config)?,
            clock: Arc::new(SystemClock),
        };
        let tallies = &tallies;
        lambda_runtime::run(service_fn(|event: LambdaEvent<serde::de::IgnoredAny>| async move {
            let until = Instant::now() + left(event.context.deadline);
            crate::tally::handle(tallies, until).await.map_err(Error::from)
        }))
        .await
    })
}

/// The reconciliations function.
pub fn reconciliations() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let secrets: Arc<dyn Secrets> = Arc::new(SecretsManager::new(&config));
        let configuration = configurator(environment, &config, &secrets).await?;
        let reconciler = Arc::new(Reconciler {
            roster: Arc::new(reconcile_roster(environment, &config)?),
            connections: configuration.connections.clone(),
            credentials: Credentials::new(configuration),
            outbound: outbound(environment, Limits::default().whole)?,
            table: Table::new(&config, environment.table()?, environment.figures_table()?),
            events: Arc::new(Sqs::new(&config, environment.queue_url()?)),
            payloads: Arc::new(Bucket::new(&config, environment.payload_bucket()?)),
            clock: Arc::new(SystemClock),
            metrics: Arc::new(Metrics::stdout(&environment.stage())),
        });
        let reconciler = &reconciler;
        lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
            Ok::<_, Error>(crate::reconciliations::handle(reconciler, event.payload).await)
        }))
        .await
    })
}

/// The subscriptions function.
pub fn subscriptions() -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    block_on(async {
        let config = aws::from_environment(Patience::WORKER)?;
        let secrets: Arc<dyn Secrets> = Arc::new(SecretsManager::new(&config));
        let configuration = configurator(environment, &config, &secrets).await?;
        let outbound = outbound(environment, Limits::default().whole)?;
        let keeper = keeper(environment, configuration, outbound)?;
        let keeper = &keeper;
        lambda_runtime::run(service_fn(|event: LambdaEvent<serde::de::IgnoredAny>| async move {
            let left = left(event.context.deadline);
            crate::subscriptions::handle(keeper, left).await.map_err(Error::from)
        }))
        .await
    })
}

/// The replays, with a receiver of each provider that judges rejected requests anew.
async fn replays(environment: Environment, config: &aws::SdkConfig) -> Result<Replays, Error> {
    let secrets: Arc<dyn Secrets> = Arc::new(SecretsManager::new(config));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let vault = Vault::open(Arc::clone(&secrets), environment.vault_webhooks()?, clock.now()).await?;
    let vault = Arc::new(vault);
    let connections = Connections::new(config, environment.connections_table()?);
    let queue: Arc<dyn Queue> = Arc::new(Sqs::new(config, environment.queue_url()?));
    let payloads: Arc<dyn Payloads> = Arc::new(Bucket::new(config, environment.payload_bucket()?));
    let metrics = Arc::new(Metrics::stdout(&environment.stage()));
    let prefix = environment.provider_secrets()?;
    let receivers: Receivers = tillwatch_providers::ALL
        .iter()
        .map(|provider| {
            let own = OwnSettings::new(connections.clone(), Arc::clone(&vault), provider.name());
            let secret = format!("{prefix}{}", provider.name());
            let receiver = Receiver::new(
                *provider,
                SettingsCache::new(Arc::clone(&secrets), secret),
                own,
                Arc::clone(&queue),
                Arc::clone(&payloads),
                Arc::clone(&clock),
                Arc::clone(&metrics),
            );
            (provider.name(), Arc::new(receiver))
        })
        .collect();
    let table = Table::new(config, environment.table()?, environment.figures_table()?);
    Ok(Replays::new(table, connections, queue, receivers, clock))
}

async fn configurator(
    environment: Environment,
    config: &aws::SdkConfig,
    secrets: &Arc<dyn Secrets>,
) -> Result<Configurator, Error> {
    let vault = async |name| {
        let vault = Vault::open(Arc::clone(secrets), name, SystemClock.now()).await?;
        Ok::<_, Error>(Arc::new(vault))
    };
    Ok(Configurator {
        connections: Connections::new(config, environment.connections_table()?),
        webhook_vault: vault(environment.vault_webhooks()?).await?,
        token_vault: vault(environment.vault_tokens()?).await?,
        secrets: Arc::clone(secrets),
        secrets_prefix: environment.provider_secrets()?,
    })
}

fn roster(environment: Environment, config: &aws::SdkConfig) -> Result<Roster, Error> {
    let agenda = agenda(environment, config, Of::Health, environment.checks_queue_url()?)?;
    Ok(Roster {
        connections: Connections::new(config, environment.connections_table()?),
        agenda,
        beside: Beside { pages: status_pages(), public_url: environment.public_url() },
        surveys: Surveys::kept_in(Arc::new(Bucket::new(config, environment.payload_bucket()?))),
        tallies: tally_store(environment, config)?,
        clock: Arc::new(SystemClock),
        every: environment.check_every()?.unwrap_or(EVERY),
    })
}

fn tally_store(environment: Environment, config: &aws::SdkConfig) -> Result<Arc<TallyStore>, Error> {
    let bucket = Bucket::new(config, environment.payload_bucket()?);
    Ok(Arc::new(TallyStore::new(Arc::new(bucket), Arc::new(SystemClock))))
}

fn backlog(environment: Environment, config: &aws::SdkConfig) -> Result<Backlog, Error> {
    let url = environment.queue_url()?;
    let watcher = Some((CloudWatch::new(config), name_in(&url)));
    Ok(Backlog {
        events: Arc::new(Sqs::new(config, url)),
        dead_letters: Arc::new(Sqs::new(config, environment.dead_letter_queue_url()?)),
        watcher,
    })
}

fn refresher(
    environment: Environment,
    config: &aws::SdkConfig,
    configuration: Configurator,
    outbound: Arc<Outbound>,
) -> Result<Refresher, Error> {
    let (connections, figures) = (environment.connections_table()?, environment.figures_table()?);
    Ok(Refresher {
        roster: Arc::new(token_roster(environment, config)?),
        credentials: Credentials::new(configuration.clone()),
        configuration,
        doing: Watched::new(config, Of::Health, connections, figures),
        outbound,
        clock: Arc::new(SystemClock),
        metrics: Arc::new(Metrics::stdout(&environment.stage())),
    })
}

fn token_roster(environment: Environment, config: &aws::SdkConfig) -> Result<TokenRoster, Error> {
    let agenda = agenda(environment, config, Of::Tokens, environment.refreshes_queue_url()?)?;
    Ok(TokenRoster { agenda })
}

fn reconcile_roster(environment: Environment, config: &aws::SdkConfig) -> Result<ReconcileRoster, Error> {
    let url = environment.reconciliations_queue_url()?;
    Ok(ReconcileRoster {
        agenda: agenda(environment, config, Of::Reconciliations, url)?,
        every: environment.reconcile_every()?.unwrap_or(reconcile::EVERY),
    })
}

fn agenda(
    environment: Environment,
    config: &aws::SdkConfig,
    of: Of,
    queue_url: String,
) -> Result<Agenda, Error> {
    let (connections, figures) = (environment.connections_table()?, environment.figures_table()?);
    Ok(Agenda {
        watched: Watched::new(config, of, connections, figures),
        jobs: Arc::new(Sqs::new(config, queue_url)),
        clock: Arc::new(SystemClock),
        // The schedule comes once a minute.
        ahead: Duration::from_mins(1),
    })
}

fn watch(
    environment: Environment,
    config: &aws::SdkConfig,
    configuration: Configurator,
    outbound: Arc<Outbound>,
) -> Result<Watch, Error> {
    Ok(Watch {
        roster: Arc::new(roster(environment, config)?),
        tokens: Watched::new(
            config,
            Of::Tokens,
            environment.connections_table()?,
            environment.figures_table()?,
        ),
        events: Table::new(config, environment.table()?, environment.figures_table()?),
        webhook_vault: Arc::clone(&configuration.webhook_vault),
        credentials: Credentials::new(configuration),
        outbound,
        reach: Reach::new(REFERENCES),
        asked_peers: Mutex::default(),
        metrics: Arc::new(Metrics::stdout(&environment.stage())),
    })
}

fn outbound(environment: Environment, whole: Duration) -> Result<Arc<Outbound>, Error> {
    let allow_private = environment.allow_private()?;
    Ok(Arc::new(Outbound::new(Limits { whole, allow_private, ..Limits::default() })))
}

fn keeper(
    environment: Environment,
    configuration: Configurator,
    outbound: Arc<Outbound>,
) -> Result<Keeper, Error> {
    let allow_private = environment.allow_private()?;
    Ok(Keeper {
        configuration,
        outbound,
        clock: Arc::new(SystemClock),
        metrics: Arc::new(Metrics::stdout(&environment.stage())),
        public_url: environment.public_url(),
        allow_plain: allow_private,
    })
}

/// How much time an invocation has left.
fn left(deadline: u64) -> Duration {
    let deadline = i64::try_from(deadline).unwrap_or(i64::MAX);
    let left = deadline.saturating_sub(SystemClock.now().as_millisecond());
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}
