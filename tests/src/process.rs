//! The real binaries: built, started, spoken to, killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tillwatch_providers::Settings;

use crate::pages::Pages;

/// A binary of the workspace, built if it is not yet what the sources say.
pub fn built(binary: &str) -> PathBuf {
    // Of the whole workspace, as tests are built: of one package alone, libraries would be built anew with its features.
    build(binary, &["--workspace"])
}

fn build(binary: &str, selected: &[&str]) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let name = format!("{binary} {selected:?}");
    built.entry(name).or_insert_with(|| build_now(binary, selected)).clone()
}

fn build_now(binary: &str, selected: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let cargo = std::env!("CARGO");
    let mut command = Command::new(cargo);
    // What cargo tells this test of its own package is not for building another: build scripts that watch it would run
    // again, and all that stands on them be built anew.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    let output = command
        .args(["build", "--bin", binary, "--message-format=json-render-diagnostics"])
        .args(selected)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{binary} is built");
    let messages = String::from_utf8(output.stdout).unwrap();
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == binary)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.expect("cargo says where the binary is")
}

/// The `tillwatch` command, without what this process' environment says to it.
pub fn tillwatch() -> Command {
    quiet(Command::new(built("tillwatch")))
}

fn quiet(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TILLWATCH_")) {
            command.env_remove(name);
        }
    }
    command
}

/// How long a process may take to start, to end, or to come to what it must come to.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `tillwatch serve`. Killed when it is dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:port`.
    pub address: String,
    /// The operator's token.
    pub token: String,
    secrets: PathBuf,
}

impl Server {
    /// Starts one on this folder, at a port that is free.
    pub fn start(data: &Path) -> Self {
        Self::of(tillwatch(), data, None)
    }

    /// The same, optimised: for measuring.
    pub fn start_release(data: &Path) -> Self {
        Self::start_release_with(data, &[])
    }

    /// The same, whose environment says this.
    pub fn start_release_with(data: &Path, environment: &[(&str, &str)]) -> Self {
        // With the features that `load` has brought along, so that nothing is built twice.
        let binary =
            build("tillwatch", &["--release", "--package", "tillwatch", "--package", "tillwatch-tests"]);
        let mut command = quiet(Command::new(binary));
        command.envs(environment.iter().copied());
        Self::of(command, data, None)
    }

    /// Starts one with secrets from another file.
    pub fn start_with_secrets(data: &Path, secrets: &Path) -> Self {
        Self::of(tillwatch(), data, Some(secrets))
    }

    /// Starts one whose environment says the operator's token.
    pub fn start_with_token(data: &Path, token: &str) -> Self {
        let mut command = tillwatch();
        command.env("TILLWATCH_TOKEN", token);
        Self::of(command, data, None)
    }

    fn of(mut command: Command, data: &Path, secrets: Option<&Path>) -> Self {
        command.args(["serve", "--port", "0", "--data"]).arg(data);
        if let Some(secrets) = secrets {
            command.arg("--secrets").arg(secrets);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("tillwatch starts");
        let stdout = child.stdout.take().unwrap();
        let (told, introduction) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        let mut server = Self {
            child,
            address: String::new(),
            token: String::new(),
            secrets: secrets.map_or_else(|| data.join("secrets.json"), Path::to_owned),
        };
        let started = Instant::now();
        let value_after = |label: &str| loop {
            let line = introduction.recv_timeout(PATIENCE.saturating_sub(started.elapsed())).expect(label);
            if let Some((_, value)) = line.split_once(label) {
                return value.split_whitespace().next().unwrap().trim_end_matches('.').to_owned();
            }
        };
        server.address = value_after("running at http://");
        server.token = value_after("Operator's token");
        server
    }

    /// Ends it as a power cut would, while others may be speaking to it.
    pub fn cut_off(&self) {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::KILL).unwrap();
    }

    /// Sends it a signal, and waits for its end; whether that was a success.
    pub fn stop(mut self, signal: Signal) -> bool {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(started.elapsed() < PATIENCE, "it ends");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What is in its secrets file.
    pub fn secrets(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(&self.secrets).unwrap()).unwrap()
    }

    /// Writes its secrets file anew.
    pub fn put_secrets(&self, secrets: &Value) {
        std::fs::write(&self.secrets, secrets.to_string()).unwrap();
    }

    /// A provider's settings, from its secrets file.
    pub fn settings(&self, provider: &str) -> Settings {
        serde_json::from_value(self.secrets()[provider].clone()).unwrap()
    }

    /// An operator's request that must succeed.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(path, &self.token);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What Prometheus is given, with the answer's head, and as it is framed.
    pub fn scraped(&self, token: &str) -> String {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("connection", "close")];
        let mut connection = Connection::open(&self.address).unwrap();
        connection.begin("GET", "/metrics", &headers, "accept: text/plain").unwrap();
        let mut answer = String::new();
        connection.0.read_to_string(&mut answer).unwrap();
        answer
    }

    /// An operator's request with this token: status and body.
    pub fn ask(&self, path: &str, token: &str) -> (u16, Value) {
        let authorization = format!("Bearer {token}");
        let mut connection = Connection::open(&self.address).unwrap();
        let (status, body) = connection.send("GET", path, &[("authorization", &authorization)], b"").unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// All deliveries of a provider that the filter takes (`&status=applied`), page by page.
    pub fn deliveries(&self, provider: &str, filter: &str) -> Vec<Value> {
        let mut pages = Pages::of(format!("/webhooks/deliveries/{provider}?limit=500{filter}"));
        while let Some(path) = pages.wanted() {
            pages.read(&self.get(&path));
        }
        pages.deliveries
    }

    /// Waits until nothing is pending. The figures may still be behind: they follow the table.
    pub fn settled(&self) {
        self.health_when(|health| {
            let pending = &health["pending"];
            pending["count"] == 0 && pending["in_flight"] == 0
        });
    }

    /// Waits until `/webhooks/health` is as it must become.
    pub fn health_when(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        self.when("/webhooks/health", is_so)
    }

    /// Waits until what is there is as it must become.
    pub fn when(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let now = self.get(path);
            if is_so(&now) {
                return now;
            }
            assert!(started.elapsed() < PATIENCE, "it comes to that: {now}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends the API a JSON document as its operator: the answer's status and body.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let token = format!("Bearer {}", self.token);
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let mut connection = Connection::open(&self.address).unwrap();
        let (status, body) = connection.send("POST", path, &headers, body.to_string().as_bytes()).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Runs a `tillwatch` command against it: success, and what it printed.
    pub fn command(&self, arguments: &[&str]) -> (bool, String) {
        self.run(tillwatch(), arguments)
    }

    /// The same with a command that has been given something.
    pub fn run(&self, mut command: Command, arguments: &[&str]) -> (bool, String) {
        let output = command
            .args(arguments)
            .env("TILLWATCH_URL", format!("http://{}", self.address))
            .env("TILLWATCH_TOKEN", &self.token)
            .env("TILLWATCH_SECRETS", &self.secrets)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP connection that is kept open.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Opens one.
    pub fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request and reads its answer: status and body.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<(u16, Vec<u8>)> {
        self.begin(method, path, headers, &format!("content-length: {}", body.len()))?;
        self.write(body)?;
        self.answer()
    }

    /// Sends a request's head, which says by this header how its body comes.
    pub fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        framing: &str,
    ) -> std::io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.write(head.as_bytes())
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads an answer: status and body.
    pub fn answer(&mut self) -> std::io::Result<(u16, Vec<u8>)> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let ended = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(ended)?;
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| ended())?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, body))
    }
}
