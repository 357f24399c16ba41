//! The real binaries: built, started, spoken to, killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tillwatch_providers::Settings;

use crate::pages::Pages;

/// A binary of the workspace, built if it is not yet what the sources say.
pub fn built(package: &str, binary: &str) -> PathBuf {
    build(package, binary, &[])
}

fn build(package: &str, binary: &str, profile: &[&str]) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let name = format!("{package} {binary} {profile:?}");
    built.entry(name).or_insert_with(|| build_now(package, binary, profile)).clone()
}

fn build_now(package: &str, binary: &str, profile: &[&str]) -> PathBuf {
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
        .args(["build", "--package", package, "--bin", binary, "--message-format=json-render-diagnostics"])
        .args(profile)
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

/// A running `tillwatch serve`. Killed when it is dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:port`.
    pub address: String,
    /// The operator's token.
    pub token: String,
    data: PathBuf,
}

impl Server {
    /// Starts one on this folder, at a port that is free.
    pub fn start(data: &Path) -> Self {
        Self::of(&built("tillwatch", "tillwatch"), data)
    }

    /// The same, optimised: for measuring.
    pub fn start_release(data: &Path) -> Self {
        Self::of(&build("tillwatch", "tillwatch", &["--release"]), data)
    }

    fn of(binary: &Path, data: &Path) -> Self {
        let mut child = Command::new(binary)
            .args(["serve", "--port", "0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .expect("tillwatch starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut value_after = |label: &str| {
            let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains(label)).expect(label);
            line.split(label).nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
        };
        let address = value_after("running at http://").trim_end_matches('.').to_owned();
        let token = value_after("Operator's token");
        Self { child, address, token, data: data.to_owned() }
    }

    /// Its process id.
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Sends it a signal, and waits for its end; whether that was a success.
    pub fn stop(mut self, signal: &str) -> bool {
        assert!(Command::new("kill").args([signal, &self.pid()]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }

    /// A provider's settings, from its secrets file.
    pub fn settings(&self, provider: &str) -> Settings {
        let text = std::fs::read_to_string(self.data.join("secrets.json")).unwrap();
        let secrets: Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(secrets[provider].clone()).unwrap()
    }

    /// An operator's request that must succeed.
    pub fn get(&self, path: &str) -> Value {
        let authorization = format!("Bearer {}", self.token);
        let mut connection = Connection::open(&self.address).unwrap();
        let (status, body) = connection.send("GET", path, &[("authorization", &authorization)], b"").unwrap();
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
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
        let started = std::time::Instant::now();
        loop {
            let health = self.get("/webhooks/health");
            if is_so(&health) {
                return health;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "it comes to that: {health}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a `tillwatch` command against it: success, and what it printed.
    pub fn command(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(built("tillwatch", "tillwatch"))
            .args(arguments)
            .env("TILLWATCH_URL", format!("http://{}", self.address))
            .env("TILLWATCH_TOKEN", &self.token)
            .env("TILLWATCH_SECRETS", self.data.join("secrets.json"))
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
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let stream = self.0.get_mut();
        stream.write_all(request.as_bytes())?;
        stream.write_all(body)?;
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
