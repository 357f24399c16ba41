//! Keys and tokens: where they are from, and that they can be changed while everything runs.

use serde_json::{Value, json};
use tillwatch_providers::Settings;
use tillwatch_tests::process::{Connection, Server};
use tillwatch_tests::sender::sample;

fn status_of_payment(server: &Server, number: u64, settings: &Settings) -> u16 {
    let sent = sample("square", "payment.updated", number, "2026-11-23T23:00:00Z".parse().unwrap(), settings);
    let headers: Vec<_> = sent.headers.iter().collect();
    let mut connection = Connection::open(&server.address).unwrap();
    connection.send("POST", "/webhooks/square", &headers, &sent.body).unwrap().0
}

fn with_keys(secrets: &Value, keys: &[&str]) -> Value {
    let mut secrets = secrets.clone();
    secrets["square"]["signing_keys"] = json!(keys);
    secrets
}

fn settings(secrets: &Value) -> Settings {
    serde_json::from_value(secrets["square"].clone()).unwrap()
}

#[test]
fn a_key_that_is_rotated_in_the_file_works_without_a_restart_and_the_old_one_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let before = server.secrets();
    let old = before["square"]["signing_keys"][0].as_str().unwrap();
    assert_eq!(status_of_payment(&server, 1, &settings(&before)), 200);
    let new = with_keys(&before, &["new-key"]);
    server.put_secrets(&with_keys(&before, &["new-key", old]));
    assert_eq!(status_of_payment(&server, 2, &settings(&new)), 200, "the new key works at once");
    assert_eq!(status_of_payment(&server, 3, &settings(&before)), 200, "and the old one still does");
    let other = with_keys(&before, &["another-key"]);
    assert_eq!(status_of_payment(&server, 4, &settings(&other)), 401);
}

#[test]
fn secrets_are_read_from_the_file_that_is_named_and_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("mine.json"));
    let secrets = json!({
        "square": {"signing_keys": ["my-own-key"], "notification_url": "https://hooks.example.com/square"},
        "console": {"tokens": ["my-own-operator-token"]},
    });
    std::fs::write(&file, secrets.to_string()).unwrap();
    let server = Server::start_with_secrets(&data, &file);
    assert_eq!(server.token, "my-own-operator-token");
    assert_eq!(status_of_payment(&server, 1, &settings(&secrets)), 200);
    server.health_when(|health| health["providers"]["square"]["applied"] == 1);
    assert!(!data.join("secrets.json").exists());
}

#[test]
fn a_secrets_file_that_is_named_and_not_there_is_missed_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let started = tillwatch_tests::process::tillwatch()
        .args(["serve", "--port", "0", "--data"])
        .arg(folder.path().join("data"))
        .arg("--secrets")
        .arg(folder.path().join("nowhere.json"))
        .output()
        .unwrap();
    let says = String::from_utf8(started.stderr).unwrap();
    assert!(!started.status.success() && says.contains("nowhere.json"), "{says}");
}

#[test]
fn a_token_in_the_environment_is_the_only_one_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let token = "a-token-of-the-environment";
    let server = Server::start_with_token(folder.path(), token);
    assert_eq!(server.token, token);
    assert_eq!(server.ask("/webhooks/health", token).0, 200);
    let secrets = server.secrets();
    let files = secrets["console"]["tokens"][0].as_str().unwrap();
    assert_eq!(server.ask("/webhooks/health", files).0, 401);
}
