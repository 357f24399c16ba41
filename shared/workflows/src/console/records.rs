//! Records: the state of a payment, refund or order, with its history.

use serde::Serialize;
use tillwatch_domain::record::Seen;
use tillwatch_domain::{Kind, Money, Record, RecordKey};
use tillwatch_platform::connections::by_id;
use tillwatch_providers::Provider;
use utoipa::ToSchema;

use super::operators::Who;
use super::{Console, Problem, Query};

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Amount {
    /// In major units, exact: `155.575`.
    pub value: String,
    /// The same as a whole number of units of 10^-`decimals`.
    pub minor: i64,
    /// How many decimals.
    pub decimals: u8,
    /// ISO 4217.
    pub currency: String,
}

/// The state of a payment, refund or order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecordView {
    /// `payment`, `refund` or `order`.
    pub kind: &'static str,
    /// The provider's name.
    pub provider: String,
    /// The provider's id of it.
    pub id: String,
    /// The provider's id of the merchant, shop or account; the connection's id where accounts replace each other.
    pub account: String,
    /// Where it stands.
    pub status: &'static str,
    /// Whether the provider's own order can't tell its newest two states apart.
    pub uncertain: bool,
    /// Made to try things out: no money moved.
    pub test: bool,
    /// The whole amount.
    pub amount: Option<Amount>,
    /// How much of it was paid back.
    pub refunded: Option<Amount>,
    /// The order it belongs to.
    pub order_id: Option<String>,
    /// The payment it belongs to.
    pub payment_id: Option<String>,
    /// The provider's id of the location.
    pub location_id: Option<String>,
    /// The provider's id of the customer.
    pub customer_id: Option<String>,
    /// How it was paid.
    pub method: Option<String>,
    /// Why it failed, was cancelled or paid back.
    pub reason: Option<String>,
    /// The number that people know it by.
    pub number: Option<String>,
    /// An amount in major units of the account's currency, where the provider names none.
    pub amount_major: Option<String>,
    /// How much of it there is: a stock level.
    pub quantity: Option<String>,
    /// Its steps from status to status, oldest first by the provider's order.
    pub history: Vec<HistoryEntry>,
    /// Every change that it has seen, oldest first by the provider's order.
    pub changes: Vec<HistoryEntry>,
    /// How many older changes were forgotten.
    pub changes_forgotten: u32,
}

/// A change of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryEntry {
    /// The status it brought.
    pub status: &'static str,
    /// When, by the provider's clock.
    pub at: String,
    /// The event that brought it.
    pub event: String,
    /// That event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether no webhook brought it, and it was fetched from the provider.
    pub reconciled: bool,
    /// Whether it was the newest when it came.
    pub was_newest: bool,
}

fn amount(money: Money) -> Amount {
    Amount {
        value: money.major(),
        minor: money.minor(),
        decimals: money.decimals(),
        currency: money.currency().code().to_owned(),
    }
}

fn entry(seen: &Seen) -> HistoryEntry {
    let (kind, reconciled) = seen.told();
    HistoryEntry {
        status: seen.status.name(),
        at: seen.at.to_string(),
        event: format!("evt_{}", seen.event),
        kind: kind.to_owned(),
        reconciled,
        was_newest: seen.effect == tillwatch_domain::Effect::Applied,
    }
}

impl RecordView {
    fn of(record: Record) -> Self {
        Self {
            kind: record.key.kind.name(),
            status: record.status.name(),
            uncertain: record.is_uncertain(),
            history: record.history().into_iter().map(entry).collect(),
            changes: record.seen.iter().map(entry).collect(),
            changes_forgotten: record.forgotten,
            test: record.fields.test,
            amount: record.fields.whole().map(amount),
            refunded: record.fields.refunded.map(amount),
            order_id: record.fields.order,
            payment_id: record.fields.payment,
            location_id: record.fields.location,
            customer_id: record.fields.customer,
            method: record.fields.method,
            reason: record.fields.reason,
            number: record.fields.number,
            amount_major: record.fields.amount_major,
            quantity: record.fields.quantity,
            provider: record.key.provider,
            id: record.key.id,
            account: record.account,
        }
    }
}

impl Console {
    pub(super) async fn record(
        &self,
        who: &Who,
        kind: Kind,
        provider: &str,
        id: &str,
        query: &Query,
    ) -> Result<RecordView, Problem> {
        query.only(&["account"])?;
        let none = || Problem::not_found(format!("{provider} has told of no {} of this id.", kind.name()));
        let scope = query.get("account").unwrap_or_default();
        // Keys longer than the table's can't be those of a record.
        if id.len() + scope.len() > 1_024 || id.is_empty() {
            return Err(none());
        }
        let key =
            RecordKey { provider: provider.to_owned(), scope: scope.to_owned(), kind, id: id.to_owned() };
        let stored = self.table.record(&key, true).await?.ok_or_else(none)?;
        if *who != Who::Operator {
            let record = &stored.record;
            let renewed = tillwatch_providers::named(provider).is_some_and(Provider::renews_accounts);
            let account = if renewed { by_id(&record.account) } else { record.account.clone() };
            let routes = self.configuration.connections.routes(provider, &account).await?;
            let home = tillwatch_domain::connection::choose(&routes, record.fields.location.as_deref());
            home.filter(|home| who.may_see(&home.business)).ok_or_else(none)?;
        }
        Ok(RecordView::of(stored.record))
    }
}
