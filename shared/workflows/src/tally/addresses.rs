//! How our own addresses do, for who is told by metrics alone: one line a provider and look.

use tillwatch_domain::health::{Trouble, Verdict};
use tillwatch_platform::metrics::Metric;

use super::Tallies;
use crate::watch::{EndpointRow, Survey};

/// What is told of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Providers reach us.
    Up,
    /// They do not.
    Down,
    /// They do, until its certificate ends.
    CertificateEndsSoon,
    /// They do, and what they send does not come to its end.
    Unprocessed,
}

impl Address {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Up, Self::Down, Self::CertificateEndsSoon, Self::Unprocessed];

    /// Its name among outcomes.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::CertificateEndsSoon => "certificate_ends_soon",
            Self::Unprocessed => "unprocessed",
        }
    }

    /// What is told of one; nothing, where nobody knows.
    fn of(row: &EndpointRow) -> Option<Self> {
        match (row.verdict, row.trouble) {
            (Verdict::Unknown | Verdict::Paused, _) => None,
            (_, Some(Trouble::Unprocessed)) => Some(Self::Unprocessed),
            (_, Some(Trouble::CertificateEndsSoon)) => Some(Self::CertificateEndsSoon),
            (Verdict::Down, _) => Some(Self::Down),
            (Verdict::Up | Verdict::Degraded, _) => Some(Self::Up),
        }
    }
}

impl Tallies {
    /// Tells the metrics how our own addresses do, and how long the last synthetic webhook took.
    pub(super) fn tell_addresses(&self, survey: &Survey) {
        for (provider, row) in &survey.endpoints {
            let Some(address) = Address::of(row) else { continue };
            let took = row.synthetic.map(|(_, took_ms)| i64::from(took_ms));
            let values: Vec<_> = [(Metric::Addresses, Some(1)), (Metric::SyntheticTime, took)]
                .into_iter()
                .filter_map(|(metric, value)| Some((metric, vec![value?])))
                .collect();
            self.metrics.emit(self.clock.now(), provider, address.outcome(), &values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_of_by_what_is_wrong_there_and_not_at_all_where_nobody_knows() {
        let of = |verdict, trouble| {
            let row = EndpointRow {
                url: "https://hooks.example.com/webhooks/square".to_owned(),
                verdict,
                since_ms: None,
                checked_ms: None,
                took_ms: None,
                trouble,
                advice: None,
                certificate_ends_ms: None,
                synthetic: None,
                has_synthetic: None,
            };
            Address::of(&row).map(Address::outcome)
        };
        assert_eq!(of(Verdict::Up, None), Some("up"));
        assert_eq!(of(Verdict::Degraded, Some(Trouble::Slow)), Some("up"));
        assert_eq!(of(Verdict::Down, Some(Trouble::Refused)), Some("down"));
        assert_eq!(of(Verdict::Degraded, Some(Trouble::CertificateEndsSoon)), Some("certificate_ends_soon"));
        assert_eq!(of(Verdict::Down, Some(Trouble::Unprocessed)), Some("unprocessed"));
        assert_eq!(of(Verdict::Unknown, None), None);
    }
}
