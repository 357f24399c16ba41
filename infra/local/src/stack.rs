//! The whole of Tillwatch in one process: the deployment's handlers, called with Lambda's own events, on queues and
//! tables that live in local files. What `template.yaml` wires up in the cloud is wired up here.

mod event_source;
mod gateway;
mod parts;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use tillwatch_domain::Cause;
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_functions::processor::Handler;
use tillwatch_functions::{
    checks, console, reconciliations, refreshes, rollup, subscriptions, tally, webhook,
};
use tillwatch_platform::beats::Part;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::connections::{Connections, Unknown};
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::{Limits, Outbound};
use tillwatch_platform::payloads::Payloads;
use tillwatch_platform::queue::{Outgoing, Queue, QueueError};
use tillwatch_platform::secrets::Secrets;
use tillwatch_platform::table::{LocalEndpoint, Table, TableError};
use tillwatch_platform::vault::Vault;
use tillwatch_providers::Headers;
use tillwatch_workflows::backlog::Backlog;
use tillwatch_workflows::configuration::Configurator;
use tillwatch_workflows::console::{Console, Exposition, Operators, Problem};
use tillwatch_workflows::deadman::{DeadMan, Told};
use tillwatch_workflows::envelope::Message;
use tillwatch_workflows::own_settings::OwnSettings;
use tillwatch_workflows::process::Processor;
use tillwatch_workflows::receive::{Answer, Arrival, Receiver};
use tillwatch_workflows::reconcile::Reconciler;
use tillwatch_workflows::reconnect::Reconnect;
use tillwatch_workflows::replay::{Receivers, Replays};
use tillwatch_workflows::routing::Routing;
use tillwatch_workflows::signing::SettingsCache;
use tillwatch_workflows::subscriptions::Keeper;
use tillwatch_workflows::tally::{Tallies, TallyError};
use tillwatch_workflows::tokens::Refresher;
use tillwatch_workflows::watch::{Beside, Watch, WatchError};
use tokio::time::Instant;

use self::event_source::{batch_of, done, job};
pub(crate) use self::gateway::problem;
use self::gateway::{answer, caught, from_webhook, panicked, to_console, to_webhook};
use self::parts::{deadman, reconciler, refresher, tallies, watch};

/// The name of the table of events and records.
pub const MAIN_TABLE: &str = "tillwatch";
/// The name of the table of figures.
pub const FIGURES_TABLE: &str = "tillwatch-figures";
/// The name of the table of connections.
pub const CONNECTIONS_TABLE: &str = "tillwatch-connections";
/// The name of the queue of events.
pub const EVENTS_QUEUE: &str = "events";
/// The name of the queue of checks.
pub const CHECKS_QUEUE: &str = "checks";
/// The name of the queue of refreshes.
pub const REFRESHES_QUEUE: &str = "refreshes";
/// The name of the queue of reconciliations.
pub const RECONCILIATIONS_QUEUE: &str = "reconciliations";
/// The name of the queue of dead letters.
pub const DEAD_LETTER_QUEUE: &str = "dead-letters";
/// Messages that are handed to the processor at once, as the template's event source does.
pub const BATCH: usize = 10;
/// How long the processor may take over a batch, as in the template.
pub const PROCESSOR_TIMEOUT: Duration = Duration::from_secs(30);
/// More messages than that wait only when processing is behind: one machine works on few at a time.
const FEW_WAIT: u64 = 20;
/// How long a job stays invisible: it is done again if it does not end.
const JOBS_VISIBILITY: Duration = Duration::from_mins(3);
/// How long a look at all webhooks may take, as in the template.
const TALLY_TIMEOUT: Duration = Duration::from_mins(4);
/// The same of one that may list for minutes.
const LISTS_VISIBILITY: Duration = Duration::from_mins(30);
/// How long a received message stays invisible: six times as long, as AWS advises.
pub const VISIBILITY: Duration = Duration::from_mins(3);

/// A message as a queue gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The message's id.
    pub id: String,
    /// What it is deleted or put back by, until it is received again.
    pub receipt: String,
    /// Its text.
    pub body: String,
    /// How often it was received, this time included.
    pub receive_count: u32,
}

/// A queue that is polled in this process, as Lambda's event source polls SQS.
#[async_trait]
pub trait Polled: Queue {
    /// Takes up to `max` messages, which stay invisible for `visibility`.
    async fn receive(&self, max: usize, visibility: Duration) -> Result<Vec<Received>, QueueError>;

    /// Deletes received messages.
    async fn delete(&self, receipts: Vec<String>) -> Result<(), QueueError>;

    /// Waits until there may be something to receive.
    async fn wait(&self);
}

