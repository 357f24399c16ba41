//! Nothing is lost or doubled: by restarts, kills, full disks, or any order of operations.

use std::collections::BTreeSet;

use super::*;
use crate::embedded::testing::{given, killed, report};

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let f = queues();
    f.events.sends("in flight").await;
    let before = f.events.takes_one().await;
    f.events.sends("waiting").await;
    drop((f.events, f.dead));
    let [events, _] = open(&f.scratch, &f.clock);
    tokio::time::timeout(Duration::from_secs(5), events.wait_for_messages()).await.unwrap();
    assert_eq!(events.takes_one().await.body, "waiting");
    f.clock.pass(VISIBILITY);
    let again = events.takes().await.into_iter().find(|received| received.body == "in flight").unwrap();
    assert_eq!((again.id, again.receive_count), (before.id, 2));
}

#[tokio::test]
async fn a_release_shows_what_was_received_and_not_what_is_delayed() {
    let f = queues();
    f.events.send(Outgoing { delay: MAX_DELAY, ..message("delayed") }).await.unwrap();
    f.events.sends("received").await;
    let stale = f.events.takes_one().await;
    f.events.release().await.unwrap();
    let again = f.events.takes_one().await;
    assert_eq!((again.id, again.receive_count), (stale.id, 2));
    f.events.delete(&[stale.receipt]).await.unwrap();
    assert_eq!(f.events.gauge().await.unwrap().in_flight, 1);
    f.events.is_consistent().await;
}

#[tokio::test]
async fn each_commit_is_fsynced() {
    let f = queues();
    assert_eq!(f.events.asks::<String>("PRAGMA journal_mode").await, "wal");
    let full = 2;
    assert_eq!(f.events.asks::<i64>("PRAGMA synchronous").await, full);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_no_loss_and_passes() {
    let f = queues();
    f.events.sends("before").await;
    let limit = |pages: i64| {
        f.events.run("limit", move |messages, _| {
            messages.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        })
    };
    limit(1).await.unwrap();
    let big = "x".repeat(100_000);
    let refused = f.events.send(message(&big)).await.unwrap_err();
    assert!(refused.to_string().contains("full"), "{refused}");
    f.events.is_consistent().await;
    limit(1 << 30).await.unwrap();
    f.events.sends(&big).await;
    let bodies: Vec<_> = f.events.takes().await.into_iter().map(|received| received.body).collect();
    assert_eq!(bodies, ["before".into(), big]);
}

/// Any order of operations leaves the tables in step, and each message either deleted or there.
#[tokio::test]
async fn nothing_is_lost_or_doubled_whatever_the_order() {
    let f = queues();
    let mut chance = 0_u64;
    let mut random = |below: u64| {
        // Knuth's, so that a failure comes again.
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % below
    };
    let (mut sent, mut deleted, mut receipts) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for number in 0..800 {
        match random(8) {
            0..=2 => {
                let delay = Duration::from_secs(random(2) * random(20));
                let group = format!("group {}", random(4));
                f.events.send(Outgoing { body: number.to_string(), group, delay }).await.unwrap();
                sent.insert(number.to_string());
            }
            3 | 4 => {
                let max = usize::try_from(random(11)).unwrap();
                for received in f.events.receive(max, Duration::from_secs(random(30))).await.unwrap() {
                    assert!(!deleted.contains(&received.body), "{} came again", received.body);
                    receipts.push(received);
                }
            }
            5 if !receipts.is_empty() => {
                let at = usize::try_from(random(receipts.len() as u64)).unwrap();
                let received = receipts.swap_remove(at);
                let fresh = !receipts
                    .iter()
                    .any(|other| other.id == received.id && other.receive_count > received.receive_count);
                f.events.delete(&[&received.receipt]).await.unwrap();
                // Dead letters have left its queue; what is left of them is counted below.
                if fresh {
                    deleted.insert(received.body);
                }
            }
            6 if !receipts.is_empty() => {
                let at = usize::try_from(random(receipts.len() as u64)).unwrap();
                let delay = Duration::from_secs(random(20));
                f.events.change_visibility(&receipts[at].receipt, delay).await.unwrap();
            }
            _ => f.clock.pass(Duration::from_secs(random(10))),
        }
        if number % 100 == 0 {
            f.events.is_consistent().await;
        }
    }
    let mut left = BTreeSet::new();
    for _ in 0..4 {
        f.clock.pass(MAX_VISIBILITY);
        for queue in [&f.events, &f.dead] {
            loop {
                let received = queue.takes().await;
                for message in &received {
                    left.insert(message.body.clone());
                }
                if received.is_empty() {
                    break;
                }
            }
        }
    }
    let gone: BTreeSet<_> = sent.difference(&left).cloned().collect();
    assert!(gone.is_subset(&deleted), "lost: {:?}", gone.difference(&deleted).collect::<Vec<_>>());
    f.events.is_consistent().await;
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged_and_doubles_nothing() {
    let scratch = tempdir().unwrap();
    let path = scratch.path().to_string_lossy().into_owned();
    let mut done = BTreeSet::new();
    for round in 0..4 {
        let line = format!("{round} {path}");
        done.extend(killed("embedded::queue::tests::durability::works_until_it_is_killed", &line, 150));
    }
    let clock = Clock::new();
    clock.pass(MAX_VISIBILITY);
    let [events, dead] = open(&scratch, &clock);
    let mut there = Vec::new();
    loop {
        let received = events.takes().await;
        if received.is_empty() {
            break;
        }
        there.extend(received.into_iter().map(|received| received.body));
    }
    let unique: BTreeSet<_> = there.iter().cloned().collect();
    assert_eq!(unique.len(), there.len());
    for (what, body) in done.iter().filter_map(|report| report.split_once(' ')) {
        match what {
            "deleted" => assert!(!unique.contains(body), "{body} came again"),
            "sent" => {
                let received = done.contains(&format!("received {body}"));
                assert!(received || unique.contains(body), "{body} is lost");
            }
            _ => {}
        }
    }
    events.is_consistent().await;
    assert_eq!(dead.gauge().await.unwrap(), Gauge::default());
}

#[tokio::test]
#[ignore = "a child process of the test above"]
async fn works_until_it_is_killed() {
    let line = given();
    let (round, path) = line.split_once(' ').unwrap();
    let path = Path::new(path).join("queue.db");
    let [events, _] = SqliteQueue::open(&path, [EVENTS, DEAD], &Clock::new().now()).unwrap();
    let consumer = events.clone();
    tokio::spawn(async move {
        loop {
            consumer.wait_for_messages().await;
            for received in consumer.receive(1, MAX_VISIBILITY).await.unwrap() {
                report(&format!("received {}", received.body));
                consumer.delete(&[received.receipt]).await.unwrap();
                report(&format!("deleted {}", received.body));
            }
        }
    });
    let senders = (0..8).map(|sender| {
        let (events, round) = (events.clone(), round.to_owned());
        tokio::spawn(async move {
            for number in 0.. {
                let body = format!("{round}.{sender}.{number}");
                events.sends(&body).await;
                report(&format!("sent {body}"));
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
}
