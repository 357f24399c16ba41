//! Meta's envelope: entries of accounts, and the changes in them.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tillwatch_domain::{Change, DedupeKey, Event};

use super::{ads, whatsapp};
use crate::digest;
use crate::json::{self, Exact, Reader};
use crate::{ParseError, Received};

/// The most events that are read of one body. Meta sends 3 MB at most, and a status has a few hundred bytes.
const MOST_EVENTS: usize = 20_000;
/// Larger times are milliseconds: as seconds they would lie beyond the year 5000.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

const READER: Reader<'static> = Reader { kind: "meta" };

#[derive(Deserialize)]
struct Envelope<'a> {
    object: String,
    #[serde(borrow)]
    entry: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    id: Exact,
    time: Option<Exact>,
    #[serde(borrow)]
    changes: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Changed<'a> {
    field: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

/// One change, and where it stands.
pub(super) struct Said<'a> {
    /// The account's id.
    pub(super) account: &'a str,
    /// When the entry was sent, where it says so.
    pub(super) time: Option<Timestamp>,
    /// When it arrived.
    pub(super) received: Timestamp,
    /// What changed.
    pub(super) field: &'a str,
    /// The new value's JSON; `null`, if there is none.
    pub(super) value: &'a str,
}

/// An event before it is known what it is of.
pub(super) struct Told {
    pub(super) kind: String,
    /// None: the hash of all that was said.
    pub(super) key: Option<String>,
    pub(super) occurred_at: Option<Timestamp>,
    pub(super) change: Option<Change>,
}

/// The accounts of the entries, each once, the first `most` of them.
pub(super) fn accounts(body: &[u8], most: usize) -> Vec<String> {
    let Ok(envelope) = json::read::<Envelope<'_>>(body, "meta") else { return Vec::new() };
    let mut accounts: Vec<String> = Vec::new();
    for raw in envelope.entry {
        if accounts.len() == most {
            break;
        }
        let Ok(entry) = json::read::<Entry<'_>>(raw.get().as_bytes(), "meta") else { break };
        let account = account_of(entry.id.as_str());
        if accounts.iter().all(|known| known != account) {
            accounts.push(account.to_owned());
        }
    }
    accounts
}

fn account_of(id: &str) -> &str {
    id.strip_prefix("act_").unwrap_or(id)
}

/// The events in a verified body, each once.
pub(super) fn parse(received: Received<'_>) -> Result<Vec<Event>, ParseError> {
    let envelope: Envelope<'_> = json::read(received.body, "meta")?;
    let mut events = Events { known: HashSet::new(), all: Vec::new() };
    for raw in &envelope.entry {
        let entry: Entry<'_> = json::read(raw.get().as_bytes(), "meta")?;
        let account = account_of(entry.id.as_str());
        if account.is_empty() {
            return Err(READER.wrong("entry.id", "is empty"));
        }
        let time = entry.time.as_ref().and_then(|time| moment(time.as_str()));
        let written = entry.time.as_ref().map_or("", Exact::as_str);
        for raw in entry.changes.iter().flatten() {
            let change: Changed<'_> = json::read(raw.get().as_bytes(), "meta")?;
            let value = change.value.map_or("null", RawValue::get);
            let said = Said { account, time, received: received.at, field: &change.field, value };
            for told in told(&envelope.object, &said)? {
                events.add(account, told, [written, &change.field, raw.get()])?;
            }
        }
        if entry.changes.is_none_or(|changes| changes.is_empty()) {
            let told = Told { kind: envelope.object.clone(), key: None, occurred_at: time, change: None };
            events.add(account, told, [written, "", raw.get()])?;
        }
    }
    if events.all.is_empty() { Err(READER.wrong("entry", "is empty")) } else { Ok(events.all) }
}

fn told(object: &str, said: &Said<'_>) -> Result<Vec<Told>, ParseError> {
    let told = match (object, said.field) {
        ("whatsapp_business_account", "messages") => whatsapp::told(said)?,
        ("ad_account", _) => vec![ads::told(said)],
        _ => Vec::new(),
    };
    let other =
        Told { kind: format!("{object}.{}", said.field), key: None, occurred_at: said.time, change: None };
    Ok(if told.is_empty() { vec![other] } else { told })
}

/// What was read so far. What a body says twice is one event.
struct Events {
    known: HashSet<DedupeKey>,
    all: Vec<Event>,
}

impl Events {
    fn add(&mut self, account: &str, told: Told, said: [&str; 3]) -> Result<(), ParseError> {
        let hash = || digest::of([account, said[0], said[1], said[2]].map(str::as_bytes));
        let dedupe = DedupeKey {
            provider: "meta".into(),
            account: account.to_owned(),
            key: told.key.unwrap_or_else(hash),
        };
        if self.all.len() == MOST_EVENTS {
            return Err(READER.wrong("entry", "holds more than Meta sends"));
        }
        if self.known.insert(dedupe.clone()) {
            self.all.push(Event {
                dedupe,
                kind: told.kind,
                provider_event_id: None,
                occurred_at: told.occurred_at,
                test: account == "0",
                changes: told.change.into_iter().collect(),
            });
        }
        Ok(())
    }
}