/// The table's stream, as far as it is consumed in this process.
#[async_trait]
pub trait Tailed: Send + Sync {
    /// Changes after those that were counted, oldest first, as Lambda's records; and the shard they are from.
    async fn next(&self, limit: usize) -> Result<(String, Vec<Value>), QueueError>;

    /// Says that the changes up to this sequence number were counted.
    async fn counted(&self, sequence: &str) -> Result<(), QueueError>;

    /// Waits until there may be something new.
    async fn wait(&self);
}

/// What a stack stands on.
pub struct Ports {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The tables.
    pub table: Arc<dyn LocalEndpoint>,
    /// The table's stream.
    pub stream: Arc<dyn Tailed>,
    /// The queue of events.
    pub events: Arc<dyn Polled>,
    /// The queue of dead letters.
    pub dead_letters: Arc<dyn Polled>,
    /// The queue of checks.
    pub checks: Arc<dyn Polled>,
    /// The queue of refreshes.
    pub refreshes: Arc<dyn Polled>,
    /// The queue of reconciliations.
    pub reconciliations: Arc<dyn Polled>,
    /// Payloads too large for the table.
    pub payloads: Arc<dyn Payloads>,
    /// The providers' settings and the operators' tokens.
    pub secrets: Arc<dyn Secrets>,
    /// What seals the secrets that prove connections' webhooks.
    pub webhook_vault: Arc<Vault>,
    /// What seals connections' tokens.
    pub token_vault: Arc<Vault>,
    /// What becomes of events of unknown accounts until the table says.
    pub unknown: Unknown,
    /// Where metrics go.
    pub metrics: Arc<Metrics>,
    /// How long failed messages wait.
    pub policy: RetryPolicy,
    /// How patient calls to providers are, and where they may go.
    pub outbound: Limits,
    /// The address at which providers reach this; none, if they don't.
    pub public_url: Option<String>,
    /// Whom to tell each minute that all is at work; none, where nobody is told.
    pub deadman_url: Option<SecretString>,
    /// The time between two checks of a connection.
    pub check_every: Duration,
    /// The time between two comparisons of what has arrived with what a provider lists.
    pub reconcile_every: Duration,
    /// Who is asked whether anything is to be reached from here.
    pub references: Vec<String>,
    /// What is watched beside connections.
    pub beside: Beside,
}

/// The handlers and what they stand on.
pub struct Stack {
    ports: Ports,
    table: Table,
    webhooks: Receivers,
    processor: Handler,
    console: Console,
    replays: Arc<Replays>,
    subscriptions: Arc<Keeper>,
    watch: Arc<Watch>,
    refresher: Arc<Refresher>,
    tallies: Tallies,
    deadman: DeadMan,
    reconciler: Arc<Reconciler>,
    routing: Arc<Routing>,
}

impl Stack {
    /// A stack on these ports.
    pub fn new(ports: Ports) -> Self {
        let table = Table::in_process(ports.table.clone(), MAIN_TABLE.to_owned(), FIGURES_TABLE.to_owned());
        let events: Arc<dyn Queue> = ports.events.clone();
        let dead_letters: Arc<dyn Queue> = ports.dead_letters.clone();
        let connections = Connections::in_process(ports.table.clone(), CONNECTIONS_TABLE.to_owned());
        let webhooks = tillwatch_providers::ALL.iter().map(|provider| {
            let own = OwnSettings::new(connections.clone(), ports.webhook_vault.clone(), provider.name());
            let settings = SettingsCache::new(ports.secrets.clone(), provider.name().to_owned())
                .with_fingerprints(own.fingerprints().clone());
            let receiver = Receiver::new(
                *provider,
                settings,
                own,
                events.clone(),
                ports.payloads.clone(),
                ports.clock.clone(),
                ports.metrics.clone(),
            );
            (provider.name(), Arc::new(receiver))
        });
        let routing = Arc::new(Routing::new(connections.clone(), ports.unknown));
        let processor = Processor {
            table: table.clone(),
            routing: Arc::clone(&routing),
            queue: events.clone(),
            payloads: ports.payloads.clone(),
            clock: ports.clock.clone(),
            metrics: ports.metrics.clone(),
            policy: ports.policy,
        };
        let webhooks: Receivers = webhooks.collect();
        let replays = Replays::new(
            table.clone(),
            connections.clone(),
            events.clone(),
            webhooks.clone(),
            ports.clock.clone(),
        );
        let replays = Arc::new(replays.giving_way_at(FEW_WAIT));
        let configuration = Configurator {
            connections: connections.clone(),
            webhook_vault: ports.webhook_vault.clone(),
            token_vault: ports.token_vault.clone(),
            secrets: ports.secrets.clone(),
            secrets_prefix: String::new(),
        };
        let outbound = Arc::new(Outbound::new(ports.outbound));
        let watch = Arc::new(watch(&ports, &table, &configuration, &outbound));
        let refresher = Arc::new(refresher(&ports, &configuration, &outbound));
        let backlog = Backlog { events: events.clone(), dead_letters: dead_letters.clone(), watcher: None };
        let reconciler = Arc::new(reconciler(&ports, &table, &configuration, &outbound, &backlog));
        let keeper = Arc::new(Keeper {
            configuration: configuration.clone(),
            outbound,
            clock: ports.clock.clone(),
            metrics: ports.metrics.clone(),
            public_url: ports.public_url.clone(),
            allow_plain: ports.outbound.allow_private,
        });
        let tallies = tallies(&ports, &table, &backlog, &watch, &refresher);
        let console = Console {
            replays: replays.clone(),
            table: table.clone(),
            backlog: backlog.clone(),
            payloads: ports.payloads.clone(),
            clock: ports.clock.clone(),
            operators: Operators::new(ports.secrets.clone(), "console".to_owned()),
            configuration,
            subscriptions: Arc::clone(&keeper),
            watch: Arc::clone(&watch),
            tokens: Arc::clone(&refresher.roster),
            reconciled: Arc::clone(&reconciler.roster),
            reconnect: Arc::new(Reconnect {
                refresher: Arc::clone(&refresher),
                roster: Arc::clone(&watch.roster),
                public_url: ports.public_url.clone(),
            }),
            routing: Some(Arc::clone(&routing)),
        };
        Self {
            webhooks,
            replays,
            processor: Handler { processor: Arc::new(processor), events, dead_letters },
            console,
            table,
            subscriptions: keeper,
            deadman: deadman(&ports, &watch),
            watch,
            refresher,
            tallies,
            reconciler,
            routing,
            ports,
        }
    }

