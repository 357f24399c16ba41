//! What came of webhooks over a longer span, put together from the hours and days that are kept.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tillwatch_domain::tally::{Tally, Webhooks};
use tillwatch_platform::payloads::PayloadError;

use super::TallyStore;

/// How many objects are read at the same time.
const AT_ONCE: usize = 16;
const DAY: i64 = 24;

/// Hours since 1970: from the first, and before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first hour.
    pub from: i64,
    /// The hour after the last.
    pub to: i64,
}

impl Span {
    /// So many hours that end with the present one.
    pub fn last(hours: i64, now: i64) -> Self {
        Self { from: now + 1 - hours, to: now + 1 }
    }

    /// As many hours before it.
    #[must_use]
    pub fn before(self) -> Self {
        Self { from: 2 * self.from - self.to, to: self.from }
    }

    /// Whole days in it, and the hours that belong to none.
    fn parts(self) -> (Vec<i64>, Vec<i64>) {
        let first = (self.from + DAY - 1).div_euclid(DAY);
        let last = self.to.div_euclid(DAY);
        if first >= last {
            return (Vec::new(), (self.from..self.to).collect());
        }
        let hours = (self.from..first * DAY).chain(last * DAY..self.to);
        ((first..last).collect(), hours.collect())
    }
}

impl TallyStore {
    /// All connections' webhooks over a span.
    pub async fn over(&self, span: Span) -> Result<Tally, PayloadError> {
        let (days, hours) = span.parts();
        let mut sum = self.days(days).await?;
        for (_, tally) in self.hours(hours).await? {
            sum.merge(&tally);
        }
        Ok(sum)
    }

    /// One connection's webhooks by hour, of hours in which any came.
    pub async fn hours_of(&self, connection: &str, span: Span) -> Result<Vec<(i64, Webhooks)>, PayloadError> {
        let hours = self.hours((span.from..span.to).collect()).await?;
        let of = |(hour, mut tally): (i64, Tally)| Some((hour, tally.0.remove(connection)?));
        Ok(hours.into_iter().filter_map(of).collect())
    }

    /// Days; one that is not counted for good by its hours.
    async fn days(&self, days: Vec<i64>) -> Result<Tally, PayloadError> {
        let mut sum = Tally::default();
        let mut read = stream::iter(
            days.into_iter().map(|day| async move { Ok::<_, PayloadError>((day, self.day(day).await?)) }),
        )
        .buffered(AT_ONCE);
        let mut uncounted = Vec::new();
        while let Some((day, tally)) = read.try_next().await? {
            match tally {
                Some(tally) => sum.merge(&tally),
                None => uncounted.extend(day * DAY..(day + 1) * DAY),
            }
        }
        drop(read);
        for (_, tally) in self.hours(uncounted).await? {
            sum.merge(&tally);
        }
        Ok(sum)
    }

    pub(super) async fn hours(&self, hours: Vec<i64>) -> Result<Vec<(i64, Tally)>, PayloadError> {
        let read = hours.into_iter().map(|hour| async move {
            Ok::<_, PayloadError>(self.hour(hour).await?.map(|kept| (hour, kept.tally)))
        });
        let found: Vec<Option<(i64, Tally)>> = stream::iter(read).buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_its_whole_days_and_the_hours_around_them() {
        assert_eq!(Span { from: 30, to: 34 }.parts(), (vec![], vec![30, 31, 32, 33]));
        assert_eq!(Span { from: 47, to: 97 }.parts(), (vec![2, 3], vec![47, 96]));
        assert_eq!(Span { from: 48, to: 96 }.parts(), (vec![2, 3], vec![]));
        assert_eq!(Span::last(24, 99), Span { from: 76, to: 100 });
        assert_eq!(Span::last(24, 99).before(), Span { from: 52, to: 76 });
    }
}
