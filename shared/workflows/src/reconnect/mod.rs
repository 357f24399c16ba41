//! Signing in anew: a link that an operator, or a business for its own, has made for a connection, which leads whoever opens
//! it to the provider's page; and what comes back from there.
//!
//! The link is ours, so that it is short, ends, and can be taken back (`link.rs`). Each opening of it is an attempt of its
//! own, bound to the browser by a cookie, with a state and a verifier that fit no other (`attempt.rs`). What comes back is
//! used once (`finish.rs`): whatever goes wrong from there on, the link opens another attempt. Decision 0019 says why.

mod attempt;
mod finish;
mod link;

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tillwatch_platform::entropy;
use tillwatch_platform::table::TableError;
use tillwatch_platform::vault::VaultError;

use crate::configuration::Unconfigured;
use crate::tokens::{Refresher, TokensError};
use crate::watch::Roster;

pub use attempt::{Begun, Returned};
pub use link::{By, Found, LONGEST, Made, USUAL};

/// What makes links and takes what comes back.
pub struct Reconnect {
    /// What keeps tokens.
    pub refresher: Arc<Refresher>,
    /// Who is checked, once there are new tokens.
    pub roster: Arc<Roster>,
    /// The address at which browsers reach this; none, where that is the one that it is asked at.
    pub public_url: Option<String>,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum ReconnectError {
    /// It can't be: says what to do.
    #[error("{0}")]
    Refused(String),
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A connection can't be read.
    #[error(transparent)]
    Unconfigured(#[from] Unconfigured),
    /// Tokens can't be read or written.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Others kept writing the same.
    #[error("the link of {0} was written by others each time")]
    Contended(String),
}

/// What a person who opened a link, or came back from the provider's page, is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// They have signed in, and all is well.
    Done,
    /// There is no such link, or there is no more: nobody is told which.
    Ended,
    /// Somebody has signed in by this link already.
    Used,
    /// It was begun in another browser, or this one keeps no cookies.
    OtherBrowser,
    /// What came back is not the provider's.
    Unproved,
    /// It is another account than the connection's.
    OtherAccount,
    /// They did not agree.
    Denied,
    /// They did not agree to all that is needed.
    Barred,
    /// The provider did not go along: its own word for it, if it is one.
    Failed(Option<String>),
    /// Somebody else is at it.
    Busy,
    /// Something is wrong on our side.
    Ours,
}

/// A secret of 43 characters that stand in a URL as they are.
fn secret() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(entropy::bytes::<32>())
}

/// Whether a text may be such a secret.
fn is_secret(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What is kept of a secret.
fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

/// Whether a digest is that of a secret.
fn fits(kept: &str, secret: &str) -> bool {
    kept.as_bytes().ct_eq(digest(secret).as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_new_each_time_and_fits_its_digest_alone() {
        let (one, other) = (secret(), secret());
        assert!(is_secret(&one) && one != other);
        assert!(fits(&digest(&one), &one) && !fits(&digest(&one), &other) && !fits("", &one));
        for text in ["", "callback", &format!("{one}x"), &one.replace(|_| true, "/")] {
            assert!(!is_secret(text), "{text}");
        }
    }
}
