//! A mail server on this machine, which stands for a tenant's: it is secured on the way, takes one password, and behaves badly
//! when told to. What it heard is remembered.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The root that the server's certificate, which is for `localhost`, stands on.
pub const ROOT: &str = include_str!("../certificates/root.pem");
const LOCALHOST: &str = include_str!("../certificates/localhost.pem");
const KEY: &str = include_str!("../certificates/localhost.key");

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailManner {
    /// As it should.
    Well,
    /// It asks for the name and the password one after the other.
    Older,
    /// It can't be secured.
    Open,
    /// It can be secured, and takes no password.
    NoSignIn,
    /// It takes no more connections.
    Busy,
    /// It greets, and says nothing more.
    Silent,
    /// It does not come to an end.
    Floods,
    /// It says more than it was asked for before the connection is secured.
    Meddles,
    /// It is none.
    Web,
}

struct State {
    manner: MailManner,
    password: String,
    heard: Vec<String>,
}

/// The running server.
#[derive(Clone)]
pub struct MailServer {
    /// Its port at `localhost`.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

impl MailServer {
    /// One that takes this password, whoever says it.
    pub async fn start(password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State { manner: MailManner::Well, password: password.to_owned(), heard: Vec::new() };
        let server = Self { port: listener.local_addr().unwrap().port(), state: Arc::new(Mutex::new(state)) };
        let running = server.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let running = running.clone();
                // Who hangs up is not missed.
                tokio::spawn(async move { drop(running.serve(stream).await) });
            }
        });
        server
    }

    /// From now on it behaves so.
    pub fn behave(&self, manner: MailManner) {
        self.state.lock().unwrap().manner = manner;
    }

    /// From now on it takes this password and no other.
    pub fn take(&self, password: &str) {
        password.clone_into(&mut self.state.lock().unwrap().password);
    }

    /// The lines that it heard since this was asked last; ` (secured)` after those that nobody else could hear.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().heard)
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let manner = self.state.lock().unwrap().manner;
        let mut stream: Box<dyn Both> = Box::new(stream);
        let mut is_secured = false;
        let greeting = match manner {
            MailManner::Busy => "421 4.3.2 too many connections",
            MailManner::Web => "HTTP/1.1 400 Bad Request",
            _ => "220 mail.example.com ESMTP",
        };
        say(&mut stream, greeting).await?;
        match manner {
            MailManner::Silent => std::future::pending().await,
            MailManner::Floods => loop {
                say(&mut stream, "220-and so on").await?;
            },
            _ => {}
        }
        loop {
            let line = self.hear(&mut stream, is_secured).await?;
            let word = line.split(' ').next().unwrap_or_default();
            match (word, manner) {
                ("EHLO", _) if !is_secured && manner == MailManner::Open => {
                    say(&mut stream, "250-mail.example.com\r\n250 AUTH PLAIN LOGIN").await?;
                }
                ("EHLO", _) if !is_secured => {
                    say(&mut stream, "250-mail.example.com\r\n250-SIZE 35882577\r\n250 STARTTLS").await?;
                }
                ("EHLO", MailManner::NoSignIn) => say(&mut stream, "250 mail.example.com").await?,
                ("EHLO", MailManner::Older) => {
                    say(&mut stream, "250-mail.example.com\r\n250 AUTH LOGIN").await?;
                }
                ("EHLO", _) => say(&mut stream, "250-mail.example.com\r\n250 AUTH PLAIN LOGIN").await?,
                ("STARTTLS", _) => {
                    let meddled = "220 go\r\n235 2.7.0 no need of a password";
                    let go = if manner == MailManner::Meddles { meddled } else { "220 go" };
                    say(&mut stream, go).await?;
                    stream = Box::new(acceptor().accept(stream).await?);
                    is_secured = true;
                }
                ("AUTH", MailManner::Older) => {
                    say(&mut stream, "334 UGFzc3dvcmQ6").await?;
                    let password = decoded(&self.hear(&mut stream, is_secured).await?);
                    self.judge(&mut stream, &password).await?;
                }
                ("AUTH", _) => {
                    let told = decoded(line.rsplit(' ').next().unwrap_or_default());
                    self.judge(&mut stream, told.rsplit('\0').next().unwrap_or_default()).await?;
                }
                ("QUIT", _) => return say(&mut stream, "221 bye").await,
                _ => say(&mut stream, "502 5.5.1 not here").await?,
            }
        }
    }

    async fn judge(&self, stream: &mut Box<dyn Both>, password: &str) -> std::io::Result<()> {
        let is_right = self.state.lock().unwrap().password == password;
        let answer = if is_right { "235 2.7.0 in" } else { "535 5.7.8 bad credentials" };
        say(stream, answer).await
    }

    async fn hear(&self, stream: &mut Box<dyn Both>, is_secured: bool) -> std::io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await?);
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let heard = if is_secured { format!("{line} (secured)") } else { line.clone() };
        self.state.lock().unwrap().heard.push(heard);
        Ok(line)
    }
}

async fn say(stream: &mut Box<dyn Both>, text: &str) -> std::io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    stream.flush().await
}

fn decoded(text: &str) -> String {
    String::from_utf8(BASE64_STANDARD.decode(text).unwrap_or_default()).unwrap_or_default()
}

fn acceptor() -> TlsAcceptor {
    let certificates = CertificateDer::pem_slice_iter(LOCALHOST.as_bytes()).collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(certificates.unwrap(), key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}
