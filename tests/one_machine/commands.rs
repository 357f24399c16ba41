//! The operator's commands against a running server, and those that need none.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;
use tillwatch_providers::Headers;
use tillwatch_tests::process::{Connection, Server, tillwatch};
use tillwatch_tests::sender::{sample, signed, square_payment};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/signatures.json");

fn now() -> Timestamp {
    "2026-11-23T23:00:00Z".parse().unwrap()
}

/// What a command that needs no server comes to: whether it succeeded, and what it printed.
fn run(arguments: &[&str]) -> (bool, String) {
    let output = tillwatch().args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn lines_of_json(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn the_commands_send_list_show_and_retry() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    for provider in tillwatch_providers::ALL {
        let mut send = vec!["send", provider.name(), "--count", "50", "--duplicate", "--shuffle"];
        // It tells no time of an item's stock, so that each arrival is an event of its own.
        send.extend(Some("order-status").filter(|_| provider.name() == "petpooja"));
        let (ok, text) = server.command(&send);
        assert!(ok, "{text}");
        let (ok, text) = server.command(&["send", provider.name(), "--bad-signature"]);
        assert!(ok, "{text}");
    }
    let received = |health: &Value, name| health["providers"][name]["received"] == 51;
    let health =
        server.health_when(|health| tillwatch_providers::ALL.iter().all(|one| received(health, one.name())));
    for provider in tillwatch_providers::ALL {
        let of = &health["providers"][provider.name()];
        assert_eq!((of["processed"].as_i64(), of["rejected"].as_i64()), (Some(50), Some(1)), "{of}");
    }
    let (ok, text) = server.command(&["events", "--provider", "square", "--json", "--limit", "5"]);
    assert!(ok, "{text}");
    let listed = lines_of_json(&text);
    assert_eq!(listed.len(), 5, "{text}");
    let id = listed[0]["id"].as_str().unwrap();
    let (ok, text) = server.command(&["show", id]);
    assert!(ok && text.contains(id), "{text}");
    let (ok, text) = server.command(&["events", "--status", "rejected", "--json"]);
    assert!(ok, "{text}");
    let rejected = lines_of_json(&text);
    assert_eq!(rejected.len(), tillwatch_providers::ALL.len(), "one of each provider: {text}");
    assert!(rejected.iter().all(|one| one["status"] == "rejected"), "{text}");
}

#[test]
fn an_event_is_shown_as_json_with_its_records_and_one_that_has_taken_effect_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let sent = sample("square", "payment.updated", 7, now(), &server.settings("square"));
    let headers: Vec<_> = sent.headers.iter().collect();
    let mut connection = Connection::open(&server.address).unwrap();
    assert_eq!(connection.send("POST", "/webhooks/square", &headers, &sent.body).unwrap().0, 200);
    server.health_when(|health| health["providers"]["square"]["applied"] == 1);
    let id = &sent.event_ids()[0];
    let (ok, text) = server.command(&["show", id, "--json"]);
    assert!(ok, "{text}");
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert!(text.contains(id.as_str()) && text.contains("pay0000000000000000007ZY"), "{text}");
    assert!(shown.is_object());
    let (ok, text) = server.command(&["show", id, "--raw"]);
    assert!(ok && text.as_bytes() == sent.body, "{text}");
    let (ok, text) = server.command(&["retry", id]);
    assert!(!ok && text.contains("can't be tried again"), "{text}");
}

#[test]
fn a_parked_event_is_listed_by_its_status_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mine = square_payment("p1", "COMPLETED", 100, now(), "mine");
    let theirs = String::from_utf8(square_payment("p1", "CANCELED", 1, now(), "theirs")).unwrap();
    let mut connection = Connection::open(&server.address).unwrap();
    let mut ids = Vec::new();
    for (body, outcome) in [(mine, "applied"), (theirs.replace("M1", "M2").into_bytes(), "parked")] {
        let sent = signed("square", Headers::new(), body, now(), &server.settings("square"));
        let headers: Vec<_> = sent.headers.iter().collect();
        assert_eq!(connection.send("POST", "/webhooks/square", &headers, &sent.body).unwrap().0, 200);
        server.health_when(|health| health["providers"]["square"][outcome] == 1);
        ids.extend(sent.event_ids());
    }
    let (ok, text) = server.command(&["events", "--status", "parked", "--json"]);
    let listed = lines_of_json(&text);
    assert!(ok && listed.len() == 1, "{text}");
    assert_eq!(listed[0]["id"], ids[1].as_str());
    let path = format!("/webhooks/deliveries/square/{}", ids[1]);
    let before = server.get(&path);
    let (ok, text) = server.command(&["retry", &ids[1]]);
    assert!(ok && text.contains(&ids[1]), "{text}");
    // What stood in its way still does.
    server.when(&path, |now| now["processed_at"] != before["processed_at"]);
}

