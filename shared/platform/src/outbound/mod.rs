//! Calls to others' APIs: one client for all of them. It waits for nobody for long, reads no more than it asked for, follows
//! no redirection, and goes nowhere but to public addresses: where a provider is reached may be a tenant's word, and must
//! not become a way to what is near. Each call is one line in the log, without query, headers or body.
//!
//! Nothing on the webhooks' way uses it: it brings a second HTTP stack.

mod mail;
mod public;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::tls::TlsInfo;
use reqwest::{Certificate, Client, Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use tillwatch_domain::certificate::Validity;
use tokio_rustls::TlsConnector;

pub use mail::{Say, Talk, TalkTo};
pub use public::is_public;

/// How patient the client is, and where it may go.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection to be made.
    pub connect: Duration,
    /// For the whole answer.
    pub whole: Duration,
    /// The largest body that is read.
    pub largest: usize,
    /// Whether private addresses and plain HTTP are allowed: for tests, and on a developer's machine.
    pub allow_private: bool,
    /// Roots that certificates may stand on beside the system's own, in PEM: for tests.
    pub roots: &'static str,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            whole: Duration::from_secs(10),
            largest: 1024 * 1024,
            allow_private: false,
            roots: "",
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Whom, for the log.
    pub provider: &'a str,
    /// For what, for the log: the path with names in the place of ids.
    pub endpoint: &'a str,
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The whole URL.
    pub url: &'a str,
    /// The headers.
    pub headers: Vec<(&'a str, &'a SecretString)>,
    /// The body.
    pub body: Option<&'a SecretString>,
}

/// What was answered, whatever its status, but for redirections.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// From when until when the server's certificate is good; none, where it has none or it can't be read.
    pub certificate: Option<Validity>,
}

/// Why there is no answer. Names the host and never the rest of the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The URL is none.
    #[error("the URL is not one that can be called: check `base_url`, of a mail server `host`")]
    BadUrl,
    /// It is not `https`.
    #[error("{0} is not called without HTTPS: check `base_url`")]
    Plain(String),
    /// It is on this machine or this network.
    #[error("{0} is not called: its address is not a public one. Check `base_url`, of a mail server `host`")]
    NotPublic(String),
    /// It has no address.
    #[error("{0} is not found: check `base_url`, of a mail server `host`, and the name service")]
    NotFound(String),
    /// There is a machine, and it takes no connection.
    #[error(
        "{0} takes no connection: check `base_url`, of a mail server `host` and `port`; if it is right, nothing runs there \
         at the moment"
    )]
    NobodyListens(String),
    /// Its certificate is not valid: it has ended, is another's, or nobody known has signed it.
    #[error(
        "the certificate of {0} is not valid: it has ended, is for another name, or nobody known has signed it"
    )]
    Certificate(String),
    /// No way leads there, or the connection fails.
    #[error(
        "{0} can't be reached: check `base_url`, of a mail server `host` and `port`, and that this machine may call \
         out"
    )]
    Unreachable(String),
    /// It took too long.
    #[error("{0} did not answer in time: try again later")]
    TimedOut(String),
    /// It answered more than anyone reads.
    #[error("{0} answered more than it should: check `base_url`, of a mail server `host`")]
    TooLarge(String),
    /// It sends us elsewhere.
    #[error("{0} sends us elsewhere ({1}), where nobody is followed: check `base_url`")]
    Redirects(String, u16),
    /// It said more than it was asked for before the connection was secured.
    #[error(
        "{0} said more than it was asked for before the connection was secured: somebody may sit in between, and no \
         password was sent"
    )]
    Meddled(String),
    /// The connection broke, or what came is no HTTP.
    #[error("the connection to {0} broke: try again later")]
    Broken(String),
    /// What is to be put into a header can't be sent in one: a line break in it, most likely, or a typographic quote.
    #[error(
        "the header `{0}` can't be sent: what is put into it holds a line break, or a letter beyond A to Z. Correct the \
         token, key or name that it is made of"
    )]
    Unsendable(String),
    /// This side is broken.
    #[error("no client could be made: {0}")]
    NoClient(String),
}

impl OutboundError {
    /// One word for the log.
    fn kind(&self) -> &'static str {
        match self {
            Self::BadUrl => "bad_url",
            Self::Plain(_) => "plain_http",
            Self::NotPublic(_) => "not_public",
            Self::NotFound(_) => "not_found",
            Self::NobodyListens(_) => "nobody_listens",
            Self::Certificate(_) => "certificate",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timed_out",
            Self::TooLarge(_) => "too_large",
            Self::Redirects(..) => "redirects",
            Self::Meddled(_) => "meddled",
            Self::Broken(_) => "broken",
            Self::Unsendable(_) => "unsendable",
            Self::NoClient(_) => "no_client",
        }
    }
}

/// The client. Made when it is first used: reading the system's certificates takes time that a start may not have.
pub struct Outbound {
    limits: Limits,
    client: OnceLock<Result<Client, String>>,
    /// What secures connections to mail servers, made as late.
    secured: OnceLock<Result<TlsConnector, String>>,
}