    /// What API Gateway does with a request: a provider's webhook goes to its function, all else to the console. A
    /// function that panics is answered for with a 500, as in the cloud.
    pub async fn http(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let path = event.raw_path.as_deref().unwrap_or_default();
        match self.webhook(&event.request_context.http.method, path) {
            // By itself: a sender that does not wait for the answer must not take the work with it when it goes.
            Some(receiver) => {
                let receiver = Arc::clone(receiver);
                let answer = async move { from_webhook(webhook::handle(&receiver, to_webhook(event)).await) };
                let answer = tokio::spawn(answer);
                caught(Box::pin(async { answer.await.unwrap_or_else(|_| panicked()) })).await
            }
            None => match to_console(event) {
                Some(request) => {
                    let answer = async { answer(console::handle(&self.console, &request).await) };
                    caught(Box::pin(answer)).await
                }
                None => problem(&Problem::new(
                    400,
                    "bad-path",
                    "The path makes no sense",
                    "It is no path of this API: those begin with `/`.",
                )),
            },
        }
    }

    /// What Prometheus scrapes, piece by piece; and why not.
    pub async fn scrape(&self, authorization: Option<&str>) -> Result<Exposition, ApiGatewayV2httpResponse> {
        self.console.exposition(authorization).await.map_err(|problem| gateway::problem(&problem))
    }

    /// The answer to a request whose body is too large to be read at all. A webhook is kept without it, as a rejected one.
    pub async fn http_too_large(
        &self,
        method: &http::Method,
        path: &str,
        source: String,
    ) -> ApiGatewayV2httpResponse {
        let cause = Cause::BodyTooLarge;
        let mut detail = cause.explanation().to_owned();
        let Some(receiver) = self.webhook(method, path) else {
            return problem(&Problem::new(cause.status(), "too-large", "The body is too large", detail));
        };
        let arrival = Arrival { headers: Headers::new(), body: Err(cause), source };
        if let Answer::Rejected(_, _, Some(id)) = receiver.receive(arrival).await {
            detail = format!("{detail} The request is kept as {id}, without its body.");
        }
        problem(&Problem::new(cause.status(), cause.name(), "The webhook was not believed", detail))
    }

    /// The receiver of what is sent to a path, as the template's routes have it: `/webhooks/<provider>` and what lies under
    /// it, but for the console's own.
    fn webhook(&self, method: &http::Method, path: &str) -> Option<&Arc<Receiver>> {
        let rest = path.strip_prefix("/webhooks/")?;
        let receiver = self.webhooks.get(rest.split_once('/').map_or(rest, |(provider, _)| provider))?;
        let taken =
            method == http::Method::POST || (method == http::Method::GET && receiver.provider().takes_get());
        taken.then_some(receiver)
    }

    /// Takes one batch of a queue through the processor, as the event source does; how many messages it was.
    pub async fn process_batch(&self, dead_letters: bool) -> Result<usize, QueueError> {
        let queue = if dead_letters { &self.ports.dead_letters } else { &self.ports.events };
        let batch = queue.receive(BATCH, VISIBILITY).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        let event = batch_of(&batch, queue.name());
        let answer = self.processor.handle(event, Instant::now() + PROCESSOR_TIMEOUT).await;
        done(queue, batch, answer).await
    }

