//! Deletes what has expired, as DynamoDB's TTL and a bucket's lifecycle do in the cloud.
//!
//! A clock that is wrong must not delete what is not old. A machine may start before its clock is set, so the first sweep
//! comes an hour later; and one is left out when the clock was set forward since the last, by much more than time passed.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tillwatch_platform::clock::Clock;
use tillwatch_platform::payloads::Folder;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::embedded::table::EmbeddedTable;

/// How often.
const EVERY: Duration = Duration::from_hours(1);
/// How far the clock may go ahead of the time that passed. A machine that slept looks like one whose clock was set; it
/// just sweeps an hour later.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// How long large payloads are kept: a day longer than the events that name them, as in the template.
const PAYLOADS: Duration = Duration::from_hours(181 * 24);

/// Deletes what has expired, every hour until `stop` says so.
pub(super) async fn expire(
    table: EmbeddedTable,
    payloads: Folder,
    clock: Arc<dyn Clock>,
    mut stop: watch::Receiver<bool>,
) {
    let mut last = Tick::now(&*clock);
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.changed() => return,
        }
        let tick = Tick::now(&*clock);
        let ahead = tick.ahead_since(&last);
        last = tick;
        if ahead > AHEAD {
            tracing::warn!(
                hours = ahead.as_hours(),
                "the clock was set forward: what has expired is left alone for another hour"
            );
            continue;
        }
        sweep(&table, &stop).await;
        if !*stop.borrow() {
            match payloads.delete_older(PAYLOADS, clock.now()).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "deleted large payloads that have expired"),
                Err(error) => tracing::warn!(%error, "large payloads that have expired could not be deleted"),
            }
        }
    }
}

/// Deletes expired items, bit by bit.
async fn sweep(table: &EmbeddedTable, stop: &watch::Receiver<bool>) {
    let mut swept = 0;
    while !*stop.borrow() {
        match table.sweep_some().await {
            Ok(0) => break,
            Ok(some) => swept += some,
            Err(error) => {
                tracing::warn!(%error, "what has expired could not be deleted");
                break;
            }
        }
    }
    if swept > 0 {
        tracing::info!(count = swept, "deleted what has expired");
    }
}

/// A moment, by the clock on the wall and by one that nobody sets.
struct Tick {
    wall: Timestamp,
    passed: Instant,
}

impl Tick {
    fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), passed: Instant::now() }
    }

    /// How much further than time did the clock go since an earlier moment?
    fn ahead_since(&self, earlier: &Self) -> SignedDuration {
        let passed = SignedDuration::try_from(self.passed - earlier.passed).unwrap_or(SignedDuration::MAX);
        self.wall.duration_since(earlier.wall).saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use serde_json::json;
    use tempfile::tempdir;
    use tillwatch_platform::payloads::Payloads as _;

    use super::*;
    use crate::embedded::Now;

    const START: i64 = 1_780_000_000;

    #[derive(Clone)]
    struct Wall(Arc<AtomicI64>);

    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
        }
    }

    impl Wall {
        /// Lets time pass on both clocks, and the timers that are due have their turn.
        async fn pass(&self, time: Duration) {
            self.0.fetch_add(i64::try_from(time.as_secs()).unwrap(), Ordering::Relaxed);
            tokio::time::sleep(time).await;
        }
    }

    async fn call(table: &EmbeddedTable, operation: &str, body: serde_json::Value) -> serde_json::Value {
        let (status, answer) = table.call(operation, body.to_string().as_bytes()).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap()
    }

    async fn has(table: &EmbeddedTable) -> bool {
        let key = json!({"TableName": "main", "Key": {"id": {"S": "a"}}});
        call(table, "GetItem", key).await.get("Item").is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_goes_after_an_hour_unless_the_clock_was_set_forward() {
        let scratch = tempdir().unwrap();
        let wall = Wall(Arc::new(AtomicI64::new(START)));
        let now: Now = Arc::new({
            let wall = wall.clone();
            move || wall.now().as_millisecond()
        });
        let table = EmbeddedTable::open(&scratch.path().join("table.db"), &now).unwrap();
        let id = json!([{"AttributeName": "id", "AttributeType": "S"}]);
        let key = json!([{"AttributeName": "id", "KeyType": "HASH"}]);
        let main = json!({"TableName": "main", "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": id, "KeySchema": key});
        call(&table, "CreateTable", main).await;
        let ttl = json!({"AttributeName": "x", "Enabled": true});
        call(&table, "UpdateTimeToLive", json!({"TableName": "main", "TimeToLiveSpecification": ttl})).await;
        let item = json!({"id": {"S": "a"}, "x": {"N": (START + 1).to_string()}});
        call(&table, "PutItem", json!({"TableName": "main", "Item": item})).await;
        let payloads = Folder::new(scratch.path().join("payloads"));
        // Written now, which is long before or after the clock of this test.
        payloads.put("square/req_1", b"paid".into(), wall.now()).await.unwrap();
        let file = std::fs::File::options().write(true).open(scratch.path().join("payloads/square/req_1"));
        let written = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(START.unsigned_abs());
        file.unwrap().set_modified(written).unwrap();

        let (stop, stopping) = watch::channel(false);
        let expiring =
            tokio::spawn(expire(table.clone(), payloads.clone(), Arc::new(wall.clone()), stopping));
        tokio::task::yield_now().await;
        wall.pass(Duration::from_mins(59)).await;
        assert!(has(&table).await, "not before an hour has passed");
        wall.0.fetch_add(190 * 86_400, Ordering::Relaxed);
        wall.pass(Duration::from_mins(2)).await;
        assert!(has(&table).await, "not when the clock was set forward");
        wall.pass(EVERY).await;
        // The thread that writes is not on this clock.
        let mut turns = 0;
        while has(&table).await || payloads.get("square/req_1", wall.now()).await.unwrap().is_some() {
            turns += 1;
            assert!(turns < 100_000, "both go");
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
        expiring.await.unwrap();
    }
}
