//! `tillwatch serve`: the whole of Tillwatch in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use secrecy::SecretString;
use serde_json::json;
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_platform::clock::SystemClock;
use tillwatch_platform::config::{Environment, optional};
use tillwatch_platform::entropy;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::payloads::Folder;
use tillwatch_platform::queue::QueueError;
use tillwatch_platform::secrets::{Secrets, SecretsError, SecretsFile};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::embedded::DataFolder;
use crate::embedded::table::EmbeddedTable;
use crate::ports::{self, Queues, Storage};
use crate::stack::{Ports, Stack};

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
    #[arg(long, default_value = "tillwatch-data")]
    data: PathBuf,
    /// The file with the providers' signing keys; without it, one is made in the data folder.
    #[arg(long, env = "TILLWATCH_SECRETS")]
    secrets: Option<PathBuf>,
}

/// Batches that are processed at the same time.
const POLLERS: usize = 4;
/// How nice processing is to receiving, of 19.
const GIVES_WAY: i32 = 10;
/// How long a loop waits after something that it stands on failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Runs until Ctrl-C or a termination signal.
pub async fn run(arguments: Arguments) -> ExitCode {
    let filter: Targets =
        Environment.log_level().parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(filter).init();
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            refuse(&*error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "what the operator is told when nothing runs")]
fn refuse(error: &(dyn std::error::Error + Send + Sync)) {
    eprintln!("tillwatch: {error}");
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve(arguments: Arguments) -> Result<(), Failure> {
    let folder = DataFolder::open(&arguments.data)?;
    let address = SocketAddr::new(arguments.host, arguments.port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("can't listen on {address}: {error}. Another port: --port 8081"))?;
    let address = listener.local_addr()?;
    let secrets_path = match &arguments.secrets {
        Some(path) => path.clone(),
        None => folder.file("secrets.json"),
    };
    if !secrets_path.exists() {
        if arguments.secrets.is_some() {
            return Err(format!("there is no secrets file {}", secrets_path.display()).into());
        }
        make_secrets(&secrets_path, address)?;
    }
    let secrets = Arc::new(LocalSecrets::new(SecretsFile::new(secrets_path.clone())));
    // Whatever is wrong with the file should be said now and not with the first webhook.
    secrets.read("console").await?;

    let queues = Queues::open(&folder, &ports::system_now()).await?;
    let folder = Arc::new(folder);
    let (stop, stopping) = watch::channel(false);
    let (ready, stack) = oneshot::channel();
    let work = std::thread::Builder::new().name("work".to_owned()).spawn({
        let (folder, secrets, stopping) = (Arc::clone(&folder), Arc::clone(&secrets), stopping.clone());
        move || background(queues, &folder, secrets, stopping, ready)
    })?;
    let stack = stack.await.map_err(|_| "the tables could not be opened")??;
    introduce(address, &arguments.data, &secrets_path, secrets.operators_token().await);
    let http = tokio::spawn(crate::http::serve(listener, stack, stopping));
    asked_to_stop().await;
    tracing::info!("stopping: requests and batches that have begun are finished");
    let _ = stop.send(true);
    let _ = http.await;
    let _ = tokio::task::spawn_blocking(|| work.join()).await;
    Ok(())
}

/// Everything behind the queue, on threads that give way to those that take what arrives: under a flood webhooks are
/// answered first and processed after. Threads inherit the priority of the one that starts them, the tables' included.
fn background(
    queues: Queues,
    folder: &DataFolder,
    secrets: Arc<LocalSecrets>,
    stopping: watch::Receiver<bool>,
    ready: oneshot::Sender<Result<Arc<Stack>, Failure>>,
) {
    if let Err(error) = rustix::process::setpriority_process(None, GIVES_WAY) {
        tracing::warn!(%error, "processing has the same priority as receiving");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(error.into()));
            return;
        }
    };
    runtime.block_on(async {
        let storage = match Storage::open(queues, folder, ports::system_now()).await {
            Ok(storage) => storage,
            Err(error) => {
                let _ = ready.send(Err(error.into()));
                return;
            }
        };
        let stack = Arc::new(Stack::new(Ports {
            clock: Arc::new(SystemClock),
            table: storage.table,
            stream: storage.stream,
            events: storage.events,
            dead_letters: storage.dead_letters,
            payloads: Arc::new(Folder::new(folder.file("payloads"))),
            secrets,
            metrics: Arc::new(Metrics::off()),
            policy: RetryPolicy::default(),
        }));
        let mut loops = JoinSet::new();
        for poller in 0..=POLLERS {
            loops.spawn(process(Arc::clone(&stack), poller == POLLERS, stopping.clone()));
        }
        loops.spawn(roll_up(Arc::clone(&stack), stopping.clone()));
        loops.spawn(beat(Arc::clone(&stack), stopping.clone()));
        loops.spawn(expire(storage.expiring, stopping));
        let _ = ready.send(Ok(stack));
        while loops.join_next().await.is_some() {}
    });
}