#[test]
fn the_vectors_are_judged_by_the_command_too() {
    let (ok, text) = run(&["verify", "--vectors", VECTORS]);
    assert!(ok, "{text}");
    assert!(text.contains("square-valid-test-notification accepted"));
    assert!(text.contains("stripe-invalid-too-old rejected stale_timestamp"));
    assert!(text.lines().any(|line| line.starts_with("meta-valid-sdk accepted")), "{text}");
}

#[test]
fn a_vector_that_gets_another_verdict_than_it_must_fails_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vectors.json");
    let mut vectors: Value = serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap();
    let vectors = vectors.as_array_mut().unwrap();
    let one = vectors.iter_mut().find(|one| one["id"] == "square-valid-test-notification").unwrap();
    one["valid"] = false.into();
    std::fs::write(&file, serde_json::to_string(&vectors).unwrap()).unwrap();
    let (ok, text) = run(&["verify", "--vectors", file.to_str().unwrap()]);
    assert!(!ok, "{text}");
    assert!(text.contains("square-valid-test-notification accepted — expected rejected"), "{text}");
}

/// A captured request and what the command says of it under this key and URL.
fn verified(body: &Path, signature: &str, key: &str, url: &str) -> (bool, String) {
    let header = format!("X-Square-HmacSha256-Signature: {signature}");
    run(&[
        "verify",
        "square",
        "--secret",
        key,
        "--url",
        url,
        "--header",
        &header,
        "--body",
        body.to_str().unwrap(),
    ])
}

#[test]
fn a_captured_request_is_accepted_or_rejected_with_the_reason() {
    let (key, url) = ("square-key", "https://hooks.example.com/webhooks/square");
    let settings = tillwatch_providers::Settings::with_keys([key]).with_url(url);
    let sent = sample("square", "payment.updated", 1, now(), &settings);
    let (_, signature) = sent.headers.iter().next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("body.json");
    std::fs::write(&body, &sent.body).unwrap();
    let (ok, text) = verified(&body, signature, key, url);
    assert!(ok && text.starts_with("accepted"), "{text}");
    for (key, url) in [("another-key", url), (key, "https://hooks.example.com/webhooks/squares")] {
        let (ok, text) = verified(&body, signature, key, url);
        assert!(!ok && text.starts_with("rejected wrong_signature"), "{text}");
    }
    let (ok, text) = verified(&body, "not base64!", key, url);
    assert!(!ok && text.starts_with("rejected malformed_signature"), "{text}");
}

#[test]
fn the_commands_pause_resume_replay_and_release() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let succeeds = |arguments: &[&str]| {
        let (ok, text) = server.command(arguments);
        assert!(ok, "{arguments:?}: {text}");
        text
    };
    assert!(succeeds(&["pause", "square"]).contains("resume square"));
    succeeds(&["send", "square", "--count", "20"]);
    succeeds(&["send", "stripe", "--bad-signature"]);
    server.health_when(|health| {
        health["providers"]["square"]["held"] == 20 && health["providers"]["stripe"]["rejected"] == 1
    });
    let plan = succeeds(&["replay", "plan", "--status", "held,rejected"]);
    assert!(plan.contains("21 named: 20 would be sent; not: 1 still_rejected"), "{plan}");
    assert!(succeeds(&["resume", "square"]).contains("replay show"));
    server.health_when(|health| health["providers"]["square"]["processed"] == 20);
    let replayed = succeeds(&["replay", "start", "--status", "rejected", "--id", "mine", "--follow"]);
    assert!(replayed.contains("mine is done: 0 sent of 1; skipped: 1 still_rejected"), "{replayed}");
    let listed = lines_of_json(&succeeds(&["replay", "list", "--json"]));
    assert!(listed.iter().any(|one| one["id"] == "mine" && one["state"] == "done"), "{listed:?}");
    assert!(succeeds(&["replay", "cancel", "mine"]).starts_with("mine is done"));
    let rejected = succeeds(&["events", "--cause", "wrong_signature", "--json"]);
    let rejected = lines_of_json(&rejected);
    let (ok, text) = server.command(&["release", rejected[0]["id"].as_str().unwrap()]);
    assert!(!ok && text.contains("It is not believed now either"), "{text}");
    let shown = succeeds(&["show", rejected[0]["id"].as_str().unwrap()]);
    assert!(shown.contains("sent to     POST /webhooks/stripe"), "{shown}");
}
