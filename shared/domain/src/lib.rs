//! The words of Tillwatch as types, and the rules that need nothing but them.
//!
//! Nothing here reaches out: no I/O, no async, no clock, no cloud. What a payment is, when one state of it is newer
//! than another, what a request may be rejected for and how long a failed message waits are decided here, so that
//! they can be tested by the thousand.

pub mod blame;
pub mod certificate;
pub mod connection;
pub mod event;
pub mod fields;
pub mod figures;
pub mod gap;
pub mod health;
pub mod hours;
pub mod location;
pub mod money;
pub mod objective;
pub mod quota;
pub mod record;
pub mod rejection;
pub mod replay;
pub mod retry;
pub mod rhythm;
pub mod score;
pub mod silence;
pub mod span;
pub mod tally;
pub mod threshold;
pub mod token;
pub mod trouble;

pub use connection::{Connection, Role, Routed, State};
pub use event::{DedupeKey, Event, EventId, Outcome, RequestId};
pub use fields::Fields;
pub use location::{Configuration, Location};
pub use money::{Currency, Money, MoneyError};
pub use record::{Change, Effect, Kind, Merged, Record, RecordKey, Revision, Status, Transition};
pub use rejection::Cause;
pub use replay::Replay;
