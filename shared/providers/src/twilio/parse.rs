//! Twilio's parameters: a message that came in, or what became of one that was sent.

use serde::Deserialize;
use tillwatch_domain::{Change, DedupeKey, Event, Fields, Kind, RecordKey, Revision, Status};

use crate::digest;
use crate::form::Form;
use crate::json::{self, Reader};
use crate::{Headers, ParseError, Received};

/// Twilio's id of a delivery, the same when it is tried again. Not signed.
pub(super) const TOKEN: &str = "i-twilio-idempotency-token";

const READER: Reader<'static> = Reader { kind: "twilio" };

/// The account that a request speaks of.
pub(super) fn account(headers: &Headers, body: &[u8]) -> Option<String> {
    let text = parameters(headers, body);
    if is_json(text) {
        return json_account(text).ok();
    }
    let form = Form::read(text)?;
    form.one("AccountSid").ok().flatten().filter(|sid| is_sid(sid)).map(str::to_owned)
}

/// The event in a verified request: one, always.
pub(super) fn parse(received: Received<'_>) -> Result<Vec<Event>, ParseError> {
    let text = parameters(received.headers, received.body);
    let (account, kind, key, change) = if is_json(text) {
        (json_account(text)?, "json".to_owned(), digest::of([text]), None)
    } else {
        let form = Form::read(text).ok_or_else(|| ParseError::Form { kind: "twilio".to_owned() })?;
        of_form(&form, received)?
    };
    let token = received.headers.get(TOKEN).filter(|token| is_word(token)).map(str::to_owned);
    Ok(vec![Event {
        dedupe: DedupeKey { provider: "twilio".into(), account, key },
        kind,
        provider_event_id: token,
        occurred_at: None,
        test: false,
        changes: change.into_iter().collect(),
    }])
}

/// Where the parameters are: the query of a `GET`, else the body.
fn parameters<'a>(headers: &'a Headers, body: &'a [u8]) -> &'a [u8] {
    if headers.method() == "GET" { headers.query().as_bytes() } else { body }
}

/// Told by the text, which is signed, and not by the header that says its type. No form of Twilio's begins like that.
fn is_json(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn json_account(text: &[u8]) -> Result<String, ParseError> {
    #[derive(Deserialize)]
    struct Of {
        #[serde(rename = "AccountSid", alias = "accountSid", alias = "account_sid")]
        account: String,
    }
    let of: Of = json::read(text, "twilio")?;
    if is_sid(&of.account) { Ok(of.account) } else { Err(READER.wrong("AccountSid", "is no SID")) }
}

/// The account, the event's type, its key, and what it changes.
fn of_form(
    form: &Form,
    received: Received<'_>,
) -> Result<(String, String, String, Option<Change>), ParseError> {
    let account = READER.required("AccountSid", sid(form, "AccountSid")?)?;
    let status = match word(form, "MessageStatus")? {
        Some(status) => Some(status),
        None => word(form, "SmsStatus")?,
    };
    if let (Some(message), Some(status)) = (sid(form, "MessageSid")?, status) {
        let change = change(form, message, status, received)?;
        return Ok((account.to_owned(), format!("message.{status}"), format!("{message}:{status}"), change));
    }
    let parts = form.sorted().into_iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    Ok((account.to_owned(), other_kind(form), digest::of(parts), None))
}

/// What a webhook is called that is about no message.
fn other_kind(form: &Form) -> String {
    let said = |name| word(form, name).ok().flatten();
    match (said("EventType"), said("CallStatus")) {
        (Some(kind), _) => kind.to_owned(),
        (None, Some(status)) => format!("call.{status}"),
        (None, None) => "other".to_owned(),
    }
}

/// None for a status that is not known here: it says nothing that could be told.
fn change(
    form: &Form,
    message: &str,
    status: &str,
    received: Received<'_>,
) -> Result<Option<Change>, ParseError> {
    let status = match status {
        "accepted" | "scheduled" | "queued" | "sending" => Status::Queued,
        "sent" => Status::Sent,
        "delivered" => Status::Delivered,
        "read" => Status::Read,
        "undelivered" | "failed" => Status::Undelivered,
        "canceled" => Status::Cancelled,
        "received" => Status::Received,
        _ => return Ok(None),
    };
    let digits = |code: &&str| code.len() <= 10 && code.bytes().all(|byte| byte.is_ascii_digit());
    let by_whatsapp = ["From", "To"].map(|name| form.all(name).any(|it| it.starts_with("whatsapp:")));
    Ok(Some(Change {
        record: RecordKey {
            provider: "twilio".into(),
            scope: String::new(),
            kind: Kind::Message,
            id: message.to_owned(),
        },
        revision: Revision::at(0, status),
        occurred_at: received.at,
        status,
        fields: Fields {
            location: sid(form, "MessagingServiceSid")?.map(str::to_owned),
            method: Some(if by_whatsapp.contains(&true) { "whatsapp" } else { "sms" }.to_owned()),
            reason: one(form, "ErrorCode")?.filter(digits).map(str::to_owned),
            ..Fields::default()
        },
    }))
}

fn one<'a>(form: &'a Form, name: &'static str) -> Result<Option<&'a str>, ParseError> {
    form.one(name).map_err(|_| READER.wrong(name, "came with two values"))
}

/// One of Twilio's ids: two letters that say of what, and 32 hexadecimal digits.
fn sid<'a>(form: &'a Form, name: &'static str) -> Result<Option<&'a str>, ParseError> {
    match one(form, name)? {
        Some(text) if !is_sid(text) => Err(READER.wrong(name, "is no SID")),
        sid => Ok(sid),
    }
}

fn is_sid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 34
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..].iter().all(u8::is_ascii_hexdigit)
}

