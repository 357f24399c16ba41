//! What stands between the processor and AWS, and lets writes go wrong when it is told to.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::emulators::client;

/// How DynamoDB answers one write too many.
const THROTTLED: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"The level of configured provisioned throughput for the table was exceeded."}"#;

/// What becomes of `PutItem` calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Puts {
    /// They are done and answered.
    Work,
    /// They are not done, and told that they are too many.
    AreThrottled,
    /// They are done, and the answer never comes.
    GetNoAnswer,
}

struct Between {
    client: Client,
    aws: String,
    puts: Mutex<Puts>,
    withheld: Notify,
}

/// A way to AWS on which `PutItem` calls can go wrong.
pub(crate) struct FaultyWay {
    between: Arc<Between>,
    /// Where it begins.
    pub(crate) endpoint: String,
}

impl FaultyWay {
    /// A way to `aws`, as long as the test runs.
    pub(crate) async fn to(aws: &str) -> Self {
        let between = Arc::new(Between {
            client: client(),
            aws: aws.to_owned(),
            puts: Mutex::new(Puts::Work),
            withheld: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, Arc::clone(&between)));
        Self { between, endpoint }
    }

    /// From now on this becomes of `PutItem` calls.
    pub(crate) fn puts(&self, puts: Puts) {
        *self.between.puts.lock().unwrap() = puts;
    }

    /// Waits until a `PutItem` call was done that will get no answer.
    pub(crate) async fn one_got_no_answer(&self) {
        self.between.withheld.notified().await;
    }
}

async fn serve(listener: TcpListener, between: Arc<Between>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let between = Arc::clone(&between);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let between = Arc::clone(&between);
                async move { Ok::<_, Infallible>(between.answer(request).await) }
            });
            // A caller that ends in the middle of a call is what some tests are about.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Between {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let is_put =
            request.headers().get("x-amz-target").is_some_and(|it| it == "DynamoDB_20120810.PutItem");
        let puts = if is_put { *self.puts.lock().unwrap() } else { Puts::Work };
        match puts {
            Puts::Work => self.passed_on(request).await,
            Puts::AreThrottled => Response::builder()
                .status(400)
                .header("content-type", "application/x-amz-json-1.0")
                .body(THROTTLED.into())
                .unwrap(),
            Puts::GetNoAnswer => {
                self.passed_on(request).await;
                self.withheld.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn passed_on(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let url = format!("{}{}", self.aws, parts.uri);
        let body = body.collect().await.unwrap().to_bytes();
        let request = self.client.request(parts.method, url).headers(parts.headers).body(body);
        let answer = request.send().await.unwrap();
        let mut passed = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            passed = passed.header(name, value);
        }
        passed.body(Full::new(answer.bytes().await.unwrap())).unwrap()
    }
}
