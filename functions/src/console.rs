//! The console function: an operator's HTTP request in, an answer out.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST,
    WWW_AUTHENTICATE,
};
use lambda_http::{Body, Request, RequestExt as _, Response};
use tillwatch_workflows::console::{ApiRequest, Console};

/// Answers one request.
pub async fn handle(console: &Console, request: &Request) -> Response<Body> {
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    // API Gateway lets no other host through than its own and those of its domains.
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    let answer = console
        .answer(&ApiRequest {
            method: request.method().as_str().to_owned(),
            path: request.raw_http_path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            authorization: authorization.map(str::to_owned),
            cookies: cookies(request),
            body: request.body().to_vec(),
            public_url: host.map(|host| format!("https://{host}")),
        })
        .await;
    let mut response = Response::builder()
        .status(answer.status)
        .header(CONTENT_TYPE, answer.content_type)
        .header(CACHE_CONTROL, "no-store");
    if let Some(allow) = answer.allow {
        response = response.header(ALLOW, allow);
    }
    if answer.status == 401 {
        response = response.header(WWW_AUTHENTICATE, "Bearer");
    }
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let accepted = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    match packed(&answer.body, accepted.unwrap_or_default()) {
        Some(packed) => response.header(CONTENT_ENCODING, "gzip").body(Body::Binary(packed)),
        None => response.body(Body::Text(answer.body)),
    }
    .unwrap_or_default()
}

/// From so many bytes on an answer is packed for who takes it: Lambda gives out six million at most, and the series of ten
/// thousand connections are twice as many.
const LARGE: usize = 1_000_000;

/// A large answer, packed, if these codings let it be.
fn packed(body: &str, accepted: &str) -> Option<Vec<u8>> {
    let is_gzip = |coding: &str| coding.trim().eq_ignore_ascii_case("gzip");
    if body.len() <= LARGE || !accepted.split(',').any(is_gzip) {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body.as_bytes()).ok()?;
    encoder.finish().ok()
}

/// All cookies. API Gateway lists them beside the headers, from where they were put back among them.
fn cookies(request: &Request) -> Option<String> {
    let all = request.headers().get_all(COOKIE);
    let all: Vec<_> = all.iter().filter_map(|value| value.to_str().ok()).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn a_large_answer_is_packed_for_who_takes_it() {
        let large = "pos_connection_status 1\n".repeat(LARGE / 10);
        let sent = packed(&large, "deflate, GZIP").unwrap();
        assert!(sent.len() < LARGE);
        let mut read = String::new();
        GzDecoder::new(&*sent).read_to_string(&mut read).unwrap();
        assert!(read == large);
    }

    #[test]
    fn no_other_answer_is_packed() {
        let large = "a".repeat(LARGE + 1);
        assert_eq!(packed(&large, ""), None);
        assert_eq!(packed(&large, "deflate, x-gzip2"), None);
        assert_eq!(packed(&large[1..], "gzip"), None);
    }
}
