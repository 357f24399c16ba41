mod durability;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::embedded::testing::Clock;
use tillwatch_domain::span::millis;

const EVENTS: Rules = Rules { name: "events", dead_letters: Some(DeadLetters { queue: "dead", after: 3 }) };
const DEAD: Rules = Rules { name: "dead", dead_letters: None };
const VISIBILITY: Duration = Duration::from_secs(30);

struct Fixture {
    events: SqliteQueue,
    dead: SqliteQueue,
    clock: Clock,
    scratch: TempDir,
}

fn queues() -> Fixture {
    let (clock, scratch) = (Clock::new(), tempdir().unwrap());
    let [events, dead] = open(&scratch, &clock);
    Fixture { events, dead, clock, scratch }
}

fn open(scratch: &TempDir, clock: &Clock) -> [SqliteQueue; 2] {
    SqliteQueue::open(&scratch.path().join("queue.db"), [EVENTS, DEAD], &clock.now()).unwrap()
}

fn message(body: &str) -> Outgoing {
    Outgoing { body: body.into(), group: "square".into(), delay: Duration::ZERO }
}

impl SqliteQueue {
    async fn sends(&self, body: &str) {
        self.send(message(body)).await.unwrap();
    }

    async fn takes(&self) -> Vec<Received> {
        self.receive(10, VISIBILITY).await.unwrap()
    }

    async fn takes_one(&self) -> Received {
        let [one] = self.takes().await.try_into().unwrap();
        one
    }

    async fn asks<T: rusqlite::types::FromSql + Send + 'static>(&self, sql: &'static str) -> T {
        self.run("ask", move |messages, _| messages.connection.query_one(sql, (), |row| row.get(0)))
            .await
            .unwrap()
    }

    /// What must hold at any time between the tables of the file.
    async fn is_consistent(&self) {
        let lanes: String = self
            .asks("SELECT json_group_array(queue || grp || waiting) FROM (SELECT * FROM lane ORDER BY queue, grp)")
            .await;
        let in_line = self.asks::<String>(
            "SELECT json_group_array(queue || grp || n) FROM (SELECT queue, grp, count(*) AS n FROM message
                WHERE due IS NULL GROUP BY queue, grp ORDER BY queue, grp)",
        );
        assert_eq!(lanes, in_line.await);
        let without_a_turn = "SELECT count(*) FROM message WHERE (due IS NULL) <> (turn IS NOT NULL)";
        assert_eq!(self.asks::<i64>(without_a_turn).await, 0);
        let unpaired = "SELECT count(*) FROM message FULL JOIN content USING (id)
            WHERE message.id IS NULL OR content.id IS NULL";
        assert_eq!(self.asks::<i64>(unpaired).await, 0);
    }
}

#[tokio::test]
async fn a_message_is_received_as_it_was_sent() {
    let f = queues();
    f.events.sends("paid").await;
    f.clock.pass(Duration::from_secs(5));
    let received = f.events.takes_one().await;
    let expected = Received {
        id: received.id.clone(),
        receipt: received.receipt.clone(),
        body: "paid".into(),
        group: "square".into(),
        receive_count: 1,
        sent_ms: Clock::START,
        first_received_ms: Clock::START + 5_000,
    };
    assert_eq!(received, expected);
    assert_eq!(received.id.len(), 32);
}

#[tokio::test]
async fn a_received_message_is_hidden_until_its_time_out_and_then_comes_again() {
    let f = queues();
    f.events.sends("paid").await;
    let first = f.events.takes_one().await;
    f.clock.pass(Duration::from_millis(29_999));
    assert_eq!(f.events.takes().await, []);
    f.clock.pass(Duration::from_millis(1));
    let second = f.events.takes_one().await;
    assert_eq!((second.id, second.receive_count), (first.id, 2));
    assert_eq!(second.first_received_ms, first.first_received_ms);
    assert_ne!(second.receipt, first.receipt);
}

#[tokio::test]
async fn a_deleted_message_never_comes_again() {
    let f = queues();
    f.events.sends("paid").await;
    let received = f.events.takes_one().await;
    f.events.delete(&[&received.receipt]).await.unwrap();
    f.clock.pass(VISIBILITY);
    assert_eq!(f.events.takes().await, []);
    assert_eq!(f.events.gauge().await.unwrap(), Gauge::default());
    f.events.is_consistent().await;
}

#[tokio::test]
async fn a_message_is_deleted_after_its_time_out_if_nobody_received_it_since() {
    let f = queues();
    f.events.sends("first").await;
    let received = f.events.takes_one().await;
    f.clock.pass(VISIBILITY);
    f.events.sends("second").await;
    // Receiving one lines up the other.
    assert_eq!(f.events.receive(1, VISIBILITY).await.unwrap()[0].body, "second");
    f.events.delete(&[received.receipt]).await.unwrap();
    assert_eq!(f.events.takes().await, []);
    f.events.is_consistent().await;
}

