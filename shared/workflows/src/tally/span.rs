//! What came of webhooks over a longer span, put together from the hours and days that are kept.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tillwatch_domain::figures::Deltas;
use tillwatch_domain::tally::{Each, Tally, Webhooks};
use tillwatch_platform::payloads::PayloadError;

use super::TallyStore;
use super::store::Of;
use crate::objects;

/// How many objects are fetched at the same time, packed: some two megabytes each.
const AT_ONCE: usize = 4;
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
    /// What came of webhooks over a span, all types of a connection's together, of those connections that are wanted: asked for
    /// each hour or day, with its first hour.
    pub async fn over(
        &self,
        span: Span,
        is_wanted: impl Fn(&str, i64) -> bool + Send + Sync,
    ) -> Result<BTreeMap<String, Deltas>, PayloadError> {
        let mut sum = BTreeMap::<String, Deltas>::new();
        let (days, mut hours) = span.parts();
        let mut take = |connection: &str, webhooks: Webhooks| {
            sum.entry(connection.to_owned()).or_default().merge(&webhooks.sum());
        };
        // A day that is not counted for good by its hours.
        let uncounted = self.each(Of::Day, days, &is_wanted, |_, id, webhooks| take(id, webhooks)).await?;
        hours.extend(uncounted.into_iter().flat_map(|day| day * DAY..(day + 1) * DAY));
        self.each(Of::Hour, hours, &is_wanted, |_, id, webhooks| take(id, webhooks)).await?;
        Ok(sum)
    }

    /// One connection's webhooks by hour, of hours in which any came.
    pub async fn hours_of(&self, connection: &str, span: Span) -> Result<Vec<(i64, Webhooks)>, PayloadError> {
        let mut found = Vec::new();
        let hours = (span.from..span.to).collect();
        let is_wanted = |id: &str, _| id == connection;
        self.each(Of::Hour, hours, is_wanted, |hour, _, webhooks| found.push((hour, webhooks))).await?;
        Ok(found)
    }

    /// All connections' webhooks of these hours together.
    pub(super) async fn together(&self, hours: Vec<i64>) -> Result<Tally, PayloadError> {
        let mut sum = Tally::default();
        let take = |_, id: &str, webhooks: Webhooks| {
            sum.0.entry(id.to_owned()).or_default().merge(&webhooks);
        };
        self.each(Of::Hour, hours, |_, _| true, take).await?;
        Ok(sum)
    }

    /// Hands over what is wanted of these hours or days, one connection of one of them after the other: no two are unpacked at
    /// the same time, for each may be twenty megabytes. Those of which nothing is kept.
    async fn each(
        &self,
        of: Of,
        which: Vec<i64>,
        is_wanted: impl Fn(&str, i64) -> bool + Send,
        mut take: impl FnMut(i64, &str, Webhooks) + Send,
    ) -> Result<Vec<i64>, PayloadError> {
        let packed = which
            .into_iter()
            .map(|nth| async move { Ok::<_, PayloadError>((nth, self.packed(of, nth).await?)) });
        let mut packed = stream::iter(packed).buffered(AT_ONCE);
        let mut absent = Vec::new();
        while let Some((nth, packed)) = packed.try_next().await? {
            let Some(bytes) = packed.and_then(|packed| objects::unpacked(&packed)) else {
                absent.push(nth);
                continue;
            };
            let first = if of == Of::Day { nth * DAY } else { nth };
            let each = Each {
                is_wanted: |id: &str| is_wanted(id, first),
                take: |id: &str, webhooks| take(nth, id, webhooks),
            };
            if let Err(error) = of.read(&bytes, each) {
                tracing::error!(?of, nth, %error, "what is kept of webhooks can't be read to its end");
            }
        }
        Ok(absent)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use jiff::Timestamp;
    use tillwatch_domain::figures::RECEIVED;
    use tillwatch_domain::span::HOUR_MS;
    use tillwatch_platform::clock::SystemClock;
    use tillwatch_platform::payloads::Payloads;

    use super::*;
    use crate::tally::Hour;

    #[test]
    fn a_span_is_its_whole_days_and_the_hours_around_them() {
        assert_eq!(Span { from: 30, to: 34 }.parts(), (vec![], vec![30, 31, 32, 33]));
        assert_eq!(Span { from: 47, to: 97 }.parts(), (vec![2, 3], vec![47, 96]));
        assert_eq!(Span { from: 48, to: 96 }.parts(), (vec![2, 3], vec![]));
        assert_eq!(Span::last(24, 99), Span { from: 76, to: 100 });
        assert_eq!(Span::last(24, 99).before(), Span { from: 52, to: 76 });
    }

    /// Objects in memory: how many are fetched at the same time, and how many were at most.
    #[derive(Default)]
    struct Objects {
        kept: Mutex<BTreeMap<String, Vec<u8>>>,
        now: AtomicUsize,
        most: AtomicUsize,
    }

    #[async_trait]
    impl Payloads for Objects {
        async fn put(&self, name: &str, bytes: Vec<u8>, _: Timestamp) -> Result<(), PayloadError> {
            self.kept.lock().unwrap().insert(name.to_owned(), bytes);
            Ok(())
        }

        async fn get(&self, name: &str, _: Timestamp) -> Result<Option<Vec<u8>>, PayloadError> {
            self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            Ok(self.kept.lock().unwrap().get(name).cloned())
        }
    }

    fn webhooks(hour: i64, count: i64) -> Webhooks {
        let mut figures = Deltas::default();
        figures.add(RECEIVED, count);
        Webhooks { last_ms: Some(hour * HOUR_MS), types: [("sale".to_owned(), figures)].into() }
    }

    #[tokio::test]
    async fn over_a_week_who_is_wanted_is_summed_and_a_few_objects_are_fetched_at_the_same_time() {
        let objects = Arc::new(Objects::default());
        let store = TallyStore::new(objects.clone(), Arc::new(SystemClock));
        for hour in 48..220 {
            let tally = Tally(["a", "b"].map(|id| (id.to_owned(), webhooks(hour, 1))).into());
            store.put_hour(hour, &Hour { through_ms: (hour + 1) * HOUR_MS, tally }).await.unwrap();
        }
        // The other days are not counted for good yet.
        store.put_day(3, 72..96).await.unwrap();
        let sum = store.over(Span { from: 50, to: 218 }, |id, _| id == "b").await.unwrap();
        assert_eq!(sum.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(sum["b"].get(RECEIVED), 168);
        let sum = store.over(Span { from: 50, to: 218 }, |id, first| id == "b" && first >= 80).await.unwrap();
        assert_eq!(sum["b"].get(RECEIVED), 122, "from the next day that is counted for good on");
        let hours = store.hours_of("a", Span { from: 210, to: 230 }).await.unwrap();
        assert_eq!(hours.len(), 10);
        assert_eq!(hours[0], (210, webhooks(210, 1)));
        assert!(objects.most.load(Ordering::SeqCst) <= AT_ONCE);
    }
}
