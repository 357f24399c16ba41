//! Rhythms: how many webhooks each connection sent in each hour of the last six weeks, which is what its silence is judged
//! by (`silence.rs`). All connections' together are one small file: two bytes an hour.

use std::collections::{BTreeMap, VecDeque};

use crate::tally::hour_of;

/// How many hours are kept: two weeks that may be silent, and four to compare them with.
pub const KEPT: usize = 42 * 24;
/// The form of what is stored.
const FORM: u8 = 1;

/// How many one connection sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rhythm {
    /// When the last came, Unix milliseconds.
    last_ms: i64,
    /// By hour, up to [`Rhythms::through`]. The first is the one in which it was heard first, or the oldest that is kept.
    counts: VecDeque<u16>,
}

/// How many each connection sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rhythms {
    /// The hour up to which it is known, in hours since 1970; itself not.
    through: i64,
    of: BTreeMap<String, Rhythm>,
}

impl Rhythms {
    /// Nothing is known before this hour.
    pub fn from(hour: i64) -> Self {
        Self { through: hour, of: BTreeMap::new() }
    }

    /// The first hour of which nothing is known.
    pub fn through(&self) -> i64 {
        self.through
    }

    /// Adds the next hour: how many each connection sent, and when the last of them came.
    pub fn push<'a>(&mut self, sent: impl IntoIterator<Item = (&'a str, i64, i64)>) {
        for rhythm in self.of.values_mut() {
            rhythm.counts.push_back(0);
            if rhythm.counts.len() > KEPT {
                rhythm.counts.pop_front();
            }
        }
        for (connection, count, last_ms) in sent {
            let rhythm = self.of.entry(connection.to_owned()).or_default();
            rhythm.last_ms = rhythm.last_ms.max(last_ms);
            let count = u16::try_from(count.max(0)).unwrap_or(u16::MAX);
            match rhythm.counts.back_mut() {
                Some(last) => *last = count,
                None => rhythm.counts.push_back(count),
            }
        }
        self.through += 1;
        // Who has sent nothing for as long as is kept is forgotten.
        let oldest = self.through - i64::try_from(KEPT).unwrap_or(0);
        self.of.retain(|_, rhythm| hour_of(rhythm.last_ms) >= oldest);
    }

    /// Who has sent anything.
    pub fn connections(&self) -> impl Iterator<Item = &str> {
        self.of.keys().map(String::as_str)
    }

    /// When a connection sent last, Unix milliseconds.
    pub fn last_ms(&self, connection: &str) -> Option<i64> {
        self.of.get(connection).map(|rhythm| rhythm.last_ms)
    }

    /// How many it sent in an hour; none, if that is not known: before it was heard first, and from [`Rhythms::through`] on.
    pub fn count(&self, connection: &str, hour: i64) -> Option<u32> {
        let counts = &self.of.get(connection)?.counts;
        let back = usize::try_from(self.through - 1 - hour).ok()?;
        let place = counts.len().checked_sub(1)?.checked_sub(back)?;
        counts.get(place).map(|count| u32::from(*count))
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        bytes.extend(self.through.to_le_bytes());
        for (connection, rhythm) in &self.of {
            let (id, counts) = (connection.as_bytes(), &rhythm.counts);
            let (Ok(id_length), Ok(length)) = (u16::try_from(id.len()), u16::try_from(counts.len())) else {
                continue;
            };
            bytes.extend(id_length.to_le_bytes());
            bytes.extend(id);
            bytes.extend(rhythm.last_ms.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
        }
        bytes
    }

    /// What was stored; none, if it is not that.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (form, mut rest) = bytes.split_first()?;
        if *form != FORM {
            return None;
        }
        let mut rhythms = Self::from(i64::from_le_bytes(taken(&mut rest)?));
        while !rest.is_empty() {
            let length = usize::from(u16::from_le_bytes(taken(&mut rest)?));
            let (id, after) = rest.split_at_checked(length)?;
            rest = after;
            let last_ms = i64::from_le_bytes(taken(&mut rest)?);
            let length = 2 * usize::from(u16::from_le_bytes(taken(&mut rest)?));
            let (counts, after) = rest.split_at_checked(length)?;
            rest = after;
            let counts = counts.as_chunks::<2>().0.iter().map(|two| u16::from_le_bytes(*two)).collect();
            rhythms.of.insert(String::from_utf8(id.to_vec()).ok()?, Rhythm { last_ms, counts });
        }
        Some(rhythms)
    }
}

fn taken<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hour: i64) -> i64 {
        hour * crate::span::HOUR_MS + 5
    }

    #[test]
    fn an_hour_is_known_from_the_first_that_was_heard_on() {
        let mut rhythms = Rhythms::from(100);
        rhythms.push([("a", 3, at(100))]);
        rhythms.push([]);
        rhythms.push([("b", 1, at(102)), ("a", 100_000, at(102))]);
        assert_eq!(rhythms.through(), 103);
        let of = |connection| (98..104).map(|hour| rhythms.count(connection, hour)).collect::<Vec<_>>();
        assert_eq!(of("a"), [None, None, Some(3), Some(0), Some(65_535), None]);
        assert_eq!(of("b"), [None, None, None, None, Some(1), None]);
        assert_eq!((rhythms.last_ms("a"), rhythms.last_ms("c")), (Some(at(102)), None));
    }

    #[test]
    fn what_is_older_than_six_weeks_is_forgotten() {
        let mut rhythms = Rhythms::from(0);
        rhythms.push([("a", 1, at(0)), ("b", 1, at(0))]);
        for _ in 1..KEPT {
            rhythms.push([("b", 1, at(rhythms.through()))]);
        }
        assert_eq!(rhythms.count("a", 0), Some(1));
        rhythms.push([("b", 1, at(rhythms.through()))]);
        assert_eq!((rhythms.count("b", 0), rhythms.count("b", 1)), (None, Some(1)));
        assert_eq!(rhythms.connections().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn ten_thousand_connections_take_twenty_megabytes_before_they_are_compressed() {
        let mut rhythms = Rhythms::from(0);
        let ids: Vec<String> = (0..100).map(|nth| format!("harbour-promenade-{nth:04}-square")).collect();
        for _ in 0..KEPT {
            let at_ms = at(rhythms.through());
            rhythms.push(ids.iter().map(|id| (id.as_str(), 4, at_ms)));
        }
        assert!(rhythms.to_bytes().len() < 100 * 2_100);
    }

    proptest! {
        #[test]
        fn what_is_stored_comes_back(sent in proptest::collection::vec(
            proptest::collection::btree_map("[a-z]{1,9}", (1_i64..70_000, 0_i64..9_999), 0..4), 1..30)
        ) {
            let mut rhythms = Rhythms::from(498_000);
            for hour in &sent {
                rhythms.push(hour.iter().map(|(id, (count, ms))| (id.as_str(), *count, at(498_000) + ms)));
            }
            prop_assert_eq!(Rhythms::read(&rhythms.to_bytes()), Some(rhythms));
        }

        #[test]
        fn anything_else_is_refused_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Rhythms::read(&bytes);
        }
    }
}
