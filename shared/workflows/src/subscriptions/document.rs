//! What is kept of the subscriptions of one connection, or of all that share one, and what is told of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tillwatch_providers::subscriptions::{Condition, Kept};
use utoipa::ToSchema;

/// What is kept. Holds signing keys sealed alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// The connection's id, or `provider:` and the provider's name.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// How it was found or left last.
    pub status: Standing,
    /// What is wrong and what to do; none, if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When the provider was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Timestamp>,
    /// Until when the provider asked to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What was wrong last, and when that was noticed; it stays when it is mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noticed: Option<Noticed>,
    /// The subscriptions.
    #[serde(default)]
    pub items: Vec<Kept>,
    /// Those that others have taken the place of, and that are still to be ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retiring: Vec<Kept>,
    /// Ids of those that are being made where nothing lists them: they may be there, or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
}

/// Something that was found wrong at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Noticed {
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// What.
    pub what: String,
    /// Whether it was mended.
    pub repaired: bool,
}

/// How a subscription was found or left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing was ever subscribed to by this program.
    #[default]
    None,
    /// It is there and sends.
    Ok,
    /// It was made.
    Created,
    /// It was found wrong, and mended.
    Repaired,
    /// It is not there.
    Missing,
    /// It is there and sends nothing.
    Disabled,
    /// It sends elsewhere, or less than what is wanted.
    Changed,
    /// It ends soon.
    Expiring,
    /// It could not be seen or mended; `problem` says why.
    Failed,
}

impl Standing {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Ok,
        Self::Created,
        Self::Repaired,
        Self::Missing,
        Self::Disabled,
        Self::Changed,
        Self::Expiring,
        Self::Failed,
    ];

    /// What a condition is called.
    pub(super) fn of(condition: Condition) -> Self {
        match condition {
            Condition::Sound => Self::Ok,
            Condition::Missing => Self::Missing,
            Condition::Disabled => Self::Disabled,
            Condition::Changed => Self::Changed,
            Condition::Expiring => Self::Expiring,
            Condition::KeyLost | Condition::KeyUnknown => Self::Failed,
        }
    }

    /// The metrics' outcome.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::None | Self::Ok | Self::Created | Self::Expiring => "ok",
            Self::Repaired => "repaired",
            Self::Missing => "missing",
            Self::Disabled | Self::Changed => "disabled",
            Self::Failed => "failed",
        }
    }

    /// The worse of two, for those of one connection.
    pub(super) fn worse(self, other: Self) -> Self {
        let rank = |standing| match standing {
            Self::None => 0,
            Self::Ok => 1,
            Self::Created => 2,
            Self::Repaired => 3,
            Self::Expiring => 4,
            Self::Changed => 5,
            Self::Disabled => 6,
            Self::Missing => 7,
            Self::Failed => 8,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// What is told of the subscriptions of one connection, or of all that share one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SubscriptionView {
    /// The connection's id, or `provider:` and the provider's name where its connections share it.
    pub id: String,
    /// The provider.
    pub provider: String,
    /// How it was found or left.
    pub status: Standing,
    /// What is wrong and what to do; null, if nothing is.
    pub problem: Option<String>,
    /// When the provider was last asked.
    #[schema(value_type = Option<String>)]
    pub checked_at: Option<Timestamp>,
    /// What was wrong last, mended or not.
    pub noticed: Option<Noticed>,
    /// The subscriptions there are.
    pub subscriptions: Vec<SubscriptionItem>,
    /// What came of a test, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<TestView>,
}

/// One subscription at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SubscriptionItem {
    /// What tells it from the others: a topic, an object.
    pub key: String,
    /// The provider's id.
    pub provider_id: String,
    /// The URL that it sends to, without a secret.
    pub url: String,
    /// The events that it brings.
    pub events: Vec<String>,
    /// When it ends by itself, to be made anew before.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Timestamp>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TestView {
    /// Whether webhooks get through, as far as the test can tell.
    pub passed: bool,
    /// What was done, and what was seen.
    pub detail: String,
}

impl From<&Subscribed> for SubscriptionView {
    fn from(document: &Subscribed) -> Self {
        let item = |kept: &Kept| SubscriptionItem {
            key: kept.key.clone(),
            provider_id: kept.id.clone(),
            url: kept.url.clone(),
            events: kept.events.clone(),
            expires_at: kept.expires_at,
        };
        Self {
            id: document.id.clone(),
            provider: document.provider.clone(),
            status: document.status,
            problem: document.problem.clone(),
            checked_at: document.checked_at,
            noticed: document.noticed.clone(),
            subscriptions: document.items.iter().map(item).collect(),
            test: None,
        }
    }
}