/// A time in seconds or milliseconds; none, if it is neither.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let count: i64 = text.parse().ok()?;
    if count < FIRST_MILLISECONDS {
        Timestamp::from_second(count).ok()
    } else {
        Timestamp::from_millisecond(count).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;

    fn parsed(body: &str) -> Result<Vec<Event>, ParseError> {
        parse(Received { headers: &Headers::new(), body: body.as_bytes(), at: Timestamp::UNIX_EPOCH })
    }

    const PAGE: &str = r#"{"object":"page","entry":[{"id":"7","time":1782862117,"changes":[{"field":"feed","value":{"item":"post"}},{"field":"feed","value":{"item":"like"}}]},{"id":"8","time":1782862117000,"messaging":[{"a":1}]}]}"#;

    #[test]
    fn an_object_that_is_not_modelled_gives_an_event_for_each_change_and_none_changes_anything() {
        let events = parsed(PAGE).unwrap();
        let kinds: Vec<_> =
            events.iter().map(|event| (event.kind.as_str(), event.dedupe.account.as_str())).collect();
        assert_eq!(kinds, [("page.feed", "7"), ("page.feed", "7"), ("page", "8")]);
        assert!(events.iter().all(|event| event.changes.is_empty() && !event.test));
        assert_ne!(events[0].dedupe, events[1].dedupe);
        assert_eq!(events[0].occurred_at, events[2].occurred_at);
    }

    #[test]
    fn a_change_that_came_before_is_the_same_event_in_whatever_company() {
        let alone = PAGE.replace(r#",{"field":"feed","value":{"item":"like"}}"#, "");
        assert_eq!(parsed(&alone).unwrap()[0].dedupe, parsed(PAGE).unwrap()[0].dedupe);
        for (from, to) in
            [("1782862117,", "1782862118,"), (r#""id":"7""#, r#""id":"9""#), ("feed", "likes"), ("post", "p")]
        {
            let other = PAGE.replacen(from, to, 1);
            assert_ne!(parsed(&other).unwrap()[0].dedupe, parsed(PAGE).unwrap()[0].dedupe, "{to}");
        }
    }

    #[test]
    fn what_a_body_says_twice_is_one_event() {
        let twice = PAGE.replace("like", "post");
        assert_eq!(parsed(&twice).unwrap().len(), 2);
    }

    #[test]
    fn the_entries_accounts_are_the_claimed_ones_each_once_and_count_without_their_prefix() {
        assert_eq!(accounts(PAGE.as_bytes(), 8), ["7", "8"]);
        assert_eq!(accounts(PAGE.as_bytes(), 1), ["7"]);
        assert_eq!(accounts(PAGE.replace(r#""id":"8""#, r#""id":"7""#).as_bytes(), 8), ["7"]);
        let ads = PAGE.replace(r#""id":"7""#, r#""id":"act_7""#);
        assert_eq!(accounts(ads.as_bytes(), 1), ["7"]);
        assert_eq!(parsed(&ads).unwrap()[0].dedupe.account, "7");
        for body in ["", "{}", r#"{"object":"page","entry":[]}"#, "[", r#"{"object":"page","entry":[7]}"#] {
            assert_eq!(accounts(body.as_bytes(), 8), [""; 0], "{body}");
        }
    }

    #[test]
    fn what_the_test_button_sends_is_a_test() {
        let events = parsed(&PAGE.replace(r#""id":"7""#, r#""id":"0""#)).unwrap();
        assert!(events[0].test && !events[2].test);
    }

    #[test]
    fn an_envelope_without_entries_or_an_account_is_an_error() {
        for body in [
            r#"{"object":"page"}"#,
            r#"{"object":"page","entry":[]}"#,
            r#"{"object":"page","entry":[{"time":1}]}"#,
            r#"{"object":"page","entry":[{"id":""}]}"#,
            r#"{"object":"page","entry":[{"id":"act_"}]}"#,
            r#"{"object":"page","entry":[{"id":"7","changes":[{"value":1}]}]}"#,
            r#"{"entry":[{"id":"7"}]}"#,
        ] {
            assert!(parsed(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_batch_is_read_whole_and_more_than_meta_sends_is_refused() {
        let of = |count: usize| {
            let entries: Vec<_> = (0..count).map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
            parsed(&format!(r#"{{"object":"page","entry":[{}]}}"#, entries.join(",")))
        };
        assert_eq!(of(1_000).unwrap().len(), 1_000);
        assert_eq!(of(MOST_EVENTS).unwrap().len(), MOST_EVENTS);
        assert!(of(MOST_EVENTS + 1).is_err());
    }

    #[test]
    fn deep_nesting_is_passed_over_or_refused() {
        let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
        for nested in [deep("[", "]"), deep("{\"a\":", "1}")] {
            assert!(parsed(&nested).is_err());
            let _ = parsed(&PAGE.replace(r#"{"item":"post"}"#, &nested));
            let _ = parsed(&PAGE.replace(r#""7""#, &nested));
        }
    }

    #[test]
    fn an_error_never_quotes_the_body() {
        for (from, to) in [
            (r#""feed""#, "4242"),
            ("1782862117,", "[4242],"),
            (r#""page""#, "4242"),
            (r#""7""#, "{\"4242\":4242}"),
        ] {
            let error = parsed(&PAGE.replace(from, to)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("4242"), "{error}");
        }
    }
}
