//! What the tests of this folder share: a clock that stands, a child process to kill, tables to write to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::Now;
use super::table::EmbeddedTable;

/// A clock that the test moves.
pub(super) struct Clock(Arc<AtomicI64>);

impl Clock {
    /// A morning in 2026.
    pub(super) const START: i64 = 1_780_000_000_000;

    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(Self::START)))
    }

    pub(super) fn now(&self) -> Now {
        let clock = self.0.clone();
        Arc::new(move || clock.load(Ordering::Relaxed))
    }

    pub(super) fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }
}

const SIGKILL: i32 = 9;

/// Runs an ignored test of this binary as a child process, with `line` on its standard input, lets it report `enough`
/// times, and kills it at once, as `kill -9` does. Returns all that it reported: never less than that.
pub(super) fn killed(test: &str, line: &str, enough: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
    let mut reports = Vec::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while stdout.read_line(&mut said).unwrap() > 0 {
        // What the kill cut off was not reported.
        if let Some(report) = said.strip_suffix('\n').and_then(|line| line.strip_prefix("done ")) {
            reports.push(report.to_owned());
            if reports.len() == enough {
                child.kill().unwrap();
            }
        }
        said.clear();
    }
    let ended = child.wait().unwrap();
    assert!(
        reports.len() >= enough,
        "{test} reported {} times and not {enough}: is there such a test?",
        reports.len()
    );
    assert_eq!(ended.signal(), Some(SIGKILL), "{test} ended by itself: {ended}");
    reports
}

/// In such a child: the line it was given.
pub(super) fn given() -> String {
    std::io::stdin().lines().next().unwrap().unwrap()
}

/// In such a child: reports in one piece.
pub(super) fn report(what: &str) {
    std::io::stdout().write_all(format!("done {what}\n").as_bytes()).unwrap();
}

/// That SQLite finds what a statement is about without reading everything, and sorts nothing.
pub(super) fn assert_uses_an_index(connection: &rusqlite::Connection, sql: &str) {
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let unbound =
        rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, plan.parameter_count()));
    let steps = plan.query_map(unbound, |row| row.get::<_, String>("detail")).unwrap();
    for step in steps.map(Result::unwrap) {
        let reads_everything = step.starts_with("SCAN") && step != "SCAN CONSTANT ROW";
        assert!(!reads_everything && !step.contains("TEMP B-TREE"), "{step}: {sql}");
    }
}

/// A table `main` with a key `id`, an index `by_group` and a stream, and a table `plain` without.
pub(super) async fn create_tables(table: &EmbeddedTable) {
    let string = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let key = |name: &str| json!([{"AttributeName": name, "KeyType": "HASH"}]);
    let plain = json!({
        "TableName": "plain", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [string("id")], "KeySchema": key("id"),
    });
    let main = json!({
        "TableName": "main", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [string("id"), string("group")], "KeySchema": key("id"),
        "GlobalSecondaryIndexes": [{
            "IndexName": "by_group", "KeySchema": key("group"), "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    });
    for definition in [plain, main] {
        ask(table, "CreateTable", &definition).await;
    }
}

/// A call that succeeds.
pub(super) async fn ask(table: &EmbeddedTable, operation: &str, body: &Value) -> Value {
    let (status, answer) = table.call(operation, body.to_string().as_bytes()).await;
    assert_eq!(status, 200, "{operation}: {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).unwrap()
}

/// A call that is refused: its status and its error's short name.
pub(super) async fn refusal(table: &EmbeddedTable, operation: &str, body: &str) -> (u16, String) {
    let (status, answer) = table.call(operation, body.as_bytes()).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let name = answer["__type"].as_str().unwrap().rsplit('#').next().unwrap();
    (status, name.to_owned())
}
