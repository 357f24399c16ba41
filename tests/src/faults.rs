//! Faults at every port: each call of the stack to what it stands on is a step, and a plan says which steps go wrong and
//! how.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use tillwatch::stack::{Polled, Received, Tailed};
use tillwatch_platform::aws::Patience;
use tillwatch_platform::payloads::{PayloadError, Payloads};
use tillwatch_platform::queue::{Gauge, Outgoing, Queue, QueueError};
use tillwatch_platform::secrets::{Secrets, SecretsError};
use tillwatch_platform::table::{LocalEndpoint, Written};

/// How a step goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and says so. The SDK makes a call of the table once more by itself.
    FailsBefore,
    /// It is done, and its answer is lost. The SDK makes a call of the table once more by itself.
    FailsAfter,
    /// It is not done, whatever the SDK tries: a call of the table fails for those who asked for it.
    KeepsFailingBefore,
    /// It is done as often as the SDK tries, and no answer comes: a call of the table fails for those who asked for it.
    KeepsFailingAfter,
    /// The process ends before it is done.
    DiesBefore,
    /// The process ends when it is done, before the answer is seen.
    DiesAfter,
}

impl Fault {
    /// Every way.
    pub const ALL: [Self; 6] = [
        Self::FailsBefore,
        Self::FailsAfter,
        Self::KeepsFailingBefore,
        Self::KeepsFailingAfter,
        Self::DiesBefore,
        Self::DiesAfter,
    ];

    fn is_done(self) -> bool {
        matches!(self, Self::FailsAfter | Self::KeepsFailingAfter | Self::DiesAfter)
    }

    fn keeps_failing(self) -> bool {
        matches!(self, Self::KeepsFailingBefore | Self::KeepsFailingAfter)
    }

    fn ends_the_process(self) -> bool {
        matches!(self, Self::DiesBefore | Self::DiesAfter)
    }

    /// Whether it is another fault than the rest at this step: only calls of the table are tried again by
    /// those who make them.
    pub fn is_of(self, step: &Step) -> bool {
        !self.keeps_failing() || step.name.starts_with("table.")
    }
}

/// A step, the same in every run of a test: a call of this name, which time it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The call, with no more of its body than the key of the item that it is about: `table.PutItem E#evt_…`.
    pub name: String,
    /// Which time; the first is 1.
    pub time: usize,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, time {}", self.name, self.time)
    }
}

/// What becomes of a step.
enum Course {
    IsRefused,
    GoesWell,
    GoesWrong(Fault),
}

type Rule = Arc<dyn Fn(&str) -> bool + Send + Sync>;

type Plan = Vec<(Step, Fault)>;

/// What went wrong in this process and those before it: how, and the step with its number.
type Struck = Arc<Mutex<Vec<(Fault, usize, Step)>>>;

/// What goes wrong, shared by all ports of one process.
#[derive(Default)]
pub struct Faults {
    state: Mutex<State>,
    dead: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The steps so far, if they are counted.
    steps: Vec<Step>,
    counts: bool,
    plan: Plan,
    struck: Struck,
    /// The call that keeps failing: its name, how, and for how many more attempts.
    failing: Option<(String, Fault, u32)>,
    down: Option<Rule>,
}

impl Faults {
    /// What goes wrong in the next process: whatever was not yet. Steps are counted on.
    #[must_use]
    pub fn of_next_process(&self) -> Self {
        let state = self.state.lock().unwrap();
        let state = State {
            steps: state.steps.clone(),
            counts: state.counts,
            plan: state.plan.clone(),
            struck: state.struck.clone(),
            failing: None,
            down: state.down.clone(),
        };
        Self { state: Mutex::new(state), dead: AtomicBool::new(false) }
    }

    /// Lets these steps go wrong, counted from now on.
    pub fn plan(&self, plan: &[(Step, Fault)]) {
        let mut state = self.state.lock().unwrap();
        state.steps.clear();
        state.counts = true;
        state.plan = plan.to_vec();
    }

    /// Lets every step fail whose name the rule takes: `queue.send`, `table.PutItem {…}`.
    pub fn down(&self, rule: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.state.lock().unwrap().down = Some(Arc::new(rule));
    }

    /// Everything works again.
    pub fn up(&self) {
        self.state.lock().unwrap().down = None;
    }

    /// Nothing more goes wrong by plan, and steps are no longer counted.
    pub fn spare(&self) {
        let mut state = self.state.lock().unwrap();
        state.plan.clear();
        state.failing = None;
        state.counts = false;
    }

