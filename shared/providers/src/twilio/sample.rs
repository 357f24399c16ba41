//! Parameters of Twilio's shape, for trying things out.

use jiff::Timestamp;

use super::parse::TOKEN;
use crate::Headers;
use crate::template::fill;

pub(super) const KINDS: &[&str] = &[
    "message.delivered",
    "message.received",
    "message.sent",
    "message.read",
    "message.undelivered",
    "message.queued",
];

/// The account comes last, so that no beginning of a body is one.
const STATUS: &str = "SmsSid=$message&SmsStatus=$status&MessageStatus=$status&To=$scheme%2B15555550142&From=$scheme%2B15555550100&MessagingServiceSid=$place$why&ApiVersion=2010-04-01&MessageSid=$message&AccountSid=AC5ec0de5ec0de5ec0de5ec0de5ec0de00";
const INBOUND: &str = "SmsMessageSid=$message&NumMedia=0&ProfileName=Sample+Guest&MessageType=text&SmsSid=$message&WaId=15555550142&SmsStatus=$status&Body=Is+the+table+by+the+window+free%3F&To=$scheme%2B15555550100&NumSegments=1&From=$scheme%2B15555550142&MessagingServiceSid=$place&ApiVersion=2010-04-01&MessageSid=$message&AccountSid=AC5ec0de5ec0de5ec0de5ec0de5ec0de00";

/// Three messaging services of one account. The states of one number are one message's; what came in is another.
pub(super) fn sample(kind: &str, number: u64, _: Timestamp) -> Option<(Headers, Vec<u8>)> {
    let place = KINDS.iter().position(|known| *known == kind)?;
    let status = kind.strip_prefix("message.")?;
    let (text, side) = if status == "received" { (INBOUND, 1) } else { (STATUS, 0) };
    let body = fill(
        text,
        &[
            ("$message", &format!("SM5ec0de5ec0de5e{side:02x}{number:016x}")),
            ("$status", status),
            ("$scheme", if number.is_multiple_of(2) { "" } else { "whatsapp%3A" }),
            ("$place", &format!("MG5ec0de5ec0de5ec0de5ec0de5ec0de0{}", number % 3)),
            ("$why", if status == "undelivered" { "&ErrorCode=30003" } else { "" }),
        ],
    );
    let headers = Headers::from_iter([
        ("content-type", "application/x-www-form-urlencoded; charset=UTF-8"),
        (TOKEN, &format!("5ec0de5e-c0de-4{place:03x}-8000-{number:016x}")),
    ]);
    Some((headers, body))
}

#[cfg(test)]
mod tests {
    use super::super::Twilio;
    use super::*;
    use crate::{Provider as _, Received};

    fn events(kind: &str, body: &[u8]) -> Result<Vec<tillwatch_domain::Event>, crate::ParseError> {
        let (headers, _) = sample(kind, 7, Timestamp::UNIX_EPOCH).unwrap();
        Twilio.parse(Received { headers: &headers, body, at: Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn every_sample_is_an_event_of_its_kind_and_no_beginning_of_it_is_one() {
        for kind in KINDS {
            let (_, body) = sample(kind, 7, Timestamp::UNIX_EPOCH).unwrap();
            let event = events(kind, &body).unwrap().remove(0);
            assert_eq!((event.kind.as_str(), event.changes.len()), (*kind, 1));
            assert_eq!(Twilio.claimed_account(&Headers::new(), &body), Some(event.dedupe.account));
            for end in 0..body.len() {
                assert!(events(kind, &body[..end]).is_err(), "{kind}: {end}");
            }
        }
    }
}
