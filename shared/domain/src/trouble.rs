//! What may be wrong with a connection, in words: what it means, and what to do.

use serde::{Deserialize, Serialize};

use crate::health::Finding;

/// What is wrong, as far as one check can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// It answers, but later than it should.
    Slow,
    /// The provider's limit is reached.
    RateLimited,
    /// No answer in time.
    TimedOut,
    /// Its name is not found.
    NoAddress,
    /// Nobody takes the connection, or it breaks.
    Unreachable,
    /// Its certificate is not valid.
    Certificate,
    /// Its certificate is valid, and ends soon.
    CertificateEndsSoon,
    /// It says that it is at fault: a 5xx.
    ProviderError,
    /// It answers what cannot be understood: a page in the place of data.
    Unreadable,
    /// The token is refused: it has expired, or was taken back.
    TokenRefused,
    /// The token may not do what is needed.
    ScopeMissing,
    /// The account is closed, suspended, or not there.
    AccountGone,
    /// What is configured here is wrong or missing.
    Misconfigured,
    /// It refuses the request itself: one that we should not have made.
    Refused,
    /// It lies at an address that nobody outside may be sent to.
    AddressNotPublic,
    /// We could not make the check: nothing at all is to be reached from here.
    OurNetwork,
    /// What it takes is not processed in time.
    Unprocessed,
    /// Its webhooks do not come, at a time at which they always did.
    Silent,
    /// It was to be checked long ago, and was not.
    NotChecked,
}

impl Trouble {
    /// Every one.
    pub const ALL: [Self; 19] = [
        Self::Slow,
        Self::RateLimited,
        Self::TimedOut,
        Self::NoAddress,
        Self::Unreachable,
        Self::Certificate,
        Self::CertificateEndsSoon,
        Self::ProviderError,
        Self::Unreadable,
        Self::TokenRefused,
        Self::ScopeMissing,
        Self::AccountGone,
        Self::Misconfigured,
        Self::Refused,
        Self::AddressNotPublic,
        Self::OurNetwork,
        Self::Unprocessed,
        Self::Silent,
        Self::NotChecked,
    ];

    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::RateLimited => "rate_limited",
            Self::TimedOut => "timed_out",
            Self::NoAddress => "no_address",
            Self::Unreachable => "unreachable",
            Self::Certificate => "certificate",
            Self::CertificateEndsSoon => "certificate_ends_soon",
            Self::ProviderError => "provider_error",
            Self::Unreadable => "unreadable",
            Self::TokenRefused => "token_refused",
            Self::ScopeMissing => "scope_missing",
            Self::AccountGone => "account_gone",
            Self::Misconfigured => "misconfigured",
            Self::Refused => "refused",
            Self::AddressNotPublic => "address_not_public",
            Self::OurNetwork => "our_network",
            Self::Unprocessed => "unprocessed",
            Self::Silent => "silent",
            Self::NotChecked => "not_checked",
        }
    }

    /// What it means, in a sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Slow => "It answers, but later than it should.",
            Self::RateLimited => "The provider's limit is reached: it takes no more calls for now.",
            Self::TimedOut => "It does not answer in time.",
            Self::NoAddress => "Its name is not found.",
            Self::Unreachable => "It takes no connection.",
            Self::Certificate => "Its certificate is not valid.",
            Self::CertificateEndsSoon => "Its certificate ends soon.",
            Self::ProviderError => "It answers that it is itself at fault (5xx).",
            Self::Unreadable => "It answers what can't be understood: a page in the place of data.",
            Self::TokenRefused => "It refuses the token: that has ended, or was taken back.",
            Self::ScopeMissing => "The token may not do what is needed.",
            Self::AccountGone => "The account is closed, suspended, or not there.",
            Self::Misconfigured => "What is configured is wrong or missing.",
            Self::Refused => "It refuses the request itself.",
            Self::AddressNotPublic => "It lies at an address to which nobody outside may be sent.",
            Self::OurNetwork => "Nothing at all can be reached from here.",
            Self::Unprocessed => "What it takes is not processed in time.",
            Self::Silent => "No webhook comes, at a time of the week at which they always did.",
            Self::NotChecked => "It was to be checked long ago and was not: how it does now nobody knows.",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Slow | Self::TimedOut | Self::ProviderError => {
                "Wait, and look at the provider's status page; if others of its connections work, look at this account."
            }
            Self::RateLimited => "Call less often, or ask the provider for more.",
            Self::NoAddress | Self::Unreachable => {
                "Check `base_url`, of a mail server `host` and `port`; if it is right, the server or its name service is down."
            }
            Self::Certificate => "Whose server it is must renew its certificate.",
            Self::CertificateEndsSoon => "Whose server it is must renew its certificate before it ends.",
            Self::Unreadable => {
                "Check `base_url`, of a mail server `port`: a proxy or a sign-in page may be in the way. Else tell the provider."
            }
            Self::TokenRefused => "Sign in at the provider anew, and give the connection the new token.",
            Self::ScopeMissing => "Sign in anew and allow what is asked for, or widen the token's rights.",
            Self::AccountGone => "Ask the account's owner; disable the connection if it is gone for good.",
            Self::Misconfigured => "Correct the connection's configuration.",
            Self::Refused => {
                "Check the connection's settings; if they are right, this is a fault of ours: report it."
            }
            Self::AddressNotPublic => "Give the server a public address: private ones are not called.",
            Self::OurNetwork => "Look at the network here: name service, gateway, firewall.",
            Self::Unprocessed => "Look at the queue of events, and read the processor's log.",
            Self::Silent => {
                "Look whether the webhook subscription is still there, and whether the place is closed: then say so in its opening hours."
            }
            Self::NotChecked => "See whether the scheduler and the checks are at work, and read their logs.",
        }
    }

    /// What a check that ran into it has found.
    pub fn finding(self) -> Finding {
        match self {
            Self::Slow | Self::RateLimited | Self::CertificateEndsSoon | Self::Unprocessed | Self::Silent => {
                Finding::Poor
            }
            Self::Misconfigured | Self::OurNetwork | Self::NotChecked => Finding::Inconclusive,
            Self::TimedOut
            | Self::NoAddress
            | Self::Unreachable
            | Self::Certificate
            | Self::ProviderError
            | Self::Unreadable
            | Self::TokenRefused
            | Self::ScopeMissing
            | Self::AccountGone
            | Self::Refused
            | Self::AddressNotPublic => Finding::Failed,
        }
    }
}
