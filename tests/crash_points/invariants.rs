//! What must hold whatever went wrong: each event is there once and says truly what it did, each record is the newest state
//! of it, and the figures are those of the events.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde_json::{Value, json};
use tillwatch::stack::{FIGURES_TABLE, MAIN_TABLE};
use tillwatch_tests::world::{BEGINNING_MS, World};

/// What must have come of a scenario.
pub(crate) struct Expected {
    /// Events: their type, empty if it can't be read, the statuses that they may have come to, and how many they may be.
    pub(crate) events: Vec<(&'static str, &'static [&'static str], RangeInclusive<usize>)>,
    /// How many rejected requests are counted, where some are not listed.
    pub(crate) rejected: Option<RangeInclusive<usize>>,
    /// How many requests are kept, and become their events later: each arrives once more then, by the counters that never fall.
    pub(crate) arrive_again: i64,
    /// Every record.
    pub(crate) records: Vec<ExpectedRecord>,
}

/// A record as it must be.
#[derive(Clone, Copy)]
pub(crate) struct ExpectedRecord {
    /// Where it is read, below `/records`.
    pub(crate) path: &'static str,
    /// Its amount in cents.
    pub(crate) cents: u32,
    /// The statuses that it has had, the last being its own.
    pub(crate) history: &'static [&'static str],
    /// How many changes it has seen.
    pub(crate) changes: usize,
}

impl ExpectedRecord {
    /// One that a single change has completed.
    pub(crate) const fn completed(path: &'static str, cents: u32) -> Self {
        Self { path, cents, history: &["completed"], changes: 1 }
    }
}

/// An event as the table holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    id: String,
    kind: String,
    status: String,
    cause: String,
    /// For how many requests it stands.
    count: usize,
    /// How often processing was tried beyond the first time.
    retries: usize,
}

/// All items of a table, past the console and its lists.
async fn items(world: &World, table: &str) -> Vec<Value> {
    let scan = json!({"TableName": table, "ConsistentRead": true}).to_string();
    let (status, answer) = world.stack().ports().table.call("Scan", scan.as_bytes()).await.unwrap();
    assert_eq!(status, 200, "the table is read");
    let mut answer: Value = serde_json::from_slice(&answer).unwrap();
    assert!(answer["LastEvaluatedKey"].is_null(), "it is small");
    serde_json::from_value(answer["Items"].take()).unwrap()
}

/// The events in the table, the sums of shed requests among them, and how many records there are.
async fn kept(world: &World) -> (Vec<Kept>, usize) {
    let items = items(world, MAIN_TABLE).await;
    let (events, records): (Vec<_>, Vec<_>) = items.iter().partition(|item| item["sk"]["S"] == "E");
    let text = |item: &Value, name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
    let events = events.into_iter().map(|item| Kept {
        id: text(item, "pk").trim_start_matches("E#").to_owned(),
        kind: text(item, "ty"),
        status: text(item, "st"),
        cause: text(item, "ca"),
        count: item["n"]["N"].as_str().map_or(1, |digits| digits.parse().unwrap()),
        retries: item["at"]["N"].as_str().map_or(0, |digits| digits.parse().unwrap()).max(1) - 1,
    });
    (events.collect(), records.len())
}

/// Whether an event waits in the table for its next attempt.
pub(crate) async fn is_any_due(world: &World) -> bool {
    kept(world).await.0.iter().any(|event| event.status == "failed")
}

impl Expected {
    /// Asserts that it is so in the tables; the events there.
    pub(crate) async fn is_in_the_tables(&self, world: &World) -> Vec<Kept> {
        let (events, records) = kept(world).await;
        let (listed, _shed): (Vec<_>, Vec<_>) = events.iter().partition(|event| event.count == 1);
        let mut known = 0;
        for (kind, statuses, count) in &self.events {
            let is_one = |one: &&&Kept| one.kind == *kind && statuses.contains(&one.status.as_str());
            let found = listed.iter().filter(is_one).count();
            assert!(count.contains(&found), "{found} of {kind:?} {statuses:?}: {events:?}");
            known += found;
        }
        assert_eq!(known, listed.len(), "nothing else is there: {events:?}");
        let rejected = events.iter().filter(|event| event.status == "rejected");
        let rejected: usize = rejected.map(|event| event.count).sum();
        if let Some(expected) = &self.rejected {
            assert!(expected.contains(&rejected), "{rejected} of {expected:?} are counted");
        }
        assert_eq!(records, self.records.len(), "and no other record");
        self.each_record_is_the_newest_state(world, &events).await;
        for period in ["square#m#", "square#h#", "square#d"] {
            figures_are_exact(world, period, &events, self.arrive_again).await;
        }
        events
    }

    async fn each_record_is_the_newest_state(&self, world: &World, events: &[Kept]) {
        let mut effects = BTreeMap::new();
        for expected in &self.records {
            let record = world.get(&format!("/records/{}", expected.path)).await;
            let history = record["history"].as_array().unwrap().iter();
            let statuses: Vec<_> = history.map(|step| step["status"].as_str().unwrap()).collect();
            assert_eq!(statuses, expected.history, "no step is missing");
            assert_eq!(record["status"], json!(expected.history.last()), "no older state stands");
            assert_eq!(record["amount"]["minor"], json!(expected.cents), "nor its amount");
            let changes = record["changes"].as_array().unwrap();
            assert_eq!(changes.len(), expected.changes, "each change is there once: {record}");
            for change in changes {
                let effect = if change["was_newest"] == true { "applied" } else { "superseded" };
                effects.insert(change["event"].as_str().unwrap().to_owned(), effect);
            }
        }
        let did = events.iter().filter(|event| ["applied", "superseded"].contains(&event.status.as_str()));
        let did: BTreeMap<_, _> = did.map(|event| (event.id.clone(), event.status.as_str())).collect();
        assert_eq!(did, effects, "events say what they did to records");
    }

