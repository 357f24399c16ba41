//! What the functions' mains do: read the environment, build what the handler needs, open connections while start-up
//! has the whole processor, and wait for events.

mod parts;

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_platform::aws::Patience;
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_platform::config::Environment;
use tillwatch_platform::outbound::Limits;
use tillwatch_platform::queue::Queue;
use tillwatch_platform::table::Which;
use tillwatch_workflows::console::{Console, Operators};
use tillwatch_workflows::credentials::Credentials;
use tillwatch_workflows::deadman::DeadMan;
use tillwatch_workflows::own_settings::OwnSettings;
use tillwatch_workflows::process::Processor;
use tillwatch_workflows::receive::Receiver;
use tillwatch_workflows::reconcile::Reconciler;
use tillwatch_workflows::reconnect::Reconnect;
use tillwatch_workflows::routing::Routing;
use tillwatch_workflows::signing::SettingsCache;
use tillwatch_workflows::tally::Tallies;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::parts::Parts;
use crate::processor::Handler;
use crate::rollup::StreamBatch;

/// Runs a function to its end, on one thread: a function below 1,769 MB has no more than one processor.
fn start(
    patience: Patience,
    main: impl AsyncFnOnce(Environment, Parts) -> Result<(), Error>,
) -> Result<(), Error> {
    let environment = Environment;
    log(environment)?;
    let main = async { main(environment, Parts::new(environment, patience)?).await };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(main)
}

/// Logs as JSON lines, as CloudWatch likes them.
fn log(environment: Environment) -> Result<(), Error> {
    let filter: Targets = environment.log_level()?.parse()?;
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
    tracing_subscriber::registry().with(lines.with_span_list(false)).with(filter).init();
    Ok(())
}

/// When an invocation must have ended.
fn end<T>(event: &LambdaEvent<T>) -> Instant {
    let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
    let left = deadline.saturating_sub(SystemClock.now().as_millisecond());
    Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

/// Hands over batches of jobs, for ever.
async fn batches<F: Future<Output = SqsBatchResponse>>(handle: impl Fn(SqsEvent) -> F) -> Result<(), Error> {
    let handle = &handle;
    lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
        Ok::<_, Error>(handle(event.payload).await)
    }))
    .await
}

/// The webhook function of one provider.
pub fn webhook(provider: &str) -> Result<(), Error> {
    let provider = tillwatch_providers::named(provider).ok_or("there is no such provider")?;
    start(Patience::WEBHOOK, async |environment, parts| {
        let queue = parts.queue(environment.queue_url()?);
        let own = OwnSettings::new(parts.connections()?, parts.webhook_vault().await?, provider.name());
        let fingerprints = own.fingerprints().clone();
        let receiver = Receiver::new(
            provider,
            SettingsCache::new(parts.secrets(), environment.secret()?).with_fingerprints(fingerprints),
            own,
            queue.clone(),
            parts.payloads()?,
            Arc::new(SystemClock),
            parts.metrics(),
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
    start(Patience::WORKER, async |environment, parts| {
        let events: Arc<dyn Queue> = parts.queue(environment.queue_url()?);
        let dead_letters = parts.queue(environment.dead_letter_queue_url()?);
        let table = parts.table()?;
        table.warm(Which::Main).await;
        let processor = Processor {
            table,
            routing: Arc::new(Routing::new(parts.connections()?, environment.unknown()?)),
            queue: Arc::clone(&events),
            payloads: parts.payloads()?,
            clock: Arc::new(SystemClock),
            metrics: parts.metrics(),
            policy: RetryPolicy::with_attempts(environment.attempts()?),
        };
        let handler = Handler { processor: Arc::new(processor), events, dead_letters };
        let handler = &handler;
        lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
            let until = end(&event);
            Ok::<_, Error>(handler.handle(event.payload, until).await)
        }))
        .await
    })
}

