//! What the suites share: a whole stack on temporary files, with a clock, faults and senders of the test's own.

pub mod faults;
pub mod process;
pub mod sender;
pub mod world;
