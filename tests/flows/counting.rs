//! Figures are exact however the stream's changes are cut into batches, repeated, halved and cut off in the middle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;
use tillwatch::embedded::table::EmbeddedTable;
use tillwatch_domain::event::Origin;
use tillwatch_domain::figures::{Counted, Deltas, grown, of};
use tillwatch_domain::{Cause, Outcome};
use tillwatch_platform::table::{LocalEndpoint, Period, Table, schema};
use tillwatch_workflows::rollup::{StreamChange, roll_up};

/// A table of figures that does no more writes than it is allowed.
struct Tiring {
    table: EmbeddedTable,
    writes_left: AtomicUsize,
}

#[async_trait]
impl LocalEndpoint for Tiring {
    async fn call(&self, operation: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let left = &self.writes_left;
        if operation == "UpdateItem"
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
        {
            return None;
        }
        Some(self.table.call(operation, body).await)
    }
}

/// What becomes of a batch before it is counted.
#[derive(Debug, Clone)]
enum Trouble {
    /// Nothing.
    None,
    /// It is counted, and comes again all the same.
    Again,
    /// It is cut off after some writes, and comes again.
    CutOff { writes: usize },
    /// It is cut off after some writes, and comes again with more behind it.
    Longer { writes: usize, more: usize },
    /// It is cut off after some writes, and comes again in halves, each of which may be cut off and halved again.
    Halved { writes: usize },
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let writes = 0_usize..8;
    prop_oneof![
        Just(Trouble::None),
        Just(Trouble::Again),
        writes.clone().prop_map(|writes| Trouble::CutOff { writes }),
        (writes.clone(), 1_usize..8).prop_map(|(writes, more)| Trouble::Longer { writes, more }),
        writes.prop_map(|writes| Trouble::Halved { writes }),
    ]
}

/// An item's images: an event is new, or goes from one outcome to another, or a request is taken away.
fn change() -> impl Strategy<Value = (Option<usize>, Option<usize>, i64, bool)> {
    let outcome = 0..Outcome::ALL.len();
    let images = prop_oneof![
        outcome.clone().prop_map(|new| (None, Some(new))),
        (outcome.clone(), outcome.clone()).prop_map(|(old, new)| (Some(old), Some(new))),
        outcome.prop_map(|old| (Some(old), None)),
    ];
    (images, 0_i64..3, any::<bool>()).prop_map(|((old, new), minute, square)| (old, new, minute, square))
}

/// The changes of a shard. Their numbers grow by a digit on the way.
fn changes() -> impl Strategy<Value = Vec<StreamChange>> {
    prop::collection::vec(change(), 1..24).prop_map(|changes| {
        let image = |outcome: usize, minute: i64| {
            let outcome = Outcome::ALL[outcome];
            Counted {
                outcome,
                cause: (outcome == Outcome::Rejected).then_some(Cause::WrongSignature),
                received_ms: BEGINNING + minute * 60_000,
                processed_ms: Some(BEGINNING + minute * 60_000 + 40),
                attempts: 1,
                count: 1,
                origin: Origin::Webhook,
            }
        };
        let numbered = changes.into_iter().zip(92_u128..);
        numbered
            .map(|((old, new, minute, square), number)| StreamChange {
                sequence: number.to_string(),
                provider: if square { "square" } else { "stripe" }.to_owned(),
                old: old.map(|outcome| image(outcome, minute)),
                new: new.map(|outcome| image(outcome, minute)),
            })
            .collect()
    })
}

/// 2026-11-23T23:58:00Z: three minutes are in two hours and two days.
const BEGINNING: i64 = 1_795_478_280_000;
const SHARD: &str = "shardId-1";
const FIGURES: &str = "figures";

struct Counting {
    endpoint: Arc<Tiring>,
    table: Table,
}

impl Counting {
    async fn new() -> Self {
        let table = EmbeddedTable::memory(&(Arc::new(|| BEGINNING) as _)).unwrap();
        let definition = schema::figures_table(FIGURES).to_string();
        assert_eq!(table.call("CreateTable", definition.as_bytes()).await.0, 200);
        let endpoint = Arc::new(Tiring { table, writes_left: AtomicUsize::new(usize::MAX) });
        let table = Table::in_process(endpoint.clone(), "main".to_owned(), FIGURES.to_owned());
        Self { endpoint, table }
    }

