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
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::payloads::{Bucket, Payloads};
use tillwatch_platform::queue::{Queue, Sqs};
use tillwatch_platform::secrets::SecretsManager;
use tillwatch_platform::table::{Table, Which};
use tillwatch_platform::watcher::CloudWatch;
use tillwatch_workflows::console::{Console, Operators};
use tillwatch_workflows::process::Processor;
use tillwatch_workflows::receive::Receiver;
use tillwatch_workflows::signing::SettingsCache;
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
        let secrets = Arc::new(SecretsManager::new(&config));
        let receiver = Receiver::new(
            provider,
            SettingsCache::new(secrets, environment.secret()?),
            Arc::clone(&queue) as Arc<dyn Queue>,
            Arc::new(Bucket::new(&config, environment.payload_bucket()?)),
            Arc::new(SystemClock),
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
        let processor = Processor {
            table,
            queue: Arc::clone(&events.queue),
            payloads: Arc::new(Bucket::new(&config, environment.payload_bucket()?)),
            clock: Arc::new(SystemClock),
            metrics: Arc::new(Metrics::stdout(&environment.stage())),
            policy: RetryPolicy::with_attempts(environment.attempts()?),
        };
        let handler = Handler { processor: Arc::new(processor), events, dead_letters };
        let handler = &handler;
        lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
            let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
            let left = deadline.saturating_sub(SystemClock.now().as_millisecond());
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
            Ok::<_, Error>(handler.handle(event.payload, Instant::now() + left).await)
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
            crate::rollup::handle(table, &event.payload).await.map_err(Error::from)
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
        let url = environment.queue_url()?;
        let payloads: Arc<dyn Payloads> = Arc::new(Bucket::new(&config, environment.payload_bucket()?));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let console = Console {
            table: Table::new(&config, environment.table()?, environment.figures_table()?),
            queue: Arc::new(Sqs::new(&config, url.clone())),
            dead_letters: Arc::new(Sqs::new(&config, environment.dead_letter_queue_url()?)),
            payloads,
            watcher: Some((CloudWatch::new(&config), name_in(&url))),
            clock,
            operators: Operators::new(Arc::new(SecretsManager::new(&config)), environment.secret()?),
        };
        console.table.warm(Which::Main).await;
        let console = &console;
        lambda_http::run(lambda_http::service_fn(|request: lambda_http::Request| async move {
            Ok::<_, Error>(crate::console::handle(console, &request).await)
        }))
        .await
    })
}
