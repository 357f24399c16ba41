//! Tillwatch on one machine: everything that the deployment is, in one process on local files, and the operator's tools.

pub mod cli;
pub mod embedded;
pub mod http;
pub mod ports;
pub mod serve;
pub mod stack;
#[cfg(test)]
mod testing;