    /// Takes one batch of the table's stream through the rollup; how many changes it was.
    pub async fn roll_up_batch(&self) -> Result<usize, QueueError> {
        let failed = |cause: String| QueueError { action: "roll up a batch", cause };
        let (shard, records) = self.ports.stream.next(1_000).await?;
        let Some(last) = records.last() else { return Ok(0) };
        let last = last["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default().to_owned();
        let count = records.len();
        let batch = serde_json::json!({"Records": records, "shardId": shard});
        let batch = serde_json::from_value(batch).map_err(|error| failed(error.to_string()))?;
        rollup::handle(&self.table, &batch, &*self.ports.clock)
            .await
            .map_err(|error| failed(error.to_string()))?;
        self.ports.stream.counted(&last).await?;
        Ok(count)
    }

    /// Says that changes are counted, though there are none.
    pub async fn rolls_up(&self) {
        self.table.beats().beat(Part::Rollup, self.ports.clock.now()).await;
    }

    /// Sends the schedule's sign of life through the queue.
    pub async fn heartbeat(&self, now: Timestamp) -> Result<(), QueueError> {
        let message = Message::Heartbeat { at: now.to_string() };
        let group = message.group().to_owned();
        self.ports.events.send(Outgoing { body: message.to_text(), group, delay: Duration::ZERO }).await
    }

    /// Has the numbers of rejected requests counted that are in memory alone: those above the cap, of minutes that are
    /// over. In the cloud a function tells them with its next request.
    pub async fn tell_shed(&self, now: Timestamp) {
        for receiver in self.webhooks.values() {
            receiver.tell_shed(now).await;
        }
    }

    /// The replays, which a schedule works off.
    pub fn replays(&self) -> &Arc<Replays> {
        &self.replays
    }

    /// Looks after the webhook subscriptions at the providers, as the schedule does; how many, and how many of them are not
    /// as they should be.
    pub async fn look_after_subscriptions(&self, left: Duration) -> Result<(usize, usize), QueueError> {
        let looked = subscriptions::handle(&self.subscriptions, left).await;
        self.routing.forget().await;
        let failed =
            |error: TableError| QueueError { action: "look after subscriptions", cause: error.to_string() };
        looked.map(|looked| (looked.looked_at, looked.wrong)).map_err(failed)
    }

    /// Sends what falls due, as the schedule does; and, where it `sweeps`, has watched what was missed. How many were sent.
    pub async fn schedule_checks(&self, sweeps: bool) -> Result<usize, QueueError> {
        let failed =
            |error: WatchError| QueueError { action: "send what falls due", cause: error.to_string() };
        let (tokens, reconciled) = (&self.refresher.roster, &self.reconciler.roster);
        let sent = checks::schedule(&self.watch.roster, tokens, reconciled, sweeps).await;
        Ok(sent.map_err(failed)?.due)
    }

    /// Tells the dead-man switch that all is at work, as the schedule does, if it is.
    pub async fn tell_deadman(&self) -> Result<Told, QueueError> {
        let failed =
            |error: TableError| QueueError { action: "tell the dead-man switch", cause: error.to_string() };
        self.deadman.tell().await.map_err(failed)
    }

    /// Takes one job of the queue of checks, as the event source does; how many it was.
    pub async fn check_batch(&self) -> Result<usize, QueueError> {
        job(&self.ports.checks, JOBS_VISIBILITY, |event| checks::handle(&self.watch, event)).await
    }

    /// The same of the queue of refreshes.
    pub async fn refresh_batch(&self) -> Result<usize, QueueError> {
        job(&self.ports.refreshes, JOBS_VISIBILITY, |event| refreshes::handle(&self.refresher, event)).await
    }

    /// The same of the queue of reconciliations.
    pub async fn reconcile_batch(&self) -> Result<usize, QueueError> {
        job(&self.ports.reconciliations, LISTS_VISIBILITY, |event| {
            reconciliations::handle(&self.reconciler, event)
        })
        .await
    }

    /// Looks at how each connection's webhooks go, as the schedule does; how many events that were.
    pub async fn tally(&self) -> Result<u64, QueueError> {
        let failed = |error: TallyError| QueueError { action: "tally webhooks", cause: error.to_string() };
        Ok(tally::handle(&self.tallies, Instant::now() + TALLY_TIMEOUT).await.map_err(failed)?.events)
    }

    /// What reconciles.
    pub fn reconciler(&self) -> &Arc<Reconciler> {
        &self.reconciler
    }

    /// What refreshes tokens.
    pub fn refresher(&self) -> &Arc<Refresher> {
        &self.refresher
    }

    /// The watch.
    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// What it stands on.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }
}
