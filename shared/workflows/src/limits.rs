//! How much each source may send that is not believed. Whoever proves what it sends is never limited here: a bucket is
//! spent by requests that were not believed, and an empty one only decides how cheaply the next such one is refused.
//! In memory, for a call over the network would cost more than what it spares.

use std::collections::HashMap;

use jiff::Timestamp;

/// Requests that a source may send at once without being believed.
const BURST: u32 = 300;
/// How many more each second.
const PER_SECOND: i64 = 5;
/// How many sources are told apart; beyond them all others share one bucket.
const SOURCES: usize = 10_000;

/// A bucket for each source, for what is not believed.
#[derive(Debug, Default)]
pub struct Limits {
    buckets: HashMap<String, Bucket>,
    /// The second in which those that had filled up again were last let go: within it no more fill up, and looking through
    /// all at each request of a flood would make the flood dear.
    let_go: Option<i64>,
    /// Of all sources that there was no room for.
    others: Option<Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u32,
    at: Timestamp,
}

impl Bucket {
    fn full(now: Timestamp) -> Self {
        Self { left: BURST, at: now }
    }

    fn refill(&mut self, now: Timestamp) {
        let seconds = now.duration_since(self.at).as_secs().max(0);
        if seconds > 0 {
            let more = u32::try_from(seconds.saturating_mul(PER_SECOND)).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(BURST);
            self.at = now;
        }
    }
}

impl Limits {
    /// Notes a request of that source that was not believed. False, if it was one too many.
    pub fn spend(&mut self, source: &str, now: Timestamp) -> bool {
        let is_full = !self.buckets.contains_key(source) && self.buckets.len() >= SOURCES;
        if is_full && self.let_go != Some(now.as_second()) {
            self.let_go = Some(now.as_second());
            self.buckets.retain(|_, bucket| {
                bucket.refill(now);
                bucket.left < BURST
            });
        }
        let bucket = if self.buckets.len() < SOURCES || self.buckets.contains_key(source) {
            self.buckets.entry(source.to_owned()).or_insert_with(|| Bucket::full(now))
        } else {
            self.others.get_or_insert_with(|| Bucket::full(now))
        };
        bucket.refill(now);
        let within = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        within
    }
}

/// Whether an address lies in one of the networks, written as `54.245.1.154/32`, `2001:db8::/32` or one address. An
/// address that is none lies in none.
pub fn is_allowed(networks: &[String], address: &str) -> bool {
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    let bits = |address: std::net::IpAddr| match address.to_canonical() {
        std::net::IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        std::net::IpAddr::V6(v6) => (u128::from(v6), 128_u32),
    };
    let (address, width) = bits(address);
    networks.iter().any(|network| {
        let (base, prefix) = network.split_once('/').map_or((network.as_str(), None), |(b, p)| (b, Some(p)));
        let Ok(base) = base.trim().parse() else { return false };
        let (base, base_width) = bits(base);
        let prefix = prefix.map_or(Some(base_width), |prefix| prefix.trim().parse().ok());
        match prefix {
            Some(prefix) if prefix <= width && base_width == width => {
                let shift = width - prefix;
                address.checked_shr(shift).unwrap_or(0) == base.checked_shr(shift).unwrap_or(0)
            }
            _ => false,
        }
    })
}

/// Whether an address of which only the network is kept (`203.0.113.0`, `2001:db8:1::`) is allowed for sure, or, with
/// `perhaps`, may be allowed.
pub fn is_network_allowed(networks: &[String], kept: &str, perhaps: bool) -> bool {
    let width = match kept.parse() {
        Ok(std::net::IpAddr::V4(_)) => 24,
        Ok(std::net::IpAddr::V6(_)) => 48,
        Err(_) => return false,
    };
    networks.iter().any(|network| {
        let (base, prefix) = network.split_once('/').unwrap_or((network, "128"));
        let prefix: u32 = prefix.trim().parse().unwrap_or(128);
        if prefix <= width {
            return is_allowed(std::slice::from_ref(network), kept);
        }
        perhaps && is_allowed(&[format!("{kept}/{width}")], base.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_474_980 + second).unwrap()
    }

    #[test]
    fn a_flood_from_one_source_is_shed_and_others_are_not() {
        let mut limits = Limits::default();
        let taken = (0..1_000).filter(|_| limits.spend("1.2.3.4", at(0))).count();
        assert_eq!(taken, 300);
        assert!(limits.spend("5.6.7.8", at(0)));
        assert_eq!((0..100).filter(|_| limits.spend("1.2.3.4", at(2))).count(), 10);
    }

    #[test]
    fn a_flood_from_countless_sources_takes_a_bounded_memory() {
        let mut limits = Limits::default();
        for number in 0..100_000 {
            limits.spend(&number.to_string(), at(0));
        }
        assert!(limits.buckets.len() <= SOURCES);
        assert!(!limits.spend("another", at(0)));
        // Those that were heard once are full again by then, and others take their place.
        assert!(limits.spend("another", at(1)));
        assert_eq!(limits.buckets.len(), 1);
    }

    #[test]
    fn a_clock_that_goes_back_empties_no_bucket() {
        let mut limits = Limits::default();
        limits.spend("a", at(100));
        assert!(limits.spend("a", at(0)));
    }

    #[test]
    fn of_an_address_without_its_end_is_said_what_is_sure_and_what_may_be() {
        let networks = ["54.245.1.154/32", "10.0.0.0/8", "2001:db8::/32", "192.0.2.7"].map(str::to_owned);
        for (kept, sure, perhaps) in [
            ("10.1.2.0", true, true),
            ("54.245.1.0", false, true),
            ("192.0.2.0", false, true),
            ("54.245.2.0", false, false),
            ("2001:db8:7::", true, true),
            ("2001:db9:7::", false, false),
            ("", false, false),
        ] {
            let found = [false, true].map(|perhaps| is_network_allowed(&networks, kept, perhaps));
            assert_eq!(found, [sure, perhaps], "{kept}");
        }
    }

    #[test]
    fn an_address_is_in_a_network_by_its_first_bits() {
        let networks = ["54.245.1.154/32", "10.0.0.0/8", "2001:db8::/32", "192.0.2.7"].map(str::to_owned);
        for good in ["54.245.1.154", "10.200.3.4", "2001:db8:1::5", "192.0.2.7", "::ffff:10.1.1.1"] {
            assert!(is_allowed(&networks, good), "{good}");
        }
        for bad in ["54.245.1.155", "11.0.0.1", "2001:db9::1", "unknown", "", "192.0.2.8"] {
            assert!(!is_allowed(&networks, bad), "{bad}");
        }
        assert!(is_allowed(&["0.0.0.0/0".to_owned()], "8.8.8.8"));
        assert!(!is_allowed(&["10.0.0.0/33".to_owned(), "x".to_owned()], "10.0.0.1"));
    }
}
