//! The HTTP side of one machine: what API Gateway is in the cloud. Each request becomes the very event that Lambda would
//! hand over, and the handler's answer becomes the response.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::encodings::Body as EventBody;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tillwatch_providers::request::MAX_BODY;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::stack::Stack;

/// How long a sender may take over its headers, and again over its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long connections get to finish what they are at, after the word to stop.
const FAREWELL: Duration = Duration::from_secs(10);
/// How many connections are open at once; further ones wait to be accepted.
const CONNECTIONS: usize = 2_048;

/// Serves until `stop` says so, then lets requests that have begun be answered.
pub async fn serve(listener: TcpListener, stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: others will be free in a moment.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = stop.changed() => break,
        };
        let _ = stream.set_nodelay(true);
        let (stack, mut stop) = (Arc::clone(&stack), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&stack, request, peer));
            let mut connection = std::pin::pin!(
                hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .serve_connection(TokioIo::new(stream), service)
            );
            tokio::select! {
                _ = connection.as_mut() => {}
                _ = stop.changed() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            drop(place);
        });
    }
    drop(listener);
    let everyone = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(FAREWELL, room.acquire_many(everyone)).await;
}

async fn answer(
    stack: &Stack,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = tokio::time::timeout(PATIENCE, read(body)).await else {
        return Ok(plain(StatusCode::REQUEST_TIMEOUT));
    };
    let Some(body) = body else { return Ok(plain(StatusCode::BAD_REQUEST)) };
    let event = event(&parts, &body, peer);
    Ok(response(stack.http(event).await))
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// The body, or as much of it as shows that it is too large; none, if the sender went away.
async fn read(mut body: Incoming) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    if body.size_hint().lower() > MAX_BODY as u64 {
        bytes.resize(MAX_BODY + 1, 0);
        return Some(bytes.freeze());
    }
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        let room = (MAX_BODY + 1).saturating_sub(bytes.len());
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if bytes.len() > MAX_BODY {
            break;
        }
    }
    Some(bytes.freeze())
}

/// The event that API Gateway would make of a request: names in lower case, duplicates joined by commas, a body that is
/// not text in base64.
fn event(parts: &http::request::Parts, body: &Bytes, peer: SocketAddr) -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    let method = parts.method.clone();
    event.version = Some("2.0".to_owned());
    event.raw_path = Some(parts.uri.path().to_owned());
    event.raw_query_string = parts.uri.query().map(str::to_owned);
    event.headers = joined(&parts.headers);
    event.request_context.http.source_ip = Some(peer.ip().to_string());
    event.request_context.http.path = event.raw_path.clone();
    event.request_context.http.method = method;
    if let Ok(text) = std::str::from_utf8(body) {
        event.body = Some(text.to_owned());
    } else {
        event.body = Some(BASE64_STANDARD.encode(body));
        event.is_base64_encoded = true;
    }
    event
}

fn joined(headers: &HeaderMap) -> HeaderMap {
    let mut joined = HeaderMap::with_capacity(headers.keys_len());
    for name in headers.keys() {
        let values: Vec<_> = headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
        if let Ok(value) = http::HeaderValue::from_bytes(&values.join(&b","[..])) {
            joined.insert(name, value);
        }
    }
    joined
}

fn response(answer: ApiGatewayV2httpResponse) -> Response<Full<Bytes>> {
    let status = u16::try_from(answer.status_code).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let body = match answer.body {
        Some(EventBody::Text(text)) => Bytes::from(text),
        Some(EventBody::Binary(bytes)) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = answer.headers;
    response
}
