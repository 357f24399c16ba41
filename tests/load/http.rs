//! A sender that costs little beside what it measures: requests are signed and written out beforehand, and go over plain
//! connections that are kept open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tillwatch_providers::Settings;
use tillwatch_tests::sender::{Sent, sample};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request as it goes over the wire.
pub(crate) fn wire(sent: &Sent) -> Vec<u8> {
    let outgoing = sent.outgoing();
    let mut text = format!(
        "{} /webhooks/{}{} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n",
        outgoing.method,
        sent.provider,
        outgoing.path_and_query,
        sent.body.len()
    );
    for (name, value) in outgoing.headers.iter() {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&sent.body);
    bytes
}

/// What was sent and answered.
pub(crate) struct Outcome {
    /// Requests answered 200.
    pub(crate) accepted: u64,
    /// Requests answered otherwise.
    pub(crate) other: u64,
    /// From the moment a request was due to its answer, sorted.
    pub(crate) times: Vec<Duration>,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

/// Sends distinct, signed webhooks of Square's. See [`send_all`].
pub(crate) async fn send(
    address: &str,
    settings: &Settings,
    first: u64,
    connections: u64,
    rate: u64,
    span: Duration,
) -> Outcome {
    let at = "2026-11-23T23:00:00Z".parse().expect("a time");
    let request = |number| wire(&sample("square", "payment.updated", first + number, at, settings));
    send_all(address, (0..expected(rate, span)).map(request).collect(), connections, rate, span).await
}

/// How many requests to have at hand.
pub(crate) fn expected(rate: u64, span: Duration) -> u64 {
    if rate == 0 { 20_000 * span.as_secs() } else { rate * span.as_secs() }
}

/// Sends requests over `connections` for `span`: as fast as they are answered, or, if `rate` is not 0, so
/// many a second, each timed from when it was due and not from when it got its turn.
pub(crate) async fn send_all(
    address: &str,
    requests: Vec<Vec<u8>>,
    connections: u64,
    rate: u64,
    span: Duration,
) -> Outcome {
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (requests, next, address) = (Arc::clone(&requests), Arc::clone(&next), address.to_owned());
        senders.spawn(async move {
            let mut stream = TcpStream::connect(&address).await.expect("the server listens");
            let _ = stream.set_nodelay(true);
            let (mut times, mut accepted, mut other) = (Vec::new(), 0, 0);
            let mut answer = vec![0; 4_096];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = usize::try_from(number).ok().and_then(|n| requests.get(n)) else { break };
                let due = match rate {
                    0 => Instant::now(),
                    rate => {
                        let due = started + Duration::from_micros(number * 1_000_000 / rate);
                        tokio::time::sleep_until(due.into()).await;
                        due
                    }
                };
                if started.elapsed() > span {
                    break;
                }
                stream.write_all(request).await.expect("the server reads");
                let read = stream.read(&mut answer).await.expect("the server answers");
                times.push(due.elapsed());
                if answer[..read].starts_with(b"HTTP/1.1 200") { accepted += 1 } else { other += 1 }
            }
            (times, accepted, other)
        });
    }
    let (mut times, mut accepted, mut other) = (Vec::new(), 0, 0);
    for (of_one, accepted_by_one, other_by_one) in senders.join_all().await {
        times.extend(of_one);
        accepted += accepted_by_one;
        other += other_by_one;
    }
    let took = started.elapsed();
    times.sort_unstable();
    Outcome { accepted, other, times, took }
}
