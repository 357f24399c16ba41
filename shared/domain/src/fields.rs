//! What is known of a record beyond its status, and how what several changes say of it becomes one.
//!
//! Each field is the newest change's that speaks of it, by the provider's order and not by arrival. A change may be silent
//! of a field, so a record remembers of each change which ones it spoke of: [`Spoken`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::Money;

/// What a change says of a record beyond its status. Absent means that the event does not speak of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fields {
    /// The amount, as long as no parts of it are told of; see [`Fields::whole`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// Amounts that were taken one by one, by the provider's id of each: captures of one authorization.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, Money>,
    /// How much of it has been paid back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Money>,
    /// The provider's id of the order it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// The provider's id of the payment it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// The provider's id of the location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The provider's id of the customer. Never a name, a number or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// How it was paid: `card`, `cash`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The provider's word for why it failed, was cancelled or was paid back. Belongs to the status: a newer status
    /// without a reason has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number that people know it by: `#1001`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// How much of it there is, as a decimal number: a stock level. Never money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// An amount in major units of the account's currency, which the event does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_major: Option<String>,
    /// Made to try things out: no money moves.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// Which fields a change spoke of, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spoken(u16);

impl Spoken {
    const AMOUNT: Self = Self(1);
    const REFUNDED: Self = Self(1 << 1);
    const ORDER: Self = Self(1 << 2);
    const PAYMENT: Self = Self(1 << 3);
    const LOCATION: Self = Self(1 << 4);
    const CUSTOMER: Self = Self(1 << 5);
    const METHOD: Self = Self(1 << 6);
    const NUMBER: Self = Self(1 << 7);
    const QUANTITY: Self = Self(1 << 8);
    const AMOUNT_MAJOR: Self = Self(1 << 9);

    /// Whether it spoke of this field.
    pub(crate) fn of(self, field: Self) -> bool {
        self.0 & field.0 != 0
    }
}

/// Where a change stands, in the provider's order, to the change that a field is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before it: the field stays as it is.
    Before,
    /// After it, or no other change has spoken of the field.
    After,
    /// The provider's order can't tell the two apart: the larger amount stands, else the one whose digest is larger.
    /// Holds whether it lies after the other by digest.
    Beside {
        /// It does.
        after: bool,
    },
}

impl Fields {
    /// Which fields are spoken of.
    pub(crate) fn spoken(&self) -> Spoken {
        let fields = [
            (self.amount.is_some(), Spoken::AMOUNT),
            (self.refunded.is_some(), Spoken::REFUNDED),
            (self.order.is_some(), Spoken::ORDER),
            (self.payment.is_some(), Spoken::PAYMENT),
            (self.location.is_some(), Spoken::LOCATION),
            (self.customer.is_some(), Spoken::CUSTOMER),
            (self.method.is_some(), Spoken::METHOD),
            (self.number.is_some(), Spoken::NUMBER),
            (self.quantity.is_some(), Spoken::QUANTITY),
            (self.amount_major.is_some(), Spoken::AMOUNT_MAJOR),
        ];
        Spoken(fields.into_iter().filter(|(is_spoken, _)| *is_spoken).map(|(_, field)| field.0).sum())
    }

    /// Takes in what a further change says. `place` tells where it stands to the change that a field is from, `newest`
    /// whether it is the newest of all.
    pub(crate) fn take(&mut self, change: Self, newest: bool, place: impl Fn(Spoken) -> Place) {
        fn choose<T>(own: &mut Option<T>, new: Option<T>, place: Place) {
            if new.is_some() && matches!(place, Place::After | Place::Beside { after: true }) {
                *own = new;
            }
        }
        self.refunded = match (self.refunded, change.refunded, place(Spoken::REFUNDED)) {
            (Some(own), Some(new), Place::Beside { .. }) => Some(own.larger(new)),
            (own, new, Place::After | Place::Beside { after: true }) => new.or(own),
            (own, _, _) => own,
        };
        choose(&mut self.amount, change.amount, place(Spoken::AMOUNT));
        choose(&mut self.order, change.order, place(Spoken::ORDER));
        choose(&mut self.payment, change.payment, place(Spoken::PAYMENT));
        choose(&mut self.location, change.location, place(Spoken::LOCATION));
        choose(&mut self.customer, change.customer, place(Spoken::CUSTOMER));
        choose(&mut self.method, change.method, place(Spoken::METHOD));
        choose(&mut self.number, change.number, place(Spoken::NUMBER));
        choose(&mut self.quantity, change.quantity, place(Spoken::QUANTITY));
        choose(&mut self.amount_major, change.amount_major, place(Spoken::AMOUNT_MAJOR));
        if newest {
            self.reason = change.reason;
        }
        self.test |= change.test;
        for (id, part) in change.parts {
            let known = self.parts.entry(id).or_insert(part);
            *known = known.larger(part);
        }
    }

    /// The whole amount: the sum of the parts where there are any and they are of one currency.
    pub fn whole(&self) -> Option<Money> {
        let mut parts = self.parts.values().copied();
        let first = parts.next();
        let sum = first.and_then(|first| parts.try_fold(first, |sum, part| sum.plus(part).ok()));
        sum.or(self.amount)
    }
}
