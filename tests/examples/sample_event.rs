//! Prints the event of `events/` for a provider's webhook function: its commonest sample, signed with the test keys, as API
//! Gateway hands it over.
//!
//! `cargo run --package tillwatch-tests --example sample_event -- square >events/webhook-square.json`

use std::path::Path;

use serde_json::{Value, json};
use tillwatch_tests::sender::{provider, sample};

/// When the samples of `events/` are from.
const ARRIVED: &str = "2026-11-23T23:03:00Z";
const DOMAIN: &str = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
/// An address that is nobody's.
const SOURCE: &str = "203.0.113.7";

#[expect(clippy::print_stdout, reason = "it prints")]
fn main() {
    let name = std::env::args().nth(1).expect("a provider is named");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let keys = std::fs::read(root.join("infra/sam-local/test-keys.json")).expect("the test keys");
    let mut keys: Value = serde_json::from_slice(&keys).expect("the test keys are JSON");
    let settings = serde_json::from_value(keys[&name].take()).expect("the provider has a test key");
    let arrived = ARRIVED.parse().expect("a time");
    let sent = sample(&name, provider(&name).sample_kinds()[0], 1, arrived, &settings);
    println!("{:#}", whole(&name, &json!(sent.event())));
}

/// The event with all that API Gateway puts around a request.
fn whole(provider: &str, event: &Value) -> Value {
    let (path, method) = (&event["rawPath"], &event["requestContext"]["http"]["method"]);
    let known = format!("/webhooks/{provider}");
    let route = if *path == json!(known) { known } else { format!("{known}/{{proxy+}}") };
    let route = format!("{} {route}", method.as_str().unwrap_or_default());
    let mut headers = event["headers"].clone();
    let length = event["body"].as_str().map_or(0, str::len);
    for (name, value) in [
        ("content-length", length.to_string().as_str()),
        ("host", DOMAIN),
        ("x-amzn-trace-id", "Root=1-6924e0a4-3f1a5c0e7b9d2f4a6c8e0b12"),
        ("x-forwarded-for", SOURCE),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ] {
        headers[name] = json!(value);
    }
    let mut whole = json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": event["rawQueryString"].as_str().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": DOMAIN,
            "domainPrefix": "a1b2c3d4e5",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": SOURCE},
            "requestId": "OPbV5jc6FiAEPzQ=",
            "routeKey": route,
            "stage": "$default",
            "time": "23/Nov/2026:23:03:00 +0000",
            "timeEpoch": 1_795_474_980_000_i64,
        },
        "isBase64Encoded": event["isBase64Encoded"],
    });
    // No body is no member.
    if length > 0 {
        whole["body"] = event["body"].clone();
    }
    whole
}
