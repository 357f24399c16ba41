//! Conversations with mail servers: lines to and fro, secured on the way. What is said is another's to know ([`Talk`]); here
//! is what holds whatever is said: nowhere but to public addresses, not for long, and no more read than a reply may have.
//!
//! What a server says before the connection is secured, and beyond the reply that it was asked for, was said by who knows
//! whom: it must not be taken for the secured server's word (the injection of CVE-2011-0411 and its like). Nothing is
//! secured then, and nothing more is said.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Outbound, OutboundError, addresses, plain_io};

/// The longest line of a reply, in bytes. The standard has 512.
const LONGEST_LINE: usize = 1_024;
/// The most lines of a reply.
const MOST_LINES: usize = 100;
/// The most that is read of a whole conversation, in bytes.
const LARGEST: usize = 64 * 1024;

/// Whom to talk to.
#[derive(Debug, Clone, Copy)]
pub struct TalkTo<'a> {
    /// Whom, for the log.
    pub provider: &'a str,
    /// For what, for the log.
    pub endpoint: &'a str,
    /// The server's name or address.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// Whether the connection is secured from the start.
    pub is_secure: bool,
}

/// What is said next.
pub enum Say<T> {
    /// This line; then the reply is read. It may hold a password.
    Line(SecretString),
    /// Nothing: the connection is secured.
    Secure,
    /// This line; then it is over, whatever is replied, if anything is: this came of it.
    Leave(SecretString, T),
    /// No more: it is over, and this came of it.
    Over(T),
}

/// One side of a conversation that the server begins.
pub trait Talk: Send {
    /// What comes of it.
    type End;

    /// Whether another line of the same reply follows this one.
    fn goes_on(&self, line: &str) -> bool;

    /// What is said to a reply, whose lines are without their ends.
    fn replied(&mut self, lines: &[String]) -> Say<Self::End>;

    /// What is said when the connection is secured.
    fn secured(&mut self) -> Say<Self::End>;
}

impl Outbound {
    /// Talks to a server until it is over.
    pub async fn talk<T: Talk>(&self, to: &TalkTo<'_>, talk: T) -> Result<T::End, OutboundError> {
        let began = Instant::now();
        let talked = timeout(self.limits.whole, self.talked(to, talk)).await;
        let talked = talked.unwrap_or_else(|_| Err(OutboundError::TimedOut(to.host.to_owned())));
        let error = talked.as_ref().err().map_or("", OutboundError::kind);
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let TalkTo { provider, endpoint, host, port, .. } = to;
        tracing::info!(provider, host, port, path = endpoint, ms, error, "talked");
        talked
    }

    async fn talked<T: Talk>(&self, to: &TalkTo<'_>, mut talk: T) -> Result<T::End, OutboundError> {
        let name = ServerName::try_from(to.host.to_owned()).map_err(|_| OutboundError::BadUrl)?;
        let mut line = Line::new(self.connected(to).await?, to.host);
        if to.is_secure {
            line = line.secured(self.connector()?, &name).await?;
        }
        let mut next = talk.replied(&line.reply(&talk).await?);
        loop {
            next = match next {
                Say::Line(text) => {
                    line.say(&text).await?;
                    talk.replied(&line.reply(&talk).await?)
                }
                Say::Secure => {
                    line = line.secured(self.connector()?, &name).await?;
                    talk.secured()
                }
                Say::Leave(text, end) => {
                    // Who hangs up first need not be told.
                    line.say(&text).await.ok();
                    return Ok(end);
                }
                Say::Over(end) => return Ok(end),
            };
        }
    }

    /// A connection to one of its addresses, the first that takes one.
    async fn connected(&self, to: &TalkTo<'_>) -> Result<TcpStream, OutboundError> {
        let named = || to.host.to_owned();
        let found = addresses(to.host, to.port, self.limits.allow_private);
        let found = found.await.map_err(|nowhere| nowhere.at(named()))?;
        let connecting = async {
            let mut failed = OutboundError::NotFound(named());
            for address in found {
                match TcpStream::connect(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => {
                        failed = plain_io(&error).unwrap_or(OutboundError::Unreachable)(named());
                    }
                }
            }
            Err(failed)
        };
        timeout(self.limits.connect, connecting)
            .await
            .unwrap_or_else(|_| Err(OutboundError::Unreachable(named())))
    }

