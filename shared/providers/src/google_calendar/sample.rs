//! Headers of Google's shape, for trying things out.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::parse::{CHANNEL, NUMBER, RESOURCE, STATE};
use crate::Headers;

pub(super) const KINDS: &[&str] = &["exists", "not_exists", "sync"];

/// One channel. A calendar for each number, so that no two are about the same.
pub(super) fn sample(kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
    let place = KINDS.iter().position(|known| *known == kind)?;
    let count = number.wrapping_mul(3).wrapping_add(u64::try_from(place).ok()?);
    let week = jiff::SignedDuration::from_hours(7 * 24);
    let end = at
        .checked_add(week)
        .ok()
        .and_then(|end| rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&end).ok());
    let headers = Headers::from_iter([
        (CHANNEL, "5ec0de5e-c0de-4ec0-8e5e-c0de5ec0de5e"),
        ("x-goog-channel-expiration", &end.unwrap_or_default()),
        (RESOURCE, &format!("ret{number:016x}htgh289g")),
        (STATE, kind),
        (NUMBER, &count.to_string()),
    ]);
    Some((headers, Vec::new()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::GoogleCalendar;
    use super::*;
    use crate::{Provider as _, Received};

    #[test]
    fn every_sample_is_an_event_of_its_kind_and_each_another() {
        let at = Timestamp::from_second(1_760_000_000).unwrap();
        let mut events = BTreeSet::new();
        for (kind, number) in KINDS.iter().flat_map(|kind| [0, 7, u64::MAX].map(|number| (*kind, number))) {
            let (headers, body) = sample(kind, number, at).unwrap();
            assert_eq!(headers.get("x-goog-channel-expiration"), Some("Thu, 16 Oct 2025 08:53:20 GMT"));
            let event =
                GoogleCalendar.parse(Received { headers: &headers, body: &body, at }).unwrap().remove(0);
            assert_eq!(event.kind, kind);
            assert_eq!(GoogleCalendar.claimed_account(&headers, &body), Some(event.dedupe.account.clone()));
            assert!(events.insert(event.dedupe.event_id()), "{kind} {number}");
        }
    }
}
