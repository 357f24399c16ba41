//! Faults at every port: each call of the stack to what it stands on is a numbered step, and a plan says which step goes
//! wrong and how.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use tillwatch::stack::{Polled, Received, Tailed};
use tillwatch_platform::payloads::{PayloadError, Payloads};
use tillwatch_platform::queue::{Gauge, Outgoing, Queue, QueueError};
use tillwatch_platform::secrets::{Secrets, SecretsError};
use tillwatch_platform::table::LocalEndpoint;

/// How a step goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and says so.
    FailsBefore,
    /// It is done, and its answer is lost.
    FailsAfter,
    /// The process ends before it is done.
    DiesBefore,
    /// The process ends when it is done, before the answer is seen.
    DiesAfter,
}

impl Fault {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::FailsBefore, Self::FailsAfter, Self::DiesBefore, Self::DiesAfter];
}

type Rule = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// What goes wrong, shared by all ports of one stack.
#[derive(Default)]
pub struct Faults {
    steps: AtomicUsize,
    plan: Mutex<Option<(usize, Fault)>>,
    down: Mutex<Option<Rule>>,
    dead: AtomicBool,
    reached: AtomicBool,
}

impl Faults {
    /// Lets step number `step` (the first is 0) go wrong.
    pub fn plan(&self, step: usize, fault: Fault) {
        *self.plan.lock().unwrap() = Some((step, fault));
    }

    /// Lets every step fail whose name the rule takes: `queue.send`, `table.PutItem {…}`.
    pub fn down(&self, rule: impl Fn(&str) -> bool + Send + Sync + 'static) {
        *self.down.lock().unwrap() = Some(Box::new(rule));
    }

    /// Everything works again.
    pub fn up(&self) {
        *self.down.lock().unwrap() = None;
    }

    /// Nothing more goes wrong by plan.
    pub fn spare(&self) {
        *self.plan.lock().unwrap() = None;
    }

    /// Whether the process has ended.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether the planned step was reached.
    pub fn was_reached(&self) -> bool {
        self.reached.load(Ordering::SeqCst)
    }

    async fn step<T>(&self, name: &str, work: impl Future<Output = T>) -> Option<T> {
        if self.is_dead() || self.down.lock().unwrap().as_ref().is_some_and(|rule| rule(name)) {
            return None;
        }
        let number = self.steps.fetch_add(1, Ordering::SeqCst);
        let planned = *self.plan.lock().unwrap();
        let fault = planned.filter(|(step, _)| *step == number).map(|(_, fault)| fault);
        if fault.is_some() {
            self.reached.store(true, Ordering::SeqCst);
        }
        match fault {
            None => Some(work.await),
            Some(Fault::FailsBefore) => None,
            Some(Fault::DiesBefore) => {
                self.dead.store(true, Ordering::SeqCst);
                None
            }
            Some(Fault::FailsAfter) => {
                work.await;
                None
            }
            Some(Fault::DiesAfter) => {
                work.await;
                self.dead.store(true, Ordering::SeqCst);
                None
            }
        }
    }
}

/// A port with faults before it.
pub struct Faulty<P: ?Sized> {
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// The port itself.
    pub port: Arc<P>,
}

const INJECTED: &str = "injected by the test";

#[async_trait]
impl LocalEndpoint for Faulty<dyn LocalEndpoint> {
    async fn call(&self, operation: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let name = format!("table.{operation} {}", String::from_utf8_lossy(body));
        self.faults.step(&name, self.port.call(operation, body)).await.flatten()
    }
}

#[async_trait]
impl Queue for Faulty<dyn Polled> {
    async fn send(&self, message: Outgoing) -> Result<(), QueueError> {
        let failed = || Err(QueueError { action: "send", cause: INJECTED.into() });
        self.faults.step("queue.send", self.port.send(message)).await.unwrap_or_else(failed)
    }

    async fn change_visibility(&self, receipt: &str, delay: Duration) -> Result<(), QueueError> {
        let failed = || Err(QueueError { action: "change visibility", cause: INJECTED.into() });
        let work = self.port.change_visibility(receipt, delay);
        self.faults.step("queue.change_visibility", work).await.unwrap_or_else(failed)
    }

    async fn gauge(&self) -> Result<Gauge, QueueError> {
        let failed = || Err(QueueError { action: "gauge", cause: INJECTED.into() });
        self.faults.step("queue.gauge", self.port.gauge()).await.unwrap_or_else(failed)
    }
}

#[async_trait]
impl Polled for Faulty<dyn Polled> {
    async fn receive(&self, max: usize, visibility: Duration) -> Result<Vec<Received>, QueueError> {
        let failed = || Err(QueueError { action: "receive", cause: INJECTED.into() });
        self.faults.step("queue.receive", self.port.receive(max, visibility)).await.unwrap_or_else(failed)
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), QueueError> {
        let failed = || Err(QueueError { action: "delete", cause: INJECTED.into() });
        self.faults.step("queue.delete", self.port.delete(receipts)).await.unwrap_or_else(failed)
    }

    async fn wait(&self) {
        self.port.wait().await;
    }
}

#[async_trait]
impl Tailed for Faulty<dyn Tailed> {
    async fn next(&self, limit: usize) -> Result<(String, Vec<Value>), QueueError> {
        let failed = || Err(QueueError { action: "read the stream", cause: INJECTED.into() });
        self.faults.step("stream.next", self.port.next(limit)).await.unwrap_or_else(failed)
    }

    async fn counted(&self, sequence: &str) -> Result<(), QueueError> {
        let failed = || Err(QueueError { action: "save the checkpoint", cause: INJECTED.into() });
        self.faults.step("stream.counted", self.port.counted(sequence)).await.unwrap_or_else(failed)
    }

    async fn wait(&self) {
        self.port.wait().await;
    }
}

#[async_trait]
impl Payloads for Faulty<dyn Payloads> {
    async fn put(&self, name: &str, bytes: Vec<u8>, now: Timestamp) -> Result<(), PayloadError> {
        let failed = || Err(PayloadError { action: "keep a payload", cause: INJECTED.into() });
        self.faults.step("payloads.put", self.port.put(name, bytes, now)).await.unwrap_or_else(failed)
    }

    async fn get(&self, name: &str, now: Timestamp) -> Result<Option<Vec<u8>>, PayloadError> {
        let failed = || Err(PayloadError { action: "give a payload", cause: INJECTED.into() });
        self.faults.step("payloads.get", self.port.get(name, now)).await.unwrap_or_else(failed)
    }
}

#[async_trait]
impl Secrets for Faulty<dyn Secrets> {
    async fn read(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        let failed = || Err(SecretsError { cause: INJECTED.into() });
        self.faults.step("secrets.read", self.port.read(name)).await.unwrap_or_else(failed)
    }
}