async fn asked_to_stop() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

/// One poller of a queue: batch after batch, and sleep while there is none.
async fn process(stack: Arc<Stack>, dead_letters: bool, mut stop: watch::Receiver<bool>) {
    let queue = if dead_letters { &stack.ports().dead_letters } else { &stack.ports().events };
    while !*stop.borrow() {
        match stack.process_batch(dead_letters).await {
            Ok(0) => tokio::select! {
                () = queue.wait() => {}
                _ = stop.changed() => {}
            },
            Ok(_) => {}
            Err(error) => pause(&error, &mut stop).await,
        }
    }
}

/// The stream's reader: change after change, until what was processed before the stop is counted.
async fn roll_up(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    loop {
        match stack.roll_up_batch().await {
            Ok(0) | Err(_) if *stop.borrow() => return,
            Ok(0) => tokio::select! {
                () = stack.ports().stream.wait() => {}
                _ = stop.changed() => {}
            },
            Ok(_) => {}
            Err(error) => pause(&error, &mut stop).await,
        }
    }
}

/// The schedule.
async fn beat(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    let mut minutes = tokio::time::interval(Duration::from_mins(1));
    loop {
        tokio::select! {
            _ = minutes.tick() => {
                if let Err(error) = stack.heartbeat(stack.ports().clock.now()).await {
                    tracing::warn!(%error, "the heartbeat could not be sent");
                }
            }
            _ = stop.changed() => return,
        }
    }
}

/// Deletes what has expired.
async fn expire(table: EmbeddedTable, mut stop: watch::Receiver<bool>) {
    let mut hours = tokio::time::interval(Duration::from_secs(3_600));
    loop {
        tokio::select! {
            _ = hours.tick() => match table.sweep_ttl().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "deleted what has expired"),
                Err(error) => tracing::warn!(%error, "what has expired could not be deleted"),
            },
            _ = stop.changed() => return,
        }
    }
}

async fn pause(error: &QueueError, stop: &mut watch::Receiver<bool>) {
    tracing::error!(%error, "trying again in a second");
    tokio::select! {
        () = tokio::time::sleep(AFTER_FAILURE) => {}
        _ = stop.changed() => {}
    }
}

/// The secrets file, with the operator's token from the environment where that is set.
struct LocalSecrets {
    file: SecretsFile,
    token: Option<String>,
}

impl LocalSecrets {
    fn new(file: SecretsFile) -> Self {
        Self { file, token: optional("TILLWATCH_TOKEN") }
    }

    async fn operators_token(&self) -> Option<String> {
        use secrecy::ExposeSecret as _;
        let secret = self.read("console").await.ok()??;
        let console: serde_json::Value = serde_json::from_str(secret.expose_secret()).ok()?;
        console["tokens"][0].as_str().map(str::to_owned)
    }
}

#[async_trait]
impl Secrets for LocalSecrets {
    async fn read(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        match (&self.token, name) {
            (Some(token), "console") => Ok(Some(json!({"tokens": [token]}).to_string().into())),
            _ => self.file.read(name).await,
        }
    }
}

/// Makes a secrets file with random keys, for its owner's eyes only.
fn make_secrets(path: &std::path::Path, address: SocketAddr) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let key = || hex::encode(entropy::bytes::<16>());
    let secrets = json!({
        "square": {
            "signing_keys": [key()],
            "notification_url": format!("http://{address}/webhooks/square"),
        },
        "shopify": {"signing_keys": [key()]},
        "stripe": {"signing_keys": [format!("whsec_{}", key())]},
        "console": {"tokens": [format!("tw_{}", key())]},
    });
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(serde_json::to_string_pretty(&secrets)?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Tells the operator what runs where. Nobody listening is no reason to stop.
fn introduce(address: SocketAddr, data: &std::path::Path, secrets: &std::path::Path, token: Option<String>) {
    use std::io::Write as _;
    let mut text = format!("Tillwatch is running at http://{address}. Ctrl-C stops it.\n\nWebhook URLs\n");
    for provider in tillwatch_providers::ALL {
        text.push_str(&format!("  http://{address}/webhooks/{}\n", provider.name()));
    }
    let token = token.unwrap_or_else(|| "none: put one into the secrets file".to_owned());
    text.push_str(&format!(
        "
Signing keys      {}
Data              {}
Operator's token  {token}
API               http://{address}/openapi.json

Try, in another terminal:
  cargo run -- send square --count 10
  cargo run -- events
",
        secrets.display(),
        data.display(),
    ));
    let _ = std::io::stdout().write_all(text.as_bytes());
}
