//! `tillwatch serve`: the whole of Tillwatch in one process.

mod expiry;
mod introduction;
mod loops;
mod secrets;
mod vaults;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_platform::config::{Environment, optional};
use tillwatch_platform::connections::{Connections, Unknown};
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::Limits;
use tillwatch_platform::payloads::Folder;
use tillwatch_providers::checks::status_pages;
use tillwatch_workflows::reconcile;
use tillwatch_workflows::watch::{Beside, EVERY, REFERENCES};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::introduction::Introduction;
use self::secrets::LocalSecrets;
use crate::cli::secrets::DEFAULT_DATA;
use crate::embedded::DataFolder;
use crate::ports::{self, Queues, Storage};
use crate::stack::{CONNECTIONS_TABLE, Ports, Stack};

/// Run everything on this machine: webhook URLs, queue, processor, table, figures and the API.
#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch serve --port 8080 --data tillwatch-data")]
pub struct Arguments {
    /// The port to listen on.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The address to listen on. Others than this machine can reach it only if you say so.
    #[arg(long, default_value = "127.0.0.1")]
    host: std::net::IpAddr,
    /// The folder that everything is kept in.
    #[arg(long, default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// The file with the providers' signing keys; without it, one is made in the data folder.
    #[arg(long, env = "TILLWATCH_SECRETS")]
    secrets: Option<PathBuf>,
}

/// Batches that are processed at the same time.
const POLLERS: usize = 4;
/// Jobs of checks that are made at the same time, each of up to twenty connections.
const CHECKERS: usize = 16;
/// Jobs of refreshes that are done at the same time.
const REFRESHERS: usize = 4;
/// Runs of reconciliations that are made at the same time.
const RECONCILERS: usize = 2;
/// How nice processing is to receiving, of 19.
const GIVES_WAY: i32 = 10;

/// Runs until Ctrl-C or a termination signal.
pub async fn run(arguments: Arguments) -> ExitCode {
    let filter = match Environment.log_level() {
        Ok(level) => level.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO)),
        Err(error) => {
            refuse(&error);
            return ExitCode::FAILURE;
        }
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // The SDK tells of its connections, of which the tables' are none; what went wrong is said where it is dealt with.
    let filter = filter.with_target("aws_smithy_runtime", LevelFilter::OFF);
    tracing_subscriber::registry().with(lines).with(filter).init();
    claim();
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            refuse(&*error);
            ExitCode::FAILURE
        }
    }
}

/// Takes what the process is allowed: as many open files as the machine gives, and files for its owner's eyes only.
fn claim() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, files) {
        tracing::warn!(%error, "no more files can be opened than by default");
    }
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
}

#[expect(clippy::print_stderr, reason = "what the operator is told when nothing runs")]
fn refuse(error: &(dyn std::error::Error + Send + Sync)) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    eprintln!("tillwatch: {text}");
}

