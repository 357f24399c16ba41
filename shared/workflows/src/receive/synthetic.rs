//! Synthetic webhooks: samples that are signed as the provider would, sent to our own address on a schedule and taken as any
//! other, so that the whole way is proved and timed. They bring a mark that only the ring of webhook functions can make, and
//! that holds for their very body: whatever bears it is kept, takes no effect and is in no figure.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tillwatch_platform::vault::KeyRing;

use super::{Arrival, Receiver};

/// The header that the mark comes in.
pub const HEADER: &str = "x-tillwatch-synthetic";
/// The longest that is tried to be opened.
const LONGEST: usize = 400;

fn marked_for(provider: &str) -> String {
    format!("synthetic webhooks of {provider}")
}

fn digest(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// The mark of a body.
pub fn mark(ring: &KeyRing, provider: &str, body: &[u8]) -> SecretString {
    ring.seal(&marked_for(provider), &digest(body).into()).into()
}

impl Receiver {
    /// Whether a request bears the mark of its body.
    pub(super) async fn is_marked(&self, arrival: &Arrival, now: Timestamp) -> bool {
        let mark = arrival.headers.get(HEADER).filter(|mark| mark.len() <= LONGEST);
        let (Some(mark), Ok(body)) = (mark, &arrival.body) else { return false };
        let opened = self.own.opened_for(&marked_for(self.provider.name()), mark, now).await;
        opened.is_some_and(|opened| opened.expose_secret() == digest(body))
    }
}
