//! A world for one test: a stack on temporary files, a clock that stands still, secrets that can be changed, and faults
//! at every port. What is accepted survives [`World::restart`], as it survives the end of a process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tillwatch::embedded::{DataFolder, Now};
use tillwatch::ports::{Queues, Storage};
use tillwatch::stack::{Polled, Ports, Stack, Tailed};
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_platform::clock::Clock;
use tillwatch_platform::connections::Unknown;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::Limits;
use tillwatch_platform::payloads::{Folder, Payloads};
use tillwatch_platform::queue::QueueError;
use tillwatch_platform::secrets::{Secrets, SecretsError};
use tillwatch_platform::table::{LocalEndpoint, Written};
use tillwatch_platform::vault::{KeyRing, Vault};
use tillwatch_providers::Settings;
use tillwatch_workflows::watch::Beside;

use crate::described::assert_described;
use crate::faults::{Faults, Faulty};
use crate::meter::Meter;
use crate::pages::Pages;
use crate::sender::{Sent, content_type, json};

/// The operator's token of every world.
pub const TOKEN: &str = "operator-token-of-the-tests";
/// The notification URL that Square signs here.
pub const SQUARE_URL: &str = "https://hooks.example.com/webhooks/square";
/// When every world begins: 2026-11-23T23:00:00Z.
pub const BEGINNING_MS: i64 = 1_795_474_800_000;

/// A clock that moves when it is told to.
#[derive(Clone)]
pub struct FakeClock(Arc<AtomicI64>);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

