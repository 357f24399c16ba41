//! The value of WhatsApp's `messages`: messages that came in, and statuses of those that were sent.

use serde::Deserialize;
use tillwatch_domain::{Change, Fields, Kind, RecordKey, Revision, Status};

use super::parse::{Said, Told, moment};
use crate::ParseError;
use crate::digest;
use crate::json::{self, Exact, Reader};

const KIND: &str = "WhatsApp";
const READER: Reader<'static> = Reader { kind: KIND };

#[derive(Deserialize)]
struct Value {
    metadata: Option<Metadata>,
    messages: Option<Vec<Message>>,
    statuses: Option<Vec<Message>>,
}

#[derive(Deserialize)]
struct Metadata {
    phone_number_id: Option<Exact>,
}

/// A message, or a status of one. Whom it is from or to, and what it says, stays unread.
#[derive(Deserialize)]
struct Message {
    id: String,
    timestamp: Exact,
    status: Option<String>,
    errors: Option<Vec<Problem>>,
}

#[derive(Deserialize)]
struct Problem {
    code: Option<Exact>,
}

/// An event for each message and each status; none, if the value holds neither.
pub(super) fn told(said: &Said<'_>) -> Result<Vec<Told>, ParseError> {
    let value: Value = json::read(said.value.as_bytes(), KIND)?;
    let place = value.metadata.and_then(|metadata| metadata.phone_number_id).map(String::from);
    let mut all = Vec::new();
    for message in value.messages.into_iter().flatten() {
        all.push(one(message, "received", Some(Status::Received), place.as_deref())?);
    }
    for message in value.statuses.into_iter().flatten() {
        let status = READER.required("statuses.status", message.status.clone())?;
        let known = match status.as_str() {
            "sent" => Some(Status::Sent),
            "delivered" => Some(Status::Delivered),
            // A voice message is played where a text is read.
            "read" | "played" => Some(Status::Read),
            "failed" => Some(Status::Undelivered),
            _ => None,
        };
        all.push(one(message, &status, known, place.as_deref())?);
    }
    Ok(all)
}