#[tokio::test]
async fn a_stale_receipt_neither_deletes_nor_shows_nor_hides() {
    let f = queues();
    f.events.sends("paid").await;
    let stale = f.events.takes_one().await.receipt;
    f.clock.pass(VISIBILITY);
    let fresh = f.events.takes_one().await;
    f.events.delete(&[&stale]).await.unwrap();
    f.events.change_visibility(&stale, Duration::ZERO).await.unwrap();
    assert_eq!(f.events.takes().await, []);
    f.events.change_visibility(&stale, MAX_VISIBILITY).await.unwrap();
    f.clock.pass(VISIBILITY);
    assert_eq!(f.events.takes_one().await.id, fresh.id);
}

#[tokio::test]
async fn a_receipt_of_a_deleted_message_is_no_other_messages() {
    let f = queues();
    f.events.sends("first").await;
    let first = f.events.takes_one().await;
    f.events.delete(&[&first.receipt]).await.unwrap();
    f.events.sends("second").await;
    let second = f.events.takes_one().await;
    f.events.delete(&[first.receipt]).await.unwrap();
    f.clock.pass(VISIBILITY);
    assert_eq!(f.events.takes_one().await.id, second.id);
}

#[tokio::test]
async fn a_delayed_message_comes_when_it_is_due() {
    let f = queues();
    f.events.send(Outgoing { delay: Duration::from_mins(1), ..message("later") }).await.unwrap();
    f.clock.pass(Duration::from_secs(59));
    assert_eq!(f.events.takes().await, []);
    f.clock.pass(Duration::from_secs(1));
    assert_eq!(f.events.takes_one().await.body, "later");
}

#[tokio::test]
async fn a_receiver_may_give_a_message_back_at_once_or_keep_it_longer() {
    let f = queues();
    f.events.sends("paid").await;
    let received = f.events.takes_one().await;
    f.events.change_visibility(&received.receipt, Duration::ZERO).await.unwrap();
    let received = f.events.takes_one().await;
    f.events.change_visibility(&received.receipt, 2 * VISIBILITY).await.unwrap();
    f.clock.pass(VISIBILITY);
    assert_eq!(f.events.takes().await, []);
    f.clock.pass(VISIBILITY);
    assert_eq!(f.events.takes_one().await.receive_count, 3);
}

#[tokio::test]
async fn a_message_received_too_often_goes_to_the_dead_letters_at_the_next_attempt() {
    let f = queues();
    f.events.sends("poison").await;
    let mut last = String::new();
    for count in 1..=3 {
        let received = f.events.takes_one().await;
        assert_eq!(received.receive_count, count);
        last = received.receipt;
        f.clock.pass(VISIBILITY);
    }
    assert_eq!(f.dead.takes().await, []);
    assert_eq!(f.events.takes().await, []);
    // It has left the queue of this receipt.
    f.events.delete(&[last]).await.unwrap();
    let dead = f.dead.takes_one().await;
    assert_eq!((dead.body.as_str(), dead.receive_count, dead.sent_ms), ("poison", 4, Clock::START));
    f.dead.delete(&[dead.receipt]).await.unwrap();
    f.dead.is_consistent().await;
}

#[tokio::test]
async fn a_message_that_waited_for_months_is_received_all_the_same() {
    let f = queues();
    f.events.sends("sale").await;
    f.dead.sends("poison").await;
    f.clock.pass(Duration::from_hours(24 * 90));
    assert_eq!(f.events.takes_one().await.body, "sale");
    assert_eq!(f.dead.takes_one().await.body, "poison");
    f.events.is_consistent().await;
}

#[tokio::test]
async fn a_group_with_a_backlog_takes_turns_with_the_others() {
    let f = queues();
    for number in 0..200 {
        f.events.sends(&number.to_string()).await;
    }
    f.events.takes().await;
    for body in ["a", "b"] {
        f.events.send(Outgoing { group: "stripe".into(), ..message(body) }).await.unwrap();
    }
    let groups = f.events.takes().await.into_iter().map(|received| received.group);
    let stripe: Vec<_> =
        groups.enumerate().filter(|(_, group)| group == "stripe").map(|(at, _)| at).collect();
    assert_eq!(stripe, [1, 3]);
    f.events.is_consistent().await;
}

