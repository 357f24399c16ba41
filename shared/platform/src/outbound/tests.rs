//! The client against servers that answer as no provider should.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn limits() -> Limits {
    Limits { whole: Duration::from_millis(300), largest: 1_000, allow_private: true, ..Limits::default() }
}

/// A server that answers one connection with these bytes, and then keeps it open.
async fn server(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4_096]).await;
        let _ = socket.write_all(&answer).await;
        std::future::pending::<()>().await;
    });
    format!("http://{address}/secret-path?secret=query")
}

async fn asked(limits: Limits, url: &str) -> Result<Answer, OutboundError> {
    let ask = Ask { provider: "square", endpoint: "/x", method: "GET", url, headers: vec![], body: None };
    Outbound::new(limits).ask(&ask).await
}

async fn error(limits: Limits, url: &str) -> OutboundError {
    match asked(limits, url).await {
        Ok(answer) => panic!("it was answered {}", answer.status),
        Err(error) => error,
    }
}

fn answering(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn an_answer_is_given_whatever_its_status_with_its_headers() {
    let url = server(answering("429 Slow Down\r\nRetry-After: 2", "{}")).await;
    let answer = asked(limits(), &url).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (429, b"{}".as_slice()));
    assert!(answer.headers.contains(&("retry-after".to_owned(), "2".to_owned())));
}

#[tokio::test]
async fn a_server_that_never_ends_its_answer_is_left() {
    for begun in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"] {
        let url = server(begun.to_vec()).await;
        assert!(matches!(error(limits(), &url).await, OutboundError::TimedOut(_)));
    }
}

#[tokio::test]
async fn no_more_is_read_than_the_limit() {
    let url = server(answering("200 OK", &"x".repeat(1_001))).await;
    assert!(matches!(error(limits(), &url).await, OutboundError::TooLarge(_)));
    let url = server(answering("200 OK", &"x".repeat(1_000))).await;
    assert_eq!(asked(limits(), &url).await.unwrap().body.len(), 1_000);
}

#[tokio::test]
async fn a_redirection_is_not_followed_and_its_target_not_told() {
    let url = server(answering("302 Found\r\nLocation: http://169.254.169.254/latest", "")).await;
    let error = error(limits(), &url).await;
    assert_eq!(error, OutboundError::Redirects("127.0.0.1".to_owned(), 302));
    assert!(!error.to_string().contains("169.254"));
}

#[tokio::test]
async fn what_is_near_is_not_called_by_address_or_by_name() {
    let strict = Limits { allow_private: false, ..limits() };
    for url in [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        // The resolver knows this one without asking anyone.
        "https://localhost/",
        // Other ways to write 127.0.0.1.
        "https://2130706433/",
        "https://0x7f.1/",
    ] {
        assert!(matches!(error(strict, url).await, OutboundError::NotPublic(_)), "{url}");
    }
    let plain = error(strict, "http://api.example.com/").await;
    assert_eq!(plain, OutboundError::Plain("api.example.com".to_owned()));
    assert_eq!(error(strict, "nonsense").await, OutboundError::BadUrl);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_http_is_told_apart_without_the_path() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/secret-path", listener.local_addr().unwrap())
    };
    let unreachable = error(limits(), &closed).await;
    assert!(matches!(unreachable, OutboundError::NobodyListens(_)), "{unreachable}");
    let nonsense = server(b"SSH-2.0-nonsense\r\n\r\n".to_vec()).await;
    let broken = error(limits(), &nonsense).await;
    assert!(matches!(broken, OutboundError::Broken(_)), "{broken}");
    assert!(![unreachable, broken].iter().any(|error| error.to_string().contains("secret")));
}

#[tokio::test]
async fn a_secret_with_a_line_break_is_no_header_and_is_not_told() {
    let secret = SecretString::from("hunter2\r\nx: y".to_owned());
    let url = server(answering("200 OK", "")).await;
    let headers = vec![("authorization", &secret)];
    let ask = Ask { provider: "p", endpoint: "/x", method: "GET", url: &url, headers, body: None };
    let error = Outbound::new(limits()).ask(&ask).await.err().unwrap();
    assert_eq!(error, OutboundError::Unsendable("authorization".to_owned()));
    let error = error.to_string();
    assert!(error.contains("authorization") && !error.contains("hunter2"), "{error}");
}

#[test]
fn that_a_certificate_is_not_good_is_known_however_it_is_wrapped() {
    use std::io::Error;
    let bad = || rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
    assert!(is_of_certificate(&Error::other(bad())));
    assert!(is_of_certificate(&Error::other(Error::other(bad()))));
    assert!(!is_of_certificate(&Error::other(rustls::Error::HandshakeNotComplete)));
    assert!(!is_of_certificate(&Error::other("closed")));
}