    fn connector(&self) -> Result<&TlsConnector, OutboundError> {
        let made =
            self.secured.get_or_init(|| connector(self.limits.roots).map_err(|error| error.to_string()));
        made.as_ref().map_err(|cause| OutboundError::NoClient(cause.clone()))
    }
}

/// What secures connections, judging certificates as the HTTP client does: by the system's roots.
fn connector(roots: &'static str) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = if roots.is_empty() {
        Verifier::new(Arc::clone(&provider))?
    } else {
        let roots = CertificateDer::pem_slice_iter(roots.as_bytes()).filter_map(Result::ok);
        Verifier::new_with_extra_roots(roots, Arc::clone(&provider))?
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

/// A connection on which lines go to and fro.
struct Line<'a> {
    stream: Stream,
    host: &'a str,
    /// What was read, and is no line that was given out yet.
    buffer: Vec<u8>,
    /// How much was read in all.
    read: usize,
}

impl<'a> Line<'a> {
    fn new(stream: TcpStream, host: &'a str) -> Self {
        Self { stream: Stream::Plain(stream), host, buffer: Vec::new(), read: 0 }
    }

    /// The same, secured. Nothing may be left of what was said before.
    async fn secured(self, with: &TlsConnector, name: &ServerName<'static>) -> Result<Self, OutboundError> {
        let Stream::Plain(stream) = self.stream else {
            return Err(OutboundError::Broken(self.host.to_owned()));
        };
        if !self.buffer.is_empty() {
            return Err(OutboundError::Meddled(self.host.to_owned()));
        }
        let secured = with.connect(name.clone(), stream).await.map_err(|error| broken(&error, self.host))?;
        Ok(Self { stream: Stream::Secured(Box::new(secured)), ..self })
    }

    async fn say(&mut self, text: &SecretString) -> Result<(), OutboundError> {
        let text = SecretString::from(format!("{}\r\n", text.expose_secret()));
        let bytes = text.expose_secret().as_bytes();
        let said = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Secured(stream) => match stream.write_all(bytes).await {
                Ok(()) => stream.flush().await,
                error => error,
            },
        };
        said.map_err(|error| broken(&error, self.host))
    }

    /// The lines of one reply.
    async fn reply(&mut self, talk: &impl Talk) -> Result<Vec<String>, OutboundError> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let goes_on = talk.goes_on(&line);
            lines.push(line);
            if !goes_on {
                return Ok(lines);
            }
            if lines.len() == MOST_LINES {
                return Err(OutboundError::TooLarge(self.host.to_owned()));
            }
        }
    }

    /// One line without its end.
    async fn line(&mut self) -> Result<String, OutboundError> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            if end.unwrap_or(self.buffer.len()) > LONGEST_LINE {
                return Err(OutboundError::TooLarge(self.host.to_owned()));
            }
            if let Some(end) = end {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), OutboundError> {
        let mut bytes = [0; LONGEST_LINE];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut bytes).await,
            Stream::Secured(stream) => stream.read(&mut bytes).await,
        };
        let read = read.map_err(|error| broken(&error, self.host))?;
        self.read += read;
        match read {
            0 => Err(OutboundError::Broken(self.host.to_owned())),
            _ if self.read > LARGEST => Err(OutboundError::TooLarge(self.host.to_owned())),
            read => {
                self.buffer.extend_from_slice(&bytes[..read]);
                Ok(())
            }
        }
    }
}

fn broken(error: &io::Error, host: &str) -> OutboundError {
    plain_io(error).unwrap_or(OutboundError::Broken)(host.to_owned())
}

#[cfg(test)]
mod tests;
