//! The emulators as processes: one for AWS, and one around each function.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a process may take to start, or the machine to do anything else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whatever account this shell is signed in to, it is not for this.
const NOBODY: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
];

/// A function's environment.
pub(crate) type Variables = BTreeMap<String, String>;

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Where the tools are that `.ci/tools` installs, which is done if it was not yet.
fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        assert!(
            Command::new(root().join(".ci/tools")).status().unwrap().success(),
            "the tools are installed"
        );
        root().join(".tools/venv")
    })
}

/// The runtime emulator for this machine, which comes with sam.
fn runtime_emulator() -> PathBuf {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let name = format!("site-packages/samcli/local/rapid/aws-lambda-rie-{machine}");
    let mut versions =
        tools().join("lib").read_dir().unwrap().map(|version| version.unwrap().path().join(&name));
    versions.find(|path| path.exists()).expect("sam has a runtime emulator")
}

/// An HTTP client for this machine.
pub(crate) fn client() -> Client {
    // It wants to know what TLS to use even where none is. Another test may have said so before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// A port that nobody listens at. From below those that the system gives to outgoing connections, or one of them could
/// take it before it is listened at; and to each test another.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = u16::try_from(std::process::id() % 100).unwrap() * 100;
        let port = 20_000 + (offset + NEXT.fetch_add(1, Ordering::SeqCst)) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A process that listens on a port, says what it has to say in a file, and ends when it is dropped.
struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    fn start(command: &mut Command, name: &str, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} starts: {error}"));
        Self { child, name: name.to_owned(), log }
    }

    fn listens(&mut self, port: u16) {
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert_eq!(self.child.try_wait().unwrap(), None, "{} runs", self.name);
            assert!(started.elapsed() < PATIENCE, "{} listens", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The processes that this one has started.
fn children(process: u32) -> Vec<Pid> {
    let threads = Path::new("/proc").join(process.to_string()).join("task").read_dir();
    let lists = threads.into_iter().flatten().map(|thread| thread.unwrap().path().join("children"));
    let text: String = lists.map(|list| std::fs::read_to_string(list).unwrap_or_default()).collect();
    text.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        // First what it started: a function in the middle of an event would not notice that its runtime has gone.
        for child in children(self.child.id()) {
            let _ = kill_process(child, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("{} said:\n{said}", self.name);
        }
    }
}

/// AWS, as far as the functions reach it, for one test.
pub(crate) struct Aws {
    _process: Process,
    client: Client,
    /// Where it is.
    pub(crate) endpoint: String,
}

impl Aws {
    /// Starts an empty one. What it keeps it keeps in memory.
    pub(crate) fn start(folder: &Path) -> Self {
        let port = free_port();
        let mut command = Command::new(tools().join("bin/ministack"));
        command.env_clear().envs(NOBODY).envs([
            ("BIND_HOST", "127.0.0.1"),
            ("MINISTACK_HOST", "127.0.0.1"),
            ("GATEWAY_PORT", &port.to_string()),
            ("LOG_LEVEL", "WARNING"),
            ("IOT_MTLS_ENABLED", "0"),
            ("SERVICES", "cloudformation,cloudwatch,dynamodb,dynamodbstreams,s3,secretsmanager,sqs"),
        ]);
        command.env("HOME", folder).env("TMPDIR", folder);
        let mut process = Process::start(&mut command, "ministack", folder);
        process.listens(port);
        Self { _process: process, client: client(), endpoint: format!("http://127.0.0.1:{port}") }
    }

    /// Makes what the template says is there; the functions' environments, by the functions' names in it.
    pub(crate) fn deploy(&self) -> BTreeMap<String, Variables> {
        let output = Command::new(tools().join("bin/python"))
            .arg(root().join("infra/sam-local/stack"))
            .args([OsStr::new(&self.endpoint), root().join("template.yaml").as_os_str()])
            .env_clear()
            .envs(NOBODY)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "the stack is made");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Calls an operation of a service that speaks JSON; it must succeed.
    pub(crate) async fn call(&self, operation: &str, input: &Value) -> Value {
        let request = self.client.post(&self.endpoint).header("x-amz-target", operation);
        let request = request.header("content-type", "application/x-amz-json-1.0").body(input.to_string());
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{operation}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The names of what is in a bucket, as S3 lists them.
    pub(crate) async fn listing(&self, bucket: &str) -> String {
        let answer = self.client.get(format!("{}/{bucket}?list-type=2", self.endpoint)).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    }
}

/// A function: its binary under the runtime emulator. Dropping it ends it at once, whatever it is at.
pub(crate) struct Function {
    _process: Process,
    client: Client,
    url: String,
}

impl Function {
    /// Starts one, whose AWS is at `endpoint`.
    pub(crate) fn start(binary: &str, variables: &Variables, endpoint: &str, folder: &Path) -> Self {
        let (port, runtime_port) = (free_port(), free_port());
        let mut command = Command::new(runtime_emulator());
        command
            .args(["--log-level", "error"])
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{runtime_port}")])
            .arg(tillwatch_tests::process::built(binary))
            .env_clear()
            .envs(variables)
            .envs(NOBODY)
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "30");
        let mut process = Process::start(&mut command, binary, folder);
        process.listens(port);
        let url = format!("http://127.0.0.1:{port}/2015-03-31/functions/function/invocations");
        Self { _process: process, client: client(), url }
    }

    /// Invokes it; it must not fail.
    pub(crate) async fn invoke(&self, event: &Value) -> Value {
        let answer = self.client.post(&self.url).body(event.to_string()).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("it answers JSON: {text}"));
        assert!(answer["errorType"].is_null(), "{answer}");
        answer
    }
}
