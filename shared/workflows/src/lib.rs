//! What Tillwatch does, one use case a file. Each takes the ports that it needs from `platform` and knows nothing of what
//! stands behind them; the functions of a deployment and the one process of a laptop call the same code.

pub mod agenda;
pub mod backlog;
pub mod configuration;
pub mod console;
pub mod credentials;
pub mod deadman;
pub mod envelope;
pub mod limits;
mod objects;
pub mod own_settings;
pub mod payload;
pub mod process;
pub mod receive;
pub mod reconcile;
pub mod reconnect;
pub mod replay;
pub mod rollup;
pub mod routing;
pub mod signing;
pub mod subscriptions;
pub mod tally;
pub mod tokens;
pub mod watch;
