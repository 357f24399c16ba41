//! From when until when a certificate is good, read of its DER as far as that and no further.
//!
//! A certificate is a sequence, whose first part is a sequence of: a version (tagged), a serial number, an algorithm, the
//! issuer, and the two times (RFC 5280, 4.1). It comes from whoever answers and may be anything: whether it is believed is
//! for TLS to say, and what can't be read here is not known.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::span;

/// Fewer days than this are soon.
const SOON: Duration = Duration::from_hours(14 * 24);
/// Of a certificate that lives for days alone, as some do now, less than this part of its life is.
const PART: i64 = 4;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when until when it is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then on, Unix milliseconds.
    pub begins_ms: i64,
    /// Until then, Unix milliseconds.
    pub ends_ms: i64,
}

impl Validity {
    /// What a certificate says of itself; none, if it can't be read.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (certificate, _) = part(der, SEQUENCE)?;
        let (signed, _) = part(certificate, SEQUENCE)?;
        let rest = part(signed, VERSION).map_or(signed, |(_, rest)| rest);
        let (_, rest) = part(rest, INTEGER)?;
        let (_algorithm, rest) = part(rest, SEQUENCE)?;
        let (_issuer, rest) = part(rest, SEQUENCE)?;
        let (validity, _) = part(rest, SEQUENCE)?;
        let (begins_ms, rest) = time(validity)?;
        let (ends_ms, _) = time(rest)?;
        Some(Self { begins_ms, ends_ms })
    }

    /// Whether it ends so soon that somebody must see to it: within two weeks, or the last quarter of its life where that is
    /// shorter.
    pub fn ends_soon(self, now_ms: i64) -> bool {
        let life = self.ends_ms.saturating_sub(self.begins_ms);
        self.ends_ms.saturating_sub(now_ms) < span::millis(SOON).min(life / PART)
    }
}

/// The content of the part that the bytes begin with, which must be of that kind, and what follows it.
fn part(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // So many bytes tell how many there are. Of no certificate are there more than four of them.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (found == kind).then(|| rest.split_at_checked(length))?
}