    /// Counts a batch whose writes end after so many; whether it is counted.
    async fn counts(&self, batch: &[StreamChange], writes: usize) -> bool {
        self.endpoint.writes_left.store(writes, Ordering::SeqCst);
        let counted = roll_up(&self.table, SHARD, batch).await.is_ok();
        self.endpoint.writes_left.store(usize::MAX, Ordering::SeqCst);
        counted
    }

    async fn counts_all(&self, batch: &[StreamChange]) {
        assert!(self.counts(batch, usize::MAX).await, "nothing stands in its way");
    }

    /// Counts a batch in halves, and what is cut off in halves again.
    async fn counts_halved(&self, batch: &[StreamChange], writes: usize) {
        let (first, second) = batch.split_at(batch.len() / 2);
        for half in [first, second] {
            if half.len() < 2 {
                self.counts_all(half).await;
            } else if !self.counts(half, writes / 2).await {
                Box::pin(self.counts_halved(half, writes / 2)).await;
            }
        }
    }

    /// Everything that was counted, by provider, length of span and its beginning.
    async fn figures(&self) -> BTreeMap<(&'static str, Period, i64), Deltas> {
        let mut figures = BTreeMap::new();
        for provider in ["square", "stripe"] {
            for period in Period::ALL {
                let from = BEGINNING - 86_400_000;
                let spans = self.table.figures(provider, period, from, BEGINNING + 86_400_000).await.unwrap();
                figures.extend(spans.into_iter().map(|(starts, sum)| ((provider, period, starts), sum)));
            }
        }
        figures.retain(|_, sum| !sum.is_empty());
        figures
    }
}

fn expected(changes: &[StreamChange]) -> BTreeMap<(&'static str, Period, i64), Deltas> {
    let mut figures = BTreeMap::<_, Deltas>::new();
    for change in changes {
        let provider = if change.provider == "square" { "square" } else { "stripe" };
        for period in Period::ALL {
            let mut add = |at_ms, deltas: &Deltas| {
                figures.entry((provider, period, period.start_of(at_ms))).or_default().merge(deltas);
            };
            if let Some(old) = &change.old {
                add(old.received_ms, &of(old).negated());
            }
            if let Some(new) = &change.new {
                add(new.received_ms, &of(new));
                if period == Period::Day {
                    add(new.received_ms, &grown(change.old.as_ref(), new));
                }
            }
        }
    }
    figures.retain(|_, sum| !sum.is_empty());
    figures
}

async fn count(
    changes: &[StreamChange],
    batches: &[(usize, Trouble)],
) -> BTreeMap<(&'static str, Period, i64), Deltas> {
    let counting = Counting::new().await;
    let mut place = 0;
    for (length, trouble) in batches.iter().cycle() {
        if place == changes.len() {
            break;
        }
        let mut end = (place + length).min(changes.len());
        let batch = &changes[place..end];
        match *trouble {
            Trouble::None => counting.counts_all(batch).await,
            Trouble::Again => {
                counting.counts_all(batch).await;
                counting.counts_all(batch).await;
            }
            Trouble::CutOff { writes } => {
                counting.counts(batch, writes).await;
                counting.counts_all(batch).await;
            }
            Trouble::Longer { writes, more } => {
                counting.counts(batch, writes).await;
                end = (end + more).min(changes.len());
                counting.counts_all(&changes[place..end]).await;
            }
            Trouble::Halved { writes } => {
                if !counting.counts(batch, writes).await {
                    counting.counts_halved(batch, writes).await;
                }
            }
        }
        place = end;
    }
    counting.figures().await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn each_change_counts_once_however_the_stream_is_cut_repeated_and_halved(
        changes in changes(),
        batches in prop::collection::vec((1_usize..10, trouble()), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let figures = runtime.block_on(count(&changes, &batches));
        prop_assert_eq!(figures, expected(&changes));
    }
}
