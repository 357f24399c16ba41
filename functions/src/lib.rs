//! The Lambda functions: one handler each, an event in and an answer out. Handlers know the shapes of Lambda's events and
//! nothing else; what they do is in `workflows`. On one machine they are called with the same events.

mod batch;
pub mod checks;
pub mod console;
pub mod jobs;
pub mod processor;
pub mod reconciliations;
pub mod refreshes;
pub mod rollup;
pub mod start;
pub mod subscriptions;
pub mod tally;
pub mod webhook;