/// The time that the bytes begin with, and what follows it: `YYMMDDHHMMSSZ` of 1950 to 2049, or the same with four digits for
/// the year.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let is_short = bytes.first() == Some(&UTC_TIME);
    let (text, rest) = part(bytes, if is_short { UTC_TIME } else { GENERALIZED_TIME })?;
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != (if is_short { 12 } else { 14 }) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year, others) = digits.split_at(digits.len() - 10);
    let number = |digits: &[u8]| digits.iter().fold(0_i16, |sum, digit| sum * 10 + i16::from(digit - b'0'));
    let year = match number(year) {
        year if !is_short => year,
        year @ ..50 => 2_000 + year,
        year => 1_900 + year,
    };
    let [month, day, hour, minute, second] =
        [0, 2, 4, 6, 8].map(|at| others.get(at..at + 2).and_then(|two| i8::try_from(number(two)).ok()));
    let at = DateTime::new(year, month?, day?, hour?, minute?, second?, 0).ok()?;
    // The last hours of the year 9999, which stand for never, are beyond what a timestamp holds.
    let at = Offset::UTC.to_timestamp(at).unwrap_or(Timestamp::MAX);
    Some((at.as_millisecond(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;

    fn wrapped(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut bytes = vec![kind];
        match u8::try_from(length) {
            Ok(short @ 0..0x80) => bytes.push(short),
            Ok(long) => bytes.extend([0x81, long]),
            Err(_) => {
                let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
                bytes.extend([0x82, high, low]);
            }
        }
        bytes.extend(content);
        bytes
    }

    /// A certificate that is good for this time, with an issuer of so many bytes.
    fn certificate(begins: (u8, &str), ends: (u8, &str), issuer: usize) -> Vec<u8> {
        let times = [begins, ends].map(|(kind, text)| wrapped(kind, text.as_bytes()));
        let parts = [
            wrapped(VERSION, &wrapped(INTEGER, &[2])),
            wrapped(INTEGER, &[0x7f; 20]),
            wrapped(SEQUENCE, &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]),
            wrapped(SEQUENCE, &vec![0x0c; issuer]),
            wrapped(SEQUENCE, &times.concat()),
            wrapped(SEQUENCE, b"the subject and all that follows"),
        ];
        wrapped(SEQUENCE, &[wrapped(SEQUENCE, &parts.concat()), wrapped(SEQUENCE, &[1])].concat())
    }

    const BEGINS: (u8, &str) = (UTC_TIME, "261001000000Z");
    const ENDS: (u8, &str) = (UTC_TIME, "261230000000Z");

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn the_two_times_are_read_in_both_their_forms() {
        let ends = |ends| Validity::of(&certificate(BEGINS, ends, 60)).unwrap().ends_ms;
        assert_eq!(ends(ENDS), ms("2026-12-30T00:00:00Z"));
        assert_eq!(ends((UTC_TIME, "491231235959Z")), ms("2049-12-31T23:59:59Z"));
        assert_eq!(ends((UTC_TIME, "500101000000Z")), ms("1950-01-01T00:00:00Z"));
        assert_eq!(ends((GENERALIZED_TIME, "20500101000000Z")), ms("2050-01-01T00:00:00Z"));
        assert_eq!(ends((GENERALIZED_TIME, "99991231235959Z")), Timestamp::MAX.as_millisecond());
    }

    #[test]
    fn a_certificate_of_any_size_is_read_and_one_of_the_first_version_too() {
        for issuer in [0, 127, 128, 255, 256, 5_000] {
            let read = Validity::of(&certificate(BEGINS, ENDS, issuer)).unwrap();
            assert_eq!(read.begins_ms, ms("2026-10-01T00:00:00Z"), "{issuer}");
        }
        let times = [BEGINS, ENDS].map(|(kind, text)| wrapped(kind, text.as_bytes())).concat();
        let parts = [
            wrapped(INTEGER, &[1]),
            wrapped(SEQUENCE, &[]),
            wrapped(SEQUENCE, &[]),
            wrapped(SEQUENCE, &times),
        ];
        let first = wrapped(SEQUENCE, &wrapped(SEQUENCE, &parts.concat()));
        assert!(Validity::of(&first).is_some());
    }

    #[test]
    fn what_is_no_time_is_not_known() {
        for odd in ["", "Z", "261230000000", "2612300000Z", "261330000000Z", "261230250000Z", "26123000000xZ"]
        {
            assert_eq!(Validity::of(&certificate(BEGINS, (UTC_TIME, odd), 60)), None, "{odd}");
        }
        assert_eq!(Validity::of(&certificate(BEGINS, (INTEGER, ENDS.1), 60)), None);
    }

    #[test]
    fn two_weeks_are_soon_and_of_a_short_life_its_last_quarter() {
        let (now, of) = (0, |life: i64, left: i64| Validity {
            begins_ms: (left - life) * DAY_MS,
            ends_ms: left * DAY_MS,
        });
        for (life, left, soon) in [
            (365, 15, false),
            (365, 14, false),
            (365, 13, true),
            (90, 13, true),
            (6, 3, false),
            (6, 1, true),
            (365, -1, true),
        ] {
            assert_eq!(of(life, left).ends_soon(now), soon, "{left} of {life}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_comes_in_its_place_does_any_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Validity::of(&bytes);
        }

        #[test]
        fn one_that_is_cut_off_or_altered_is_read_or_not_and_does_no_harm(
            at in 0..400_usize, byte in any::<u8>(), cut in 0..400_usize,
        ) {
            let whole = certificate(BEGINS, ENDS, 200);
            let mut altered = whole.clone();
            if let Some(place) = altered.get_mut(at) {
                *place = byte;
            }
            let _ = Validity::of(&altered);
            let _ = Validity::of(&altered[..cut.min(altered.len())]);
            prop_assert!(cut >= whole.len() || Validity::of(&whole[..cut]).is_none());
        }
    }
}
