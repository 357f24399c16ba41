//! A server on this machine that stands for somebody else's: it answers as a test says, and behaves badly when told to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// A request, read whole.
#[derive(Debug)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path.
    pub path: String,
    /// The query's parameters.
    pub query: Vec<(String, String)>,
    /// The headers, in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value; empty, if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The query's parameter of that name.
    pub fn query(&self, name: &str) -> Option<&str> {
        one(&self.query, name)
    }

    /// The body, if it is JSON and says so.
    pub fn json(&self) -> Option<Value> {
        let is_json = self.header("content-type").starts_with("application/json");
        is_json.then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }

    /// The body, if it is a form and says so.
    pub fn form(&self) -> Option<Vec<(String, String)>> {
        let is_form = self.header("content-type").starts_with("application/x-www-form-urlencoded");
        is_form.then(|| pairs(std::str::from_utf8(&self.body).unwrap()))
    }
}

/// The one value of that name in a form or a query.
pub fn one<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The pairs of a form or a query.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let text = text.replace('+', " ");
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    text.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body; null: an empty one.
    pub body: Value,
}

impl Reply {
    /// Status and JSON.
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// How the server behaves, whatever it would answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Manner {
    /// As it should.
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

type Answers = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// The running server.
#[derive(Clone)]
pub struct Server {
    /// Where it is reached: `http://127.0.0.1:…`.
    pub base: String,
    answers: Answers,
    manner: Arc<Mutex<Manner>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// One that answers so.
    pub async fn start(answers: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::new(answers),
            manner: Arc::new(Mutex::new(Manner::Well)),
            calls: Arc::default(),
        };
        let running = server.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let running = running.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| running.serve(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        server
    }

    /// From now on it behaves so.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// What was asked since this was asked last: method and path, and ` query` for a query of GraphQL.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
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
        let mut answer = hyper::Response::builder();
        let (answer, body) = match manner {
            Manner::Well => {
                let Reply { status, headers, body } = (self.answers)(&request);
                for (name, value) in headers {
                    answer = answer.header(name, value);
                }
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
                serde_json::json!({"errors": []}).to_string(),
            ),
            Manner::Broken => (answer.status(502), "bad gateway".to_owned()),
            Manner::Elsewhere => {
                (answer.status(302).header("location", "http://169.254.169.254/latest"), String::new())
            }
        };
        Ok(answer.body(Full::from(body)).unwrap())
    }
}
