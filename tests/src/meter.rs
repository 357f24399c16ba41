//! Counts what the stack asks of what it stands on: calls, and the capacity units that DynamoDB would bill.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::Value;
use tillwatch_platform::table::LocalEndpoint;

/// What was asked so far. Units are in thousandths.
#[derive(Debug, Clone, Default)]
pub struct Metered {
    /// Calls by name, with the table: `PutItem tillwatch`.
    pub calls: BTreeMap<String, u64>,
    /// Write units of the table of events and records, indexes included.
    pub write_milliunits: u64,
    /// Read units of that table.
    pub read_milliunits: u64,
    /// Write units of the table of figures.
    pub figure_milliunits: u64,
    /// Bytes of items written, keys and names included, indexes' copies too.
    pub stored_bytes: u64,
    /// Of these, the indexes' copies.
    pub indexed_bytes: u64,
}

impl Metered {
    /// What was asked since then.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut calls = self.calls.clone();
        for (name, count) in &before.calls {
            *calls.entry(name.clone()).or_default() -= count;
        }
        Self {
            calls,
            write_milliunits: self.write_milliunits - before.write_milliunits,
            read_milliunits: self.read_milliunits - before.read_milliunits,
            figure_milliunits: self.figure_milliunits - before.figure_milliunits,
            stored_bytes: self.stored_bytes - before.stored_bytes,
            indexed_bytes: self.indexed_bytes - before.indexed_bytes,
        }
    }
}

/// Counts. Shared by all processes of a world.
#[derive(Default)]
pub struct Meter(Mutex<Metered>);

impl Meter {
    /// What was asked so far.
    pub fn total(&self) -> Metered {
        self.0.lock().unwrap().clone()
    }

    /// An endpoint whose calls are counted.
    pub fn over(self: &Arc<Self>, endpoint: Arc<dyn LocalEndpoint>) -> Arc<dyn LocalEndpoint> {
        Arc::new(Counting { meter: Arc::clone(self), endpoint })
    }
}

struct Counting {
    meter: Arc<Meter>,
    endpoint: Arc<dyn LocalEndpoint>,
}

/// Size of an attribute's value in DynamoDB's JSON, as DynamoDB counts it: text in bytes, numbers about half a byte a
/// digit and one, binaries unencoded.
fn value_size(value: &Value) -> u64 {
    let Some((kind, value)) = value.as_object().and_then(|typed| typed.iter().next()) else { return 0 };
    let text = value.as_str().unwrap_or_default();
    match kind.as_str() {
        "N" => (text.len() as u64).div_ceil(2) + 1,
        "B" => text.len() as u64 * 3 / 4,
        _ => text.len() as u64,
    }
}

fn item_size(item: &Value, only: Option<&[&str]>) -> u64 {
    let attributes = item.as_object().into_iter().flatten();
    attributes
        .filter(|(name, _)| only.is_none_or(|only| only.contains(&name.as_str())))
        .map(|(name, value)| name.len() as u64 + value_size(value))
        .sum()
}

fn write_units(bytes: u64) -> u64 {
    1_000 * bytes.div_ceil(1_024).max(1)
}

#[async_trait]
impl LocalEndpoint for Counting {
    async fn call(&self, operation: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let answer = self.endpoint.call(operation, body).await;
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let table = request["TableName"].as_str().unwrap_or_default();
        let reply: Value =
            answer.as_ref().and_then(|(_, body)| serde_json::from_slice(body).ok()).unwrap_or_default();
        let mut metered = self.meter.0.lock().unwrap();
        *metered.calls.entry(format!("{operation} {table}")).or_default() += 1;
        match operation {
            "PutItem" => {
                let item = &request["Item"];
                let size = item_size(item, None);
                metered.write_milliunits += write_units(size);
                metered.stored_bytes += size;
                for (hash, range) in [("g1", "g1s"), ("g2", "g2s")] {
                    if item[hash].is_object() {
                        let mut carried = tillwatch_platform::table::schema::LISTED.to_vec();
                        carried.extend(["pk", "sk", hash, range]);
                        let size = item_size(item, Some(&carried));
                        metered.write_milliunits += write_units(size);
                        metered.stored_bytes += size;
                        metered.indexed_bytes += size;
                    }
                }
            }
            "UpdateItem" if table.ends_with("figures") => metered.figure_milliunits += 1_000,
            "UpdateItem" => metered.write_milliunits += 2_000,
            "GetItem" | "Query" => {
                let items = reply["Item"].is_object().then_some(&reply["Item"]).into_iter();
                let items = items.chain(reply["Items"].as_array().into_iter().flatten());
                let size: u64 = items.map(|item| item_size(item, None)).sum();
                let whole = size.div_ceil(4_096).max(1);
                let is_consistent = request["ConsistentRead"].as_bool().unwrap_or(false);
                metered.read_milliunits += if is_consistent { 1_000 } else { 500 } * whole;
            }
            _ => {}
        }
        drop(metered);
        answer
    }
}
