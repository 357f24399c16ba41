//! Everything that Tillwatch reaches: one file per thing reached, a port where there are two of a kind.
//!
//! Only this crate knows AWS. On one machine the same ports stand on local files, and the table's client talks to a
//! DynamoDB inside the process (see [`table::LocalEndpoint`]).

pub mod aws;
pub mod beats;
pub mod clock;
pub mod config;
pub mod connections;
pub mod entropy;
pub mod metrics;
pub mod outbound;
pub mod payloads;
pub mod queue;
pub mod secrets;
pub mod table;
pub mod vault;
pub mod watched;
pub mod watcher;
