//! One step of a replay: a page of its lists, dealt with and written down.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tillwatch_domain::replay::{Counts, Cursor, Filter, List, Replay, Skip};
use tillwatch_platform::connections::Stored;
use tillwatch_platform::table::{EventItem, Period, TableError, Written};
use tokio::task::JoinSet;

use super::sender::{OfRequest, Trouble, candidate};
use super::{CONTENTIONS, ReplayError, Replays};

/// How many are sent at the same time.
const AT_ONCE: usize = 16;
/// How many one step looks at, and how many pages it reads.
const LOOKED_AT: u64 = 500;
const PAGES: usize = 50;
/// How long a step goes on before it writes down how far it came. Far less than its lease.
const LONGEST: Duration = Duration::from_secs(10);
/// How far back days are walked: events with a final outcome are not kept for longer.
const DAYS: i64 = 31;
const DAY_MS: i64 = 86_400_000;
/// Sorts after every event.
const NEWEST: &str = "9";

/// A page of a list.
pub(super) struct Page {
    /// What is on it.
    pub(super) events: Vec<EventItem>,
    /// Where the next one begins; none: this was the last of all lists.
    pub(super) next: Option<Cursor>,
}

/// What a step has done so far.
struct Done {
    counts: Counts,
    cursor: Option<Cursor>,
    trouble: Option<String>,
}

impl Replays {
    /// Takes the next step, if it is due and nobody else has it; the replay as it is then.
    pub(super) async fn step(&self, id: &str) -> Result<Option<Replay>, ReplayError> {
        let Some(Stored { document: mut replay, revision }) = self.read(id).await? else { return Ok(None) };
        let began_ms = self.now_ms();
        if !replay.lease(&self.owner, began_ms) {
            return Ok(Some(replay));
        }
        if self.write(&replay, revision).await? == Written::No {
            // Another has it. Or it is ours by a write whose answer was lost: then the lease is ours, and goes on.
            match self.read(id).await? {
                Some(present) if present.document == replay => {}
                present => return Ok(present.map(|present| present.document)),
            }
        }
        let done = self.work(&replay).await;
        let leased = (replay.clone(), revision + 1);
        let mut after = replay;
        self.note(&mut after, done, began_ms);
        self.write_down(leased, after).await
    }

    fn note(&self, replay: &mut Replay, done: Done, began_ms: i64) {
        let now_ms = self.now_ms();
        match done.trouble {
            Some(trouble) => {
                tracing::warn!(replay = replay.id, trouble, "a replay could not go on and will");
                // What failed may be told by anyone; the log alone says where.
                let told = "something that it stands on did not answer; the log says more".to_owned();
                replay.stumble(done.cursor, &done.counts, told, now_ms);
            }
            None => replay.advance(done.cursor, &done.counts, began_ms, now_ms),
        }
    }

    /// Writes how far a step came. If it was cancelled meanwhile, that stands, with what was done all the same.
    async fn write_down(
        &self,
        (leased, mut revision): (Replay, i64),
        mut after: Replay,
    ) -> Result<Option<Replay>, ReplayError> {
        for _ in 0..CONTENTIONS {
            if self.write(&after, revision).await? == Written::Yes {
                return Ok(Some(after));
            }
            let Some(present) = self.read(&after.id).await? else { return Ok(None) };
            let is_cancelled = present.document.is_over() && present.document.counts == leased.counts;
            if !is_cancelled {
                // Written already, or taken over by another when the lease was over.
                return Ok(Some(present.document));
            }
            let counts = std::mem::take(&mut after.counts);
            after = Replay { counts, ..present.document };
            revision = present.revision;
        }
        Err(TableError::contradiction("write down a replay").into())
    }