#[tokio::test]
async fn a_group_whose_messages_keep_coming_back_takes_turns_with_the_others() {
    let f = queues();
    for number in 0..50 {
        f.events.sends(&number.to_string()).await;
    }
    for _ in 0..5 {
        f.events.takes().await;
    }
    f.events.send(Outgoing { group: "stripe".into(), ..message("new") }).await.unwrap();
    f.clock.pass(VISIBILITY);
    assert!(f.events.takes().await[..2].iter().any(|received| received.body == "new"));
}

#[tokio::test]
async fn a_group_that_was_served_much_is_not_made_to_wait_for_one_that_was_not() {
    let f = queues();
    for number in 0..50 {
        f.events.sends(&number.to_string()).await;
        f.events.takes_one().await;
    }
    for number in 0..50 {
        f.events.send(Outgoing { group: "stripe".into(), ..message(&number.to_string()) }).await.unwrap();
    }
    f.events.sends("again").await;
    assert!(f.events.takes().await[..2].iter().any(|received| received.body == "again"));
}

#[tokio::test]
async fn the_gauge_counts_each_state() {
    let f = queues();
    for body in ["waits", "in flight", "comes back"] {
        f.events.sends(body).await;
    }
    f.events.send(Outgoing { delay: MAX_DELAY, ..message("delayed") }).await.unwrap();
    f.clock.pass(Duration::from_secs(7));
    let first = f.events.receive(2, MAX_VISIBILITY).await.unwrap();
    f.events.change_visibility(&first[0].receipt, Duration::from_secs(1)).await.unwrap();
    f.clock.pass(Duration::from_secs(1));
    let expected = Gauge { waiting: 2, in_flight: 1, delayed: 1, oldest_age: Some(Duration::from_secs(8)) };
    assert_eq!(f.events.gauge().await.unwrap(), expected);
    assert_eq!(f.dead.gauge().await.unwrap(), Gauge::default());
}

#[tokio::test]
async fn what_sqs_would_refuse_is_refused() {
    let f = queues();
    let second = Duration::from_secs(1);
    let refusals = [
        f.events.send(message(&"x".repeat(MAX_MESSAGE + 1))).await.unwrap_err(),
        f.events.send(Outgoing { delay: MAX_DELAY + second, ..message("late") }).await.unwrap_err(),
        f.events.receive(1, MAX_VISIBILITY + second).await.unwrap_err(),
        f.events.change_visibility("1.1", MAX_VISIBILITY + second).await.unwrap_err(),
        f.events.change_visibility("nonsense", second).await.unwrap_err(),
        f.events.delete(&["1.1", "nonsense"]).await.unwrap_err(),
    ];
    assert!(refusals.iter().all(|refusal| !refusal.cause.is_empty()));
    f.events.sends(&"x".repeat(MAX_MESSAGE)).await;
    assert_eq!(f.events.takes_one().await.body.len(), MAX_MESSAGE);
}

#[tokio::test]
async fn a_poller_sleeps_until_there_is_something_to_receive() {
    let f = queues();
    let would_wake = || tokio::time::timeout(Duration::ZERO, f.events.wait_for_messages());
    assert!(would_wake().await.is_err());
    let sleeper = f.events.clone();
    let sleeper = tokio::spawn(async move { sleeper.wait_for_messages().await });
    tokio::task::yield_now().await;
    f.events.sends("paid").await;
    sleeper.await.unwrap();
    assert!(would_wake().await.is_ok());
    f.events.takes_one().await;
    assert!(would_wake().await.is_err());
    f.clock.pass(VISIBILITY);
    assert!(would_wake().await.is_ok());
}

#[tokio::test]
async fn a_poller_wakes_when_a_delay_ends() {
    let (scratch, start) = (tempdir().unwrap(), std::time::Instant::now());
    let now: Now = Arc::new(move || millis(start.elapsed()));
    let [events] = SqliteQueue::open(&scratch.path().join("queue.db"), [DEAD], &now).unwrap();
    let delay = Duration::from_millis(20);
    events.send(Outgoing { delay, ..message("later") }).await.unwrap();
    events.wait_for_messages().await;
    assert!(start.elapsed() >= delay);
    events.takes_one().await;
}

#[tokio::test]
async fn messages_of_different_files_have_different_ids() {
    let (one, other) = (queues(), queues());
    for f in [&one, &other] {
        f.events.sends("paid").await;
    }
    assert_ne!(one.events.takes_one().await.id, other.events.takes_one().await.id);
}

#[test]
#[should_panic(expected = "SCAN message")]
fn a_statement_that_reads_everything_would_not_pass() {
    let scratch = tempdir().unwrap();
    let messages = Messages::open(&scratch.path().join("queue.db"), &[], Clock::new().now()).unwrap();
    let _ = messages.prepare("SELECT * FROM message WHERE grp = ?1");
}