/// The rollup function.
pub fn rollup() -> Result<(), Error> {
    start(Patience::WORKER, async |_, parts| {
        let table = parts.table()?;
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
    start(Patience::WORKER, async |environment, parts| {
        let configuration = parts.configurator().await?;
        // Half of what the function has: its answer must be there in time.
        let outbound = parts.outbound(Duration::from_secs(5))?;
        let refresher = parts.refresher(configuration.clone(), Arc::clone(&outbound))?;
        let watch = parts.watch(configuration.clone(), Arc::clone(&outbound))?;
        let console = Console {
            replays: Arc::new(parts.replays(&configuration.webhook_vault)?),
            table: parts.table()?,
            backlog: parts.backlog()?,
            payloads: parts.payloads()?,
            clock: Arc::new(SystemClock),
            operators: Operators::new(parts.secrets(), environment.secret()?),
            reconciled: Arc::new(parts.reconcile_roster()?),
            tokens: Arc::clone(&refresher.roster),
            reconnect: Arc::new(Reconnect {
                refresher: Arc::new(refresher),
                roster: Arc::clone(&watch.roster),
                public_url: environment.public_url(),
            }),
            watch: Arc::new(watch),
            subscriptions: Arc::new(parts.keeper(configuration.clone(), outbound)?),
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
    start(Patience::WORKER, async |_, parts| {
        let replays = parts.replays(&parts.webhook_vault().await?)?;
        let replays = &replays;
        lambda_runtime::run(service_fn(|event: LambdaEvent<IgnoredAny>| async move {
            crate::jobs::handle(replays, end(&event)).await.map_err(Error::from)
        }))
        .await
    })
}

/// The scheduler function.
pub fn scheduler() -> Result<(), Error> {
    start(Patience::WORKER, async |environment, parts| {
        let (roster, tokens) = (parts.roster()?, parts.token_roster()?);
        let reconciled = parts.reconcile_roster()?;
        let deadman = DeadMan {
            url: environment.deadman_url().map(Into::into),
            outbound: parts.outbound(Limits::default().whole)?,
            beats: roster.agenda.watched.beats().clone(),
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
    start(Patience::WORKER, async |_, parts| {
        let outbound = parts.outbound(Limits::default().whole)?;
        let watch = Arc::new(parts.watch(parts.configurator().await?, outbound)?);
        batches(|jobs| crate::checks::handle(&watch, jobs)).await
    })
}

/// The refreshes function.
pub fn refreshes() -> Result<(), Error> {
    start(Patience::WORKER, async |_, parts| {
        let outbound = parts.outbound(Limits::default().whole)?;
        let refresher = Arc::new(parts.refresher(parts.configurator().await?, outbound)?);
        batches(|jobs| crate::refreshes::handle(&refresher, jobs)).await
    })
}

/// The tally function.
pub fn tally() -> Result<(), Error> {
    start(Patience::WORKER, async |_, parts| {
        let roster = Arc::new(parts.roster()?);
        let tallies = Tallies {
            table: parts.table()?,
            store: Arc::clone(&roster.tallies),
            roster,
            tokens: Arc::new(parts.token_roster()?),
            backlog: parts.backlog()?,
            clock: Arc::new(SystemClock),
            metrics: parts.metrics(),
        };
        let tallies = &tallies;
        lambda_runtime::run(service_fn(|event: LambdaEvent<IgnoredAny>| async move {
            crate::tally::handle(tallies, end(&event)).await.map_err(Error::from)
        }))
        .await
    })
}

/// The reconciliations function.
pub fn reconciliations() -> Result<(), Error> {
    start(Patience::WORKER, async |_, parts| {
        let configuration = parts.configurator().await?;
        let reconciler = Arc::new(Reconciler {
            roster: Arc::new(parts.reconcile_roster()?),
            connections: configuration.connections.clone(),
            credentials: Credentials::new(configuration),
            outbound: parts.outbound(Limits::default().whole)?,
            table: parts.table()?,
            backlog: parts.backlog()?,
            payloads: parts.payloads()?,
            clock: Arc::new(SystemClock),
            metrics: parts.metrics(),
        });
        batches(|jobs| crate::reconciliations::handle(&reconciler, jobs)).await
    })
}

/// The subscriptions function.
pub fn subscriptions() -> Result<(), Error> {
    start(Patience::WORKER, async |_, parts| {
        let outbound = parts.outbound(Limits::default().whole)?;
        let keeper = parts.keeper(parts.configurator().await?, outbound)?;
        let keeper = &keeper;
        lambda_runtime::run(service_fn(|event: LambdaEvent<IgnoredAny>| async move {
            let left = end(&event).saturating_duration_since(Instant::now());
            crate::subscriptions::handle(keeper, left).await.map_err(Error::from)
        }))
        .await
    })
}
