//! Payloads of Meta's shape, for trying things out. They hold `\u` escapes, as Meta's do: whoever parses a body and writes
//! it anew breaks its signature.

use jiff::Timestamp;

use crate::Headers;
use crate::template::fill;

pub(super) const KINDS: &[&str] = &[
    "message.delivered",
    "message.received",
    "message.sent",
    "message.read",
    "message.failed",
    "ad_account.with_issues_ad_objects",
];

/// Three numbers of one business account, and one ad account. The states of one number are one message's; what came in is
/// another.
pub(super) fn sample(kind: &str, number: u64, at: Timestamp) -> Option<(Headers, Vec<u8>)> {
    KINDS.contains(&kind).then_some(())?;
    let status = kind.strip_prefix("message.");
    let text = match status {
        None => include_str!("sample/ad.json"),
        Some("received") => include_str!("sample/message.json"),
        Some(_) => include_str!("sample/status.json"),
    };
    let side = if status == Some("received") { "MTU1NTU1NTAxNDI" } else { "MTU1NTU1NTAxMDA" };
    let body = fill(
        text,
        &[
            ("$message", &format!("wamid.HBgL{side}VAgAS{number:020}AA==")),
            ("$status", status.unwrap_or_default()),
            (
                "$phone",
                ["106540352242921", "106540352242922", "106540352242923"]
                    [usize::try_from(number % 3).ok()?],
            ),
            ("$ad", &format!("2385{number:020}")),
            ("$at", &at.as_second().to_string()),
            (
                "$why",
                match status {
                    Some("failed") => {
                        r#","errors":[{"code":131026,"title":"Message undeliverable","message":"Message undeliverable","error_data":{"details":"Message Undeliverable."}}]"#
                    }
                    _ => "",
                },
            ),
        ],
    );
    Some((Headers::new(), body))
}

#[cfg(test)]
mod tests {
    use super::super::Meta;
    use super::*;
    use crate::{Provider as _, Received};

    #[test]
    fn every_sample_is_an_event_of_its_kind_and_no_beginning_of_it_is_one() {
        let at = Timestamp::from_second(1_760_000_000).unwrap();
        for kind in KINDS {
            let (headers, body) = sample(kind, 7, at).unwrap();
            let parsed = |body| Meta.parse(Received { headers: &headers, body, at: Timestamp::UNIX_EPOCH });
            let event = parsed(&body).unwrap().remove(0);
            assert_eq!((event.kind.as_str(), event.changes[0].occurred_at), (*kind, at));
            assert_eq!(Meta.claimed_account(&headers, &body), Some(event.dedupe.account));
            for end in 0..body.len() {
                assert!(parsed(&body[..end]).is_err(), "{kind}: {end}");
            }
        }
    }
}
