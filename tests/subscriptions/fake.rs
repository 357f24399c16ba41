//! A server on this machine that stands for a provider's API.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body, if it is JSON and says so.
    pub(super) fn json(&self) -> Option<Value> {
        let is_json = self.header("content-type").starts_with("application/json");
        is_json.then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }

    /// The body, if it is a form and says so.
    pub(super) fn form(&self) -> Option<Vec<(String, String)>> {
        let is_form = self.header("content-type").starts_with("application/x-www-form-urlencoded");
        is_form.then(|| pairs(std::str::from_utf8(&self.body).unwrap()))
    }
}

/// The one value of that name in a form.
pub(super) fn one<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let base = url_of(&format!("/?{text}"));
    base.query_pairs().into_owned().collect()
}

fn url_of(path: &str) -> reqwest::Url {
    format!("http://fake.example.com{path}").parse().unwrap()
}

/// Status and JSON.
pub(super) type Answer = (u16, Value);

/// One provider's API, and what a test does to it.
pub(super) trait Api: Send {
    /// Answers a request.
    fn answer(&mut self, request: &Request) -> Answer;

    /// What sends webhooks: what it is of, and where to. Sorted.
    fn sending(&self) -> Vec<(String, String)>;

    /// Stops all of them, without deleting them. Whether the provider knows such a state.
    fn disable(&mut self) -> bool;

    /// Takes all of them away. Whether the provider does that.
    fn delete(&mut self) -> bool;

    /// Has all of them send elsewhere. Whether that can be.
    fn redirect(&mut self) -> bool;

    /// The key that it signs with, if each subscription has its own.
    fn key(&self) -> Option<String> {
        None
    }

    /// What time it is.
    fn tick(&mut self, _now: jiff::Timestamp) {}
}

/// How the server behaves beside the API.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Manner {
    /// As the API does.
    Well,
    /// It never answers.
    Silent,
    /// A page for people.
    Html,
    /// More than anyone reads.
    Huge,
    /// No more calls for so many seconds.
    Limited(u32),
    /// It is broken.
    Broken,
    /// It sends us elsewhere.
    Elsewhere,
}

/// The running server.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) base: String,
    api: Arc<Mutex<Box<dyn Api>>>,
    manner: Arc<Mutex<Manner>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(super) async fn start(api: Box<dyn Api>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self {
            base,
            api: Arc::new(Mutex::new(api)),
            manner: Arc::new(Mutex::new(Manner::Well)),
            calls: Arc::default(),
        };
        let served = fake.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let served = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| served.serve(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        fake
    }

    /// Looks into it, or damages it.
    pub(super) fn api<T>(&self, look: impl FnOnce(&mut dyn Api) -> T) -> T {
        look(&mut **self.api.lock().unwrap())
    }

    pub(super) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// The calls that change something, since this was asked last.
    pub(super) fn changes(&self) -> Vec<String> {
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        // A query of GraphQL is a POST that changes nothing.
        calls.into_iter().filter(|call| !call.starts_with("GET ") && !call.ends_with(" query")).collect()
    }

    async fn serve(
        &self,
        request: hyper::Request<hyper::body::Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
        let request = Request {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: pairs(parts.uri.query().unwrap_or_default()),
            headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body,
        };
        let is_query = request
            .json()
            .is_some_and(|body| body["query"].as_str().is_some_and(|query| query.starts_with("query")));
        let kind = if is_query { " query" } else { "" };
        self.calls.lock().unwrap().push(format!("{} {}{kind}", request.method, request.path));
        let manner = self.manner.lock().unwrap().clone();
        let answer = hyper::Response::builder();
        let (answer, body) = match manner {
            Manner::Well => {
                let (status, body) = self.api(|api| api.answer(&request));
                let body = if body.is_null() { String::new() } else { body.to_string() };
                (answer.status(status), body)
            }
            Manner::Silent => std::future::pending().await,
            Manner::Html => {
                (answer.status(200), "<html><body>Sign in to the hotel's network</body></html>".into())
            }
            Manner::Huge => (answer.status(200), "[".repeat(3 * 1024 * 1024)),
            Manner::Limited(seconds) => (
                answer.status(429).header("retry-after", seconds.to_string()),
                json!({"errors": []}).to_string(),
            ),
            Manner::Broken => (answer.status(502), "bad gateway".to_owned()),
            Manner::Elsewhere => {
                (answer.status(302).header("location", "http://169.254.169.254/latest"), String::new())
            }
        };
        Ok(answer.body(Full::from(body)).unwrap())
    }
}
