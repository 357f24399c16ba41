//! The queue's tables, on their thread.
//!
//! A message is a row of `message`, small because it changes with every reception, and a row of `content`, which never
//! changes. It is hidden (delayed, or received and not deleted) until it is `due`, or it waits in line.
//!
//! The line is fair, as SQS's is: each group with messages in it has a lane, and a message gets its turn when it lines
//! up: one after the last of its lane, and after all that were served. So messages of different groups alternate,
//! however many of one came first, and whoever receives just takes the lowest turns.
//!
//! Every statement finds its rows by an index, whatever the backlog: the tests look at each one's plan.

use std::num::ParseIntError;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Params, params};
use tillwatch_domain::span::millis;
use tillwatch_platform::queue::{Gauge, Outgoing};
use tokio::sync::watch;

use super::{DeadLetters, Received, Rules};
use crate::embedded::Now;
use crate::embedded::writer::{self, Store};

/// How many messages that fell due one reception sees to: more than it takes, so that it keeps up.
const UPKEEP: usize = 100;

/// `salt` sets this file's message ids apart from those of any other.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS salt (salt INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS queue (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, served INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE IF NOT EXISTS lane (
        queue INTEGER NOT NULL, grp TEXT NOT NULL, turn INTEGER NOT NULL, waiting INTEGER NOT NULL,
        PRIMARY KEY (queue, grp)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS content (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS message (
        queue INTEGER NOT NULL, id INTEGER NOT NULL, grp TEXT NOT NULL, sent INTEGER NOT NULL,
        turn INTEGER, due INTEGER, receives INTEGER NOT NULL DEFAULT 0, first INTEGER,
        PRIMARY KEY (queue, id)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS line ON message (queue, turn) WHERE due IS NULL;
    CREATE INDEX IF NOT EXISTS hidden ON message (queue, due, receives) WHERE due IS NOT NULL;";

/// The queues of a file.
pub(super) struct Messages {
    pub(super) connection: Connection,
    pub(super) queues: Vec<Line>,
    salt: i64,
    now: Now,
}

/// One of them.
pub(super) struct Line {
    id: i64,
    /// After how many receptions a message goes to which other queue.
    dead_letters: Option<(u32, i64)>,
    /// When its next message is visible, for those who wait for it: Unix milliseconds.
    pub(super) visible: watch::Sender<i64>,
}

/// One reception of a message. It is over when the message is received again, or deleted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receipt {
    id: i64,
    receives: u32,
}

impl FromStr for Receipt {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (id, receives) = text.split_once('.').unwrap_or_default();
        Ok(Self { id: id.parse()?, receives: receives.parse()? })
    }
}

impl Store for Messages {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn committed(&self) {
        for queue in &self.queues {
            // Whoever waits for a file that can't be read had better try to receive, and be told.
            let next = self.next_visible(queue).unwrap_or_default();
            queue.visible.send_if_modified(|visible| std::mem::replace(visible, next) != next);
        }
    }
}

