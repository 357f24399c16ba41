//! The tables' definitions, as `CreateTable` requests. `template.yaml` deploys the same; a test holds them together.

use serde_json::{Value, json};

/// The index that lists events and rejected requests by (provider, day, shard), newest last.
pub const BY_TIME: &str = "by_time";
/// The index that lists only what is rare: rejected, failed, held, parked.
pub const RARE: &str = "rare";
/// What both indexes of the main table carry, so that a list needs no further read.
pub const LISTED: [&str; 15] =
    ["st", "pv", "ty", "ev", "ac", "cn", "ca", "at", "ra", "pa", "du", "rq", "n", "sz", "sr"];
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

/// The index of the table of connections that lists what there is of a kind.
pub const LISTED_BY_KIND: &str = "listed";

/// The table of businesses, locations, connections and what belongs to them. Small, and read far more often than written,
/// so its index carries whole items.
pub fn connections_table(name: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": attributes(&["pk", "sk", "g1", "g1s"]),
        "KeySchema": key_schema("pk", "sk"),
        "GlobalSecondaryIndexes": [{
            "IndexName": LISTED_BY_KIND,
            "KeySchema": key_schema("g1", "g1s"),
            "Projection": {"ProjectionType": "ALL"},
        }],
        "BillingMode": "PAY_PER_REQUEST",
    })
}

/// An `UpdateTimeToLive` request for any of the tables.
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
