//! What a channel's headers say.

use tillwatch_domain::{Change, DedupeKey, Event, Fields, Kind, RecordKey, Revision, Status};

use crate::json::{Reader, nanoseconds};
use crate::{Headers, ParseError, Received};

pub(super) const CHANNEL: &str = "x-goog-channel-id";
pub(super) const NUMBER: &str = "x-goog-message-number";
pub(super) const RESOURCE: &str = "x-goog-resource-id";
pub(super) const STATE: &str = "x-goog-resource-state";

/// The value of a header that must come once and not be empty. A comma means that it came more than once: gateways join,
/// and neither ids nor states hold one.
pub(super) fn only<'a>(headers: &'a Headers, name: &'static str) -> Result<&'a str, ParseError> {
    let mut values = headers.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.trim());
    match (values.next(), values.next()) {
        (None | Some(""), None) => Err(ParseError::Header(name)),
        (Some(value), None) if !value.contains(',') => Ok(value),
        _ => Err(ParseError::Repeated(name)),
    }
}

/// The event in a verified request: one, always.
pub(super) fn parse(received: Received<'_>) -> Result<Vec<Event>, ParseError> {
    let [channel, number, resource, state] =
        [CHANNEL, NUMBER, RESOURCE, STATE].map(|name| only(received.headers, name));
    let (channel, number, resource, state) = (channel?, number?, resource?, state?);
    let reader = Reader { kind: "google_calendar" };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 =
        number.parse().ok().filter(|_| digits).ok_or_else(|| reader.wrong(NUMBER, "is no number"))?;
    let status = match state {
        "exists" => Some(Status::Changed),
        "not_exists" => Some(Status::Deleted),
        _ => None,
    };
    let change = status.map(|status| Change {
        record: RecordKey {
            provider: "google_calendar".into(),
            scope: String::new(),
            kind: Kind::Calendar,
            id: resource.to_owned(),
        },
        revision: Revision {
            version: i64::try_from(count).unwrap_or(i64::MAX),
            ..Revision::at(nanoseconds(received.at), status)
        },
        occurred_at: received.at,
        status,
        fields: Fields::default(),
    });
    Ok(vec![Event {
        dedupe: DedupeKey {
            provider: "google_calendar".into(),
            account: channel.to_owned(),
            key: format!("{channel}:{count}"),
        },
        kind: state.to_owned(),
        provider_event_id: None,
        occurred_at: None,
        test: false,
        changes: change.into_iter().collect(),
    }])
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn headers(state: &str, number: &str) -> Headers {
        Headers::from_iter([
            (CHANNEL, "channel-1"),
            (RESOURCE, "ret08u3rv24htgh289g"),
            (STATE, state),
            (NUMBER, number),
        ])
    }

    fn parsed(headers: &Headers, second: i64) -> Result<Event, ParseError> {
        let at = Timestamp::from_second(second).unwrap();
        parse(Received { headers, body: b"", at }).map(|mut events| events.remove(0))
    }

    #[test]
    fn a_calendar_that_exists_has_changed_and_one_that_does_not_is_deleted() {
        for (state, status) in [("exists", Status::Changed), ("not_exists", Status::Deleted)] {
            let event = parsed(&headers(state, "10"), 7).unwrap();
            let change = &event.changes[0];
            assert_eq!((event.kind.as_str(), change.status), (state, status));
            assert_eq!(change.record.to_string(), "calendars/google_calendar/ret08u3rv24htgh289g");
            assert_eq!(
                (event.dedupe.account.as_str(), event.dedupe.key.as_str()),
                ("channel-1", "channel-1:10")
            );
            assert_eq!((event.occurred_at, change.occurred_at.as_second()), (None, 7));
        }
    }

    #[test]
    fn the_beginning_of_a_channel_and_a_state_unheard_of_change_nothing() {
        for state in ["sync", "paused"] {
            let event = parsed(&headers(state, "1"), 0).unwrap();
            assert_eq!((event.kind.as_str(), event.changes.len(), event.test), (state, 0, false));
        }
    }

    #[test]
    fn a_notification_is_one_event_however_often_it_comes() {
        let key = |state: &str, number: &str, at| parsed(&headers(state, number), at).unwrap().dedupe;
        assert_eq!(key("exists", "10", 7), key("exists", "10", 9));
        assert_eq!(key("exists", "10", 7), key("exists", "010", 7));
        assert_ne!(key("exists", "10", 7), key("exists", "11", 7));
    }

    #[test]
    fn the_first_message_of_a_new_channel_is_newer_than_the_last_of_the_old_one() {
        let revision = |number: &str, at| parsed(&headers("exists", number), at).unwrap().changes[0].revision;
        assert!(revision("4711", 7) < revision("2", 8));
        assert!(revision("2", 8) < revision("3", 8));
        assert!(revision("3", 8) < revision("18446744073709551615", 8));
    }

    #[test]
    fn a_header_that_is_missing_empty_or_came_twice_is_an_error() {
        for name in [CHANNEL, NUMBER, RESOURCE, STATE] {
            let mut missing = headers("exists", "10");
            missing.remove(name);
            assert_eq!(parsed(&missing, 0), Err(ParseError::Header(name)));
            let mut blank = missing.clone();
            blank.push(name, " ");
            assert_eq!(parsed(&blank, 0), Err(ParseError::Header(name)));
            for value in ["1,1", "1"] {
                let mut twice = if value == "1" { headers("exists", "10") } else { missing.clone() };
                twice.push(name, value);
                assert_eq!(parsed(&twice, 0), Err(ParseError::Repeated(name)), "{value}");
            }
        }
    }

    #[test]
    fn a_message_number_is_digits() {
        for number in ["+1", "-1", "1.0", "x", "18446744073709551616", "1 0"] {
            assert!(parsed(&headers("exists", number), 0).is_err(), "{number}");
        }
    }
}