impl FakeClock {
    /// Lets time pass.
    pub fn pass(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Is put back.
    pub fn put_back(&self, span: Duration) {
        self.0.fetch_sub(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// Secrets that a test can change at their source.
#[derive(Default)]
pub struct FakeSecrets(Mutex<BTreeMap<String, Value>>);

#[async_trait]
impl Secrets for FakeSecrets {
    async fn read(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        Ok(self.0.lock().unwrap().get(name).map(|value| value.to_string().into()))
    }

    async fn write(
        &self,
        name: &str,
        secret: &SecretString,
        over: Option<&SecretString>,
    ) -> Result<Written, SecretsError> {
        let mut secrets = self.0.lock().unwrap();
        let now = secrets.get(name).map(ToString::to_string);
        if now.as_deref() != over.map(ExposeSecret::expose_secret) {
            return Ok(Written::No);
        }
        secrets.insert(name.to_owned(), serde_json::from_str(secret.expose_secret()).unwrap());
        Ok(Written::Yes)
    }
}

impl FakeSecrets {
    /// Puts a secret, or takes it away.
    pub fn put(&self, name: &str, value: Option<Value>) {
        let mut secrets = self.0.lock().unwrap();
        match value {
            Some(value) => secrets.insert(name.to_owned(), value),
            None => secrets.remove(name),
        };
    }
}

/// See the module's head.
pub struct World {
    folder: std::path::PathBuf,
    _temporary: tempfile::TempDir,
    data: Option<DataFolder>,
    clock: FakeClock,
    /// The secrets at their source.
    pub secrets: Arc<FakeSecrets>,
    /// What goes wrong in the present process.
    pub faults: Arc<Faults>,
    /// Counts what is asked of the tables.
    pub meter: Arc<Meter>,
    /// The metrics of the present process.
    pub metrics: Arc<Metrics>,
    policy: RetryPolicy,
    /// What becomes of events of unknown accounts in the next process.
    pub unknown: Unknown,
    /// How patient calls to providers are in the next process.
    pub outbound: Limits,
    /// The address at which providers reach the next process.
    pub public_url: String,
    /// Who is asked in the next process whether anything is to be reached from here.
    pub references: Vec<String>,
    /// Whom the next process tells that all is at work.
    pub deadman_url: Option<String>,
    /// What is watched in the next process beside connections.
    pub beside: Beside,
    stack: Option<Arc<Stack>>,
    payloads: Option<Arc<dyn Payloads>>,
}

/// The settings that every world's secrets begin with.
pub fn settings(provider: &str) -> Settings {
    serde_json::from_value(secret(provider)).unwrap()
}

fn secret(name: &str) -> Value {
    match name {
        "square" => json!({"signing_keys": ["square-key"], "notification_url": SQUARE_URL}),
        "shopify" | "stripe" => json!({"signing_keys": [format!("{name}-key")]}),
        other => {
            let url = format!("https://hooks.example.com/webhooks/{other}");
            crate::sender::provider(other).fresh_settings(&format!("{other}-key-of-32-digits"), &url)
        }
    }
}

impl World {
    /// A new world in which nothing has happened yet.
    pub async fn new() -> Self {
        Self::with_policy(RetryPolicy::default()).await
    }

    /// The same, where failed messages are tried again by another policy.
    pub async fn with_policy(policy: RetryPolicy) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut world = Self {
            folder: temporary.path().join("data"),
            _temporary: temporary,
            data: None,
            clock: FakeClock(Arc::new(AtomicI64::new(BEGINNING_MS))),
            secrets: Arc::default(),
            faults: Arc::default(),
            meter: Arc::default(),
            metrics: Arc::new(Metrics::kept()),
            policy,
            unknown: Unknown::Auto,
            outbound: Limits { allow_private: true, ..Limits::default() },
            public_url: "https://hooks.example.com".to_owned(),
            references: Vec::new(),
            deadman_url: None,
            beside: Beside::default(),
            stack: None,
            payloads: None,
        };
        for provider in tillwatch_providers::ALL {
            world.secrets.put(provider.name(), Some(secret(provider.name())));
        }
        world.secrets.put("console", Some(json!({"tokens": [TOKEN]})));
        for ring in ["vault_webhooks", "vault_tokens"] {
            world.secrets.put(ring, Some(serde_json::from_str(&KeyRing::generate()).unwrap()));
        }
        world.restart().await;
        world
    }

    /// Ends the process, if one runs, and starts the next one on what the last one left.
    pub async fn restart(&mut self) {
        self.stack = None;
        self.data = None;
        let data = DataFolder::open(&self.folder).unwrap();
        let clock = self.clock.clone();
        let now: Now = Arc::new(move || clock.now().as_millisecond());
        let queues = Queues::open(&data, &now).await.unwrap();
        let storage = Storage::open(queues, &data, now).await.unwrap();
        self.data = Some(data);
        self.faults = Arc::new(self.faults.of_next_process());
        let faults = self.faults.clone();
        let payloads = self.payloads.clone();
        let payloads = payloads.unwrap_or_else(|| Arc::new(Folder::new(self.folder.join("payloads"))));
        let secrets: Arc<dyn Secrets> = self.secrets.clone();
        let vault = async |ring: &str| {
            Arc::new(Vault::open(secrets.clone(), ring.to_owned(), self.clock.now()).await.unwrap())
        };
        let (webhook_vault, token_vault) = (vault("vault_webhooks").await, vault("vault_tokens").await);
        self.stack = Some(Arc::new(Stack::new(Ports {
            clock: Arc::new(self.clock.clone()),
            table: Arc::new(Faulty::<dyn LocalEndpoint> {
                faults: faults.clone(),
                port: self.meter.over(storage.table),
            }),
            stream: Arc::new(Faulty::<dyn Tailed> { faults: faults.clone(), port: storage.stream }),
            events: Arc::new(Faulty::<dyn Polled> { faults: faults.clone(), port: storage.events }),
            dead_letters: Arc::new(Faulty::<dyn Polled> {
                faults: faults.clone(),
                port: storage.dead_letters,
            }),
            checks: Arc::new(Faulty::<dyn Polled> { faults: faults.clone(), port: storage.checks }),
            refreshes: Arc::new(Faulty::<dyn Polled> { faults: faults.clone(), port: storage.refreshes }),
            reconciliations: Arc::new(Faulty::<dyn Polled> {
                faults: faults.clone(),
                port: storage.reconciliations,
            }),
            payloads: Arc::new(Faulty::<dyn Payloads> { faults: faults.clone(), port: payloads }),
            secrets: Arc::new(Faulty::<dyn Secrets> { faults, port: secrets }),
            webhook_vault,
            token_vault,
            unknown: self.unknown,
            metrics: self.metrics.clone(),
            policy: self.policy,
            outbound: self.outbound,
            public_url: Some(self.public_url.clone()),
            deadman_url: self.deadman_url.clone().map(Into::into),
            check_every: tillwatch_workflows::watch::EVERY,
            reconcile_every: tillwatch_workflows::reconcile::EVERY,
            references: self.references.clone(),
            beside: self.beside.clone(),
        })));
    }

    /// Starts the next process with another store for large payloads.
    pub async fn restart_with_payloads(&mut self, payloads: Arc<dyn Payloads>) {
        self.payloads = Some(payloads);
        self.restart().await;
    }

    /// Starts the next process with another policy for failed messages.
    pub async fn restart_with_policy(&mut self, policy: RetryPolicy) {
        self.policy = policy;
        self.restart().await;
    }

    /// All bytes that are on disk, by the file's name: tables, queues and payloads.
    pub fn on_disk(&self) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let (mut files, mut folders) = (Vec::new(), vec![self.folder.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.clone(), std::fs::read(&path).unwrap()));
                }
            }
        }
        files
    }

    /// The running process.
    pub fn stack(&self) -> &Arc<Stack> {
        self.stack.as_ref().unwrap()
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock, for what lets time pass by itself.
    pub fn clock(&self) -> &FakeClock {
        &self.clock
    }

    /// Lets time pass.
    pub fn pass(&self, span: Duration) {
        self.clock.pass(span);
    }

    /// Sends a request; its answer, which is as the API's description says.
    pub async fn send(&self, sent: &Sent) -> ApiGatewayV2httpResponse {
        let answer = self.stack().http(sent.event()).await;
        assert_described(
            &sent.outgoing().method,
            &format!("/webhooks/{}", sent.provider),
            answer.status_code,
            content_type(&answer),
            &json(&answer),
        );
        answer
    }

    /// Sends a request; the status of its answer.
    pub async fn post(&self, sent: &Sent) -> i64 {
        self.send(sent).await.status_code
    }

    /// Processes and counts what is there now, until nothing is left to be received; whether it came to that. Failures that
    /// the test means end it early, as they end a process' turn.
    pub async fn work(&self) -> bool {
        let mut all_done = true;
        for dead_letters in [false, true] {
            while let Some(1..) = self.counted(self.stack().process_batch(dead_letters).await, &mut all_done)
            {
            }
        }
        while let Some(1..) = self.counted(self.stack().roll_up_batch().await, &mut all_done) {}
        all_done
    }

    fn counted(&self, result: Result<usize, QueueError>, all_done: &mut bool) -> Option<usize> {
        let count = self.meant(result);
        *all_done &= count.is_some();
        count
    }

    /// Lets so much time pass, and then a minute begin: the heartbeat is sent, what floods shed is told, and the work done.
    pub async fn turn(&self, span: Duration) {
        self.pass(span);
        self.meant(self.stack().heartbeat(self.now()).await);
        self.stack().tell_shed(self.now()).await;
        self.work().await;
    }

    /// Takes the next step of every replay of which one is due, and does the work that it makes; when the next one is.
    pub async fn replay_once(&self) -> Option<Timestamp> {
        let next = self.meant(self.stack().replays().turn().await).flatten();
        self.work().await;
        next
    }

    /// Sends the checks and refreshes that fall due and makes them, until none is left; how many connections were sent to be
    /// checked.
    pub async fn watch(&self) -> usize {
        let due = self.meant(self.stack().schedule_checks(false).await).unwrap_or(0);
        while let Some(1..) = self.meant(self.stack().check_batch().await) {}
        while let Some(1..) = self.meant(self.stack().refresh_batch().await) {}
        due
    }

    /// Has webhooks tallied, as the schedule does every five minutes; how many events were gone through.
    pub async fn tally(&self) -> u64 {
        self.meant(self.stack().tally().await).unwrap_or(0)
    }

    /// Sends the reconciliations that fall due and makes them, until none is left, and does the work that comes of it.
    pub async fn reconcile(&self) {
        self.meant(self.stack().schedule_checks(false).await);
        while let Some(1..) = self.meant(self.stack().reconcile_batch().await) {}
        self.work().await;
    }

    /// Lets so much time pass, with a look at what is due every ten seconds.
    pub async fn watch_for(&self, span: Duration) {
        let until = self.now() + span;
        while self.now() < until {
            self.pass(Duration::from_secs(10));
            self.watch().await;
        }
    }

    /// Works all replays off, however long they take.
    pub async fn replay(&self) {
        for _ in 0..1_000 {
            let Some(next) = self.replay_once().await else { return };
            self.clock.0.fetch_max(next.as_millisecond(), Ordering::SeqCst);
        }
        panic!("replays come to an end");
    }

    /// An operator's request with a body that must be taken.
    pub async fn do_with(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask_with(method, path, Some(TOKEN), Some(body)).await;
        assert!((200..300).contains(&status), "{path}: {answer}");
        answer
    }

    /// Lets so much time pass that everything in flight, waiting for another attempt or due has its turn, and does the
    /// work.
    pub async fn settle(&self) {
        for _ in 0..3 {
            self.turn(Duration::from_secs(4_000)).await;
        }
    }

    /// What came of it; none, if it failed and the test means something to fail.
    fn meant<T, E: std::fmt::Display>(&self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            Err(_) if self.faults.are_meant() => None,
            Err(error) => panic!("nothing was to fail: {error}"),
        }
    }

    /// An operator's request; status and body, which are as the API's description says.
    pub async fn ask(&self, method: &str, path_and_query: &str) -> (i64, Value) {
        self.ask_as(method, path_and_query, Some(TOKEN)).await
    }

    /// The same with another token, or none.
    pub async fn ask_as(&self, method: &str, path_and_query: &str, token: Option<&str>) -> (i64, Value) {
        self.ask_with(method, path_and_query, token, None).await
    }

    /// The same with a body of JSON.
    pub async fn ask_with(
        &self,
        method: &str,
        path_and_query: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> (i64, Value) {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let mut event = ApiGatewayV2httpRequest::default();
        event.raw_path = Some(path.to_owned());
        event.raw_query_string = Some(query.to_owned());
        event.request_context.http.method = method.parse().unwrap();
        event.request_context.http.path = Some(path.to_owned());
        if let Some(token) = token {
            event.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        event.body = body.map(Value::to_string);
        let answer = self.stack().http(event).await;
        let body = json(&answer);
        assert_described(method, path, answer.status_code, content_type(&answer), &body);
        (answer.status_code, body)
    }

    /// An operator's request that must succeed.
    pub async fn get(&self, path_and_query: &str) -> Value {
        let (status, body) = self.ask("GET", path_and_query).await;
        assert_eq!(status, 200, "{path_and_query}: {body}");
        body
    }

    /// All deliveries of a provider, page by page.
    pub async fn deliveries(&self, provider: &str) -> Vec<Value> {
        let mut pages = Pages::of(format!("/webhooks/deliveries/{provider}?limit=500"));
        while let Some(path) = pages.wanted() {
            pages.read(&self.get(&path).await);
        }
        pages.deliveries
    }

    /// A provider's figures of the last day.
    pub async fn health(&self, provider: &str) -> Value {
        self.get("/webhooks/health").await["providers"][provider].clone()
    }
}