    /// Asserts that operators are shown what is in the table.
    pub(crate) async fn is_shown(&self, world: &World, events: &[Kept]) {
        let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let listed = world.deliveries("square").await;
        let listed: Vec<_> = listed
            .iter()
            .map(|one| Kept {
                id: text(one, "id"),
                kind: text(one, "type"),
                status: text(one, "status"),
                cause: text(one, "cause"),
                count: 1,
                retries: usize::try_from(one["attempts"].as_u64().unwrap()).unwrap().max(1) - 1,
            })
            .collect();
        let kept: BTreeSet<_> = events.iter().filter(|event| event.count == 1).collect();
        assert_eq!(listed.len(), kept.len(), "each is listed once");
        assert_eq!(listed.iter().collect::<BTreeSet<_>>(), kept);
        assert!(world.now().as_millisecond() - BEGINNING_MS < 3 * 3_600_000, "all was within three hours");
        // By minutes, hours and days.
        for hours in [3, 72, 720] {
            let health = world.get(&format!("/webhooks/health?hours={hours}")).await;
            let pending = &health["pending"];
            let left = ["count", "in_flight", "dead_letters"].map(|of| pending[of].as_u64().unwrap());
            assert_eq!(left, [0; 3], "nothing is left lying");
            health_is_exact(&health["providers"]["square"], events);
        }
    }
}

/// How many requests and events the events stand for, by status, and the rejected ones by cause.
fn counted(events: &[Kept]) -> (BTreeMap<&str, usize>, BTreeMap<&str, usize>) {
    let (mut statuses, mut causes) = (BTreeMap::new(), BTreeMap::new());
    for event in events {
        *statuses.entry(event.status.as_str()).or_default() += event.count;
        if event.status == "rejected" {
            *causes.entry(event.cause.as_str()).or_default() += event.count;
        }
    }
    (statuses, causes)
}

/// Asserts that the counters of one length of span add up to what is there.
async fn figures_are_exact(world: &World, period: &str, events: &[Kept], arrive_again: i64) {
    let mut sums = BTreeMap::<String, i64>::new();
    for item in items(world, FIGURES_TABLE).await {
        if item["pk"]["S"].as_str().unwrap().starts_with(period) {
            for (name, value) in item.as_object().unwrap() {
                let amount = value["N"].as_str().map_or(0, |digits| digits.parse().unwrap());
                *sums.entry(name.clone()).or_default() += amount;
            }
        }
    }
    let of_others = |name: &str| name.len() <= 2 || name.starts_with("latency") || name.starts_with("took");
    // Counters of days that never fall: what was rejected and released was taken from the others, and from these it was not.
    let mut ahead = |counter: &str, figure: &str| {
        sums.remove(counter).unwrap_or(0) - sums.get(figure).copied().unwrap_or(0)
    };
    let (arrived, rejected) = (ahead("arrived", "received"), ahead("arrived_rejected", "outcome_rejected"));
    if period.ends_with("#d") {
        assert!(
            rejected >= 0 && arrived == rejected + arrive_again,
            "{arrived} more arrived, and {rejected} were released: {events:?}"
        );
    }
    let retries = events.iter().map(|event| event.retries).sum::<usize>();
    sums.retain(|name, sum| *sum != 0 && !of_others(name));
    let (statuses, causes) = counted(events);
    let mut expected = BTreeMap::from([("received".to_owned(), statuses.values().sum::<usize>())]);
    expected.extend(statuses.iter().map(|(status, count)| (format!("outcome_{status}"), *count)));
    expected.extend(causes.iter().map(|(cause, count)| (format!("cause_{cause}"), *count)));
    expected.extend((retries > 0).then(|| ("retries".to_owned(), retries)));
    assert_eq!(json!(sums), json!(expected), "the counters of {period} of {events:?}");
}

/// Asserts that the figures that operators see are those of the events.
fn health_is_exact(figures: &Value, events: &[Kept]) {
    let (statuses, causes) = counted(events);
    let of = |status: &str| statuses.get(status).copied().unwrap_or(0);
    let received: usize = statuses.values().sum();
    let processed = of("applied") + of("superseded") + of("ignored");
    for (name, count) in [
        ("received", received),
        ("accepted", received - of("rejected")),
        ("processed", processed),
        ("rejected", of("rejected")),
        ("applied", of("applied")),
        ("superseded", of("superseded")),
        ("ignored", of("ignored")),
        ("parked", of("parked")),
        ("failed", 0),
        ("held", 0),
        ("unknown_connection", 0),
    ] {
        assert_eq!(figures[name], json!(count), "{name}: {figures}");
    }
    assert_eq!(figures["rejected_by_cause"], json!(causes));
    assert_eq!(figures["processing_time"]["count"], json!(processed));
}
