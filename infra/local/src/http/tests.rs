use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tillwatch_platform::secrets::{Secrets, SecretsError};
use tillwatch_providers::request::MAX_BODY;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::body::SMALL;
use super::*;
use crate::testing::{Known, TOKEN, stack};

/// Short enough for a test, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_millis(700);
/// More than the system keeps on the way between two sockets.
const MUCH: usize = 8 * MAX_BODY;
const WEBHOOK: &str = "/webhooks/square";

struct Fixture {
    address: SocketAddr,
    stack: Arc<Stack>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

async fn served(limits: Limits) -> Fixture {
    served_with(limits, Arc::new(Known)).await
}

async fn served_with(limits: Limits, secrets: Arc<dyn Secrets>) -> Fixture {
    let folder = tempdir().unwrap();
    let stack = stack(folder.path(), secrets).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(serve_within(limits, listener, Arc::clone(&stack), stopping));
    Fixture { address, stack, stop, serving, _folder: folder }
}

fn limits() -> Limits {
    Limits { patience: PATIENCE, ..LIMITS }
}

fn head(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

fn announcing(bytes: usize) -> String {
    head("POST", WEBHOOK, &format!("content-length: {bytes}\r\n"))
}

struct Sender(TcpStream);

#[derive(Debug)]
struct Answered {
    status: u16,
    headers: String,
    body: String,
}

impl Answered {
    fn problem(&self) -> Value {
        assert!(self.headers.contains("content-type: application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        problem
    }

    fn kind(&self) -> String {
        self.problem()["type"].as_str().unwrap().trim_start_matches("urn:tillwatch:problem:").to_owned()
    }
}

impl Sender {
    async fn to(fixture: &Fixture) -> Self {
        Self(TcpStream::connect(fixture.address).await.unwrap())
    }

    async fn says(&mut self, what: impl AsRef<[u8]>) {
        self.0.write_all(what.as_ref()).await.unwrap();
    }

    async fn hears(&mut self) -> Answered {
        timeout(Duration::from_secs(20), self.answer()).await.unwrap()
    }

    async fn answer(&mut self) -> Answered {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let headers = String::from_utf8(head).unwrap();
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        self.0.read_exact(&mut body).await.unwrap();
        Answered { status, headers, body: String::from_utf8(body).unwrap() }
    }

    /// Whether nothing more comes and the connection is at its end.
    async fn is_parted_from(&mut self) -> bool {
        matches!(timeout(Duration::from_secs(20), self.0.read(&mut [0])).await, Ok(Ok(0) | Err(_)))
    }
}

/// Makes whoever reads it panic.
struct Panicking;

#[async_trait]
impl Secrets for Panicking {
    async fn read(&self, _: &str) -> Result<Option<SecretString>, SecretsError> {
        panic!("a test's")
    }
}

async fn deliveries(f: &Fixture) -> Value {
    while f.stack.process_batch(false).await.unwrap() > 0 {}
    let mut sender = Sender::to(f).await;
    let authorization = format!("authorization: Bearer {TOKEN}\r\n");
    sender.says(head("GET", "/webhooks/deliveries/square", &authorization)).await;
    let answered = sender.hears().await;
    assert_eq!(answered.status, 200);
    serde_json::from_str(&answered.body).unwrap()
}

#[tokio::test]
async fn who_does_not_read_its_answers_loses_its_place() {
    let f = served(Limits { connections: 1, ..limits() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stalled = socket.connect(f.address).await.unwrap();
    let asks = head("GET", "/openapi.json", "").repeat(20);
    // Until it is cut off, for nothing else can end this.
    let asking = async { while stalled.write_all(asks.as_bytes()).await.is_ok() {} };
    timeout(Duration::from_secs(60), asking).await.unwrap();
    let mut next = Sender::to(&f).await;
    next.says(head("GET", "/openapi.json", "")).await;
    assert_eq!(next.hears().await.status, 200);
}

#[tokio::test]
async fn it_stops_while_every_place_is_taken() {
    let f = served(Limits { connections: 1, ..LIMITS }).await;
    let mut first = Sender::to(&f).await;
    first.says(head("GET", "/openapi.json", "")).await;
    first.hears().await;
    let _waiting = Sender::to(&f).await;
    sleep(Duration::from_millis(50)).await;
    f.stop.send(true).unwrap();
    timeout(LIMITS.patience / 2, f.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_after_the_word_to_stop() {
    let f = served(limits()).await;
    let mut sender = Sender::to(&f).await;
    sender.says(announcing(2)).await;
    sender.says(b"{").await;
    sleep(Duration::from_millis(50)).await;
    f.stop.send(true).unwrap();
    sender.says(b"}").await;
    assert_eq!(sender.hears().await.kind(), "missing_signature");
    f.serving.await.unwrap();
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_refused_and_kept_and_its_sender_sees_it() {
    let f = served(limits()).await;
    let mut sender = Sender::to(&f).await;
    sender.says(announcing(MUCH)).await;
    // All of it, as clients do that read only when they have sent everything.
    sender.says(vec![b' '; MUCH]).await;
    let answered = sender.hears().await;
    assert_eq!((answered.status, answered.kind()), (413, "body_too_large".to_owned()));
    assert!(sender.is_parted_from().await);
    let delivery = &deliveries(&f).await["deliveries"][0];
    assert_eq!((&delivery["status"], &delivery["cause"]), (&"rejected".into(), &"body_too_large".into()));
    let detail = answered.problem()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("kept as req_"), "{detail}");
}

#[tokio::test]
async fn a_body_that_gets_too_large_is_refused_and_its_sender_sees_it() {
    let f = served(limits()).await;
    let mut sender = Sender::to(&f).await;
    sender.says(head("POST", WEBHOOK, "transfer-encoding: chunked\r\n")).await;
    sender.says(format!("{MUCH:x}\r\n")).await;
    sender.says(vec![b' '; MUCH]).await;
    sender.says(b"\r\n0\r\n\r\n").await;
    assert_eq!(sender.hears().await.kind(), "body_too_large");
}

#[tokio::test]
async fn who_asks_before_it_sends_too_much_need_not_send_it() {
    let f = served(limits()).await;
    let mut sender = Sender::to(&f).await;
    sender.says(head("POST", WEBHOOK, "content-length: 5000000\r\nexpect: 100-continue\r\n")).await;
    assert_eq!(sender.hears().await.status, 413);
}

#[tokio::test]
async fn a_large_body_for_a_path_that_takes_none_is_refused_and_no_delivery() {
    let f = served(limits()).await;
    let mut sender = Sender::to(&f).await;
    sender.says(head("POST", "/webhooks/health", "content-length: 5000000\r\n")).await;
    assert_eq!(sender.hears().await.kind(), "too-large");
    assert_eq!(deliveries(&f).await["deliveries"], Value::Array(vec![]));
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_taken() {
    let f = served(limits()).await;
    let mut sender = Sender::to(&f).await;
    sender.says(announcing(MAX_BODY)).await;
    sender.says(vec![b' '; MAX_BODY]).await;
    assert_eq!(sender.hears().await.kind(), "missing_signature");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_told_so() {
    let f = served(limits()).await;
    let mut sender = Sender::to(&f).await;
    sender.says(announcing(100)).await;
    sender.says(b"{").await;
    let answered = sender.hears().await;
    assert_eq!((answered.status, answered.kind()), (408, "too-slow".to_owned()));
    assert!(answered.headers.contains("connection: close"), "{answered:?}");
}

#[tokio::test]
async fn a_body_that_is_not_framed_as_it_says_is_told_so() {
    let f = served(limits()).await;
    let mut sender = Sender::to(&f).await;
    sender.says(head("POST", WEBHOOK, "transfer-encoding: chunked\r\n")).await;
    sender.says(b"no number\r\n").await;
    assert_eq!(sender.hears().await.kind(), "bad-body");
}

#[tokio::test]
async fn large_bodies_wait_for_room_and_small_ones_do_not() {
    let large = 2 * SMALL;
    let f = served(Limits { bodies: large, ..LIMITS }).await;
    let mut first = Sender::to(&f).await;
    first.says(announcing(large)).await;
    sleep(Duration::from_millis(50)).await;
    let mut second = Sender::to(&f).await;
    second.says(announcing(large)).await;
    second.says(vec![b' '; large]).await;
    let mut small = Sender::to(&f).await;
    small.says(announcing(SMALL)).await;
    small.says(vec![b' '; SMALL]).await;
    assert_eq!(small.hears().await.kind(), "missing_signature");
    assert!(timeout(Duration::from_millis(100), second.0.readable()).await.is_err());
    first.says(vec![b' '; large]).await;
    assert_eq!(first.hears().await.kind(), "missing_signature");
    assert_eq!(second.hears().await.kind(), "missing_signature");
}

#[tokio::test]
async fn who_finds_no_room_is_told_when_to_come_again() {
    let f = served(Limits { bodies: SMALL, ..limits() }).await;
    for framing in ["content-length: 70000\r\n", "transfer-encoding: chunked\r\n"] {
        let mut sender = Sender::to(&f).await;
        sender.says(head("POST", WEBHOOK, framing)).await;
        sender.says(format!("{:x}\r\n{}\r\n0\r\n\r\n", 2 * SMALL, " ".repeat(2 * SMALL))).await;
        let answered = sender.hears().await;
        assert_eq!((answered.status, answered.kind()), (503, "unavailable".to_owned()));
        assert!(answered.headers.contains("retry-after: 5"), "{answered:?}");
    }
}

#[tokio::test]
async fn room_is_given_back() {
    let f = served(Limits { bodies: MAX_BODY, ..limits() }).await;
    let mut sender = Sender::to(&f).await;
    for _ in 0..3 {
        sender.says(announcing(MAX_BODY)).await;
        sender.says(vec![b' '; MAX_BODY]).await;
        assert_eq!(sender.hears().await.kind(), "missing_signature");
    }
}

#[tokio::test]
async fn no_head_ends_a_connection_without_an_answer() {
    let f = served(limits()).await;
    let heads = [
        ("GET", "/openapi.json", "x-forwarded-proto: https, http\r\n", 200),
        ("GET", "/openapi.json", "host: [\r\n", 200),
        ("GET", "http://[::1]/openapi.json?", "", 200),
        ("OPTIONS", "*", "", 400),
        ("CONNECT", "example.com:443", "", 400),
        ("GET", "//", "", 404),
    ];
    for (method, path, headers, status) in heads {
        let mut sender = Sender::to(&f).await;
        sender.says(format!("{method} {path} HTTP/1.1\r\n{headers}\r\n")).await;
        assert_eq!(sender.hears().await.status, status, "{method} {path} {headers}");
    }
    let mut sender = Sender::to(&f).await;
    // What a URL would percent-encode: three times as long as any that is taken.
    sender.says(head("GET", &format!("/{}", "\"".repeat(40_000)), "")).await;
    assert_eq!(sender.hears().await.kind(), "not-found");
}

#[tokio::test]
async fn a_function_that_panics_is_answered_for_and_its_connection_goes_on() {
    let f = served_with(limits(), Arc::new(Panicking)).await;
    let mut sender = Sender::to(&f).await;
    for _ in 0..2 {
        sender.says(announcing(2)).await;
        sender.says(b"{}").await;
        assert_eq!(sender.hears().await.kind(), "internal");
        sender.says(head("GET", "/webhooks/health", &format!("authorization: Bearer {TOKEN}\r\n"))).await;
        assert_eq!(sender.hears().await.status, 500);
    }
}

#[test]
fn cookies_go_beside_the_headers_as_api_gateway_has_them() {
    let request =
        http::Request::builder().uri("/connect/x").header("cookie", "a=1; b=2;").header("host", "h");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let event = event(&parts, Vec::new(), "127.0.0.1:9".parse().unwrap());
    assert_eq!(event.cookies, Some(vec!["a=1".to_owned(), "b=2".to_owned()]));
    assert!(!event.headers.contains_key("cookie") && event.headers.contains_key("host"));
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = 302;
    answer.cookies = vec!["a=1; Path=/".to_owned(), "b=2".to_owned()];
    let response = response(answer);
    let set: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(set, ["a=1; Path=/", "b=2"]);
}