/// A status or type.
fn word<'a>(form: &'a Form, name: &'static str) -> Result<Option<&'a str>, ParseError> {
    match one(form, name)? {
        Some(text) if !is_word(text) => Err(READER.wrong(name, "is no word")),
        word => Ok(word),
    }
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::request::{METHOD, QUERY};

    const STATUS: &str = "SmsSid=SM000000000000000000000000000000a1&SmsStatus=delivered&MessageStatus=delivered&To=%2B15551234567&MessageSid=SM000000000000000000000000000000a1&AccountSid=AC00000000000000000000000000000001&From=%2B15557654321&ApiVersion=2010-04-01";

    fn parsed(body: &str) -> Result<Event, ParseError> {
        parsed_with(&Headers::new(), body)
    }

    fn parsed_with(headers: &Headers, body: &str) -> Result<Event, ParseError> {
        let at = Timestamp::from_second(1_760_000_000).unwrap();
        parse(Received { headers, body: body.as_bytes(), at }).map(|mut events| events.remove(0))
    }

    #[test]
    fn a_status_is_read_with_its_message_and_account() {
        let event = parsed(STATUS).unwrap();
        let change = &event.changes[0];
        assert_eq!(event.kind, "message.delivered");
        assert_eq!(event.dedupe.account, "AC00000000000000000000000000000001");
        assert_eq!(event.dedupe.key, "SM000000000000000000000000000000a1:delivered");
        assert_eq!(change.record.to_string(), "messages/twilio/SM000000000000000000000000000000a1");
        assert_eq!((change.status, change.fields.method.as_deref()), (Status::Delivered, Some("sms")));
        assert_eq!((event.occurred_at, change.occurred_at.as_second()), (None, 1_760_000_000));
    }

    #[test]
    fn a_message_that_came_in_is_received_and_none_of_its_text_numbers_and_names_is_kept() {
        let body = STATUS
            .replace(
                "SmsStatus=delivered&MessageStatus=delivered",
                "SmsStatus=received&Body=Hello+you&ProfileName=Ana&WaId=15551234567",
            )
            .replace("From=%2B", "From=whatsapp%3A%2B");
        let event = parsed(&body).unwrap();
        assert_eq!((event.kind.as_str(), event.changes[0].status), ("message.received", Status::Received));
        assert_eq!(event.changes[0].fields.method.as_deref(), Some("whatsapp"));
        let kept = format!("{event:?}");
        for private in ["Hello", "Ana", "555123", "555765"] {
            assert!(!kept.contains(private), "{kept}");
        }
    }

    #[test]
    fn the_states_of_a_message_are_ordered_by_how_far_along_it_is() {
        let revision = |status: &str| {
            let body = STATUS.replace("MessageStatus=delivered", &format!("MessageStatus={status}"));
            parsed(&body).unwrap().changes[0].revision
        };
        let states = ["queued", "sent", "delivered", "read", "undelivered"].map(revision);
        assert!(states.is_sorted() && states.windows(2).all(|pair| pair[0] != pair[1]), "{states:?}");
        assert_eq!(revision("failed"), revision("undelivered"));
        assert_eq!(revision("accepted"), revision("queued"));
    }

    #[test]
    fn a_message_that_was_not_delivered_says_why() {
        let reason = |code: &str| {
            let body =
                STATUS.replace("MessageStatus=delivered", "MessageStatus=failed") + "&ErrorCode=" + code;
            let change = parsed(&body).unwrap().changes.remove(0);
            assert_eq!(change.status, Status::Undelivered);
            change.fields.reason
        };
        assert_eq!(reason("30003").as_deref(), Some("30003"));
        assert_eq!(reason("call+Ana"), None, "codes are numbers");
    }

    #[test]
    fn a_messaging_service_is_the_place() {
        let body = format!("{STATUS}&MessagingServiceSid=MG000000000000000000000000000000b1");
        let location = parsed(&body).unwrap().changes.remove(0).fields.location;
        assert_eq!(location.as_deref(), Some("MG000000000000000000000000000000b1"));
    }

    #[test]
    fn a_status_that_is_not_known_says_nothing_and_one_that_is_no_word_is_an_error() {
        let of = |status: &str| {
            parsed(&STATUS.replace("MessageStatus=delivered", &format!("MessageStatus={status}")))
        };
        let event = of("pondered").unwrap();
        assert_eq!((event.kind.as_str(), event.changes.len()), ("message.pondered", 0));
        assert!(of("sent%2B15551234567").is_err());
    }

    #[test]
    fn ids_count_in_their_exact_form_and_once_only() {
        for (from, to) in [
            ("AccountSid=AC0", "AccountSid=ac0"),
            ("AccountSid=AC0", "AccountSid=AC"),
            ("&AccountSid=AC00000000000000000000000000000001", ""),
            ("MessageSid=SM0", "MessageSid=SM00"),
            ("&MessageSid=SM", "&MessageSid=SM000000000000000000000000000000a2&MessageSid=SM"),
            ("&MessageStatus=", "&MessageStatus=sent&MessageStatus="),
            ("AccountSid=AC0", "AccountSid=%ff"),
        ] {
            let body = STATUS.replacen(from, to, 1);
            assert_ne!(body, STATUS);
            assert!(parsed(&body).is_err(), "{to}");
        }
    }

    #[test]
    fn a_get_says_the_same_in_its_query() {
        let headers = Headers::from_iter([(METHOD, "GET"), (QUERY, STATUS)]);
        assert_eq!(parsed_with(&headers, ""), parsed(STATUS));
        assert_eq!(account(&headers, b""), account(&Headers::new(), STATUS.as_bytes()));
    }

    #[test]
    fn a_call_is_kept_without_changes_under_the_hash_of_all_it_says() {
        let call = "CallSid=CA000000000000000000000000000000c1&CallStatus=ringing&AccountSid=AC00000000000000000000000000000001";
        let event = parsed(call).unwrap();
        assert_eq!((event.kind.as_str(), event.changes.len()), ("call.ringing", 0));
        let (first, rest) = call.split_once('&').unwrap();
        assert_eq!(parsed(&format!("{rest}&{first}")).unwrap().dedupe, event.dedupe);
        assert_ne!(parsed(&format!("{call}&Digits=1")).unwrap().dedupe, event.dedupe);
    }

    #[test]
    fn json_is_kept_without_changes_if_it_names_its_account() {
        let body = r#"{"account_sid":"AC00000000000000000000000000000001","a":[1]}"#;
        let event = parsed(body).unwrap();
        assert_eq!((event.kind.as_str(), event.changes.len()), ("json", 0));
        assert_eq!(account(&Headers::new(), body.as_bytes()), Some(event.dedupe.account));
        for body in ["{}", "[]", r#"[{"account_sid":"AC00000000000000000000000000000001"}]"#, "{"] {
            assert!(parsed(body).is_err(), "{body}");
        }
    }

    #[test]
    fn the_token_of_the_delivery_is_shown_and_makes_no_other_event() {
        let with = |token: &str| parsed_with(&Headers::from_iter([(TOKEN, token)]), STATUS).unwrap();
        let (one, other) = (with("0c1d-1"), with("0c1d-2"));
        assert_eq!(one.provider_event_id.as_deref(), Some("0c1d-1"));
        assert_eq!(one.dedupe, other.dedupe);
    }

    #[test]
    fn an_error_never_quotes_the_body() {
        for body in [STATUS.replace("AC0", "4242"), STATUS.replace("MessageStatus=", "MessageStatus=42%2042")]
        {
            let error = parsed(&body).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("42"), "{error}");
        }
    }
}
