//! Why an attempt to process a request failed, and whether another may succeed.

use tillwatch_domain::record::OtherAccount;
use tillwatch_platform::payloads::PayloadError;
use tillwatch_platform::table::TableError;
use tillwatch_providers::ParseError;

use super::CONTENTIONS;
use crate::payload;

/// Why an attempt failed. The stage decides whether trying again can help.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("payload: {0}")]
    PayloadStore(#[from] PayloadError),
    #[error("payload: {0}")]
    PayloadDamaged(#[from] payload::Unreadable),
    #[error("payload: it is in the payload store no longer")]
    PayloadGone,
    #[error("parse: {0}")]
    Parse(#[from] ParseError),
    #[error("parse: {0}")]
    Unfit(&'static str),
    #[error("parse: this version knows no provider of that name")]
    UnknownProvider,
    #[error("record: {0}")]
    OtherAccount(#[from] OtherAccount),
    #[error("connection: its account is none of those of the connection whose secret proved it")]
    AnotherAccount,
    #[error("record: it was written by others each of {CONTENTIONS} times")]
    Contended,
    #[error("table: {0}")]
    Table(#[from] TableError),
    #[error("process: it panicked")]
    Panicked,
    #[error("queue: it was received too often without an outcome")]
    DeadLetter,
}

impl Failure {
    /// Whether the same attempt may succeed later without anyone's doing.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            // A provider that is unknown here may be known to a newer version that is rolling out.
            Self::PayloadStore(_)
            | Self::Contended
            | Self::Table(_)
            | Self::Panicked
            | Self::UnknownProvider => true,
            Self::PayloadDamaged(_)
            | Self::PayloadGone
            | Self::Parse(_)
            | Self::Unfit(_)
            | Self::OtherAccount(_)
            | Self::AnotherAccount
            | Self::DeadLetter => false,
        }
    }

    /// Whether something that all events stand on failed, which says nothing of this one.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::PayloadStore(_) | Self::Table(_))
    }
}