fn one(
    message: Message,
    word: &str,
    status: Option<Status>,
    place: Option<&str>,
) -> Result<Told, ParseError> {
    if message.id.is_empty() {
        return Err(READER.wrong("id", "is empty"));
    }
    let at = moment(message.timestamp.as_str()).ok_or_else(|| READER.wrong("timestamp", "is not a time"))?;
    let code = message.errors.into_iter().flatten().find_map(|problem| problem.code);
    let digits =
        |code: &Exact| code.as_str().len() <= 10 && code.as_str().bytes().all(|byte| byte.is_ascii_digit());
    let reason = code.filter(digits).filter(|_| status == Some(Status::Undelivered));
    // Of a word with a colon, two ids and words could make one key.
    let key = if word.contains(':') {
        digest::of([message.id.as_bytes(), word.as_bytes()])
    } else {
        format!("{}:{word}", message.id)
    };
    Ok(Told {
        kind: format!("message.{word}"),
        key: Some(key),
        occurred_at: Some(at),
        change: status.map(|status| Change {
            record: RecordKey {
                provider: "meta".into(),
                scope: String::new(),
                kind: Kind::Message,
                id: message.id,
            },
            revision: Revision::at(0, status),
            occurred_at: at,
            status,
            fields: Fields {
                location: place.map(str::to_owned),
                method: Some("whatsapp".to_owned()),
                reason: reason.map(String::from),
                ..Fields::default()
            },
        }),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tillwatch_domain::Event;

    use super::super::parse::parse;
    use super::*;
    use crate::{Headers, Received};

    const INBOUND: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","phone_number_id":"106540352242922"},"contacts":[{"profile":{"name":"Sheena Nelson"},"wa_id":"16505551234"}],"messages":[{"from":"16505551234","id":"wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=","timestamp":"1749416383","type":"text","text":{"body":"Does it come in another color?"}}]},"field":"messages"}]}]}"#;

    const STATUSES: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"value":{"messaging_product":"whatsapp","metadata":{"phone_number_id":"106540352242922"},"statuses":[{"id":"wamid.A","status":"delivered","timestamp":"1698266945","recipient_id":"16505551234"},{"id":"wamid.A","status":"sent","timestamp":1698266945,"recipient_id":"16505551234"},{"id":"wamid.B","status":"failed","timestamp":"1698266946","recipient_id":"16505551234","errors":[{"code":130472,"title":"no","error_data":{"details":"User's number"}}]}]},"field":"messages"}]}]}"#;

    fn parsed(body: &str) -> Result<Vec<Event>, ParseError> {
        parse(Received { headers: &Headers::new(), body: body.as_bytes(), at: Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn a_message_that_came_in_is_received_at_a_number_and_nothing_of_whom_or_what_is_kept() {
        let event = parsed(INBOUND).unwrap().remove(0);
        let change = &event.changes[0];
        assert_eq!((event.kind.as_str(), change.status), ("message.received", Status::Received));
        assert_eq!(event.dedupe.account, "102290129340398");
        assert_eq!(change.fields.location.as_deref(), Some("106540352242922"));
        assert_eq!(change.fields.method.as_deref(), Some("whatsapp"));
        assert_eq!(
            (event.occurred_at, change.occurred_at.as_second()),
            (Some(change.occurred_at), 1_749_416_383)
        );
        let kept = format!("{event:?}");
        for private in ["Sheena", "1650555", "1555078", "color"] {
            assert!(!kept.contains(private), "{kept}");
        }
    }

    #[test]
    fn each_status_is_an_event_of_its_own() {
        let events = parsed(STATUSES).unwrap();
        let read: Vec<_> =
            events.iter().map(|event| (event.dedupe.key.as_str(), event.changes[0].status)).collect();
        assert_eq!(
            read,
            [
                ("wamid.A:delivered", Status::Delivered),
                ("wamid.A:sent", Status::Sent),
                ("wamid.B:failed", Status::Undelivered)
            ]
        );
        assert_eq!(events[2].changes[0].fields.reason.as_deref(), Some("130472"));
    }

    #[test]
    fn states_are_ordered_by_how_far_along_the_message_is_whatever_their_times() {
        let revision = |status: &str, time: &str| {
            let body = STATUSES.replacen("delivered", status, 1).replacen("1698266945", time, 1);
            parsed(&body).unwrap()[0].changes[0].revision
        };
        let states = [
            revision("sent", "9"),
            revision("delivered", "8"),
            revision("read", "7"),
            revision("failed", "6"),
        ];
        assert!(states.is_sorted_by(|one, next| one < next), "{states:?}");
        assert_eq!(revision("played", "1"), revision("read", "2"));
    }

    #[test]
    fn messages_and_statuses_of_one_value_are_all_read() {
        let both = STATUSES
            .replace(r#""statuses":"#, r#""messages":[{"id":"wamid.C","timestamp":"1"}],"statuses":"#);
        assert_eq!(parsed(&both).unwrap().len(), 4);
    }

    #[test]
    fn a_status_that_is_not_known_says_nothing() {
        for status in ["pondered", "read-self", "", "a:b"] {
            let event = parsed(&STATUSES.replacen("delivered", status, 1)).unwrap().remove(0);
            assert_eq!((event.kind, event.changes.len()), (format!("message.{status}"), 0));
        }
    }

    #[test]
    fn no_two_ids_and_statuses_make_one_event() {
        let key = |id: &str, status: &str| {
            let body = STATUSES.replacen("wamid.A", id, 1).replacen("delivered", status, 1);
            parsed(&body).unwrap().remove(0).dedupe
        };
        assert_ne!(key("wamid.A", "b:c"), key("wamid.A:b", "c"));
        assert_ne!(key("wamid.A", "b"), key("wamid.A", "c"));
    }

    #[test]
    fn a_value_without_messages_and_another_field_change_nothing() {
        let errors = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"value":{"errors":[{"code":1}]},"field":"messages"},{"value":7,"field":"account_update"}]}]}"#;
        let events = parsed(errors).unwrap();
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["whatsapp_business_account.messages", "whatsapp_business_account.account_update"]);
        assert!(events.iter().all(|event| event.changes.is_empty()));
    }

    #[test]
    fn a_message_without_its_id_or_time_is_an_error() {
        for (from, to) in [
            (r#""id":"wamid.A","#, ""),
            (r#""id":"wamid.A""#, r#""id":"""#),
            (r#""timestamp":"1698266945","#, ""),
            (r#""1698266945""#, r#""never""#),
            (r#""status":"delivered","#, ""),
        ] {
            assert!(parsed(&STATUSES.replacen(from, to, 1)).is_err(), "{from}");
        }
        assert!(parsed(&STATUSES.replacen(r#""value":{"#, r#""value":7,"x":{"#, 1)).is_err());
    }
}
