//! Configuration: whether what one says can be meant, and how it becomes connections, their routes and their sealed
//! secrets.
//!
//! Checking asks nobody. Writing may be repeated: a connection's sealed tokens and its routes are written before its
//! document, so that a process that ends in between leaves a document that still differs from what is asked for, and the
//! next attempt writes all of it again.

pub mod check;
mod connections;
mod hours;
pub mod keys;
mod locations;
pub mod mistake;
mod names;
mod place;
mod resolve;
mod rotate;
mod store;
mod tokens;

pub use check::{Written, check, check_as_written};
pub use keys::{KeyKind, KeyView};
pub use locations::{Prepared, Said, Says, Told};
pub use mistake::{Mistake, Part, Path, Segment, Severity};
pub use names::{did_you_mean, listed};
pub use resolve::{Resolved, in_force, resolve};
pub use rotate::{Issued, Resealed, Rotated, Rotation};
pub use store::{CONTENTIONS, Change, Configurator, Opened, StoredLocation, Unconfigured};
pub use tokens::{ACCESS, OpenedTokens, REFRESH, Tokens};
