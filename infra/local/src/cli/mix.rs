//! Which events to send, and in which order.
//!
//! Without a type, the events tell of sales: the kinds that a provider's samples can be, in the order in which they
//! happen to one sale. Nothing here knows the providers: what a sample does to its records, as its own module reads it,
//! says where in a sale's life it belongs.

use jiff::{SignedDuration, Timestamp};
use tillwatch_domain::{Kind, Status};
use tillwatch_providers::{Provider, Received};

/// One sale in so many goes wrong or is paid back.
const MISHAP: u64 = 10;
/// One sale in so many comes with a test notification, or with another event that concerns no sale.
const ASIDE: u64 = 50;

/// What happens in a sale, in its order.
#[derive(Debug)]
pub(super) struct Mix(Vec<Part>);

#[derive(Debug, Clone, Copy)]
struct Part {
    kind: &'static str,
    /// It happens in one sale of so many.
    one_in: u64,
}

/// An event to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// One of the provider's sample kinds.
    pub(super) kind: &'static str,
    /// The sale's number.
    pub(super) number: u64,
    /// When it happened.
    pub(super) at: Timestamp,
}

impl Mix {
    /// Events of one kind, each of a sale of its own.
    pub(super) fn only(kind: &'static str) -> Self {
        Self(vec![Part { kind, one_in: 1 }])
    }

    /// Whole sales.
    pub(super) fn of(provider: &dyn Provider) -> Self {
        let mut parts: Vec<_> = provider
            .sample_kinds()
            .iter()
            .map(|kind| {
                let (rank, one_in) = place(provider, kind);
                (rank, Part { kind, one_in })
            })
            .collect();
        parts.sort_by_key(|(rank, _)| *rank);
        Self(parts.into_iter().map(|(_, part)| part).collect())
    }

    /// The first `count` events of the sales from number `first` on, a millisecond apart since `since`.
    pub(super) fn events(&self, first: u64, count: usize, since: Timestamp) -> Vec<Planned> {
        let sales = (0..).map(|sale: u64| (sale, first.wrapping_add(sale)));
        sales
            .flat_map(|(sale, number)| {
                // The last sales of each round have the mishaps, so that a short run shows none.
                let parts = self.0.iter().filter(move |part| sale % part.one_in == part.one_in - 1);
                parts.map(move |part| (part.kind, number))
            })
            .take(count)
            .zip(0..)
            .map(|((kind, number), index)| {
                let at = since.checked_add(SignedDuration::from_millis(index)).unwrap_or(since);
                Planned { kind, number, at }
            })
            .collect()
    }
}

/// Where in a sale's life a kind belongs, and in how many sales it happens once.
fn place(provider: &dyn Provider, kind: &str) -> (u8, u64) {
    let at = Timestamp::UNIX_EPOCH;
    let sample = provider.sample(kind, 1, at);
    let events = sample
        .and_then(|(headers, body)| provider.parse(Received { headers: &headers, body: &body, at }).ok())
        .unwrap_or_default();
    let changes = events.iter().filter(|event| !event.test).flat_map(|event| &event.changes);
    let (mut rank, mut one_in) = (None, 1);
    for change in changes {
        let paid_back = change.record.kind == Kind::Refund;
        let wrong = matches!(
            change.status,
            Status::Failed
                | Status::Rejected
                | Status::Cancelled
                | Status::PartiallyRefunded
                | Status::Refunded
        );
        let status = match change.status {
            _ if paid_back => Status::Refunded,
            // An order is there before anything is paid.
            Status::Open => Status::Pending,
            status => status,
        };
        rank = rank.max(Some(status.rank()));
        if paid_back || wrong {
            one_in = MISHAP;
        }
    }
    rank.map_or((u8::MAX, ASIDE), |rank| (rank, one_in))
}

/// Random enough to mix with, and the same for the same seed (`SplitMix64`).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice that fall in the seed's way.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Puts the items in any order, each as likely as the other.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            // The high half of the product is uniform but for one part in 2^64 / items.
            let wide = u128::from(self.next()) * (last as u128 + 1);
            items.swap(last, usize::try_from(wide >> 64).unwrap_or(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tillwatch_providers::{ALL, named};

    use super::*;

    fn kinds(provider: &str, count: usize) -> Vec<(&'static str, u64)> {
        let events = Mix::of(named(provider).unwrap()).events(0, count, Timestamp::UNIX_EPOCH);
        events.iter().map(|event| (event.kind, event.number)).collect()
    }

    #[test]
    fn a_sale_is_told_in_its_order_and_the_next_one_after_it() {
        assert_eq!(
            kinds("square", 5),
            [
                ("order.created", 0),
                ("payment.created", 0),
                ("payment.updated", 0),
                ("order.updated", 0),
                ("order.created", 1),
            ]
        );
    }

    #[test]
    fn one_sale_in_ten_is_paid_back_and_only_after_it_was_paid() {
        for (provider, paid, back) in [
            ("square", "payment.updated", "refund.created"),
            ("shopify", "orders/paid", "refunds/create"),
            ("stripe", "charge.succeeded", "refund.created"),
        ] {
            let told = kinds(provider, 1_000);
            let of = |kind: &str| told.iter().filter(|(told, _)| *told == kind).count();
            assert_eq!(of(paid) / 10, of(back), "{provider}");
            let (_, number) = *told.iter().find(|(kind, _)| *kind == back).unwrap();
            let place = |kind: &str| told.iter().position(|told| *told == (kind, number));
            assert!(place(paid) < place(back), "{provider}");
        }
    }

    #[test]
    fn every_kind_of_every_provider_is_told_and_no_event_twice() {
        for provider in ALL {
            let told = kinds(provider.name(), 2_000);
            assert_eq!(told.len(), 2_000);
            assert_eq!(told.iter().collect::<HashSet<_>>().len(), 2_000);
            let kinds: HashSet<_> = told.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds.len(), provider.sample_kinds().len(), "{}", provider.name());
        }
    }

    #[test]
    fn times_go_up_with_the_order() {
        let events = Mix::only("x").events(7, 3, Timestamp::UNIX_EPOCH);
        let told: Vec<_> = events.iter().map(|event| (event.number, event.at.as_millisecond())).collect();
        assert_eq!(told, [(7, 0), (8, 1), (9, 2)]);
    }

    #[test]
    fn a_shuffle_keeps_everything_and_is_the_same_for_the_same_seed() {
        let shuffled = |seed| {
            let mut items: Vec<_> = (0..100).collect();
            Dice::new(seed).shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
        let mut sorted = shuffled(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }
}
