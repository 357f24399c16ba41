//! Processes that end, as they are asked to or not, and what the next one finds.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use jiff::Timestamp;
use rustix::process::Signal;
use tillwatch_tests::process::{Connection, Server, tillwatch};
use tillwatch_tests::sender::{Sent, sample};

fn payment(server: &Server, number: u64) -> Sent {
    let at: Timestamp = "2026-11-23T23:00:00Z".parse().unwrap();
    sample("square", "payment.updated", number, at, &server.settings("square"))
}

fn post(connection: &mut Connection, sent: &Sent) -> std::io::Result<u16> {
    let headers: Vec<_> = sent.headers.iter().collect();
    connection.send("POST", "/webhooks/square", &headers, &sent.body).map(|(status, _)| status)
}

/// The ids of the deliveries that have taken effect, each of them once.
fn applied(server: &Server) -> BTreeSet<String> {
    let deliveries = server.deliveries("square", "&status=applied");
    let ids: BTreeSet<_> = deliveries.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), deliveries.len(), "none is there twice");
    ids
}

const SENDERS: u64 = 8;

/// Sends payments of these numbers on, from several senders at once, until this many were answered, and cuts the process off
/// then; what was answered.
fn sent_until_cut_off(server: &Server, first: u64, answers: u32) -> Vec<(u64, Sent)> {
    let (answered, is_cut_off) = (AtomicU32::new(0), AtomicBool::new(false));
    let send = |first: u64| {
        let mut known = Vec::new();
        let mut connection = Connection::open(&server.address).ok();
        for number in first..first + u64::from(answers) {
            let sent = payment(server, number);
            let status = connection.as_mut().map(|connection| post(connection, &sent));
            match status {
                Some(Ok(status)) => assert_eq!(status, 200),
                // The process has ended: nothing was promised.
                _ if is_cut_off.load(Ordering::SeqCst) => break,
                other => panic!("it is answered: {other:?}"),
            }
            known.push((number, sent));
            if answered.fetch_add(1, Ordering::SeqCst) + 1 == answers {
                is_cut_off.store(true, Ordering::SeqCst);
                server.cut_off();
            }
        }
        known
    };
    std::thread::scope(|scope| {
        let senders = (0..SENDERS).map(|sender| scope.spawn(move || send(first + sender * 10_000)));
        let senders: Vec<_> = senders.collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

#[test]
fn what_was_answered_200_survives_a_kill_under_load_and_takes_effect_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut answered = Vec::new();
    for round in 0..4 {
        let server = Server::start(folder.path());
        answered.extend(sent_until_cut_off(
            &server,
            round * 1_000_000,
            100 + 75 * u32::try_from(round).unwrap(),
        ));
    }
    let server = Server::start(folder.path());
    server.settled();
    let applied = applied(&server);
    let ids: BTreeSet<_> = answered.iter().flat_map(|(_, sent)| sent.event_ids()).collect();
    let lost: Vec<_> = ids.difference(&applied).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), answered.len());
    for (number, _) in &answered {
        let record = server.get(&format!("/records/payments/square/pay{number:019}ZY"));
        let seen = record["changes"].as_array().unwrap().len();
        assert_eq!((record["amount"]["minor"].as_u64(), seen), (Some(number % 100_000 + 100), 1), "{record}");
    }
    // Unanswered ones may be there too, and count as well.
    server.health_when(|health| health["providers"]["square"]["received"] == applied.len());
}

#[test]
fn a_second_process_on_one_folder_is_refused_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let second = tillwatch().args(["serve", "--port", "0", "--data"]).arg(folder.path()).output().unwrap();
    assert!(!second.status.success());
    let says = String::from_utf8(second.stderr).unwrap();
    assert!(says.contains("is in use by another tillwatch"), "{says}");
    assert!(server.stop(Signal::TERM));
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
    assert!(server.stop(Signal::INT));
    let server = Server::start(folder.path());
    server.settled();
    assert_eq!(applied(&server), sent.iter().flat_map(Sent::event_ids).collect());
}
