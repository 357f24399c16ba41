//! The `tillwatch` command as its user meets it: started, spoken to over HTTP, killed, started again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tillwatch_tests::process::{Connection, Server, built};
use tillwatch_tests::sender::{Sent, sample};

const BEGINNING: &str = "2026-11-23T23:00:00Z";

fn payment(server: &Server, number: u64) -> Sent {
    let at: Timestamp = BEGINNING.parse().unwrap();
    sample("square", "payment.updated", number, at, &server.settings("square"))
}

fn post(connection: &mut Connection, sent: &Sent) -> std::io::Result<u16> {
    let headers: Vec<_> = sent.headers.iter().collect();
    let path = format!("/webhooks/{}", sent.provider);
    connection.send("POST", &path, &headers, &sent.body).map(|(status, _)| status)
}

/// The ids that the events of these numbers must have.
fn event_ids(sent: &[Sent]) -> BTreeSet<String> {
    let provider = tillwatch_providers::named("square").unwrap();
    let events = sent.iter().flat_map(|sent| provider.parse(&sent.headers, &sent.body).unwrap());
    events.map(|event| event.dedupe.event_id().to_string()).collect()
}

fn applied(server: &Server) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for delivery in server.deliveries("square", "&status=applied") {
        *found.entry(delivery["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    found
}

#[test]
fn what_was_answered_200_survives_a_kill_under_load_and_takes_effect_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut answered = Vec::new();
    for round in 0..4 {
        let server = Server::start(folder.path());
        let stop = AtomicBool::new(false);
        let of_round = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..8)
                .map(|sender| {
                    let (server, stop) = (&server, &stop);
                    scope.spawn(move || {
                        let mut connection = Connection::open(&server.address).unwrap();
                        let mut answered = Vec::new();
                        for number in 0.. {
                            let sent = payment(server, round * 1_000_000 + sender * 100_000 + number);
                            match post(&mut connection, &sent) {
                                Ok(200) => answered.push(sent),
                                // The process has ended: nothing was promised.
                                _ => break,
                            }
                            if stop.load(Ordering::SeqCst) {
                                break;
                            }
                        }
                        answered
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(400 + 150 * round));
            let pid = server.pid();
            assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
            stop.store(true, Ordering::SeqCst);
            senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
        });
        server.kill();
        assert!(!of_round.is_empty(), "the load was real");
        answered.extend(of_round);
    }
    let server = Server::start(folder.path());
    server.settled();
    let applied = applied(&server);
    assert!(applied.values().all(|count| *count == 1), "none is there twice");
    let lost: Vec<_> = event_ids(&answered).into_iter().filter(|id| !applied.contains_key(id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), answered.len());
    // Unanswered ones may be there too, and count as well.
    server.health_when(|health| health["providers"]["square"]["received"] == applied.len());
}

#[test]
fn a_second_process_on_one_folder_is_refused_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let second = std::process::Command::new(built("tillwatch", "tillwatch"))
        .args(["serve", "--port", "0", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let says = String::from_utf8(second.stderr).unwrap();
    assert!(says.contains("is in use by another tillwatch"), "{says}");
    assert!(server.stop("-TERM"));
}

#[test]
fn ctrl_c_finishes_what_has_begun_and_a_second_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut connection = Connection::open(&server.address).unwrap();
    let sent: Vec<_> = (0..200).map(|number| payment(&server, number)).collect();
    for one in &sent {
        assert_eq!(post(&mut connection, one).unwrap(), 200);
    }
    assert!(server.stop("-INT"));
    let server = Server::start(folder.path());
    server.settled();
    assert_eq!(applied(&server).into_keys().collect::<BTreeSet<_>>(), event_ids(&sent));
}

#[test]
fn the_commands_send_list_show_and_retry() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    for provider in tillwatch_providers::ALL {
        let (ok, text) =
            server.command(&["send", provider.name(), "--count", "50", "--duplicate", "--shuffle"]);
        assert!(ok, "{text}");
        let (ok, text) = server.command(&["send", provider.name(), "--bad-signature"]);
        assert!(ok, "{text}");
    }
    let received = |health: &serde_json::Value, name| health["providers"][name]["received"] == 51;
    let health =
        server.health_when(|health| tillwatch_providers::ALL.iter().all(|one| received(health, one.name())));
    for provider in tillwatch_providers::ALL {
        let of = &health["providers"][provider.name()];
        assert_eq!((of["processed"].as_i64(), of["rejected"].as_i64()), (Some(50), Some(1)), "{of}");
    }
    let (ok, text) = server.command(&["events", "--provider", "square", "--json", "--limit", "5"]);
    assert!(ok, "{text}");
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let id = first["id"].as_str().unwrap();
    let (ok, text) = server.command(&["show", id]);
    assert!(ok && text.contains(id), "{text}");
    let (ok, text) = server.command(&["retry", id]);
    assert!(!ok && text.contains("can't be tried again"), "{text}");
}

#[test]
fn the_vectors_are_judged_by_the_command_too() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/signatures.json");
    let verify = std::process::Command::new(built("tillwatch", "tillwatch"))
        .args(["verify", "--vectors", vectors])
        .output()
        .unwrap();
    let text = String::from_utf8(verify.stdout).unwrap();
    assert!(verify.status.success(), "{text}");
    assert!(text.contains("square-valid-test-notification accepted"));
    assert!(text.contains("stripe-invalid-too-old rejected stale_timestamp"));
    assert!(text.lines().any(|line| line.starts_with("meta-valid-sdk unknown")));
}
