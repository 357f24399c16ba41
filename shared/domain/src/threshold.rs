//! After how long an operation is late: it works, and is told of as slow.

use std::time::Duration;

/// An answer of a provider's API, or of our own address.
pub const API: Duration = Duration::from_secs(2);
/// Signing in at a mail server, which is several answers.
pub const EMAIL: Duration = Duration::from_secs(3);
/// From a webhook's arrival until it took effect: what was paid ought to be seen by whoever looks.
pub const PAYMENT: Duration = Duration::from_secs(5);
/// An answer of our own table.
pub const DATABASE: Duration = Duration::from_secs(1);
