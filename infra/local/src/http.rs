//! The HTTP side of one machine: what API Gateway is in the cloud. Each request becomes the very event that Lambda would
//! hand over, and the handler's answer becomes the response.
//!
//! Anybody may connect, so whatever a sender can hold is bounded: its connection's place by how long it may keep
//! everyone waiting, and memory by the room that bodies have ([`body`]).

mod body;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lambda_events::encodings::Body as EventBody;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, COOKIE, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tillwatch_workflows::console::{Exposition, Problem};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;

use self::body::Unread;
use crate::stack::{self, Stack};

/// What those who connect may take of this machine.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How many connections are open at once; further ones wait to be accepted.
    connections: usize,
    /// How long a sender may take over its headers, over its body, over each step of reading the answer, and how long a
    /// body waits for room.
    patience: Duration,
    /// How long connections get to finish what they are at, after the word to stop.
    farewell: Duration,
    /// How many bytes bodies may have together that are not small.
    bodies: usize,
}

const LIMITS: Limits = Limits {
    connections: 2_048,
    patience: Duration::from_secs(10),
    farewell: Duration::from_secs(10),
    bodies: 256 * 1024 * 1024,
};
/// How much of a connection is buffered: the largest head that is taken.
const BUFFER: usize = 64 * 1024;
/// When a sender that found no room may come again, in seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("5");

/// Serves until `stop` says so, then lets requests that have begun be answered.
pub async fn serve(listener: TcpListener, stack: Arc<Stack>, stop: watch::Receiver<bool>) {
    serve_within(LIMITS, listener, stack, stop).await;
}

async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    stack: Arc<Stack>,
    mut stop: watch::Receiver<bool>,
) {
    let server = Arc::new(Server { stack, limits, bodies: Semaphore::new(limits.bodies) });
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let next = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = stop.changed() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others will be free in a moment.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (server, stop) = (Arc::clone(&server), stop.clone());
        tokio::spawn(async move {
            server.connection(stream, peer, stop).await;
            drop(place);
        });
    }
    drop(listener);
    let everyone = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.farewell, places.acquire_many(everyone)).await.is_err() {
        tracing::warn!("requests that did not end in time are cut off");
    }
}

struct Server {
    stack: Arc<Stack>,
    limits: Limits,
    bodies: Semaphore,
}

impl Server {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, mut stop: watch::Receiver<bool>) {
        let patience = self.limits.patience;
        let unread = AtomicBool::new(false);
        let service = service_fn(|request| Box::pin(self.answer(request, peer, &unread)));
        let mut stream = TimeoutStream::new(stream);
        // Whoever does not read what it asked for must not keep its place.
        stream.set_write_timeout(Some(patience));
        let mut connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let ended = tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => ended,
            _ = stop.changed() => {
                Pin::new(&mut connection).graceful_shutdown();
                poll_fn(|context| connection.poll_without_shutdown(context)).await
            }
        };
        if ended.is_ok() && unread.load(Ordering::Relaxed) {
            let stream = connection.into_parts().io.into_inner();
            let _ = tokio::time::timeout(patience, part(stream)).await;
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        unread: &AtomicBool,
    ) -> Result<Response<Answered>, Infallible> {
        let (parts, body) = request.into_parts();
        if parts.method == http::Method::GET && parts.uri.path() == "/metrics" {
            let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            return Ok(match self.stack.scrape(authorization).await {
                Ok(exposition) => pieces(exposition),
                Err(problem) => response(problem),
            });
        }
        let cause = match body::read(body, &self.bodies, self.limits.patience).await {
            Ok(body) => {
                let answer = self.stack.http(event(&parts, body.bytes, peer)).await;
                drop(body.room);
                return Ok(response(answer));
            }
            Err(cause) => cause,
        };
        unread.store(true, Ordering::Relaxed);
        let mut answer = response(match cause {
            Unread::TooLarge => {
                self.stack.http_too_large(&parts.method, parts.uri.path(), peer.ip().to_string()).await
            }
            Unread::TooSlow => stack::problem(&self.too_slow()),
            Unread::NoRoom => stack::problem(&no_room()),
            Unread::Broken => stack::problem(&broken()),
        });
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        if cause == Unread::NoRoom {
            answer.headers_mut().insert(RETRY_AFTER, AGAIN);
        }
        Ok(answer)
    }

    fn too_slow(&self) -> Problem {
        let detail = format!(
            "The body did not come within {} seconds. Send it again.",
            self.limits.patience.as_secs()
        );
        Problem::new(408, "too-slow", "The request took too long", detail)
    }
}

/// Ends a connection whose sender may still be sending. Closed at once, it would be reset by what comes after that, and
/// the sender might never see the answer.
async fn part(mut stream: Pin<Box<TimeoutStream<TcpStream>>>) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 8 * 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

fn no_room() -> Problem {
    let detail = "Too many large requests are being taken at this moment. Send it again in a few seconds.";
    Problem::new(503, "unavailable", "Not available at the moment", detail)
}

fn broken() -> Problem {
    let detail = "Its body broke off, or is not framed as HTTP says.";
    Problem::new(400, "bad-body", "The request could not be read", detail)
}

/// The event that API Gateway would make of a request: names in lower case, duplicates joined by commas, a body that is
/// not text in base64.
fn event(parts: &http::request::Parts, body: Vec<u8>, peer: SocketAddr) -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    let method = parts.method.clone();
    event.version = Some("2.0".to_owned());
    event.raw_path = Some(parts.uri.path().to_owned());
    event.raw_query_string = parts.uri.query().map(str::to_owned);
    event.headers = joined(&parts.headers);
    event.cookies = cookies(&mut event.headers);
    event.request_context.http.source_ip = Some(peer.ip().to_string());
    event.request_context.http.path = event.raw_path.clone();
    event.request_context.http.method = method;
    event.body = Some(String::from_utf8(body).unwrap_or_else(|bytes| {
        event.is_base64_encoded = true;
        BASE64_STANDARD.encode(bytes.as_bytes())
    }));
    event
}

fn joined(headers: &HeaderMap) -> HeaderMap {
    let mut joined = HeaderMap::with_capacity(headers.keys_len());
    for name in headers.keys() {
        let values: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(value) = HeaderValue::from_bytes(&values.join(&b","[..])) {
            joined.insert(name, value);
        }
    }
    joined
}

/// The cookies, which API Gateway lists beside the headers and not among them.
fn cookies(headers: &mut HeaderMap) -> Option<Vec<String>> {
    let all = headers.remove(COOKIE)?;
    let all = all.to_str().ok()?.split([';', ',']).map(|cookie| cookie.trim().to_owned());
    Some(all.filter(|cookie| !cookie.is_empty()).collect())
}

/// A body that is whole, or made piece by piece while it is sent.
type Answered = Either<Full<Bytes>, Pieces>;

/// What Prometheus scrapes, made while it is sent.
struct Pieces(Exposition);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }
}

fn pieces(exposition: Exposition) -> Response<Answered> {
    let mut response = Response::new(Either::Right(Pieces(exposition)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Exposition::TYPE));
    response
}

fn response(answer: ApiGatewayV2httpResponse) -> Response<Answered> {
    let status = u16::try_from(answer.status_code).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let body = match answer.body {
        Some(EventBody::Text(text)) => Bytes::from(text),
        Some(EventBody::Binary(bytes)) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = answer.headers;
    for cookie in answer.cookies {
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    response
}