impl Outbound {
    /// A client within these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, client: OnceLock::new(), secured: OnceLock::new() }
    }

    /// Asks, once.
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, OutboundError> {
        self.ask_for(ask, self.limits.largest).await
    }

    /// The same, where a larger body is read.
    pub async fn ask_for(&self, ask: &Ask<'_>, largest: usize) -> Result<Answer, OutboundError> {
        let began = Instant::now();
        let url = ask.url.parse::<Url>().ok().filter(Url::has_host);
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
        let answer = match url {
            Some(url) => self.answer(ask, url, &host, largest).await,
            None => Err(OutboundError::BadUrl),
        };
        let (status, error) = match &answer {
            Ok(answer) => (answer.status, ""),
            Err(OutboundError::Redirects(_, status)) => (*status, "redirects"),
            Err(error) => (0, error.kind()),
        };
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Ask { provider, endpoint, method, .. } = ask;
        tracing::info!(provider, method, host, path = endpoint, status, ms, error, "called");
        answer
    }

    async fn answer(
        &self,
        ask: &Ask<'_>,
        url: Url,
        host: &str,
        largest: usize,
    ) -> Result<Answer, OutboundError> {
        let named = || host.to_owned();
        if url.scheme() != "https" && !(self.limits.allow_private && url.scheme() == "http") {
            return Err(OutboundError::Plain(named()));
        }
        // An address in the URL itself is not resolved, and so not seen by the resolver.
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        if literal.is_some_and(|address| !self.limits.allow_private && !is_public(address)) {
            return Err(OutboundError::NotPublic(named()));
        }
        let method = Method::from_bytes(ask.method.as_bytes()).map_err(|_| OutboundError::BadUrl)?;
        let mut request = self.client()?.request(method, url);
        for (name, value) in &ask.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OutboundError::BadUrl)?;
            let mut value = HeaderValue::from_str(value.expose_secret().trim())
                .map_err(|_| OutboundError::Unsendable(name.to_string()))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if let Some(body) = ask.body {
            request = request.body(body.expose_secret().to_owned());
        }
        let mut response = request.send().await.map_err(|error| failed(&error, host))?;
        let status = response.status().as_u16();
        if response.status().is_redirection() {
            return Err(OutboundError::Redirects(named(), status));
        }
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
        let headers = headers.collect();
        let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        let certificate = certificate.and_then(Validity::of);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error, host))? {
            if body.len() + chunk.len() > largest {
                return Err(OutboundError::TooLarge(named()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body, certificate })
    }

    fn client(&self) -> Result<&Client, OutboundError> {
        let made = self.client.get_or_init(|| self.made().map_err(|error| error.without_url().to_string()));
        made.as_ref().map_err(|cause| OutboundError::NoClient(cause.clone()))
    }

    fn made(&self) -> Result<Client, reqwest::Error> {
        // Fails when it was done before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let roots = Certificate::from_pem_bundle(self.limits.roots.as_bytes())?;
        Client::builder()
            .tls_info(true)
            .tls_certs_merge(roots)
            .user_agent(concat!("tillwatch/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(self.limits.connect)
            .timeout(self.limits.whole)
            .pool_idle_timeout(Duration::from_secs(30))
            .dns_resolver(Arc::new(PublicOnly { allow_private: self.limits.allow_private }))
            .build()
    }
}

/// Resolves names to public addresses alone. What is checked is what is connected to: a name that changes its address in
/// between gains nothing.
struct PublicOnly {
    allow_private: bool,
}

#[derive(Debug, thiserror::Error)]
enum Nowhere {
    #[error("not a public address")]
    NotPublic,
    #[error("no address")]
    Unresolved,
}

impl Nowhere {
    fn at(&self, host: String) -> OutboundError {
        match self {
            Self::NotPublic => OutboundError::NotPublic(host),
            Self::Unresolved => OutboundError::NotFound(host),
        }
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = addresses(name.as_str(), 0, allow_private).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a name: if they are not all public, none.
async fn addresses(name: &str, port: u16, allow_private: bool) -> Result<Vec<SocketAddr>, Nowhere> {
    let found = tokio::net::lookup_host((name, port)).await.map_err(|_| Nowhere::Unresolved)?;
    let found: Vec<SocketAddr> = found.collect();
    if !allow_private && found.iter().any(|address| !is_public(address.ip())) {
        return Err(Nowhere::NotPublic);
    }
    Ok(found)
}

/// Whether an I/O error is that a certificate is not good. An I/O error's source is its inner error's source, and not the
/// inner error itself; and it may be wrapped in another.
fn is_of_certificate(error: &io::Error) -> bool {
    let mut inner = error.get_ref();
    while let Some(error) = inner {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    }
    false
}

fn failed(error: &reqwest::Error, host: &str) -> OutboundError {
    let host = host.to_owned();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(nowhere) = cause.downcast_ref::<Nowhere>() {
            return nowhere.at(host);
        }
        if let Some(plain) = cause.downcast_ref::<io::Error>().and_then(plain_io) {
            return plain(host);
        }
        source = cause.source();
    }
    // Nothing was sent on a connection that was not made, in time or not.
    if error.is_connect() {
        OutboundError::Unreachable(host)
    } else if error.is_timeout() {
        OutboundError::TimedOut(host)
    } else {
        OutboundError::Broken(host)
    }
}

/// What an I/O error says by itself of who is there.
fn plain_io(error: &io::Error) -> Option<fn(String) -> OutboundError> {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return Some(OutboundError::NobodyListens);
    }
    is_of_certificate(error).then_some(OutboundError::Certificate)
}

#[cfg(test)]
mod tests;
