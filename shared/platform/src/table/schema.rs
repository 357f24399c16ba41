//! The tables' definitions, as `CreateTable` requests. `template.yaml` deploys the same; a test holds them together.

use serde_json::{Value, json};

/// The index that lists events and rejected requests by (provider, day, shard), newest last.
pub const BY_TIME: &str = "by_time";
/// The index that lists only what is rare: rejected, failed, held, parked.
pub const RARE: &str = "rare";
/// What both indexes carry, so that a list needs no further read.
pub const LISTED: [&str; 14] =
    ["st", "pv", "ty", "ev", "ac", "ca", "at", "ra", "pa", "du", "rq", "n", "sz", "sr"];
/// The attribute by which DynamoDB deletes old items: Unix seconds.
pub const EXPIRES: &str = "x";

/// The table of events and records, with its stream.
pub fn main_table(name: &str) -> Value {
    let index = |name: &str, hash: &str, range: &str| {
        json!({
            "IndexName": name,
            "KeySchema": key_schema(hash, range),
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": LISTED},
        })
    };
    json!({
        "TableName": name,
        "AttributeDefinitions": attributes(&["pk", "sk", "g1", "g1s", "g2", "g2s"]),
        "KeySchema": key_schema("pk", "sk"),
        "GlobalSecondaryIndexes": [index(BY_TIME, "g1", "g1s"), index(RARE, "g2", "g2s")],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    })
}

/// The table of figures.
pub fn figures_table(name: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": attributes(&["pk", "sk"]),
        "KeySchema": key_schema("pk", "sk"),
        "BillingMode": "PAY_PER_REQUEST",
    })
}

/// An `UpdateTimeToLive` request for either table.
pub fn time_to_live(name: &str) -> Value {
    json!({"TableName": name, "TimeToLiveSpecification": {"Enabled": true, "AttributeName": EXPIRES}})
}

fn attributes(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"})).collect()
}

fn key_schema(hash: &str, range: &str) -> Value {
    json!([
        {"AttributeName": hash, "KeyType": "HASH"},
        {"AttributeName": range, "KeyType": "RANGE"},
    ])
}