impl Messages {
    pub(super) fn open(path: &Path, rules: &[Rules], now: Now) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        writer::configure(&connection)?;
        connection.execute_batch(SCHEMA)?;
        connection.execute("INSERT INTO salt SELECT random() WHERE NOT EXISTS (SELECT 1 FROM salt)", ())?;
        let salt = connection.query_one("SELECT salt FROM salt", (), |row| row.get(0))?;
        let id_of = |name: &str| -> rusqlite::Result<i64> {
            connection.execute("INSERT OR IGNORE INTO queue (name) VALUES (?1)", [name])?;
            connection.query_one("SELECT id FROM queue WHERE name = ?1", [name], |row| row.get(0))
        };
        let mut queues = Vec::with_capacity(rules.len());
        for Rules { name, dead_letters } in rules {
            let dead_letters = match dead_letters {
                Some(DeadLetters { queue, after }) => Some((*after, id_of(queue)?)),
                None => None,
            };
            queues.push(Line { id: id_of(name)?, dead_letters, visible: watch::Sender::new(i64::MAX) });
        }
        let messages = Self { connection, queues, salt, now };
        messages.committed();
        Ok(messages)
    }

    pub(super) fn send(&self, queue: &Line, message: &Outgoing) -> rusqlite::Result<()> {
        let now = (self.now)();
        self.execute("INSERT INTO content (body) VALUES (?1)", [&message.body])?;
        let id = self.connection.last_insert_rowid();
        let (turn, due) = if message.delay.is_zero() {
            (Some(self.line_up(queue.id, &message.group)?), None)
        } else {
            (None, Some(now + millis(message.delay)))
        };
        self.execute(
            "INSERT INTO message (queue, id, grp, sent, turn, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![queue.id, id, message.group, now, turn, due],
        )
    }

    pub(super) fn receive(
        &self,
        queue: &Line,
        max: usize,
        visibility: Duration,
    ) -> rusqlite::Result<Vec<Received>> {
        let now = (self.now)();
        self.show_due(queue, now)?;
        let mut next = self.prepare(
            "SELECT id, turn, grp, sent, receives, first FROM message
            WHERE queue = ?1 AND due IS NULL ORDER BY turn, id LIMIT ?2",
        )?;
        let next = next.query_map(params![queue.id, max], |row| {
            let (id, receive_count) = (row.get(0)?, row.get::<_, u32>(4)? + 1);
            let received = Received {
                id: format!("{:016x}{id:016x}", self.salt),
                receipt: format!("{id}.{receive_count}"),
                body: String::new(),
                group: row.get(2)?,
                receive_count,
                sent_ms: row.get(3)?,
                first_received_ms: row.get::<_, Option<_>>(5)?.unwrap_or(now),
            };
            Ok((id, row.get(1)?, received))
        })?;
        let mut taken = next.collect::<rusqlite::Result<Vec<(i64, i64, Received)>>>()?;
        for (id, turn, received) in &mut taken {
            self.execute(
                "UPDATE message SET turn = NULL, due = ?3, receives = ?4, first = ?5
                WHERE queue = ?1 AND id = ?2",
                (queue.id, *id, now + millis(visibility), received.receive_count, received.first_received_ms),
            )?;
            self.execute("UPDATE queue SET served = max(served, ?2) WHERE id = ?1", [queue.id, *turn])?;
            self.leave_line(queue.id, &received.group)?;
            let mut content = self.prepare("SELECT body FROM content WHERE id = ?1")?;
            received.body = content.query_one([*id], |row| row.get(0))?;
        }
        Ok(taken.into_iter().map(|(_, _, received)| received).collect())
    }

    pub(super) fn delete(&self, queue: &Line, receipt: Receipt) -> rusqlite::Result<()> {
        let mut reception =
            self.prepare("SELECT 1 FROM message WHERE queue = ?1 AND id = ?2 AND receives = ?3")?;
        if reception.exists((queue.id, receipt.id, receipt.receives))? {
            self.forget(queue, receipt.id)?;
        }
        Ok(())
    }

    pub(super) fn change_visibility(
        &self,
        queue: &Line,
        receipt: Receipt,
        delay: Duration,
    ) -> rusqlite::Result<()> {
        let now = (self.now)();
        self.execute(
            "UPDATE message SET due = ?4 WHERE queue = ?1 AND id = ?2 AND receives = ?3 AND due > ?5",
            (queue.id, receipt.id, receipt.receives, now + millis(delay), now),
        )
    }

    /// Ends all receptions.
    pub(super) fn release(&self, queue: &Line) -> rusqlite::Result<()> {
        let now = (self.now)();
        self.execute(
            "UPDATE message SET due = ?2 WHERE queue = ?1 AND due > ?2 AND receives > 0",
            [queue.id, now],
        )
    }

    pub(super) fn gauge(&self, queue: &Line) -> rusqlite::Result<Gauge> {
        let now = (self.now)();
        let mut in_line = self.prepare("SELECT coalesce(sum(waiting), 0) FROM lane WHERE queue = ?1")?;
        let in_line: u64 = in_line.query_one([queue.id], |row| row.get(0))?;
        let mut hidden = self.prepare(
            "SELECT coalesce(sum(due <= ?2), 0), coalesce(sum(due > ?2 AND receives > 0), 0),
                coalesce(sum(due > ?2 AND receives = 0), 0)
            FROM message WHERE queue = ?1 AND due IS NOT NULL",
        )?;
        let (due, in_flight, delayed): (u64, _, _) =
            hidden.query_one([queue.id, now], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let age = |sent| Duration::from_millis(u64::try_from(now - sent).unwrap_or_default());
        Ok(Gauge { waiting: in_line + due, in_flight, delayed, oldest_age: self.oldest(queue)?.map(age) })
    }

    /// When the queue's next message is visible: in the past, if it waits in line.
    fn next_visible(&self, queue: &Line) -> rusqlite::Result<i64> {
        if self.prepare("SELECT 1 FROM lane WHERE queue = ?1")?.exists([queue.id])? {
            return Ok(0);
        }
        let mut due = self.prepare("SELECT min(due) FROM message WHERE queue = ?1 AND due IS NOT NULL")?;
        due.query_one([queue.id], |row| Ok(row.get::<_, Option<_>>(0)?.unwrap_or(i64::MAX)))
    }

    /// When the message was sent that has been kept longest.
    fn oldest(&self, queue: &Line) -> rusqlite::Result<Option<i64>> {
        self.prepare("SELECT sent FROM message WHERE queue = ?1 ORDER BY id LIMIT 1")?
            .query_one([queue.id], |row| row.get(0))
            .optional()
    }

    /// Lines up the hidden messages that are due, at the end of their lane: one that comes back for the tenth time
    /// has no more right to be next than one just sent. Those received too often already go to the dead letters.
    fn show_due(&self, queue: &Line, now: i64) -> rusqlite::Result<()> {
        let mut due = self.prepare(
            "SELECT id, grp, receives FROM message WHERE queue = ?1 AND due <= ?2 ORDER BY due LIMIT ?3",
        )?;
        let due = due.query_map(params![queue.id, now, UPKEEP], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
        })?;
        for (id, group, receives) in due.collect::<rusqlite::Result<Vec<_>>>()? {
            let to = match queue.dead_letters {
                Some((after, dead_letters)) if receives >= after => dead_letters,
                _ => queue.id,
            };
            self.show(queue.id, id, to, &group)?;
        }
        Ok(())
    }

    /// Lines a message up in a queue: its own, or the one that it goes to.
    fn show(&self, queue: i64, id: i64, to: i64, group: &str) -> rusqlite::Result<()> {
        let turn = self.line_up(to, group)?;
        self.execute(
            "UPDATE message SET queue = ?3, turn = ?4, due = NULL WHERE queue = ?1 AND id = ?2",
            [queue, id, to, turn],
        )
    }

    /// The next turn in a group's lane, now taken.
    fn line_up(&self, queue: i64, group: &str) -> rusqlite::Result<i64> {
        let mut lane = self.prepare(
            "INSERT INTO lane (queue, grp, turn, waiting) SELECT id, ?2, served + 1, 1 FROM queue WHERE id = ?1
            ON CONFLICT DO UPDATE SET turn = max(turn + 1, excluded.turn), waiting = waiting + 1 RETURNING turn",
        )?;
        lane.query_one(params![queue, group], |row| row.get(0))
    }

    /// One less waits in a group's lane. The last one closes it.
    fn leave_line(&self, queue: i64, group: &str) -> rusqlite::Result<()> {
        let mut lane = self.prepare(
            "UPDATE lane SET waiting = waiting - 1 WHERE queue = ?1 AND grp = ?2 RETURNING waiting",
        )?;
        if lane.query_one(params![queue, group], |row| row.get::<_, i64>(0))? > 0 {
            return Ok(());
        }
        self.execute("DELETE FROM lane WHERE queue = ?1 AND grp = ?2", params![queue, group])
    }

    /// Takes a message away for good.
    fn forget(&self, queue: &Line, id: i64) -> rusqlite::Result<()> {
        let mut message =
            self.prepare("DELETE FROM message WHERE queue = ?1 AND id = ?2 RETURNING grp, due IS NULL")?;
        let (group, in_line): (String, bool) =
            message.query_one([queue.id, id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.execute("DELETE FROM content WHERE id = ?1", [id])?;
        if in_line { self.leave_line(queue.id, &group) } else { Ok(()) }
    }

    fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<()> {
        self.prepare(sql)?.execute(params).map(drop)
    }

    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        #[cfg(test)]
        crate::embedded::testing::assert_uses_an_index(&self.connection, sql);
        self.connection.prepare_cached(sql)
    }
}