/// What the environment says.
struct Chosen {
    policy: RetryPolicy,
    allow_private: bool,
    public_url: Option<String>,
    deadman_url: Option<SecretString>,
    check_every: Duration,
    reconcile_every: Duration,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve(arguments: Arguments) -> Result<(), Failure> {
    let token = secrets::from_environment(optional("TILLWATCH_TOKEN"))?;
    let chosen = Chosen {
        policy: RetryPolicy::with_attempts(Environment.attempts()?),
        allow_private: Environment.allow_private()?,
        public_url: Environment.public_url(),
        deadman_url: Environment.deadman_url().map(Into::into),
        check_every: Environment.check_every()?.unwrap_or(EVERY),
        reconcile_every: Environment.reconcile_every()?.unwrap_or(reconcile::EVERY),
    };
    let folder = DataFolder::open(&arguments.data)?;
    let address = SocketAddr::new(arguments.host, arguments.port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("can't listen on {address}: {error}. Another port: --port 8081"))?;
    let url = introduction::url(listener.local_addr()?);
    let secrets_path = match &arguments.secrets {
        Some(path) => path.clone(),
        None => folder.file("secrets.json"),
    };
    if !secrets_path.exists() {
        if arguments.secrets.is_some() {
            return Err(format!("there is no secrets file {}", secrets_path.display()).into());
        }
        secrets::make(&secrets_path, &url)?;
    }
    let (secrets, token) = LocalSecrets::open(secrets_path.clone(), token, &arguments.data)?;
    secrets.warn_of_useless_settings(SystemClock.now()).await;
    let secrets = Arc::new(secrets);
    let mut signals = Signals::new()?;

    let queues = Queues::open(&folder, &ports::system_now()).await?;
    let (stop, stopping) = watch::channel(false);
    let (ready, stack) = oneshot::channel();
    let (alarm, alarmed) = oneshot::channel();
    let work = std::thread::Builder::new().name("work".to_owned()).spawn({
        let stopping = stopping.clone();
        move || background(queues, &folder, secrets, chosen, stopping, ready, alarm)
    })?;
    let stack = stack.await.map_err(|_| "the tables could not be opened")??;
    Introduction { url, data: arguments.data, secrets: secrets_path, token }.print();
    let mut http = tokio::spawn(crate::http::serve(listener, stack, stopping));
    // The other two end by themselves only when something in them has panicked.
    let ended = tokio::select! {
        _ = signals.next() => None,
        _ = alarmed => None,
        ended = &mut http => Some(ended),
    };
    tracing::info!("stopping: requests and batches that have begun are finished. Ctrl-C again stops at once");
    tokio::spawn(async move { std::process::exit(signals.next().await) });
    let _ = stop.send(true);
    let served = match ended {
        Some(ended) => ended,
        None => http.await,
    };
    let worked = tokio::task::spawn_blocking(|| work.join()).await?;
    match (served, worked) {
        (Ok(()), Ok(worked)) => worked,
        _ => Err(BROKEN.into()),
    }
}

/// Why the process ends when nobody asked it to.
const BROKEN: &str = "a part of it panicked, and nothing goes on without it: the log says where. What was accepted is kept; \
                      start it again";

/// Everything behind the queue, on threads that give way to those that take what arrives: under a flood webhooks are
/// answered first and processed after. Threads inherit the priority of the one that starts them, the tables' included.
/// Raises the alarm when one of its loops panics, and goes on until `stopping` says so.
fn background(
    queues: Queues,
    folder: &DataFolder,
    secrets: Arc<LocalSecrets>,
    chosen: Chosen,
    stopping: watch::Receiver<bool>,
    ready: oneshot::Sender<Result<Arc<Stack>, Failure>>,
    alarm: oneshot::Sender<()>,
) -> Result<(), Failure> {
    if let Err(error) = rustix::process::setpriority_process(None, GIVES_WAY) {
        tracing::warn!(%error, "processing has the same priority as receiving");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(error.into()));
            return Ok(());
        }
    };
    runtime.block_on(async {
        let storage = match Storage::open(queues, folder, ports::system_now()).await {
            Ok(storage) => storage,
            Err(error) => {
                let _ = ready.send(Err(error.into()));
                return Ok(());
            }
        };
        let connections = Connections::in_process(Arc::clone(&storage.table), CONNECTIONS_TABLE.to_owned());
        let vaults = vaults::open(&secrets, &connections, &folder.file(""), SystemClock.now()).await;
        let [webhook_vault, token_vault] = match vaults {
            Ok(vaults) => vaults,
            Err(error) => {
                let _ = ready.send(Err(error));
                return Ok(());
            }
        };
        let payloads = Folder::new(folder.file("payloads"));
        let stack = Arc::new(Stack::new(Ports {
            clock: Arc::new(SystemClock),
            table: storage.table,
            stream: storage.stream,
            events: storage.events,
            dead_letters: storage.dead_letters,
            checks: storage.checks,
            refreshes: storage.refreshes,
            reconciliations: storage.reconciliations,
            payloads: Arc::new(payloads.clone()),
            secrets,
            webhook_vault,
            token_vault,
            unknown: Unknown::Auto,
            metrics: Arc::new(Metrics::off()),
            policy: chosen.policy,
            outbound: Limits { allow_private: chosen.allow_private, ..Limits::default() },
            beside: Beside { pages: status_pages(), public_url: chosen.public_url.clone() },
            public_url: chosen.public_url,
            deadman_url: chosen.deadman_url,
            check_every: chosen.check_every,
            reconcile_every: chosen.reconcile_every,
            references: REFERENCES.map(str::to_owned).to_vec(),
        }));
        let mut running = JoinSet::new();
        for poller in 0..=POLLERS {
            running.spawn(loops::process(Arc::clone(&stack), poller == POLLERS, stopping.clone()));
        }
        running.spawn(loops::roll_up(Arc::clone(&stack), stopping.clone()));
        running.spawn(loops::replay(Arc::clone(&stack), stopping.clone()));
        for _ in 0..CHECKERS {
            running.spawn(loops::check(Arc::clone(&stack), stopping.clone()));
        }
        for _ in 0..REFRESHERS {
            running.spawn(loops::refresh(Arc::clone(&stack), stopping.clone()));
        }
        for _ in 0..RECONCILERS {
            running.spawn(loops::reconcile(Arc::clone(&stack), stopping.clone()));
        }
        running.spawn(loops::schedule_checks(Arc::clone(&stack), stopping.clone()));
        running.spawn(loops::tally(Arc::clone(&stack), stopping.clone()));
        running.spawn(loops::beat(Arc::clone(&stack), stopping.clone()));
        if stack.ports().public_url.is_some() {
            running.spawn(loops::look_after_subscriptions(Arc::clone(&stack), stopping.clone()));
        }
        running.spawn(expiry::expire(storage.expiring, payloads, Arc::new(SystemClock), stopping));
        let _ = ready.send(Ok(stack));
        if loops::all_ended(running, alarm).await { Ok(()) } else { Err(BROKEN.into()) }
    })
}

/// Ctrl-C and the termination signal.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on they no longer end the process by themselves.
    fn new() -> std::io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate })
    }

    /// Waits for the next one, and gives the exit code that a process has which it ended.
    async fn next(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        128 + kind.as_raw_value()
    }
}
