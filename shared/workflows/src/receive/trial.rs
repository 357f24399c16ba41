//! A trial of our own address: a request to a provider's webhook URL that is no webhook, from who makes the checks, to see
//! whether what stands behind the address could take one.
//!
//! It brings a word, sealed by the ring that every webhook function has, and the answer is the word: so nobody else can ask,
//! and nothing else can answer. Nothing is kept or counted of it. Before it is answered the provider's settings are read,
//! as for a webhook: if that fails, no webhook could be taken either.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tillwatch_platform::vault::KeyRing;
use tillwatch_providers::Reply;

use super::{Answer, Arrival, Receiver};

/// The header that the sealed word comes in.
pub const HEADER: &str = "x-tillwatch-trial";
/// The longest that is tried to be opened.
const LONGEST: usize = 300;

fn sealed_for(provider: &str) -> String {
    format!("trial of the webhooks of {provider}")
}

/// The word as it is sent.
pub fn sealed(ring: &KeyRing, provider: &str, word: &str) -> SecretString {
    ring.seal(&sealed_for(provider), &word.to_owned().into()).into()
}

impl Receiver {
    /// What is answered to a trial; none, if it is none, or anyone else's.
    pub(super) async fn tried(&self, arrival: &Arrival, now: Timestamp) -> Option<Answer> {
        let sealed = arrival.headers.get(HEADER).filter(|sealed| sealed.len() <= LONGEST)?;
        let word = self.own.opened_for(&sealed_for(self.provider.name()), sealed, now).await?;
        Some(match self.settings.current(now).await {
            Ok(_) => Answer::Handshake(Reply {
                status: 200,
                content_type: "text/plain",
                body: word.expose_secret().to_owned(),
            }),
            Err(error) => Answer::Unavailable(error.to_string()),
        })
    }
}