    async fn work(&self, replay: &Replay) -> Done {
        let mut done = Done { counts: Counts::default(), cursor: replay.cursor.clone(), trouble: None };
        let most = u64::from(replay.rate).min(LOOKED_AT);
        let began = tokio::time::Instant::now();
        let mut sent = HashSet::new();
        for _ in 0..PAGES {
            let limit = i32::try_from((2 * most).clamp(25, LOOKED_AT)).unwrap_or(25);
            let page = match self.page(&replay.filter, replay.upto_ms, done.cursor.as_ref(), limit).await {
                Ok(page) => page,
                Err(error) => {
                    done.trouble = Some(error.to_string());
                    return done;
                }
            };
            let Page { events, next } = page;
            let mut rest = events.as_slice();
            while !rest.is_empty() {
                let room = usize::try_from(most.saturating_sub(done.counts.moved())).unwrap_or(0);
                let (chunk, after) = split(replay, rest, room.min(AT_ONCE));
                rest = after;
                let counts = match self.chunk(replay, chunk, &mut sent).await {
                    Ok(counts) => counts,
                    Err(Trouble(trouble)) => {
                        done.trouble = Some(trouble);
                        return done;
                    }
                };
                done.counts.add(&counts);
                done.cursor = chunk
                    .last()
                    .zip(done.cursor.or_else(|| first(&replay.filter)))
                    .map(|(last, cursor)| Cursor { before: place(last, cursor.list), ..cursor });
                if done.counts.moved() >= most && !rest.is_empty() {
                    return done;
                }
            }
            done.cursor = next;
            let is_enough = done.counts.moved() >= most || done.counts.looked_at >= LOOKED_AT;
            if done.cursor.is_none() || is_enough || began.elapsed() >= LONGEST {
                return done;
            }
        }
        done
    }

    /// Deals with some at the same time. If one can't be dealt with now, none counts: they all come again.
    /// A request is sent once for all of its events that stand together; `sent` are those that were.
    async fn chunk(
        &self,
        replay: &Replay,
        chunk: &[EventItem],
        sent: &mut HashSet<String>,
    ) -> Result<Counts, Trouble> {
        let mut counts = Counts::default();
        let mut by_request = BTreeMap::<&str, Vec<EventItem>>::new();
        for item in chunk {
            counts.looked_at += 1;
            if !replay.takes(&candidate(item)) {
                continue;
            }
            if sent.contains(&item.request_id) {
                counts.sent += 1;
            } else {
                by_request.entry(&item.request_id).or_default().push(item.clone());
            }
        }
        let mut dealing = JoinSet::new();
        for (_, items) in by_request {
            let (sender, filter) = (Arc::clone(&self.sender), replay.filter.clone());
            dealing.spawn(async move { sender.deal_with_request(&items, &filter).await });
        }
        let mut trouble = None;
        while let Some(dealt) = dealing.join_next().await {
            match dealt {
                Ok(Ok(OfRequest { counts: of_request, sent: request })) => {
                    counts.add(&of_request);
                    sent.extend(request);
                }
                Ok(Err(failed)) => trouble = Some(failed),
                // What panicked has been told by the panic hook; it would do so again.
                Err(_) => counts.skip(Skip::Unreadable),
            }
        }
        trouble.map_or(Ok(counts), Err)
    }

