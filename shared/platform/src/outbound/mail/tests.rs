//! Conversations with servers that do as no mail server should, on real connections.

use std::sync::Mutex;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::Limits;
use super::*;

const ROOT: &str = include_str!("../../../../../tests/certificates/root.pem");
const LOCALHOST: &str = include_str!("../../../../../tests/certificates/localhost.pem");
const KEY: &str = include_str!("../../../../../tests/certificates/localhost.key");

fn limits() -> Limits {
    Limits {
        whole: Duration::from_millis(1_500),
        connect: Duration::from_millis(1_500),
        allow_private: true,
        roots: ROOT,
        ..Limits::default()
    }
}

/// What the server does, one after the other.
#[derive(Clone, Copy)]
enum Act {
    /// Says this.
    Says(&'static str),
    /// Hears a line.
    Hears,
    /// Secures the connection with its certificate.
    Secures,
    /// Says this for as long as anybody listens.
    Floods(&'static str),
    /// Holds the connection, and says nothing.
    Holds,
}
use Act::{Floods, Hears, Holds, Says, Secures};

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

struct FakeServer {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl FakeServer {
    async fn start(acts: &'static [Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&heard);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            play(Box::new(stream), acts, &hearing).await;
        });
        Self { port, heard }
    }

    /// What a talk comes to with it.
    async fn talked(&self, limits: Limits, host: &str, is_secure: bool) -> Result<String, OutboundError> {
        let to = TalkTo { provider: "smtp", endpoint: "test", host, port: self.port, is_secure };
        Outbound::new(limits).talk(&to, Client { said: 0 }).await
    }

    /// Whether the password came, in whatever form it is readable.
    fn heard_the_password(&self) -> bool {
        self.heard.lock().unwrap().iter().any(|line| line.contains("hunter2"))
    }
}

/// Ends when the other side goes: nothing is asked of it then.
async fn play(mut stream: Box<dyn Both>, acts: &[Act], heard: &Mutex<Vec<String>>) {
    for act in acts {
        match act {
            Says(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Hears => {
                let mut line = Vec::new();
                while !line.ends_with(b"\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    line.push(byte);
                }
                heard.lock().unwrap().push(String::from_utf8_lossy(&line).trim().to_owned());
            }
            Secures => {
                let certificates = CertificateDer::pem_slice_iter(LOCALHOST.as_bytes());
                let certificates = certificates.collect::<Result<_, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
                let config =
                    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                        .with_safe_default_protocol_versions()
                        .unwrap()
                        .with_no_client_auth()
                        .with_single_cert(certificates, key)
                        .unwrap();
                match TlsAcceptor::from(Arc::new(config)).accept(stream).await {
                    Ok(secured) => stream = Box::new(secured),
                    Err(_) => return,
                }
            }
            Floods(text) => while stream.write_all(text.as_bytes()).await.is_ok() {},
            Holds => std::future::pending().await,
        }
    }
}

/// Asks whether it may be secured, and tells the password once it is.
struct Client {
    said: usize,
}

impl Talk for Client {
    type End = String;

    fn goes_on(&self, line: &str) -> bool {
        line.as_bytes().get(3) == Some(&b'-')
    }

    fn replied(&mut self, lines: &[String]) -> Say<String> {
        self.said += 1;
        match (self.said, lines) {
            (1, _) => Say::Line("HELLO".to_owned().into()),
            (2, lines) if lines.iter().any(|line| line.ends_with("STARTTLS")) => {
                Say::Line("STARTTLS".to_owned().into())
            }
            (3, _) => Say::Secure,
            (_, lines) if lines.iter().any(|line| line.ends_with("in and out")) => {
                Say::Leave("BYE".to_owned().into(), lines.join("|"))
            }
            (_, lines) => Say::Over(lines.join("|")),
        }
    }

    fn secured(&mut self) -> Say<String> {
        Say::Line("PASSWORD hunter2".to_owned().into())
    }
}

const WELL: &[Act] = &[
    Says("220 hi\r\n"),
    Hears,
    Says("250-"),
    Says("me\r\n250 STARTTLS\r\n"),
    Hears,
    Says("220 go\r\n"),
    Secures,
    Hears,
    Says("235 in\r\n"),
    Holds,
];

#[tokio::test]
async fn lines_go_to_and_fro_and_are_secured_on_the_way() {
    let server = FakeServer::start(WELL).await;
    assert_eq!(server.talked(limits(), "localhost", false).await.unwrap(), "235 in");
    assert_eq!(*server.heard.lock().unwrap(), ["HELLO", "STARTTLS", "PASSWORD hunter2"]);
}

#[tokio::test]
async fn a_connection_may_be_secured_from_the_start() {
    let server = FakeServer::start(&[Secures, Says("220 hi\r\n"), Hears, Says("250 no more\n"), Holds]).await;
    assert_eq!(server.talked(limits(), "localhost", true).await.unwrap(), "250 no more");
}

#[tokio::test]
async fn who_hangs_up_at_a_farewell_or_never_replies_to_it_was_talked_to_all_the_same() {
    const OUT: &str = "235 in and out\r\n";
    const HANGS_UP: &[Act] = &[Secures, Says("220 hi\r\n"), Hears, Says(OUT)];
    const HOLDS: &[Act] = &[Secures, Says("220 hi\r\n"), Hears, Says(OUT), Hears, Holds];
    for acts in [HANGS_UP, HOLDS] {
        let server = FakeServer::start(acts).await;
        assert_eq!(server.talked(limits(), "localhost", true).await.unwrap(), "235 in and out");
    }
}

#[tokio::test]
async fn who_shows_anothers_certificate_or_one_that_nobody_signed_hears_no_password() {
    let server = FakeServer::start(WELL).await;
    let error = server.talked(limits(), "127.0.0.1", false).await.unwrap_err();
    assert!(matches!(error, OutboundError::Certificate(_)), "{error}");
    assert!(!server.heard_the_password());
    let server = FakeServer::start(WELL).await;
    let error = server.talked(Limits { roots: "", ..limits() }, "localhost", false).await.unwrap_err();
    assert!(matches!(error, OutboundError::Certificate(_)), "{error}");
    assert!(!server.heard_the_password());
}

#[tokio::test]
async fn what_was_said_before_the_connection_is_secured_counts_for_nothing_afterwards() {
    let server = FakeServer::start(&[
        Says("220 hi\r\n"),
        Hears,
        Says("250 STARTTLS\r\n"),
        Hears,
        Says("220 go\r\n235 welcome, who needs a password\r\n"),
        Secures,
        Hears,
        Holds,
    ])
    .await;
    let error = server.talked(limits(), "localhost", false).await.unwrap_err();
    assert_eq!(error, OutboundError::Meddled("localhost".to_owned()));
    assert!(!server.heard_the_password());
}

#[tokio::test]
async fn who_is_near_is_not_talked_to_by_address_or_by_name() {
    let server = FakeServer::start(WELL).await;
    let strict = Limits { allow_private: false, ..limits() };
    for host in ["127.0.0.1", "localhost", "::1", "::ffff:10.0.0.1", "169.254.169.254"] {
        let error = server.talked(strict, host, false).await.unwrap_err();
        assert_eq!(error, OutboundError::NotPublic(host.to_owned()));
    }
    assert!(server.heard.lock().unwrap().is_empty());
    assert_eq!(server.talked(limits(), "no host", false).await.unwrap_err(), OutboundError::BadUrl);
}

#[tokio::test]
async fn who_says_nothing_or_no_end_is_left() {
    for acts in [
        &[Holds][..],
        &[Says("220 half a line"), Holds],
        &[Says("220 hi\r\n"), Hears, Holds],
        &[Says("220 hi\r\n"), Hears, Says("250 STARTTLS\r\n"), Hears, Says("220 go\r\n"), Holds],
    ] {
        let server = FakeServer::start(acts).await;
        let brief = Limits { whole: Duration::from_millis(300), ..limits() };
        let error = server.talked(brief, "localhost", false).await.unwrap_err();
        assert!(matches!(error, OutboundError::TimedOut(_)), "{error}");
    }
}

#[tokio::test]
async fn no_more_is_read_than_a_reply_may_have() {
    let wide: &str = format!("220-{}\r\n", "x".repeat(1_000)).leak();
    for flood in ["220-and on\r\n", "and on ", wide] {
        let server = FakeServer::start(vec![Floods(flood)].leak()).await;
        let error = server.talked(limits(), "localhost", false).await.unwrap_err();
        assert_eq!(error, OutboundError::TooLarge("localhost".to_owned()));
    }
}

#[tokio::test]
async fn who_is_not_there_and_who_hangs_up_are_told_apart() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let nobody = FakeServer { port: closed, heard: Arc::default() };
    let error = nobody.talked(limits(), "localhost", false).await.unwrap_err();
    assert_eq!(error, OutboundError::NobodyListens("localhost".to_owned()));
    let server = FakeServer::start(&[Says("220 hi\r\n"), Hears]).await;
    let error = server.talked(limits(), "localhost", false).await.unwrap_err();
    assert_eq!(error, OutboundError::Broken("localhost".to_owned()));
    // One that is not secured where it should be.
    let server = FakeServer::start(&[Says("220 hi\r\n"), Holds]).await;
    let error = server.talked(limits(), "localhost", true).await.unwrap_err();
    assert_eq!(error, OutboundError::Broken("localhost".to_owned()));
}
