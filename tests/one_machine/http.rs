//! Requests over a real socket that no flow can make: what of them reaches the handlers, and what the sender sees.

use jiff::Timestamp;
use serde_json::{Value, json};
use tillwatch_providers::Headers;
use tillwatch_tests::process::{Connection, Server};
use tillwatch_tests::sender::{Sent, sample, signed};

/// The most that is taken.
const MOST: usize = 4 * 1024 * 1024;

fn now() -> Timestamp {
    "2026-11-23T23:00:00Z".parse().unwrap()
}

fn payment(server: &Server) -> Sent {
    sample("square", "payment.updated", 1, now(), &server.settings("square"))
}

/// The status and the last word of the problem's type.
fn said((status, body): (u16, Vec<u8>)) -> (u16, String) {
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let kind = problem["type"].as_str().unwrap_or_default();
    (status, kind.rsplit(':').next().unwrap_or_default().to_owned())
}

fn too_large() -> (u16, String) {
    (413, "body_too_large".to_owned())
}

#[test]
fn a_sender_of_five_megabytes_sees_that_they_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut connection = Connection::open(&server.address).unwrap();
    connection.begin("POST", "/webhooks/square", &[], "content-length: 5000000").unwrap();
    // It may be told before it has sent all.
    let _ = connection.write(&vec![b' '; 5_000_000]);
    assert_eq!(said(connection.answer().unwrap()), too_large());
    server.health_when(|health| {
        health["providers"]["square"]["rejected_by_cause"] == json!({"body_too_large": 1})
    });
}

#[test]
fn a_body_in_chunks_is_taken_up_to_four_mebibytes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    let settings = server.settings("square");
    let whole = signed("square", Headers::new(), vec![b' '; MOST], now(), &settings);
    for (last, expected) in [("0\r\n\r\n", (200, String::new())), ("1\r\n \r\n0\r\n\r\n", too_large())] {
        let mut connection = Connection::open(&server.address).unwrap();
        let headers: Vec<_> = whole.headers.iter().collect();
        connection.begin("POST", "/webhooks/square", &headers, "transfer-encoding: chunked").unwrap();
        for _ in 0..MOST / 0x10000 {
            connection.write(&chunk).unwrap();
        }
        let _ = connection.write(last.as_bytes());
        assert_eq!(said(connection.answer().unwrap()), expected);
    }
}

#[test]
fn a_signature_that_is_sent_twice_is_ambiguous() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let payment = payment(&server);
    let headers: Vec<_> = payment.headers.iter().chain(payment.headers.iter()).collect();
    let mut connection = Connection::open(&server.address).unwrap();
    let answer = connection.send("POST", "/webhooks/square", &headers, &payment.body).unwrap();
    assert_eq!(said(answer), (401, "ambiguous_signature".to_owned()));
}

#[test]
fn a_body_that_is_no_text_is_believed_by_its_signature_and_parked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let body = [br#"{"merchant_id":"#.as_slice(), &[0xff, 0xfe, 0x00], br#""}"#].concat();
    let sent = signed("square", Headers::new(), body, now(), &server.settings("square"));
    let headers: Vec<_> = sent.headers.iter().collect();
    let mut connection = Connection::open(&server.address).unwrap();
    assert_eq!(connection.send("POST", "/webhooks/square", &headers, &sent.body).unwrap().0, 200);
    server.health_when(|health| health["providers"]["square"]["parked"] == 1);
    let parked = server.deliveries("square", "").remove(0);
    assert_eq!(parked["status"], "parked");
    assert!(parked["cause"].as_str().unwrap().starts_with("parse: "), "{parked}");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let payment = payment(&server);
    let headers: Vec<_> = payment.headers.iter().collect();
    let framing = format!("content-length: {}", payment.body.len());
    let mut slow = Connection::open(&server.address).unwrap();
    slow.begin("POST", "/webhooks/square", &headers, &framing).unwrap();
    slow.write(&payment.body[..payment.body.len() / 2]).unwrap();
    // Others are answered meanwhile.
    let mut quick = Connection::open(&server.address).unwrap();
    assert_eq!(quick.send("POST", "/webhooks/square", &headers, &payment.body).unwrap().0, 200);
    assert_eq!(slow.answer().unwrap().0, 408);
}

#[test]
fn prometheus_is_given_its_series_piece_by_piece_and_only_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let told = server.scraped(&server.token);
    let head = told.split("\r\n\r\n").next().unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(told.contains("# TYPE pos_connection_status gauge\n"), "{told}");
    assert!(told.contains("tillwatch_queue_messages{queue=\"events\"} "), "{told}");
    let refused = server.scraped("not-a-token-of-anyone");
    assert!(refused.starts_with("HTTP/1.1 401") && !refused.contains("pos_"), "{refused}");
}
