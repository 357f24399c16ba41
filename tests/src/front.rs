//! What stands before a stack where others reach it: `https://localhost:…`, with a certificate of the tests' own. Each
//! connection is taken for one request, so that the next one sees the certificate that is shown then.
//!
//! The certificates are in `front/`: `ca.pem` has signed `good.pem`, which ends on 2049-12-31, and `ended.pem`, which ended on
//! 2021-01-01, both for `localhost` and the key in `server.key`. Whoever needs others makes all of them anew, with
//! `openssl ca`; the authority's own key was not kept.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tillwatch::stack::Stack;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::sender::text;

/// Who has signed the certificates.
pub const AUTHORITY: &str = include_str!("front/ca.pem");
const GOOD: &[u8] = include_bytes!("front/good.pem");
const ENDED: &[u8] = include_bytes!("front/ended.pem");
const KEY: &[u8] = include_bytes!("front/server.key");

/// When the good certificate ends.
pub fn good_until() -> Timestamp {
    "2049-12-31T00:00:00Z".parse().unwrap()
}

/// What is shown, and what is behind it.
struct State {
    config: Arc<ServerConfig>,
    behind: Behind,
}

#[derive(Clone)]
enum Behind {
    /// This answers each request with this page.
    Page(&'static str),
    /// The stack does.
    Stack(Arc<Stack>),
}

/// The running front.
#[derive(Clone)]
pub struct Front {
    /// Where it is reached.
    pub base: String,
    state: Arc<Mutex<State>>,
}

fn config(certificate: &[u8]) -> Arc<ServerConfig> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

impl Front {
    /// One with a good certificate, behind which nobody is yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let state = State { config: config(GOOD), behind: Behind::Page("<html>Coming soon</html>") };
        let front = Self { base, state: Arc::new(Mutex::new(state)) };
        let running = front.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let running = running.clone();
                tokio::spawn(async move {
                    let acceptor = TlsAcceptor::from(running.state.lock().unwrap().config.clone());
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| running.serve(request));
                    let mut http = hyper::server::conn::http1::Builder::new();
                    let _ = http.keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        front
    }

    /// From now on it leads to this stack.
    pub fn lead_to(&self, stack: &Arc<Stack>) {
        self.state.lock().unwrap().behind = Behind::Stack(Arc::clone(stack));
    }

    /// From now on each request is answered with this page.
    pub fn answer(&self, page: &'static str) {
        self.state.lock().unwrap().behind = Behind::Page(page);
    }

    /// From now on it shows a certificate that has ended, or a good one.
    pub fn show_ended(&self, ended: bool) {
        self.state.lock().unwrap().config = config(if ended { ENDED } else { GOOD });
    }

    async fn serve(
        &self,
        request: hyper::Request<hyper::body::Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
        let behind = self.state.lock().unwrap().behind.clone();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = match behind {
            Behind::Page(page) => hyper::Response::new(Full::from(page)),
            Behind::Stack(stack) => {
                let mut event = ApiGatewayV2httpRequest::default();
                event.raw_path = Some(parts.uri.path().to_owned());
                event.raw_query_string = Some(parts.uri.query().unwrap_or_default().to_owned());
                event.request_context.http.method = parts.method;
                event.request_context.http.source_ip = Some("203.0.113.9".to_owned());
                event.headers = parts.headers;
                event.body = Some(String::from_utf8(body.to_vec()).unwrap());
                let answer: ApiGatewayV2httpResponse = stack.http(event).await;
                let status = u16::try_from(answer.status_code).unwrap();
                let body = text(&answer).to_owned();
                hyper::Response::builder().status(status).body(Full::from(body)).unwrap()
            }
        };
        Ok(answer)
    }
}
