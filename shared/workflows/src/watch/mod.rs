//! The watch: whether each connection works, found out by asking its provider.

pub mod probe;