    /// The page at the cursor, or the first.
    pub(super) async fn page(
        &self,
        filter: &Filter,
        upto_ms: i64,
        cursor: Option<&Cursor>,
        limit: i32,
    ) -> Result<Page, TableError> {
        let first = first(filter);
        let Some(cursor) = cursor.or(first.as_ref()) else { return Ok(Page { events: vec![], next: None }) };
        let newest_ms = filter.to_ms.unwrap_or(i64::MAX).min(upto_ms.saturating_add(1));
        let oldest_ms = filter.from_ms.unwrap_or(0);
        let (listing, is_over) = match cursor.list {
            List::Rare(outcome) => {
                let listing =
                    self.table.rare_events(&cursor.provider, outcome, &cursor.before, limit).await?;
                // A failed event stands where it is due, which says nothing of when it arrived.
                let is_older = |item: &EventItem| item.received_ms < oldest_ms && item.due_ms.is_none();
                let is_over = !listing.more || listing.events.last().is_some_and(is_older);
                (listing, is_over)
            }
            List::Days => {
                let before = if cursor.before == NEWEST {
                    moment(newest_ms.min(FAR_MS))
                } else {
                    cursor.before.clone()
                };
                let day = day_before(&before);
                let oldest_ms = oldest_ms.max(self.now_ms() - DAYS * DAY_MS);
                if day + DAY_MS <= oldest_ms {
                    return Ok(Page { events: vec![], next: next_list(filter, cursor) });
                }
                let listing = self.table.events_of_day(&cursor.provider, day, &before, limit).await?;
                if !listing.more {
                    let next = Cursor { before: moment(day), ..cursor.clone() };
                    return Ok(Page { events: listing.events, next: Some(next) });
                }
                (listing, false)
            }
        };
        let next = match listing.events.last() {
            Some(last) if !is_over => Some(Cursor { before: place(last, cursor.list), ..cursor.clone() }),
            None if !is_over => Some(cursor.clone()),
            _ => next_list(filter, cursor),
        };
        Ok(Page { events: listing.events, next })
    }
}

/// Every list of every provider that the filter names.
fn all_lists(filter: &Filter) -> Vec<(&'static str, List)> {
    let names = tillwatch_providers::ALL.iter().map(|provider| provider.name());
    let wanted = names.filter(|name| filter.providers.is_empty() || filter.providers.contains(*name));
    wanted.flat_map(|name| filter.lists().into_iter().map(move |list| (name, list))).collect()
}

/// The beginning of the first list.
fn first(filter: &Filter) -> Option<Cursor> {
    all_lists(filter).into_iter().next().map(beginning)
}

/// The beginning of the list after this one; none after the last.
fn next_list(filter: &Filter, cursor: &Cursor) -> Option<Cursor> {
    let all = all_lists(filter);
    let at = all.iter().position(|(name, list)| (*name, *list) == (cursor.provider.as_str(), cursor.list))?;
    all.get(at + 1).copied().map(beginning)
}

fn beginning((provider, list): (&str, List)) -> Cursor {
    Cursor { provider: provider.to_owned(), list, before: NEWEST.to_owned() }
}

/// Later than any event.
const FAR_MS: i64 = 9_000_000_000_000;

/// The first of these of which `most` are named by the filter, at least one, and the rest.
fn split<'a>(replay: &Replay, events: &'a [EventItem], most: usize) -> (&'a [EventItem], &'a [EventItem]) {
    let mut named = 0;
    for (at, event) in events.iter().enumerate() {
        named += usize::from(replay.takes(&candidate(event)));
        if named >= most.max(1) {
            return events.split_at(at + 1);
        }
    }
    (events, &[])
}

/// Where an event stands in a list: what sorts before it follows.
fn place(event: &EventItem, list: List) -> String {
    match list {
        List::Rare(_) => event.place_among_rare(),
        List::Days => event.place_by_time(),
    }
}

fn moment(at_ms: i64) -> String {
    format!("{:013}", at_ms.max(0))
}

/// The day of the newest event before a place, or before a moment.
fn day_before(before: &str) -> i64 {
    let at_ms = before.get(..13).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0);
    let is_place = before.len() > 13;
    Period::Day.start_of(if is_place { at_ms } else { at_ms - 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_after_a_days_end_is_the_one_before_it() {
        let day = 1_795_478_400_000;
        assert_eq!(Period::Day.start_of(day), day);
        assert_eq!(day_before(&moment(day)), day - DAY_MS);
        assert_eq!(day_before(&format!("{}#evt", moment(day))), day);
        assert_eq!(day_before(&moment(day + 1)), day);
    }
}
