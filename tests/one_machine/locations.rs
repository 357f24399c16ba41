//! The example configuration on a fresh stack, as an operator applies it, and secrets that are rotated while webhooks come.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tillwatch_providers::Settings;
use tillwatch_tests::process::{Connection, Server, tillwatch};
use tillwatch_tests::sender::sample;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/locations.yaml");

/// A command with a value for every environment variable that the example names.
fn with_variables(mut command: Command) -> Command {
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once("env ") {
        let quote = after.chars().next().unwrap();
        let name = after[1..].split(quote).next().unwrap();
        if quote == '"' || quote == '`' {
            command.env(name, format!("a secret of {name}"));
        }
        rest = after;
    }
    command
}

fn applied(server: &Server) {
    let (ok, text) = server.run(with_variables(tillwatch()), &["config", "apply", EXAMPLE, "--yes"]);
    assert!(ok, "{text}");
}

#[test]
fn every_providers_webhooks_land_at_the_connections_of_the_example() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    applied(&server);
    for provider in tillwatch_providers::ALL {
        let (ok, text) = server.command(&["send", provider.name(), "--count", "30"]);
        assert!(ok, "{text}");
    }
    server.health_when(|health| {
        tillwatch_providers::ALL.iter().all(|one| {
            let of = &health["providers"][one.name()];
            of["processed"].as_i64().unwrap() + of["held"].as_i64().unwrap() == 30
        })
    });
    let mut connections = BTreeSet::new();
    for provider in tillwatch_providers::ALL {
        for delivery in server.deliveries(provider.name(), "") {
            let connection = delivery["connection"].as_str().unwrap_or_else(|| panic!("{delivery}"));
            connections.insert(connection.to_owned());
        }
    }
    let all = server.get("/connections");
    let all: BTreeSet<_> = all["connections"]
        .as_array()
        .unwrap()
        .iter()
        // The others are to who sends none.
        .filter(|connection| connection["webhook_path"].is_string())
        .map(|connection| connection["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(connections, all);
    assert_nothing_secret_is_kept(folder.path());
}

/// That what the example's variables hold stands in no file of the data folder, in clear.
fn assert_nothing_secret_is_kept(folder: &Path) {
    let needle = b"a secret of ";
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{}", path.display());
        }
    }
}

#[test]
fn a_key_is_rotated_while_webhooks_come_and_none_is_refused_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let url = server.settings("square").notification_url.unwrap();
    let old = server.settings("square");
    let new = Settings::with_keys(["the key that Square made anew"]).with_url(url);
    let mut connection = Connection::open(&server.address).unwrap();
    for number in 0..1_500_u64 {
        if number == 500 {
            let body = json!({"key": "the key that Square made anew", "overlap_seconds": 3_600});
            let (status, answer) = server.post("/providers/square/rotate-secret", &body);
            assert_eq!(status, 200, "{answer}");
        }
        // The provider changes over when it likes: some are still signed with the old key.
        let settings = if number < 500 || number % 3 == 0 { &old } else { &new };
        let sent =
            sample("square", "payment.updated", number, "2026-11-23T23:00:00Z".parse().unwrap(), settings);
        let headers: Vec<_> = sent.headers.iter().collect();
        let (status, answer) = connection.send("POST", "/webhooks/square", &headers, &sent.body).unwrap();
        assert_eq!(status, 200, "{number}: {}", String::from_utf8_lossy(&answer));
    }
    let health = server.health_when(|health| health["providers"]["square"]["processed"] == 1_500);
    assert_eq!(health["providers"]["square"]["rejected"], 0);
}

#[test]
fn nothing_starts_without_the_ring_that_sealed_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    applied(&server);
    let mut secrets = server.secrets();
    assert!(server.stop(Signal::TERM));
    secrets.as_object_mut().unwrap().remove("vault_tokens");
    std::fs::write(folder.path().join("secrets.json"), secrets.to_string()).unwrap();
    let output =
        tillwatch().args(["serve", "--port", "0", "--data", folder.path().to_str().unwrap()]).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && text.contains("vault_tokens") && text.contains("is missing"),
        "{text}"
    );
    let other: Value = json!({"current": "k1", "k1": "another ring of thirty-two characters or more"});
    secrets["vault_tokens"] = other;
    std::fs::write(folder.path().join("secrets.json"), secrets.to_string()).unwrap();
    let output =
        tillwatch().args(["serve", "--port", "0", "--data", folder.path().to_str().unwrap()]).output();
    let text = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(text.contains("is another than the one"), "{text}");
}
