//! Why a request was not believed: a closed set, the same in an answer, a filter, a figure and a metric.

use serde::{Deserialize, Serialize};

/// The cause for which a request was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The header that carries the signature is not there.
    MissingSignature,
    /// The signature is not of the provider's form (encoding, length, fields).
    MalformedSignature,
    /// More than one signature where the provider sends one.
    AmbiguousSignature,
    /// The signature is of the right form and was made with another key, over another body, or for another URL.
    WrongSignature,
    /// The signed time is further in the past than the tolerance.
    StaleTimestamp,
    /// The signed time is further in the future than the tolerance.
    FutureTimestamp,
    /// The secret in the URL, or the channel's token, is not there.
    MissingSecret,
    /// The secret in the URL, or the channel's token, is no live one.
    WrongSecret,
    /// No connection has the id in the URL, or the account, restaurant or channel that the request speaks of.
    UnknownConnection,
    /// It was proved with the secret of one account and speaks of another.
    OtherAccount,
    /// It came from an address that is not on the provider's list.
    AddressNotAllowed,
    /// Its source sent too many requests that were not believed.
    TooMany,
    /// There is no body, where the provider sends one.
    EmptyBody,
    /// The body is larger than 4 MiB.
    BodyTooLarge,
    /// The gateway said that the body is base64, and it is not.
    UnreadableBody,
}

impl Cause {
    /// Every cause, in the order in which they are listed.
    pub const ALL: [Self; 15] = [
        Self::MissingSignature,
        Self::MalformedSignature,
        Self::AmbiguousSignature,
        Self::WrongSignature,
        Self::StaleTimestamp,
        Self::FutureTimestamp,
        Self::MissingSecret,
        Self::WrongSecret,
        Self::UnknownConnection,
        Self::OtherAccount,
        Self::AddressNotAllowed,
        Self::TooMany,
        Self::EmptyBody,
        Self::BodyTooLarge,
        Self::UnreadableBody,
    ];

    /// The name used in the API, in figures and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingSignature => "missing_signature",
            Self::MalformedSignature => "malformed_signature",
            Self::AmbiguousSignature => "ambiguous_signature",
            Self::WrongSignature => "wrong_signature",
            Self::StaleTimestamp => "stale_timestamp",
            Self::FutureTimestamp => "future_timestamp",
            Self::MissingSecret => "missing_secret",
            Self::WrongSecret => "wrong_secret",
            Self::UnknownConnection => "unknown_connection",
            Self::OtherAccount => "other_account",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::TooMany => "too_many",
            Self::EmptyBody => "empty_body",
            Self::BodyTooLarge => "body_too_large",
            Self::UnreadableBody => "unreadable_body",
        }
    }

    /// The cause of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Whether a release may find it mended: the same bytes, checked again, may prove themselves under other settings.
    pub fn may_be_mended(self) -> bool {
        !matches!(
            self,
            Self::TooMany
                | Self::EmptyBody
                | Self::BodyTooLarge
                | Self::UnreadableBody
                | Self::AmbiguousSignature
        )
    }

    /// What the sender is told: what is wrong and how to mend it. Says nothing about the keys.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::MissingSignature => {
                "The request carries no signature header. Send the webhook from the provider, or sign it by its rule."
            }
            Self::MalformedSignature => {
                "The signature header is not in the provider's form. Check its encoding and its fields."
            }
            Self::AmbiguousSignature => "The signature header was sent more than once. Send it once.",
            Self::WrongSignature => {
                "The signature matches no live signing key. Check that the key, the raw body and, where the provider \
                 signs it, the notification URL are the ones configured here."
            }
            Self::StaleTimestamp => {
                "The signed time is too far in the past. Check the sender's clock, or send the event anew."
            }
            Self::FutureTimestamp => "The signed time lies in the future. Check the sender's clock.",
            Self::MissingSecret => {
                "The request carries no secret. Send it to the whole URL that was given out, `key` included."
            }
            Self::WrongSecret => {
                "The secret is no live one. Check that the whole URL, or the channel's token, is the one given out."
            }
            Self::UnknownConnection => {
                "No connection is known by that id. Check the URL, or configure the connection first."
            }
            Self::OtherAccount => {
                "The secret belongs to another account than the one that the request speaks of."
            }
            Self::AddressNotAllowed => {
                "Requests from this address are not taken. Add it to `allowed_addresses` if it is the provider's."
            }
            Self::TooMany => "Too many requests from there were not believed. Wait a minute.",
            Self::EmptyBody => "The request has no body. Webhooks carry their event in the body.",
            Self::BodyTooLarge => "The body is larger than 4 MiB, the most that is taken.",
            Self::UnreadableBody => "The body was declared as base64 and is not. Send it as it was signed.",
        }
    }

    /// The HTTP status that answers it: always the sender's fault.
    pub fn status(self) -> u16 {
        match self {
            Self::MissingSignature
            | Self::MalformedSignature
            | Self::AmbiguousSignature
            | Self::WrongSignature
            | Self::StaleTimestamp
            | Self::FutureTimestamp
            | Self::MissingSecret
            | Self::WrongSecret => 401,
            Self::OtherAccount | Self::AddressNotAllowed => 403,
            Self::UnknownConnection => 404,
            Self::TooMany => 429,
            Self::EmptyBody | Self::UnreadableBody => 400,
            Self::BodyTooLarge => 413,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_found_by_its_name_and_is_the_senders_fault() {
        for cause in Cause::ALL {
            assert_eq!(Cause::named(cause.name()), Some(cause));
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
            assert!((400..500).contains(&cause.status()));
        }
    }
}