    /// Whether the process has ended.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether something may fail because the test wants it to.
    pub fn are_meant(&self) -> bool {
        let state = self.state.lock().unwrap();
        self.is_dead() || !state.plan.is_empty() || state.down.is_some()
    }

    /// Whether a process has ended by plan.
    pub fn has_killed(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.struck.lock().unwrap().iter().any(|(fault, ..)| fault.ends_the_process())
    }

    /// Whether a planned step was reached.
    pub fn has_struck(&self) -> bool {
        !self.state.lock().unwrap().struck.lock().unwrap().is_empty()
    }

    /// What the steps were, from the plan on. Of queries of a list, which are many, the first and the last.
    pub fn steps(&self) -> Vec<Step> {
        let steps = &self.state.lock().unwrap().steps;
        let is_last =
            |step: &Step| !steps.iter().any(|other| other.name == step.name && other.time > step.time);
        let is_told = |step: &&Step| !step.name.starts_with("table.Query") || step.time == 1 || is_last(step);
        steps.iter().filter(is_told).cloned().collect()
    }

    /// Says what went wrong, in this process and the next ones, if the test fails while this is held.
    #[must_use]
    pub fn witness(&self) -> Witness {
        let state = self.state.lock().unwrap();
        Witness { plan: state.plan.clone(), struck: state.struck.clone() }
    }

    async fn step<T>(&self, name: &str, work: impl Future<Output = T>) -> Option<T> {
        let fault = match self.course_of(name) {
            Course::IsRefused => return None,
            Course::GoesWell => {
                let done = work.await;
                // Whoever dies while another's call is under way sees no answer of it either.
                return (!self.is_dead()).then_some(done);
            }
            Course::GoesWrong(fault) => fault,
        };
        if fault.is_done() {
            work.await;
        }
        if fault.ends_the_process() {
            self.dead.store(true, Ordering::SeqCst);
        }
        None
    }

    fn course_of(&self, name: &str) -> Course {
        let mut state = self.state.lock().unwrap();
        if self.is_dead() || state.down.as_ref().is_some_and(|rule| rule(name)) {
            return Course::IsRefused;
        }
        if let Some((failing, fault, left)) = &mut state.failing
            && *left > 0
            && failing == name
        {
            *left -= 1;
            return Course::GoesWrong(*fault);
        }
        if !state.counts {
            return Course::GoesWell;
        }
        let short = shortened(name);
        let time = state.steps.iter().filter(|before| before.name == short).count() + 1;
        let (number, step) = (state.steps.len(), Step { name: short, time });
        state.steps.push(step.clone());
        let planned = state.plan.iter().find(|(planned, _)| *planned == step);
        let Some(&(_, fault)) = planned else { return Course::GoesWell };
        state.struck.lock().unwrap().push((fault, number, step));
        if fault.keeps_failing() && name.starts_with("table.") {
            state.failing = Some((name.to_owned(), fault, Patience::WORKER.attempts - 1));
        }
        Course::GoesWrong(fault)
    }
}

/// A step's name with no more of its body than the key of the item that it is about, the same in each run.
fn shortened(name: &str) -> String {
    let Some((operation, body)) = name.split_once(' ') else { return name.to_owned() };
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let values = &body["ExpressionAttributeValues"];
    let keys = [&body["Key"]["pk"], &body["Item"]["pk"], &values[":pk"], &values[":g"]];
    let key = keys.into_iter().find_map(|key| key["S"].as_str()).unwrap_or_default();
    let key = if operation == "table.Query" {
        // One partition of a list is like the other, of any provider.
        key.split('#').nth(1).unwrap_or_default()
    } else {
        // Ids of requests are made at random.
        key.split_inclusive("req_").next().unwrap_or_default()
    };
    format!("{operation} {key}")
}

/// What [`Faults::witness`] gives.
pub struct Witness {
    plan: Plan,
    struck: Struck,
}

impl Drop for Witness {
    #[expect(clippy::print_stderr, reason = "a test that fails says why")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("planned:");
            for (step, fault) in &self.plan {
                eprintln!("  {fault:?} at {step}");
            }
            eprintln!("gone wrong:");
            for (fault, number, step) in self.struck.lock().unwrap().iter() {
                eprintln!("  {fault:?} at step {number}, {step}");
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
    fn name(&self) -> &str {
        self.port.name()
    }

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

    async fn write(
        &self,
        name: &str,
        secret: &SecretString,
        over: Option<&SecretString>,
    ) -> Result<Written, SecretsError> {
        let failed = || Err(SecretsError { cause: INJECTED.into() });
        self.faults.step("secrets.write", self.port.write(name, secret, over)).await.unwrap_or_else(failed)
    }
}
